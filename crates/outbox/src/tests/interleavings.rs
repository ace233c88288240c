//! Interleavings that once lost something or stood still.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use postrider_model::delivery::{DeadReason, DeliveryKey, Next};
use postrider_model::job::{AttemptResult, Job, Outcome, Response};
use postrider_model::lane::{DeliveryStore, LaneEvent, Settlement};
use postrider_model::ports::{Accept, Configure, Control};
use postrider_model::query::{DeliveryFilter, PageRequest, Query};
use postrider_model::time::{Clock, UnixMs};
use tempfile::TempDir;

use super::stepper::{self, Stepper, runtime};
use super::support::{ManualClock, Running, message, options, wait};
use crate::committer::request::Errand;
use crate::disk::{Disk, RealDisk};
use crate::index::{Index, IndexOptions};
use crate::{Opened, Options, Outbox, open, salvage};

const DAY: Duration = Duration::from_secs(86_400);

fn small(dir: &Path) -> Options {
    Options {
        segment_bytes: 64 << 10,
        body_limit_bytes: 8 << 10,
        retention_grace: Duration::ZERO,
        fresh_body_bytes: 0,
        ..options(dir)
    }
}

/// A stepper with one endpoint that asks for `order.paid`.
fn stepper(dir: &TempDir, clock: &Arc<ManualClock>, options: Options) -> Stepper {
    let index = dir.path().join("no-index");
    let mut stepper =
        Stepper::start(options, &index, clock, Arc::new(RealDisk), &runtime()).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is new");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &["order.paid"]))).expect("it is new");
    stepper
}

fn accept(stepper: &mut Stepper, event_type: &str, bytes: usize) -> bool {
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.accept(message("shop", event_type, &"x".repeat(bytes)))).is_ok()
}

fn waiting(outbox: &Outbox) -> Vec<DeliveryKey> {
    let mut events = vec![];
    outbox.take(&mut events);
    let waiting = events.iter().filter_map(|event| match event {
        LaneEvent::Waiting { key, .. } | LaneEvent::Recorded { key, waits: Some(_), .. } => Some(*key),
        _ => None,
    });
    waiting.collect()
}

fn settlement(outbox: &Outbox, job: &Job, status: u16, body: Bytes, next: Next) -> Settlement {
    let outcome = Outcome {
        key: job.key,
        attempt: job.scheduled.attempt,
        started: outbox.shared.clock.now(),
        duration: Duration::from_millis(3),
        url: job.target.url.clone(),
        result: AttemptResult::Answered(Response { status, body, ..Response::default() }),
    };
    Settlement { outcome, trigger: job.scheduled.trigger, next, disable: None, ordered: false }
}

fn poll_once<T>(answer: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> bool {
    answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn an_outcome_does_not_put_a_carried_message_back_to_its_old_place() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let mut stepper = stepper(&dir, &clock, small(dir.path()));
    let outbox = stepper.outbox.clone();
    assert!(accept(&mut stepper, "order.paid", 10));
    let key = waiting(&outbox)[0];
    let job = stepper.ask(outbox.job(key)).expect("it waits");
    while outbox.shared.reader.segments().len() < 6 {
        assert!(accept(&mut stepper, "other", 7_000));
    }
    clock.forward(8 * DAY);
    stepper.keeper(|keeper| keeper.remove_old_segments());
    assert!(outbox.shared.reader.segments()[0].number > key.message.segment(), "the old segment is gone");
    let next = Next::Retry { due: outbox.shared.now() };
    outbox.settle(&mut vec![settlement(&outbox, &job, 500, Bytes::new(), next)]);
    stepper.step();
    let again = stepper.ask(outbox.job(key)).expect("the message is found where it lies now");
    assert_eq!((again.scheduled.attempt, again.body), (2, job.body));
}

#[test]
fn commands_keep_no_message_waiting() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let mut stepper = stepper(&dir, &clock, options(dir.path()));
    let outbox = stepper.outbox.clone();
    let runtime = runtime();
    let _entered = runtime.enter();
    let endpoint = |n: i32| outbox.execute(stepper::endpoint("shop", &format!("e{n}"), &["a.b"]));
    let mut commands: Vec<_> = (0..30).map(endpoint).collect();
    assert!(!commands.iter_mut().any(poll_once));
    let mut accepted = outbox.accept(message("shop", "order.paid", "1"));
    assert!(!poll_once(&mut accepted));
    stepper.step();
    assert!(poll_once(&mut accepted), "the first frame takes it");
}

