//! What follows from records, one after the other.

mod needed;
mod outcomes;
mod told;

use std::time::Duration;

use postrider_model::audit::{Actor, Entry, Origin, Target};
use postrider_model::delivery::Next;
use postrider_model::id::{AttemptId, AuditId, MessageId, OrgId, RawId};
use postrider_model::task::{EndpointSpan, TaskWork};

use super::*;
use crate::MasterKey;
use crate::record::{Answered, DeliveryChange, ExpungedContent, IdempotencyKey, Kept, TaskFinished, TaskStarted};
use crate::tests::counted::Counted;

const WINDOW: usize = 20;
/// What of a window may be read from behind it.
const SHARE: usize = 18;

fn raw(n: u8) -> RawId {
    RawId::from_bytes([n; 20])
}

/// An application. Those of the first one are the endpoints 1 and 2, of the second one it is endpoint 3.
fn app(n: u8) -> AppId {
    AppId(raw(n))
}

fn endpoint(n: u8) -> EndpointId {
    EndpointId(raw(100 + n))
}

fn at(segment: u32, offset: u32) -> Position {
    Position::new(segment, offset)
}

/// A message is accepted at the millisecond of its offset.
pub(super) fn message(sequence: Position, endpoints: &[u8]) -> Accepted {
    Accepted {
        id: MessageId(RawId::new(UnixMs(sequence.offset_bytes().into()), sequence.as_u64(), [0; 6])),
        app: app(if endpoints == [3] { 2 } else { 1 }),
        config_version: 1,
        event_type: "order.paid".into(),
        content_type: None,
        event_id: None,
        channels: vec![],
        tags: vec![],
        idempotency: None,
        order_key: 0,
        endpoints: endpoints.iter().copied().map(endpoint).collect(),
        orders: vec![],
        payload_until: None,
    }
}

fn delivery(to: u8, sequence: Position) -> DeliveryRef {
    message(sequence, &[to]).named_delivery(endpoint(to), sequence, sequence)
}

/// An attempt, begun at 1,000, that took 50 ms.
pub(super) fn ended(to: u8, sequence: Position, attempt: u16, next: Next) -> Outcome {
    Outcome {
        id: AttemptId(raw(7)),
        delivery: delivery(to, sequence),
        ended: Scheduled { attempt, ..Scheduled::first(UnixMs(sequence.offset_bytes().into())) },
        trigger: Trigger::Scheduled,
        started: UnixMs(1_000),
        duration_ms: 50,
        url: "https://example.com/".into(),
        status: Some(if next == Next::Delivered { 200 } else { 500 }),
        failure: None,
        next,
        stale: false,
    }
}

const DIES: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

/// A state with lanes and without configuration.
struct World {
    state: State,
    config: Config,
}

impl World {
    fn new() -> Self {
        let options = Options { lane_window: WINDOW, ..Options::new("unused", MasterKey::new([0; 32])) };
        let mut state = State::new(&options);
        for (n, of) in [(1, 1), (2, 1), (3, 2)] {
            state.lanes.insert(endpoint(n), LaneState::new(app(of)));
        }
        Self { state, config: Config::default() }
    }

    /// Applies a record; gives what the scheduler is told.
    fn apply(&mut self, position: Position, record: &Record) -> Vec<LaneEvent> {
        let mut events = vec![];
        self.state.apply(&mut self.config, position, record, &mut events);
        events
    }

    fn accept(&mut self, position: Position, endpoints: &[u8]) -> Vec<LaneEvent> {
        self.apply(position, &Record::Accepted(message(position, endpoints), None))
    }

    fn end(&mut self, outcome: Outcome) -> Vec<LaneEvent> {
        self.apply(at(9, 9), &Record::Outcome(outcome, None))
    }

    fn change(&mut self, what: DeliveryChange, deliveries: Vec<DeliveryRef>) -> Vec<LaneEvent> {
        let change = Deliveries { at: UnixMs(2_000), what, deliveries, task: None };
        self.apply(at(9, 9), &Record::Deliveries(change))
    }

