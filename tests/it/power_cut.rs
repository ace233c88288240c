//! Power cuts under load, again and again, with a ledger that lies outside.
//!
//! ```text
//!   producers --lines--> ingest.sock --> [ server ] --requests--> receiver
//!       | id of each answer                  | files                  | id and body
//!       v                                    v                        v
//!   Ledger: accepted            ext4 on a loop device         Ledger: arrived
//!                                  ^ shut down at an answer: what its
//!                                    journal has not written is lost
//! ```
//!
//! After each cut the server starts without any hint, and every event whose
//! answer was read before the cut was begun has arrived, or is listed as pending
//! or dead. Nothing arrived that was not sent; no outcome that was synced before
//! the cut is forgotten. What was confirmed just before it may be sent again, and
//! is counted.

mod disk;
mod round;

use std::sync::Arc;
use std::time::Instant;

use postrider_proof::Proof;
use rustix::process::{Signal, kill_process};
use serde_json::json;

use self::disk::LoopDisk;
use self::round::{Kind, Rounds, Tally};
use crate::kill::load::{AT_FULL_SPEED, Load};
use crate::kill::world::World;
use crate::support::{Setup, say};

/// Rounds of the short form.
const ROUNDS: u64 = 6;
/// After so many the file system is a new one.
const ROUNDS_A_DISK: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_accepted_is_lost_however_often_the_power_is_cut() {
    let proof = Proof::new("power-cut", ROUNDS);
    let (count, mut dice, mut tally) = (proof.rounds(), proof.dice(), Tally::default());
    let (began, mut done) = (Instant::now(), 0);
    while done < count {
        let Some(mut rounds) = Rounds::begin().await else { return };
        for _ in 0..ROUNDS_A_DISK.min(count - done) {
            rounds.round(Kind::of(done), &mut dice, &mut tally).await;
            done += 1;
        }
        rounds.end(&mut tally).await;
    }
    say(format_args!("power-cut: {:.0} s", began.elapsed().as_secs_f64()));
    proof.found(
        tally.cuts,
        json!({
            "cuts_of_starts": tally.cuts_of_starts,
            "cuts_at_segment_changes": tally.cuts_at_segment_changes,
            "ended_by_itself_with_70": tally.noticed,
            "accepted": tally.accepted,
            "lost": 0,
            "starts_refused": 0,
            "duplicates": tally.duplicates,
            "most_duplicates_a_cut": tally.most_duplicates_a_cut,
            "most_ms_from_confirmation_to_cut": tally.longest_before_a_cut.as_millis() as u64,
        }),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_notices_when_the_syncs_are_missing() {
    let Some(disk) = LoopDisk::make() else { return };
    let world = World::make(Setup::new().at(&disk.path().join("data"))).await;
    // What was made so far is safe.
    disk.power_on();
    let careless = world.setup.clone().env("LD_PRELOAD", disk.hide_syncs().display().to_string());
    // Nothing is sent, so that nothing is safe at the receiver.
    let mut server = careless.argument("--paused").start().await;
    let (ledger, cutter, pid) = (Arc::clone(&world.ledger), disk.cutter(), server.process.pid());
    let cut = move || {
        ledger.cut_begins();
        cutter.cut();
        let _ = kill_process(pid, Signal::KILL);
    };
    let is_time = |answers| answers > AT_FULL_SPEED;
    Load::new(Arc::clone(&world.ledger), Box::new(is_time), Box::new(cut)).run(&server).await;
    server.process.ended().await;
    drop(server);
    world.ledger.cut_ended();
    disk.power_on();

    let server = world.setup.clone().argument("--paused").start().await;
    let (pending, dead) = world.listed(&server.api()).await;
    let lost = world.ledger.lost(&pending, &dead).len();
    assert!(lost > 0, "{} events were answered, and all are there", world.ledger.counts().accepted);
}