#[test]
fn clients_that_are_gone_keep_no_outcome_out() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let mut stepper = stepper(&dir, &clock, Options { max_in_flight: 16, ..options(dir.path()) });
    let outbox = stepper.outbox.clone();
    assert!(accept(&mut stepper, "order.paid", 10));
    let job = stepper.ask(outbox.job(waiting(&outbox)[0])).expect("it waits");
    let runtime = runtime();
    let _entered = runtime.enter();
    for _ in 0..5_000 {
        // Asked, and dropped before there is an answer.
        poll_once(&mut outbox.execute(stepper::app("shop")));
    }
    outbox.settle(&mut vec![settlement(&outbox, &job, 200, Bytes::new(), Next::Delivered)]);
    while !outbox.urgent.is_empty() || outbox.shared.in_flight.lock().contains_key(&job.key) {
        let before = (outbox.urgent.len(), outbox.shared.in_flight.lock().len());
        stepper.step();
        assert_ne!((outbox.urgent.len(), outbox.shared.in_flight.lock().len()), before, "it goes on");
    }
    assert_eq!(outbox.stats().pending, 0, "the outcome is recorded");
}

#[test]
fn history_goes_before_anything_is_refused_though_the_oldest_segment_is_live() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let ten_segments = Options { max_bytes: Some(10 * (64 << 10)), ..small(dir.path()) };
    let mut stepper = stepper(&dir, &clock, ten_segments);
    // A backlog of little more than one segment, which nobody takes; then only history.
    assert!((0..12).all(|_| accept(&mut stepper, "order.paid", 7_000)));
    let mut accepted = 0;
    for _ in 0..200 {
        accepted += usize::from(accept(&mut stepper, "other", 7_000));
        stepper.keeper(|keeper| keeper.round());
    }
    assert!(accepted > 150, "{accepted} of 200 were accepted");
    assert_eq!(stepper.outbox.stats().pending, 12);
}

#[test]
fn outcomes_without_room_do_not_shut_the_keeper_out() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let twelve_segments = Options { max_bytes: Some(12 * (64 << 10)), ..small(dir.path()) };
    let mut stepper = stepper(&dir, &clock, twelve_segments);
    let outbox = stepper.outbox.clone();
    assert!((0..400).all(|_| accept(&mut stepper, "order.paid", 1)));
    let keys = waiting(&outbox);
    let jobs: Vec<_> = keys.into_iter().map(|key| stepper.ask(outbox.job(key)).expect("it waits")).collect();
    while accept(&mut stepper, "other", 7_000) {}
    for job in jobs {
        let next = Next::Retry { due: outbox.shared.now() };
        outbox.settle(&mut vec![settlement(&outbox, &job, 500, Bytes::from(vec![1; 16 << 10]), next)]);
    }
    (0..20).for_each(|_| stepper.step());
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    outbox.errands.send(Errand::Checkpoint(reply)).expect("the committer is there");
    stepper.step();
    assert!(answer.try_recv().is_ok(), "the keeper is answered");
}