    fn lane(&mut self, n: u8) -> &mut LaneState {
        self.state.lanes.get_mut(&endpoint(n)).expect("it is there")
    }

    /// Reads on in the lane of endpoint 1; gives the deliveries that are new in its window.
    fn fill(&mut self, (from, next): (Position, Position), read: &[DeliveryRef]) -> Vec<Position> {
        let mut events = vec![];
        self.state.fill(endpoint(1), (from, next), read, &mut events);
        let waiting = events.iter().map(|event| match event {
            LaneEvent::Waiting { key, .. } => key.message,
            other => panic!("{other:?}"),
        });
        waiting.collect()
    }
}

#[test]
fn what_waits_is_counted_by_application() {
    let mut world = World::new();
    let counts = |state: &State| ([1, 2, 9].map(|n| state.pending_of(app(n))), state.pending_total());
    assert_eq!(counts(&world.state), ([0, 0, 0], 0));
    assert_eq!(world.accept(at(1, 10), &[1, 2]).len(), 2);
    world.accept(at(1, 20), &[3]);
    world.accept(at(1, 30), &[1]);
    assert_eq!(counts(&world.state), ([3, 1, 0], 4));
    world.end(ended(1, at(1, 10), 1, Next::Delivered));
    world.end(ended(2, at(1, 10), 1, Next::Retry { due: UnixMs(2_000) }));
    world.end(ended(3, at(1, 20), 1, DIES));
    assert_eq!(counts(&world.state), ([2, 0, 0], 2));
    // As after a start with a checkpoint.
    world.state.recount();
    assert_eq!(counts(&world.state), ([2, 0, 0], 2));
    world.change(DeliveryChange::Replayed { attempts_made: 0 }, vec![delivery(3, at(1, 20))]);
    assert_eq!(counts(&world.state), ([2, 1, 0], 3));
    // An endpoint that was deleted in the same frame has no lane any more.
    assert_eq!(world.accept(at(1, 40), &[8]), []);
    assert_eq!(counts(&world.state), ([2, 1, 0], 3));
}

#[test]
fn after_a_start_each_lane_with_a_backlog_is_read_on_and_no_other() {
    let mut world = World::new();
    for n in 1..=25 {
        world.accept(at(1, n), &[1]);
    }
    world.accept(at(1, 30), &[2]);
    assert!(world.state.thirsty.is_empty(), "the window is full");
    world.state.recount();
    assert_eq!(world.state.thirsty, [endpoint(1)].into());
    assert_eq!(world.state.pending_of(app(1)), 26);
}

#[test]
fn a_lane_asks_for_more_when_a_tenth_of_its_window_is_free() {
    let mut world = World::new();
    let told: usize = (1..=25).map(|n| world.accept(at(1, n), &[1]).len()).sum();
    assert_eq!(told, SHARE, "of what is behind the window the scheduler does not hear yet");
    world.end(ended(1, at(1, 1), 1, Next::Delivered));
    assert!(world.state.thirsty.is_empty());
    world.end(ended(1, at(1, 2), 1, Next::Delivered));
    assert_eq!(world.state.thirsty, [endpoint(1)].into());
}

#[test]
fn what_was_read_comes_into_the_window_unless_the_lane_has_moved_on_meanwhile() {
    let mut world = World::new();
    for n in 1..=25 {
        world.accept(at(1, n), &[1]);
    }
    world.state.applied = at(1, 26);
    for n in 1..=3 {
        world.end(ended(1, at(1, n), 1, Next::Delivered));
    }
    let read = [19, 20, 21].map(|n| delivery(1, at(1, n)));
    assert_eq!(world.fill((at(1, 18), at(1, 22)), &read), [], "that is not where it goes on");
    assert_eq!(world.lane(1).backlog.next(), Some((at(1, 19), Position::MAX)));
    assert_eq!(world.fill((at(1, 19), at(1, 22)), &read), [at(1, 19), at(1, 20), at(1, 21)]);
    assert_eq!(world.lane(1).backlog.next(), Some((at(1, 22), Position::MAX)));
    assert_eq!(world.fill((at(1, 19), at(1, 22)), &read), [], "twice the same");
    assert_eq!((world.state.pending_of(app(1)), world.lane(1).backlog.count()), (22, 4));
}

