//! What is in the window and what lies behind it.

use std::collections::BTreeSet;

use super::*;
use postrider_model::delivery::{DeliveryEvent, Next, transition};
use postrider_model::id::RawId;
use proptest::prelude::*;

const WINDOW: usize = 20;
const SHARE: usize = 2;

fn delivery(n: u32) -> DeliveryRef {
    DeliveryRef {
        app: AppId(RawId::from_bytes([2; 20])),
        endpoint: EndpointId(RawId::from_bytes([1; 20])),
        sequence: Position::new(0, n),
        position: Position::new(0, n),
        message: MessageId(RawId::new(UnixMs(u64::from(n)), 0, [0; 6])),
        order_key: 0,
        added: false,
    }
}

fn at(n: u32) -> Position {
    Position::new(0, n)
}

/// What the journal has of a lane.
#[derive(Clone, Copy, Debug)]
enum Event {
    Accepted(u32, Claim),
    Ended(u32),
    Failed(u32),
}

/// A lane beside what must be true of it.
struct Twin {
    lane: LaneState,
    window: usize,
    accepted: u32,
    pending: BTreeSet<u32>,
    /// A checkpoint, and what came after it.
    saved: LaneState,
    since: Vec<Event>,
}

impl Twin {
    fn new(window: usize) -> Self {
        let lane = LaneState::new(AppId(RawId::from_bytes([2; 20])));
        Self { saved: lane.clone(), lane, window, accepted: 0, pending: BTreeSet::new(), since: vec![] }
    }

    fn accept(&mut self, claim: Claim) {
        self.accepted += 1;
        self.pending.insert(self.accepted);
        self.happens(Event::Accepted(self.accepted, claim));
    }

    /// A replay adds it.
    fn add(&mut self, n: u32) {
        let added = DeliveryRef { added: true, ..delivery(n) };
        self.lane.put(&added, &DeliveryState::Scheduled(Scheduled::first(UnixMs(0))));
    }

    fn end(&mut self, n: u32) {
        self.pending.remove(&n);
        self.happens(Event::Ended(n));
    }

    fn happens(&mut self, event: Event) {
        self.since.push(event);
        self.apply(event);
    }

    fn apply(&mut self, event: Event) {
        let attempt = |lane: &mut LaneState, n, next| {
            let first = DeliveryState::Scheduled(Scheduled::first(UnixMs(0)));
            let before = lane.state(at(n)).unwrap_or(first);
            let attempt = before.waits_for().map_or(1, |scheduled| scheduled.attempt);
            let event = DeliveryEvent::AttemptEnded { attempt, resend: false, at: UnixMs(9), next };
            lane.put(&delivery(n), &transition(&before, &event).expect("it waits for this attempt"));
        };
        match event {
            Event::Accepted(n, claim) => {
                self.lane.accept(&delivery(n), Scheduled::first(UnixMs(0)), || claim, self.window);
            }
            Event::Ended(n) => attempt(&mut self.lane, n, Next::Delivered),
            Event::Failed(n) => attempt(&mut self.lane, n, Next::Retry { due: UnixMs(10) }),
        }
    }

    /// A crash: the checkpoint, and what came after it, without what was read on meanwhile.
    fn restart(&mut self) {
        self.lane = self.saved.clone();
        for event in self.since.clone() {
            self.apply(event);
        }
    }

    fn save(&mut self) {
        (self.saved, self.since) = (self.lane.clone(), vec![]);
    }

    /// Reads on, at most so many deliveries. Gives how many were taken for lost.
    fn fill(&mut self, count: usize) -> u64 {
        let Some((from, end)) = self.lane.backlog.next() else { return 0 };
        let stretch = (1..=self.accepted).filter(|n| (from..end).contains(&at(*n)));
        let read: Vec<_> = stretch.clone().take(count).map(delivery).collect();
        let over = end.min(at(self.accepted + 1));
        let next = stretch.skip(count).map(at).next().unwrap_or(over);
        self.lane.fill(&read, next).1
    }

    fn fill_what_has_room(&mut self) {
        while self.lane.is_thirsty(self.window) {
            self.fill(self.lane.room_for_backlog(self.window));
        }
    }

