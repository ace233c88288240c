//! A sync or a write fails, the process ends or goes on, and then the power is cut.

use std::cell::Cell;
use std::sync::Arc;

use postrider_model::ports::{Accept, Configure as _, Unavailable};
use postrider_model::query::Query as _;
use postrider_model::time::Clock;
use tokio::sync::oneshot;

use super::super::stepper::{self, Stepper, runtime};
use super::super::support::{self, ManualClock};
use super::script::{Place, Run, check, message, options};
use super::world::{End, Op};
use super::{PAID, SCRIPT, run, send, survivals};
use crate::committer::request::Errand;
use crate::disk::sim::{SimDisk, Survival};
use crate::journal::AppendError;

#[test]
fn a_failed_write_or_sync_is_never_followed_by_an_answer() {
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    for is_sync in [false, true] {
        let mut poisoned = 0;
        for count in 0.. {
            let disk = SimDisk::new();
            if is_sync {
                disk.fail_sync_after(count);
            } else {
                disk.fail_write_after(count);
            }
            let mut run = run(&place, &disk);
            let case = format!("failure of {} {count}", if is_sync { "sync" } else { "write" });
            let finished = run.ledger.worlds.len() == SCRIPT.len() + 1;
            if let Some(stepper) = run.stepper.as_mut().filter(|stepper| stepper.error.is_some()) {
                poisoned += 1;
                assert!(matches!(stepper.error, Some(AppendError::Poisoned { .. })), "{case}");
                let operations = disk.operations();
                let more = message(&run.ledger, "m1", PAID, None);
                let answer = stepper.ask(stepper.outbox.accept(more));
                assert_eq!(answer, Err(Unavailable::Stopping.into()), "{case}");
                assert_eq!(disk.operations(), operations, "{case}: the disk is left alone");
            }
            for survival in survivals(count * 10..count * 10 + 2) {
                check(&place, &disk.crash(survival), run.clock.now(), &run.ledger, &format!("{case}, {survival:?}"));
            }
            if finished && run.stepper.is_some_and(|stepper| stepper.error.is_none()) && disk.failure_is_due() {
                break;
            }
        }
        assert!(poisoned > 20, "{poisoned} failures were in the journal");
    }
}