/// Deliveries 10 and 20 behind a window, and 40, 50 and 60 behind what has passed them; the journal ends at 70.
fn to_be_read() -> World {
    let mut world = World::new();
    world.state.applied = at(1, 70);
    let backlog = &mut world.lane(1).backlog;
    for n in [10, 20] {
        backlog.push(at(1, n), false);
    }
    backlog.pass(at(1, 30));
    for n in [40, 50, 60] {
        backlog.push(at(1, n), false);
    }
    world.state.recount();
    world
}

#[test]
fn what_is_not_found_by_the_end_of_the_journal_is_lost_and_counted() {
    let counted = Counted::default();
    let lost = || counted.counter(crate::meters::LOST);
    metrics::with_local_recorder(&counted, || {
        let mut world = to_be_read();
        assert_eq!(world.fill((at(1, 10), at(1, 20)), &[delivery(1, at(1, 10))]), [at(1, 10)]);
        assert_eq!((lost(), world.state.pending_total()), (0, 5));
        assert_eq!(world.fill((at(1, 20), at(1, 69)), &[]), []);
        assert_eq!((lost(), world.state.pending_total()), (1, 4), "the last stretch may have more");
        assert_eq!(world.fill((at(1, 69), at(1, 70)), &[]), []);
        assert_eq!((lost(), world.state.pending_total()), (4, 1));
    });
    let counted = Counted::default();
    let lost = || counted.counter(crate::meters::LOST);
    let mut world = to_be_read();
    metrics::with_local_recorder(&counted, || assert_eq!(world.fill((at(1, 10), at(1, 70)), &[]), []));
    assert_eq!((lost(), world.state.pending_total()), (5, 0));
    assert!(world.lane(1).backlog.is_empty());
}

#[test]
fn time_is_that_of_the_newest_record_and_never_goes_back() {
    let task = TaskId(raw(9));
    let span = EndpointSpan { app: app(1), endpoint: endpoint(1), since: UnixMs(0), until: None };
    let deliveries = |ms| Deliveries { at: UnixMs(ms), what: DeliveryChange::Purged, deliveries: vec![], task: None };
    let once = IdempotencyKey { key: [1; 16], content: [2; 16] };
    let what = ExpungedContent::Payload { message: message(at(1, 1), &[]).id, sequence: at(1, 1) };
    let records = [
        (Record::Accepted(message(at(1, 100), &[1]), None), 100),
        (Record::Outcome(Outcome { started: UnixMs(150), ..ended(1, at(1, 100), 1, Next::Delivered) }, None), 200),
        (Record::Deliveries(deliveries(300)), 300),
        (Record::TaskStarted(TaskStarted { id: task, work: TaskWork::Recover(span), created: UnixMs(400) }), 400),
        (Record::TaskFinished(TaskFinished { id: task, at: UnixMs(500) }), 500),
        (Record::Expunged(Expunged { at: UnixMs(600), app: app(1), what, waiting: vec![], dead: vec![] }), 600),
        (Record::Answered(Answered { once, at: UnixMs(700), kept: Kept::Reply }, bytes::Bytes::new()), 700),
        (Record::Audit(Box::new(entry(800))), 800),
        (Record::Deliveries(deliveries(750)), 800),
        (Record::Accepted(message(at(1, 799), &[1]), None), 800),
    ];
    let mut world = World::new();
    for (record, ms) in records {
        world.apply(at(1, 100), &record);
        assert_eq!(world.state.last_record, UnixMs(ms), "{record:?}");
    }
}