    fn knows(&self, n: u32) -> bool {
        self.lane.window.contains_key(&at(n)) || self.lane.would_be_behind(at(n))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Accept(Claim),
    /// The nth pending one is delivered.
    Deliver(usize),
    /// The nth pending one fails and is to be tried again.
    Fail(usize),
    Fill(usize),
    Save,
    Restart,
    Open,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        120 => Just(Step::Accept(Claim::New)),
        2 => Just(Step::Accept(Claim::Old)),
        1 => Just(Step::Accept(Claim::Ordered)),
        80 => (0usize..50).prop_map(Step::Deliver),
        10 => (0usize..50).prop_map(Step::Fail),
        30 => (1usize..8).prop_map(Step::Fill),
        4 => Just(Step::Save),
        2 => Just(Step::Restart),
        2 => Just(Step::Open),
    ]
}

proptest! {
    /// Whatever happens, behind and window together are what was accepted
    /// and has not ended, and reading on brings all of it into the window.
    #[test]
    fn nothing_is_lost_behind_the_window(steps in prop::collection::vec(any_step(), 1..400)) {
        let mut twin = Twin::new(WINDOW);
        for step in steps {
            let nth = |nth: usize| twin.pending.iter().nth(nth % twin.pending.len().max(1)).copied();
            match step {
                Step::Accept(claim) => twin.accept(claim),
                Step::Deliver(index) => if let Some(n) = nth(index) { twin.end(n) },
                Step::Fail(index) => if let Some(n) = nth(index) { twin.happens(Event::Failed(n)) },
                Step::Fill(count) => prop_assert_eq!(twin.fill(count), 0),
                Step::Save => twin.save(),
                Step::Restart => twin.restart(),
                Step::Open => twin.lane.open(),
            }
            prop_assert_eq!(twin.lane.pending(), twin.pending.len() as u64);
            prop_assert_eq!(twin.lane.passed, twin.lane.window.values().filter(|live| live.passed).count());
            prop_assert!(twin.lane.passed <= SHARE);
            for n in 1..=twin.accepted {
                prop_assert_eq!(twin.knows(n), twin.pending.contains(&n), "message {}", n);
            }
        }
        while !twin.lane.backlog.is_empty() {
            prop_assert_eq!(twin.fill(usize::MAX), 0);
        }
        let window: BTreeSet<u32> = twin.lane.window.iter().map(|(sequence, _)| sequence.offset_bytes()).collect();
        prop_assert_eq!(window, twin.pending);
    }
}

/// A lane with a backlog of ten windows of 1,000.
fn backlogged() -> Twin {
    let mut twin = Twin::new(1_000);
    (0..10_000).for_each(|_| twin.accept(Claim::Old));
    twin
}

#[test]
fn a_lane_that_works_again_takes_in_what_is_new_at_once() {
    let mut twin = backlogged();
    twin.lane.failing_since = Some(UnixMs(1));
    twin.accept(Claim::New);
    assert!(!twin.lane.window.contains_key(&at(10_001)), "it has not worked yet");
    twin.lane.succeeded(UnixMs(100_000));
    twin.accept(Claim::New);
    assert!(twin.lane.window.contains_key(&at(10_002)));
    assert!(!twin.lane.window.contains_key(&at(10_001)) && twin.knows(10_001));
}

#[test]
fn what_is_replayed_does_not_keep_out_what_is_new() {
    let mut twin = backlogged();
    for n in 9_000..9_500 {
        // What had been dealt with comes back, wherever it was.
        twin.end(n);
        let again = Scheduled { attempt: 2, ..Scheduled::first(UnixMs(0)) };
        twin.lane.put(&delivery(n), &DeliveryState::Scheduled(again));
    }
    twin.accept(Claim::New);
    assert!(twin.lane.window.contains_key(&at(10_001)));
}

#[test]
fn what_is_cancelled_behind_the_window_makes_it_no_larger() {
    let mut twin = backlogged();
    (2_000..10_000).step_by(2).for_each(|n| twin.end(n));
    while !twin.lane.backlog.is_empty() {
        let oldest = *twin.pending.first().expect("there is a backlog");
        twin.end(oldest);
        twin.fill_what_has_room();
        assert!(twin.lane.window.len() <= 900, "{}", twin.lane.window.len());
    }
}

