//! One bit of one file is flipped, and the server started. Either it starts and
//! everything reads back as it was, or it says what is damaged.
//!
//! ```text
//!   a directory with messages that were delivered, wait, or are dead
//!     | copy, flip a bit
//!     v
//!   start --- refused: exit code 70, the file, what to do --> salvage --> start
//!     |                                                                    |
//!     v                                                                    v
//!   audit: all as it was, or named as damaged       audit: what is missing lay where
//!                                                   salvage says that something is lost
//! ```

mod audit;
mod damage;
mod store;

use std::time::Instant;

use postrider_proof::Proof;
use serde_json::{Value, json};

use self::audit::{Audit, named_bytes};
use self::damage::{Flip, Kind};
use self::store::Store;
use crate::support::{Setup, say};

/// Flips of the short form.
const ROUNDS: u64 = 20;

/// What became of the flips.
#[derive(Debug, Default)]
struct Tally {
    /// The start was refused, and salvage or the file as it was let it succeed.
    refused: u64,
    /// The server ran, and named what is damaged.
    damaged_named: u64,
    /// Something was wrong with the index, which was built anew.
    index_rebuilt: u64,
    /// It was in the last frame, of which nobody knows whether it was synced: cut, and kept aside.
    cut_as_torn_tail: u64,
    /// Nothing needs that bit, or what was wrong was put right.
    no_effect: u64,
    /// Refused, and what was not there afterwards lay in what salvage calls lost.
    messages_lost: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_or_changes_nothing() {
    let proof = Proof::new("bit-flips", ROUNDS);
    let (mut dice, mut tally, began) = (proof.dice(), Tally::default(), Instant::now());
    let stores = [Store::make(true).await, Store::make(false).await];
    let rounds = proof.rounds();
    for _ in 0..rounds {
        let store = dice.one_of(&stores);
        let setup = store.copy();
        let flip = Flip::draw(&mut dice, setup.data_dir());
        flip.apply();
        round(store, &setup, &flip, &mut tally).await;
    }
    say(format_args!("bit-flips: {tally:?}; {:.0} s", began.elapsed().as_secs_f64()));
    proof.found(
        rounds,
        json!({
            "refused": tally.refused,
            "damaged_named": tally.damaged_named,
            "index_rebuilt": tally.index_rebuilt,
            "cut_as_torn_tail": tally.cut_as_torn_tail,
            "no_effect": tally.no_effect,
            "silent": 0,
            "messages_lost_and_named": tally.messages_lost,
        }),
    );
}

async fn round(store: &Store, setup: &Setup, flip: &Flip, tally: &mut Tally) {
    let what = format!("{flip}, {}", store.name());
    match setup.clone().argument("--paused").try_start().await {
        Ok(server) => {
            let audit = Audit::of(store, &server).await;
            let log = server.log();
            if flip.is_in_a_torn_tail() {
                // The last frames of a killed server are outcomes here.
                assert!(audit.lacks_outcomes_only(), "{what}: {audit:#?}");
                tally.cut_as_torn_tail += 1;
                return;
            }
            assert!(audit.may_be(&log), "{what}: not named: {audit:#?}");
            if !audit.is_as_before() || log.contains("is damaged") {
                tally.damaged_named += 1;
            } else if log.contains("index partition is of no use") {
                tally.index_rebuilt += 1;
            } else {
                tally.no_effect += 1;
            }
        }
        Err(ended) => {
            tally.refused += 1;
            assert_eq!(ended.code, Some(70), "{what}: {ended:?}");
            assert!(ended.stderr.contains(flip.file_name()), "{what}: the file is not named: {ended:?}");
            let bytes = named_bytes(&ended.stderr);
            assert!(bytes.is_none_or(|bytes| bytes.contains(&flip.offset())), "{what}: named elsewhere: {ended:?}");
            assert!(ended.stderr.contains("hint: "), "{what}: it does not say what to do: {ended:?}");
            tally.messages_lost += mend(store, setup, flip, &ended.stderr, &what).await;
        }
    }
}

/// Does what the refusal says; gives how many messages are lost.
async fn mend(store: &Store, setup: &Setup, flip: &Flip, said: &str, what: &str) -> u64 {
    if flip.kind() == Kind::Small {
        // Backups do not hold these files.
        assert!(said.contains("bring back"), "{what}: {said}");
        flip.undo();
        let server = setup.clone().argument("--paused").start().await;
        let audit = Audit::of(store, &server).await;
        assert!(audit.is_as_before(), "{what}: {audit:#?}");
        return 0;
    }
    assert!(said.contains("--salvage NEW_DIR"), "{what}: {said}");
    let (setup, salvaged) = setup.salvage();
    let server = setup.argument("--paused").start().await;
    if server.api().call("GET", "/app/shop", &Value::Null).await.status == 404 {
        // The record that made the application is lost, and of one that is not known nothing is shown.
        let named = audit::lost(&salvaged).iter().any(|part| audit::holds(part, flip.file_name(), flip.offset()));
        assert!(named, "{what}: the application is gone: {salvaged:?}");
        return store.messages.len() as u64;
    }
    let audit = Audit::of(store, &server).await;
    audit.assert_agrees_with(&salvaged, store, what);
    audit.lost() as u64
}