fn entry(ms: u64) -> Entry {
    Entry {
        id: AuditId(RawId::new(UnixMs(ms), 0, [0; 6])),
        operation: "patch_endpoint".into(),
        org: OrgId(raw(3)),
        actor: Actor::Server,
        from: Origin::Start,
        request_id: None,
        target: Target::default(),
        fields: vec![],
        deliveries: None,
        status: 200,
    }
}

#[test]
fn a_task_tells_how_far_it_is() {
    let (mut world, id) = (World::new(), TaskId(raw(9)));
    let span = EndpointSpan { app: app(1), endpoint: endpoint(1), since: UnixMs(0), until: None };
    let started = TaskStarted { id, work: TaskWork::ReplayMissing(span), created: UnixMs(100) };
    world.apply(at(1, 100), &Record::TaskStarted(started.clone()));
    let shown = |world: &World| {
        let task = world.state.tasks[&id].show(id);
        assert_eq!((task.id, task.work, task.created), (id, started.work.clone(), started.created));
        (task.sent, task.finished, task.updated)
    };
    assert_eq!(shown(&world), (0, false, UnixMs(100)));
    let mut batch = |ms, deliveries: Vec<DeliveryRef>| {
        let cursor = DeliveryKey { endpoint: endpoint(1), message: at(2, 7) };
        let what = DeliveryChange::Replayed { attempts_made: 0 };
        let change = Deliveries { at: UnixMs(ms), what, deliveries, task: Some((id, cursor)) };
        world.apply(at(1, 200), &Record::Deliveries(change));
        assert_eq!(world.state.tasks[&id].cursor, Some(cursor));
    };
    batch(200, [10, 20, 30].map(|n| delivery(1, at(1, n))).into());
    batch(300, [40, 50].map(|n| delivery(1, at(1, n))).into());
    assert_eq!(shown(&world), (5, false, UnixMs(300)));
    world.apply(at(1, 300), &Record::TaskFinished(TaskFinished { id, at: UnixMs(400) }));
    assert_eq!(shown(&world), (5, true, UnixMs(400)));
}

#[test]
fn of_tasks_that_have_ended_the_oldest_is_forgotten_beyond_a_thousand() {
    let mut world = World::new();
    let span = EndpointSpan { app: app(1), endpoint: endpoint(1), since: UnixMs(0), until: None };
    let id = |ms| TaskId(RawId::new(UnixMs(ms), 0, [0; 6]));
    let mut start = |ms, ends: bool| {
        let started = TaskStarted { id: id(ms), work: TaskWork::Recover(span), created: UnixMs(ms) };
        world.apply(at(1, 100), &Record::TaskStarted(started));
        if ends {
            world.apply(at(1, 100), &Record::TaskFinished(TaskFinished { id: id(ms), at: UnixMs(ms) }));
        }
        world.state.tasks.keys().take(3).copied().collect::<Vec<_>>()
    };
    start(1, false);
    for ms in 2..=1_001 {
        assert_eq!(start(ms, true)[0], id(1));
    }
    // There are a thousand that have ended, and one that goes on.
    assert_eq!(start(1_002, false), [id(1), id(3), id(4)]);
    assert_eq!(start(1_003, true), [id(1), id(3), id(4)], "a thousand have ended, and may stay");
    assert_eq!(start(1_004, false), [id(1), id(4), id(5)]);
}

#[test]
fn an_attempt_has_ended_when_its_duration_is_over() {
    let mut world = World::new();
    world.accept(at(1, 100), &[1]);
    let slow = Outcome { duration_ms: 60_000, ..ended(1, at(1, 100), 1, DIES) };
    let at_end = slow.started + Duration::from_millis(60_000);
    world.end(slow);
    assert_eq!(world.lane(1).failing_since, Some(at_end));
    let died: Vec<_> = world.lane(1).dead.values().map(|dead| dead.died).collect();
    assert_eq!(died, [at_end]);
}