#[test]
fn more_new_ones_than_can_be_sent_cut_the_backlog_into_few_pieces() {
    let mut twin = backlogged();
    let mut passed = BTreeSet::new();
    for _ in 0..5_000 {
        for _ in 0..2 {
            twin.accept(Claim::New);
            passed.extend(twin.lane.window.contains_key(&at(twin.accepted)).then_some(twin.accepted));
        }
        // One in two is of the backlog, as the scheduler's turns have it.
        let oldest = *twin.pending.first().expect("there is a backlog");
        twin.end(oldest);
        if let Some(new) = passed.pop_first() {
            twin.end(new);
        }
        twin.fill_what_has_room();
        assert!(twin.lane.window.len() <= 1_000);
    }
    assert!(twin.lane.backlog.may_be_passed(), "after 5,000 deliveries of each kind");
}

#[test]
fn a_window_has_room_for_the_backlog_for_tasks_and_for_dead_letters() {
    let mut twin = Twin::new(WINDOW);
    let rooms = |twin: &Twin| {
        let lane = &twin.lane;
        (lane.room_for_backlog(WINDOW), lane.room(WINDOW), lane.room_for_dead(WINDOW))
    };
    assert_eq!(rooms(&twin), (18, 20, 1_020));
    (0..18).for_each(|_| twin.accept(Claim::Old));
    assert_eq!((rooms(&twin), twin.lane.backlog.count()), ((0, 2, 1_002), 0));
    twin.accept(Claim::New);
    assert_eq!((rooms(&twin), twin.lane.backlog.count()), ((0, 2, 1_002), 1), "what comes first behind it begins it");
    twin.accept(Claim::New);
    assert_eq!((rooms(&twin), twin.lane.passed), ((0, 1, 1_001), 1));
    twin.accept(Claim::New);
    twin.accept(Claim::New);
    assert_eq!((rooms(&twin), twin.lane.passed, twin.lane.backlog.count()), ((0, 0, 1_000), 2, 2), "a tenth");
    (1..=3).for_each(|n| twin.end(n));
    assert_eq!((rooms(&twin), twin.lane.passed), ((3, 3, 1_003), 2), "those that passed keep no place of the others");
    // What people replay may fill the window beyond its size.
    for n in 100..150 {
        twin.add(n);
    }
    assert_eq!(rooms(&twin), (0, 0, 953));
}

#[test]
fn a_lane_reads_on_when_a_tenth_of_its_window_is_free() {
    let mut twin = Twin::new(WINDOW);
    (0..18).for_each(|_| twin.accept(Claim::Old));
    twin.end(18);
    twin.end(17);
    assert!(!twin.lane.is_thirsty(WINDOW), "there is nothing behind it");
    (0..5).for_each(|_| twin.accept(Claim::Old));
    assert_eq!(twin.lane.backlog.count(), 3);
    for n in 1..=4 {
        twin.end(n);
        assert_eq!(twin.lane.is_thirsty(WINDOW), n >= 2, "{n} are free");
    }
}

#[test]
fn once_something_had_to_wait_behind_the_backlog_half_of_the_share_must_be_free() {
    let mut twin = Twin::new(100);
    (0..91).for_each(|_| twin.accept(Claim::Old));
    let passes = |twin: &mut Twin| {
        twin.accept(Claim::New);
        twin.lane.window.contains_key(&at(twin.accepted))
    };
    let first = twin.accepted + 1;
    assert!((0..10).all(|_| passes(&mut twin)), "a tenth of the window");
    assert!(!passes(&mut twin));
    for n in first..first + 4 {
        twin.end(n);
        assert!(!passes(&mut twin), "{n}");
    }
    twin.end(first + 4);
    // While they pass one after the other, each finds room that is free.
    assert!((0..5).all(|_| passes(&mut twin)));
    twin.end(first + 5);
    assert!(passes(&mut twin));
    twin.end(first + 6);
    twin.lane.failing_since = Some(UnixMs(1));
    assert!(passes(&mut twin), "those that pass go on while the endpoint fails");
    assert!(!passes(&mut twin));
    (first + 7..first + 10).for_each(|n| twin.end(n));
    assert!(!passes(&mut twin), "but none begins to");
}