/// Runs a script with one failing sync, for each that there is, and checks what may be left.
fn at_each_failed_sync(script: &[Op], mixtures: u64, look: &mut dyn FnMut(&SimDisk, &Run<'_>)) {
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    for count in 0.. {
        let disk = SimDisk::new();
        disk.fail_sync_after(count);
        let mut run = Run::start(&place, &disk, options());
        run.all(script);
        look(&disk, &run);
        for survival in survivals(count * 10..count * 10 + mixtures) {
            let case = format!("failure of sync {count}, {survival:?}");
            check(&place, &disk.crash(survival), run.clock.now(), &run.ledger, &case);
        }
        if disk.failure_is_due() {
            break;
        }
    }
}

/// A process that goes on after a sync that failed sees files that may not be
/// the ones on disk.
#[test]
fn what_is_erased_stays_away_also_after_a_failed_sync_and_a_power_cut() {
    const ERASE: [Op; 10] = [
        Op::App,
        Op::Endpoint("a", &[PAID]),
        send("m1", PAID, None, 900),
        Op::Attempt("m1", "a", End::Delivered),
        // A start writes the last segment anew by itself.
        send("m2", PAID, None, 9_000),
        send("m3", PAID, None, 9_000),
        Op::Expunge("m1"),
        Op::Erase,
        Op::Restart,
        Op::Erase,
    ];
    let mut erased = 0;
    at_each_failed_sync(&ERASE, 6, &mut |_, run| erased += usize::from(run.ledger.erased.contains("m1")));
    assert!(erased > 3, "{erased} went on to the end");
}

/// A start finds what the process before has made, also where the sync of its name failed.
#[test]
fn what_is_accepted_is_in_no_file_whose_name_may_be_lost() {
    let (runtime, index, clock) = (runtime(), tempfile::tempdir().expect("a directory"), ManualClock::new());
    let start = |disk: &SimDisk| Stepper::start(options(), index.path(), &clock, Arc::new(disk.clone()), &runtime);
    let send = |stepper: &mut Stepper| {
        let outbox = stepper.outbox.clone();
        // Each fills a segment.
        let accepted = stepper.ask(outbox.accept(support::message("shop", PAID, &"x".repeat(6_000))));
        accepted.ok().map(|accepted| accepted.id)
    };
    let mut started_again = 0;
    for count in 0.. {
        let disk = SimDisk::new();
        disk.fail_sync_after(count);
        let mut accepted = vec![];
        // Whoever is told of a failure tries again, and so does the operator.
        for _ in 0..2 {
            let Ok(mut stepper) = start(&disk) else { continue };
            let outbox = stepper.outbox.clone();
            let made = stepper.ask(outbox.execute(stepper::app("shop")));
            started_again += usize::from(disk.has_failed() && made.is_ok());
            accepted.extend((0..4).filter_map(|_| send(&mut stepper)));
        }
        let case = format!("failure of sync {count}");
        let next = start(&disk.crash(Survival::Nothing)).unwrap_or_else(|error| panic!("{case}: {error}"));
        let app = next.app_id("shop").unwrap_or_else(|| panic!("{case}: the application is gone"));
        for id in accepted {
            assert!(matches!(next.outbox.message(app, id), Ok(Some(_))), "{case}: {id}");
        }
        if disk.failure_is_due() {
            break;
        }
    }
    assert!(started_again > 2, "{started_again} times");
}

/// The checkpoint that the process before left may be lost yet: its name is there for readers,
/// but the sync of the directory failed.
#[test]
fn a_segment_goes_only_when_a_checkpoint_that_stays_covers_it() {
    const RETIRE: [Op; 9] = [
        Op::App,
        Op::Endpoint("a", &[PAID]),
        send("m1", PAID, None, 900),
        Op::Attempt("m1", "a", End::Delivered),
        send("m2", PAID, None, 9_000),
        send("m3", PAID, None, 9_000),
        Op::Restart,
        send("m4", PAID, None, 900),
        Op::Retire,
    ];
    let mut retired = 0;
    at_each_failed_sync(&RETIRE, 1, &mut |disk, run| {
        let segments = run.stepper.as_ref().map(|stepper| stepper.outbox.shared.reader.segments());
        let first = segments.and_then(|segments| Some(segments.first()?.number));
        retired += usize::from(disk.has_failed() && first > Some(1));
    });
    assert!(retired > 1, "{retired} went on to the end");
}

/// An outcome that was not synced yet may be lost, and is again what it was.
#[test]
fn nothing_is_covered_or_removed_by_an_outcome_that_may_be_lost() {
    const DELIVERED: [Op; 8] = [
        Op::App,
        Op::Endpoint("a", &[PAID]),
        send("m1", PAID, None, 900),
        send("m2", PAID, None, 9_000),
        send("m3", PAID, None, 9_000),
        send("m4", PAID, None, 9_000),
        Op::Attempt("m2", "a", End::Delivered),
        Op::Attempt("m1", "a", End::Delivered),
    ];
    let (runtime, index) = (runtime(), tempfile::tempdir().expect("a temporary directory"));
    let place = Place { runtime: &runtime, index: index.path() };
    let after_a_failed_sync = |ask: &dyn Fn(&Stepper)| {
        let disk = SimDisk::new();
        let mut run = Run::start(&place, &disk, options());
        run.all(&DELIVERED);
        let mut stepper = run.stepper.take().expect("nothing fails");
        disk.fail_sync_after(0);
        ask(&stepper);
        stepper.step();
        assert!(matches!(stepper.error, Some(AppendError::Poisoned { .. })), "it was to be synced first");
        stepper
    };
    let (reply, covered) = oneshot::channel();
    let reply = Cell::new(Some(reply));
    after_a_failed_sync(&|stepper| {
        let reply = reply.take().expect("it is asked once");
        stepper.outbox.errands.send(Errand::Checkpoint(reply)).expect("the committer is there");
    });
    assert!(covered.blocking_recv().is_err(), "there is nothing to write a checkpoint of");
    let stepper = after_a_failed_sync(&|stepper| {
        assert_eq!(stepper.outbox.shared.state.lock().still_in(1), None, "for all that is known in memory");
        let removal = Errand::RemoveSegment(1, oneshot::channel().0);
        stepper.outbox.errands.send(removal).expect("the committer is there");
    });
    assert_eq!(stepper.outbox.shared.reader.segments().first().map(|segment| segment.number), Some(1));
}
