//! The outbox at every point at which a process can die, and with every failure
//! that a disk can show.
//!
//! A script runs in one thread on a simulated disk. The disk dies after its nth
//! operation; what was not synced is lost, kept or torn; a new outbox opens what
//! is left, and an outside ledger says whether that may be so: everything that
//! was answered is there, of what was not, there is a beginning, and the only
//! answered thing that may be lost is nothing at all. Outcomes are answered by
//! nobody: the last ones may be lost, and then the delivery is due again.

mod draw;
mod failed_sync;
mod random;
mod script;
mod world;

use postrider_model::time::Clock;

use self::script::{Place, Run, check, options};
use self::world::{End, Name, Op};
use super::stepper::runtime;
use crate::Options;
use crate::disk::sim::{SimDisk, Survival};

const fn send(name: Name, event_type: Name, key: Option<Name>, bytes: usize) -> Op {
    Op::Send { name, event_type, key, bytes }
}

const PAID: Name = "order.paid";
const SENT: Name = "order.sent";

const SCRIPT: &[Op] = &[
    Op::App,
    Op::Endpoint("a", &[PAID]),
    Op::Endpoint("b", &[PAID, SENT]),
    send("m1", PAID, Some("k1"), 900),
    send("m2", PAID, None, 1_500),
    send("m3", SENT, None, 10),
    Op::Attempt("m1", "a", End::Delivered),
    Op::Attempt("m1", "b", End::Retry),
    Op::Attempt("m2", "a", End::Dead),
    Op::Resend("m2", "a"),
    Op::Resend("m1", "b"),
    Op::Attempt("m3", "b", End::Delivered),
    Op::Attempt("m2", "a", End::AsBefore),
    Op::Resend("m3", "b"),
    send("m4", PAID, None, 2_800),
    Op::Checkpoint,
    Op::Attempt("m1", "b", End::AsBefore),
    Op::Attempt("m3", "b", End::AsBefore),
    Op::Replay("m2", "a"),
    Op::Cancel("m2", "b"),
    Op::Pause("b", true),
    Op::Attempt("m2", "a", End::Delivered),
    send("m5", PAID, None, 2_000),
    send("m6", PAID, Some("k6"), 1_000),
    Op::Attempt("m5", "a", End::Dead),
    Op::Attempt("m6", "a", End::Delivered),
    Op::Attempt("m6", "b", End::Delivered),
    Op::Expunge("m5"),
    send("m7", SENT, None, 3_000),
    Op::Erase,
    Op::Restart,
    send("m8", PAID, None, 2_500),
    // Nobody asked for this; nor for the next such one.
    Op::Replay("m3", "a"),
    Op::Attempt("m3", "a", End::Dead),
    Op::Pause("b", false),
    Op::Attempt("m1", "b", End::Dead),
    Op::Attempt("m4", "a", End::Delivered),
    Op::Endpoint("c", &[PAID]),
    send("m9", PAID, None, 100),
    Op::Attempt("m9", "c", End::Delivered),
    Op::Replay("m7", "a"),
    send("m10", PAID, Some("k10"), 3_000),
    Op::DeleteEndpoint("c"),
    send("m11", PAID, None, 3_000),
    Op::Checkpoint,
    send("m12", PAID, None, 3_000),
    Op::Attempt("m7", "b", End::Delivered),
    Op::Attempt("m8", "a", End::Delivered),
    Op::Attempt("m8", "b", End::Delivered),
    Op::Resend("m8", "a"),
    Op::Resend("m1", "b"),
    Op::Retire,
    Op::Attempt("m1", "b", End::AsBefore),
    Op::Expunge("m4"),
    Op::Replay("m1", "b"),
    Op::Replay("m3", "a"),
    Op::Attempt("m7", "a", End::Delivered),
    send("m13", PAID, None, 3_000),
    Op::Attempt("m1", "b", End::Delivered),
    Op::PauseAll(true),
    Op::Attempt("m11", "a", End::Retry),
    Op::Attempt("m3", "a", End::Delivered),
    send("m14", SENT, None, 3_000),
    Op::Replay("m14", "a"),
    Op::Expunge("m14"),
    Op::Attempt("m13", "a", End::Dead),
    Op::Resend("m13", "a"),
    Op::Attempt("m12", "a", End::Delivered),
    Op::Attempt("m12", "b", End::Delivered),
    send("m15", PAID, None, 3_000),
    Op::Expunge("m15"),
    Op::Erase,
    Op::Retire,
    Op::Restart,
    Op::Attempt("m8", "a", End::AsBefore),
    Op::Attempt("m13", "a", End::Delivered),
    Op::PauseAll(false),
    send("m16", PAID, None, 10),
    Op::Attempt("m16", "b", End::Dead),
    Op::Purge("m16", "b"),
    Op::Attempt("m16", "a", End::Delivered),
];

fn survivals(seeds: std::ops::Range<u64>) -> impl Iterator<Item = Survival> {
    let mixed = seeds.map(|seed| Survival::Mixed { seed });
    [Survival::Nothing, Survival::Everything].into_iter().chain(mixed)
}

/// Runs the whole script on `disk`, whatever happens to it.
fn run<'a>(place: &'a Place<'a>, disk: &SimDisk) -> Run<'a> {
    let mut run = Run::start(place, disk, options());
    run.all(SCRIPT);
    run
}

