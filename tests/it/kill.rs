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

mod dice;
mod ledger;
mod load;
mod round;

use std::sync::Arc;
use std::time::Instant;

use self::dice::Dice;
use self::ledger::Ledger;
use self::round::{APPS, Kind, Tally, World};
use crate::support::{say, until};

/// Rounds, if `POSTRIDER_KILL_ROUNDS` does not say otherwise.
const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_accepted_is_lost_however_often_the_process_is_killed() {
    let rounds = std::env::var("POSTRIDER_KILL_ROUNDS").ok().map_or(ROUNDS, |n| n.parse().expect("a number"));
    let mut dice = Dice::new();
    say(format_args!("kill: {rounds} rounds, POSTRIDER_KILL_SEED={}", dice.seed()));
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
}

/// Compares the ledger with what arrived and with what the server lists.
async fn settle_up(world: &World, ledger: &Ledger) {
    let server = world.last_server().await;
    let api = server.api();
    // What is neither here nor there at this moment is lost.
    let pending = world.listed(&api, "delivery").await;
    let dead = world.listed(&api, "dead-letter").await;
    ledger.assert_none_is_lost(&pending, &dead);

    api.post("/dispatch/resume", serde_json::json!({})).await;
    for app in APPS {
        api.post(&format!("/app/{app}/dead-letter/replay"), serde_json::json!({})).await;
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