#[test]
fn damage_in_a_backlog_stops_the_start_and_salvage_says_what_is_lost() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let options = || Options { lane_window: 4, ..small(dir.path()) };
    let mut running = Running::start(options(), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &["order.paid"]);
    let sent = (0..40).map(|_| running.send("shop", "order.paid", &"x".repeat(5_000)));
    assert_eq!(sent.count(), 40);
    running.stop();
    let segment = dir.path().join("journal/segment-0000000002.journal");
    let mut bytes = std::fs::read(&segment).expect("the second segment is there");
    bytes[20_000] ^= 1;
    std::fs::write(&segment, bytes).expect("it can be written");

    let refused = Running::start(options(), &clock).err().expect("deliveries in it were never attempted");
    assert!(refused.is_damage(), "{refused}");
    let (disk, to): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), tempfile::tempdir().expect("a directory"));
    let salvaged = salvage(&options(), to.path(), &disk, &*clock, &mut |_, _| {}).expect("the rest can be read");
    // What is left of the record tells to which endpoint it was to go.
    assert_eq!((salvaged.payloads_lost, salvaged.messages.len()), (1, 1), "{salvaged:?}");

    running =
        Running::start(Options { dir: to.path().to_owned(), ..options() }, &clock).expect("what is lost is named");
    assert_eq!(running.outbox.stats().dead_letters, 1);
    let mut delivered = 0;
    while let Some((key, _)) = running.waiting().first().copied() {
        running.attempt(key, 200, Next::Delivered);
        delivered += 1;
        running.keeper.round();
    }
    assert_eq!(delivered + salvaged.payloads_lost + salvaged.deliveries_lost, 40);
    let filter = DeliveryFilter { endpoint: Some(endpoint.id), ..DeliveryFilter::default() };
    let left = running.outbox.pending(&filter, &PageRequest::default()).expect("it can be read");
    assert!(left.items.is_empty());
    running.stop();
}

/// A wall clock and a monotonic one that are moved apart.
struct TwoClocks {
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl Clock for TwoClocks {
    fn now(&self) -> UnixMs {
        UnixMs(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

#[test]
fn one_record_of_the_future_makes_no_dead_letter_old() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(TwoClocks { wall_ms: 1_800_000_000_000.into(), monotonic_ms: 0.into() });
    let index = Index::open(&IndexOptions::new(dir.path().join("index"))).expect("a directory can be made");
    let injected: Arc<dyn Clock> = Arc::<TwoClocks>::clone(&clock);
    let opened = open(options(dir.path()), Arc::new(RealDisk), injected, index).expect("an empty directory opens");
    let Opened { outbox, committer, mut keeper, .. } = opened;
    let committer = std::thread::spawn(move || committer.run());
    wait(outbox.execute(stepper::app("shop"))).expect("it is new");
    wait(outbox.execute(stepper::endpoint("shop", "e", &["order.paid"]))).expect("it is new");
    wait(outbox.accept(message("shop", "order.paid", "1"))).expect("it is fine");
    let job = wait(outbox.job(waiting(&outbox)[0])).expect("it waits");
    let next = Next::Dead { reason: DeadReason::AttemptsExhausted };
    outbox.settle(&mut vec![settlement(&outbox, &job, 500, Bytes::new(), next)]);
    wait(outbox.changed());
    assert_eq!(outbox.stats().dead_letters, 1);

    let year_ms = 365 * DAY.as_millis() as u64;
    clock.wall_ms.fetch_add(year_ms, Ordering::SeqCst);
    wait(outbox.accept(message("shop", "other", "1"))).expect("it is fine");
    keeper.round();
    clock.wall_ms.fetch_sub(year_ms, Ordering::SeqCst);
    for _minute in 0..200 {
        clock.wall_ms.fetch_add(60_000, Ordering::SeqCst);
        clock.monotonic_ms.fetch_add(60_000, Ordering::SeqCst);
        keeper.round();
    }
    assert_eq!(outbox.stats().dead_letters, 1, "an hour of grace and more has passed");
    outbox.stop();
    committer.join().expect("it does not panic").expect("the journal is not poisoned");
}

#[test]
fn the_outcome_of_a_cancelled_attempt_does_not_count_for_the_replay() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::new());
    let mut stepper = stepper(&dir, &clock, options(dir.path()));
    let outbox = stepper.outbox.clone();
    assert!(accept(&mut stepper, "order.paid", 10));
    let key = waiting(&outbox)[0];
    let job = stepper.ask(outbox.job(key)).expect("it waits");
    let app = stepper.app_id("shop").expect("it was made");
    stepper.ask(outbox.cancel(app, job.message, key.endpoint)).expect("it waits");
    stepper.ask(outbox.replay(app, job.message, key.endpoint)).expect("it was cancelled");
    let next = Next::Dead { reason: DeadReason::AttemptsExhausted };
    outbox.settle(&mut vec![settlement(&outbox, &job, 500, Bytes::new(), next)]);
    stepper.step();
    let replayed = stepper.ask(outbox.job(key)).expect("the replay waits for an attempt of its own");
    assert_eq!(replayed.scheduled.attempt, job.scheduled.attempt + 1);
}