#[test]
fn what_is_in_an_order_never_passes() {
    let mut twin = Twin::new(WINDOW);
    (0..19).for_each(|_| twin.accept(Claim::Old));
    twin.accept(Claim::Ordered);
    twin.accept(Claim::New);
    assert_eq!((twin.lane.passed, twin.lane.backlog.count()), (0, 3), "nor what comes after it");
}

#[test]
fn what_has_passed_keeps_its_share_while_it_is_tried_again_or_resent() {
    let mut twin = Twin::new(WINDOW);
    (0..19).for_each(|_| twin.accept(Claim::Old));
    twin.accept(Claim::New);
    twin.accept(Claim::New);
    assert_eq!(twin.lane.passed, 2);
    twin.happens(Event::Failed(20));
    assert_eq!(twin.lane.passed, 2);
    let waits = twin.lane.state(at(21)).expect("it waits");
    let resent = transition(&waits, &DeliveryEvent::Resent { at: UnixMs(5) }).expect("always legal");
    twin.lane.put(&delivery(21), &resent);
    assert_eq!((twin.lane.passed, twin.lane.state(at(21))), (2, Some(resent)));
    twin.end(20);
    assert_eq!(twin.lane.passed, 1);
}

#[test]
fn what_has_ended_and_is_resent_waits_but_not_by_the_schedule() {
    let mut twin = Twin::new(WINDOW);
    (0..22).for_each(|_| twin.accept(Claim::Old));
    let resent =
        |state: &DeliveryState| transition(state, &DeliveryEvent::Resent { at: UnixMs(5) }).expect("always legal");
    let delivered = DeliveryState::Delivered { at: UnixMs(3), attempt: 1 };
    let dead = DeliveryState::Dead { at: UnixMs(3), reason: DeadReason::TooOld, attempt: 1 };
    for (n, before) in [(1, &delivered), (2, &dead)] {
        twin.lane.put(&delivery(n), before);
        twin.lane.put(&delivery(n), &resent(before));
        assert_eq!(twin.lane.state(at(n)), Some(resent(before)));
    }
    let waits = twin.lane.state(at(3)).expect("it waits");
    twin.lane.put(&delivery(3), &resent(&waits));
    assert_eq!((twin.lane.pending(), twin.lane.pending_by_schedule()), (22, 20));
    let scheduled: Vec<_> = twin.lane.pending_window().map(|(sequence, _)| sequence.offset_bytes()).collect();
    assert_eq!(scheduled, (3..=18).collect::<Vec<_>>());
    assert_eq!(twin.lane.dead.len(), 1, "a dead letter is one until its resend succeeds");
}

#[test]
fn where_an_endpoint_fails_for_long_what_has_passed_is_old_when_it_works() {
    for (failed_for_ms, passed) in [(59_999, 2), (60_000, 0)] {
        let mut twin = Twin::new(WINDOW);
        (0..19).for_each(|_| twin.accept(Claim::Old));
        (0..2).for_each(|_| twin.accept(Claim::New));
        twin.lane.failing_since = Some(UnixMs(1_000));
        twin.lane.succeeded(UnixMs(1_000 + failed_for_ms));
        assert_eq!((twin.lane.passed, twin.lane.failing_since), (passed, None), "{failed_for_ms}");
    }
}

#[test]
fn a_window_of_any_size_has_room_for_the_backlog() {
    for (window, of_backlog) in [(1, 1), (2, 1), (10, 9), (11, 9), (20, 18), (21, 18), (10_000, 9_000)] {
        let lane = Twin::new(window).lane;
        assert_eq!(lane.room_for_backlog(window), of_backlog, "{window}");
    }
}

#[test]
fn however_full_replays_make_a_window_what_is_new_has_its_share_and_no_more() {
    for (replayed, passed) in [(1_000, 2), (1_001, 1), (1_002, 0)] {
        let mut twin = Twin::new(WINDOW);
        (0..21).for_each(|_| twin.accept(Claim::Old));
        (1..=18).for_each(|n| twin.end(n));
        for n in 100..120 + replayed {
            twin.add(n);
        }
        for _ in 0..3 {
            twin.accept(Claim::New);
        }
        assert_eq!(twin.lane.passed, passed, "{replayed} beyond its size");
    }
}
