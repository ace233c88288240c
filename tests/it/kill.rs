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
//! key after the answer was lost, is one message. Duplicates are counted.

mod ledger;
mod load;
mod round;

use std::sync::Arc;
use std::time::Instant;

use postrider_proof::Proof;
use serde_json::json;

use self::ledger::Ledger;
use self::round::{APPS, Kind, Tally, World};
use crate::support::{say, until};

/// Rounds of the short form.
const ROUNDS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_accepted_is_lost_however_often_the_process_is_killed() {
    let proof = Proof::new("kill", ROUNDS);
    let (rounds, mut dice) = (proof.rounds() as usize, proof.dice());
    let began = Instant::now();
    let ledger = Arc::new(Ledger::default());
    let mut world = World::make(Arc::clone(&ledger)).await;
    let mut tally = Tally::default();
    for round in 0..rounds {
        world.round(Kind::of(round), &mut dice, &mut tally).await;
        ledger.assert_sound();
    }
    say(format_args!("kill: {tally}; {:.0} s", began.elapsed().as_secs_f64()));
    tally.assert_each_kind_was_hit(rounds);
    settle_up(&world, &ledger).await;
    say(format_args!("kill: {ledger}; all settled after {:.0} s", began.elapsed().as_secs_f64()));
    let counts = ledger.counts();
    proof.found(
        rounds as u64,
        json!({
            "accepted": counts.accepted,
            "lost": 0,
            "duplicates": counts.duplicates,
            "most_duplicates_a_kill": counts.most_duplicates_a_round,
            "least_accepted_a_kill": tally.fewest_accepts(),
        }),
    );
}

/// Compares the ledger with what arrived and with what the server lists.
async fn settle_up(world: &World, ledger: &Ledger) {
    let server = world.last_server().await;
    let api = server.api();
    // What is neither here nor there at this moment is lost.
    let pending = world.listed(&api, "delivery").await;
    let dead = world.listed(&api, "dead-letter").await;
    ledger.assert_none_is_lost(&pending, &dead);

    api.post("/dispatch/resume", json!({})).await;
    for app in APPS {
        api.post(&format!("/app/{app}/dead-letter/replay"), json!({})).await;
    }
    until("all deliveries to end", async || {
        let counts = server.metrics().await;
        let open = ["waiting", "held", "in_flight", "dead"]
            .map(|state| counts.sum("postrider_deliveries", &format!("state=\"{state}\"")));
        (open.iter().sum::<f64>() == 0.0).then_some(())
    })
    .await;
    ledger.assert_sound();
    ledger.assert_all_confirmed();
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
    server.stop().await;
}