#[test]
fn the_script_does_what_it_is_there_for() {
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    let disk = SimDisk::new();
    let run = run(&place, &disk);
    assert_eq!(run.ledger.worlds.len(), SCRIPT.len() + 1, "it runs to its end");
    let stepper = run.stepper.as_ref().expect("nothing fails");
    let segments = stepper.outbox.shared.reader.segments();
    assert!(segments.first().is_some_and(|first| first.number > 1), "segments were removed: {segments:?}");
    assert!(segments.len() > 3, "and rolled: {segments:?}");
    let erased: Vec<_> = run.ledger.erased.iter().map(String::as_str).collect();
    assert_eq!(erased, ["m14", "m15", "m4", "m5"], "they are off the disk");
    check(&place, &disk.crash(Survival::Nothing), run.clock.now(), &run.ledger, "at the end");
}

#[test]
fn a_sync_that_is_left_out_is_noticed() {
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    for honest in (0..72).step_by(3) {
        let disk = SimDisk::new();
        disk.lie_after(honest);
        let run = run(&place, &disk);
        assert_eq!(run.ledger.worlds.len(), SCRIPT.len() + 1, "nobody knows it yet");
        let left = disk.crash(Survival::Nothing);
        let look = || check(&place, &left, run.clock.now(), &run.ledger, "a lying disk");
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
        assert!(looked.is_err(), "{honest} syncs were done, and nobody misses the others");
    }
}

#[test]
fn every_crash_point_keeps_what_was_answered() {
    const WORKERS: u64 = 2;
    let whole = SimDisk::new();
    let index = tempfile::tempdir().expect("a temporary directory");
    drop(run(&Place { runtime: &runtime(), index: index.path() }, &whole));
    let cases = std::thread::scope(|scope| {
        let half = |first: u64| {
            let (operations, index) = (whole.operations(), index.path());
            scope.spawn(move || {
                let place = Place { runtime: &runtime(), index };
                let counts = (first..operations).step_by(WORKERS as usize);
                counts.map(|count| crash_after(&place, count)).sum::<usize>()
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(half).collect();
        workers.into_iter().map(|worker| worker.join().expect("every case holds")).sum::<usize>()
    });
    assert!(cases > 1_000, "{cases} cases");
}

/// Lets the disk die after so many operations, and opens what may be left.
fn crash_after(place: &Place<'_>, count: u64) -> usize {
    let disk = SimDisk::new();
    disk.crash_after(count);
    let run = run(place, &disk);
    let mut cases = 0;
    for survival in survivals(count * 10..count * 10 + 6) {
        let case = format!("after {count} operations, {survival:?}");
        check(place, &disk.crash(survival), run.clock.now(), &run.ledger, &case);
        cases += 1;
    }
    cases
}

/// The record of an attempt may go before its message does.
#[test]
fn an_attempt_has_a_number_of_its_own_also_after_the_one_before_has_gone() {
    const LARGE: [Op; 6] = [
        send("m2", SENT, None, 3_000),
        send("m3", SENT, None, 3_000),
        send("m4", SENT, None, 3_000),
        send("m5", SENT, None, 3_000),
        send("m6", SENT, None, 3_000),
        send("m7", SENT, None, 3_000),
    ];
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    for again in [Op::Resend("m1", "b"), Op::Replay("m1", "b")] {
        let disk = SimDisk::new();
        let mut run = Run::start(&place, &disk, options());
        run.all(&[Op::App, Op::Endpoint("a", &[PAID]), Op::Endpoint("b", &[PAID]), send("m1", PAID, None, 600)]);
        run.all(&[Op::Attempt("m1", "b", End::Delivered)]);
        run.all(&LARGE);
        run.all(&[Op::Retire, again]);
        let stepper = run.stepper.as_ref().expect("nothing fails");
        let first = stepper.outbox.shared.reader.segments().first().map(|first| first.number);
        assert!(first > Some(1), "the first segment has gone");
        check(&place, &disk.crash(Survival::Nothing), run.clock.now(), &run.ledger, &format!("{again:?}"));
    }
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_heals() {
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    for free_bytes in (0..60_000).step_by(5_003) {
        let disk = SimDisk::new();
        let mut run = Run::start(&place, &disk, Options { max_bytes: Some(u64::MAX), ..options() });
        run.all(SCRIPT.get(..20).unwrap_or_default());
        disk.set_free_bytes(free_bytes);
        let case = format!("{free_bytes} bytes free");
        run.all(&FULL);
        let refused =
            FULL.iter().filter(|op| matches!(op, Op::Send { name, .. } if !run.ledger.ids.contains_key(name)));
        assert!(refused.count() > 1, "{case}");
        check(&place, &disk.crash(Survival::Everything), run.clock.now(), &run.ledger, &case);

        // What need not wait at the doors goes on in the reserve.
        run.all(&[Op::Attempt("m4", "a", End::Delivered), Op::Pause("a", true)]);
        assert_eq!(run.ledger.safe, run.ledger.worlds.len() - 1, "{case}: the pause was answered");
        disk.set_free_bytes(1 << 30);
        run.all(&[send("m16", PAID, None, 3_000)]);
        assert!(run.ledger.ids.contains_key("m16"), "{case}: there is room again");
        check(&place, &disk.crash(Survival::Nothing), run.clock.now(), &run.ledger, &case);
    }
}

const FULL: [Op; 24] = {
    const NAMES: [Name; 24] = [
        "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15", "f16", "f17",
        "f18", "f19", "f20", "f21", "f22", "f23", "f24",
    ];
    let mut ops = [Op::App; 24];
    let mut n = 0;
    while n < ops.len() {
        ops[n] = send(NAMES[n], PAID, None, 3_000);
        n += 1;
    }
    ops
};
