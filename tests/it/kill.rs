//! `kill -9` under load, again and again, with a ledger that lies outside.
//!
//! ```text
//!   producers --lines--> ingest.sock --> [ server ] --requests--> receiver
//!       |                                  ^  killed at an answer     |
//!       | id of each answer                |  and started again       | id and body
//!       v                                  |                          v
//!   Ledger: accepted               the same directory         Ledger: arrived
//! ```
//!
//! At the end every accepted id has arrived, or is listed as pending or dead;
//! nothing arrived that was not sent; what was sent once, or sent again with its
//! key after the answer was lost, is one message. Sent again is only what was confirmed
//! shortly before a kill.

pub(crate) mod ledger;
pub(crate) mod load;
mod round;
pub(crate) mod watch;
pub(crate) mod world;

use std::time::Instant;

use postrider_proof::Proof;
use serde_json::json;

use self::round::{Kind, Rounds, Tally};
use self::world::World;
use crate::support::{Setup, say};

/// Rounds of the short form.
const ROUNDS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_accepted_is_lost_however_often_the_process_is_killed() {
    let proof = Proof::new("kill", ROUNDS);
    let (count, mut dice) = (proof.rounds() as usize, proof.dice());
    let began = Instant::now();
    let mut rounds = Rounds::on(World::make(Setup::new()).await);
    let mut tally = Tally::default();
    for round in 0..count {
        rounds.round(Kind::of(round), &mut dice, &mut tally).await;
        rounds.world().ledger.assert_sound();
    }
    say(format_args!("kill: {tally}; {:.0} s", began.elapsed().as_secs_f64()));
    tally.assert_each_kind_was_hit(count);
    rounds.world().settle_up().await;
    let ledger = &rounds.world().ledger;
    say(format_args!("kill: {ledger}; all settled after {:.0} s", began.elapsed().as_secs_f64()));
    let counts = ledger.counts();
    proof.found(
        count as u64,
        json!({
            "accepted": counts.accepted,
            "lost": 0,
            "duplicates": counts.duplicates,
            "most_duplicates_a_kill": counts.most_duplicates_a_round,
            "most_ms_from_confirmation_to_kill": counts.longest_before_a_cut.as_millis() as u64,
            "least_accepted_a_kill": tally.fewest_accepts(),
        }),
    );
}
