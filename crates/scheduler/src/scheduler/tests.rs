//! The step machine with a double of the outbox, in manual time.

use super::*;
use crate::testing::world::{START, World};
use crate::testing::{answered, asking, endpoint, failed, key, lane, naming};
use postrider_model::delivery::{DeadReason, DeliveryEvent, DeliveryState, Trigger};
use postrider_model::endpoint::DisabledBy;
use postrider_model::explain::{Flow, Wait};
use postrider_model::job::FailureKind;
use postrider_model::lane::Lane as Facts;
use postrider_model::retry::RetrySchedule;

mod backlog;
mod batch;
mod clock;
mod law;
mod order;
mod policy;
mod resend;
mod settling;
mod start;
mod starving;
mod token;

const S: Duration = Duration::from_secs(1);

fn lanes_of(keys: &[DeliveryKey]) -> Vec<EndpointId> {
    keys.iter().map(|key| key.endpoint).collect()
}

#[test]
fn a_hung_endpoint_holds_back_only_itself() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.accept(1, 0..1_000);
    world.accept(2, 0..1_000);
    let mut delivered = 0;
    for _ in 0..2_000 {
        world.run();
        // Endpoint 1 never answers.
        delivered += world.sent.keys().filter(|sent| sent.endpoint == endpoint(2)).count();
        world.answer_lane(2, &answered(200));
    }
    assert_eq!(delivered, 1_000);
    assert_eq!(world.sent.len(), 1, "the hung one has its one attempt");
    let why = world.scheduler.why(key(1, 5), world.at);
    assert_eq!(why, Some(Wait::LaneBusy { in_flight: 1, limit: 1 }));
}

#[test]
fn an_application_with_a_hundredfold_backlog_gets_every_other_turn() {
    // One attempt in flight in all, so that every attempt is a decision.
    let mut world = World::new(Options { max_in_flight: 1, ..Options::default() });
    for (of, number) in [(1, 1), (1, 2), (1, 3), (2, 4)] {
        world.configure(lane(of, number));
    }
    for number in [1, 2, 3] {
        world.accept(number, 0..1_000);
    }
    world.accept(4, 0..30);
    let mut turns = Vec::new();
    for _ in 0..60 {
        let sent = world.run();
        assert_eq!(sent.len(), 1);
        turns.extend(lanes_of(&sent));
        world.answer(*sent.first().expect("one"), answered(200));
    }
    assert_eq!(turns.iter().filter(|lane| **lane == endpoint(4)).count(), 30);
    for number in [1, 2, 3] {
        assert_eq!(turns.iter().filter(|lane| **lane == endpoint(number)).count(), 10);
    }
}

#[test]
fn retry_after_on_429_pauses_the_whole_lane() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.accept(1, 0..3);
    assert_eq!(world.run(), [key(1, 0)]);
    world.answer(key(1, 0), asking(429, "120"));
    assert_eq!(world.run(), []);
    let until = world.at.now + 120 * S;
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::LanePaused { until }));
    world.pass(119 * S);
    world.accept(2, [9]);
    assert_eq!(world.run(), [key(2, 9)], "the neighbour goes on");
    world.pass(S);
    assert_eq!(world.run(), [key(1, 1)]);
    let Some(DeliveryState::Scheduled(waits)) = world.outbox.state(key(1, 0)) else { panic!("it waits") };
    assert_eq!((waits.attempt, waits.due), (2, until));
}

#[test]
fn the_breaker_pauses_burns_no_attempts_and_probes() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..100);
    for message in 0..5 {
        assert_eq!(world.run(), [key(1, message)]);
        world.answer(key(1, message), failed(FailureKind::Connect));
    }
    assert_eq!(world.run(), []);
    assert_eq!(world.sleep(), Some(S), "the first pause is a second");
    let probe = world.run();
    assert_eq!(probe, [key(1, 5)], "one probe");
    world.answer(key(1, 5), failed(FailureKind::Connect));
    assert_eq!(world.run(), []);
    assert_eq!(world.sleep(), Some(2 * S), "then two");
    assert_eq!(world.run(), [key(1, 6)]);
    world.answer(key(1, 6), answered(204));
    assert_eq!(world.run().len(), 2, "a success closes; the lane has grown by it");
    let burnt = (0..100).filter(
        |message| !matches!(world.outbox.state(key(1, *message)), Some(DeliveryState::Scheduled(s)) if s.attempt == 1),
    );
    assert_eq!(burnt.count(), 7);
}

#[test]
fn a_probe_without_a_job_is_tried_again() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..10);
    for message in 0..5 {
        world.run();
        world.answer(key(1, message), failed(FailureKind::Dns));
    }
    world.fail_jobs(key(1, 5), Some(JobError::NotLive));
    world.fail_jobs(key(1, 6), Some(JobError::NoPayload("segment 3".to_owned())));
    world.run();
    world.pass(S);
    assert_eq!(world.run(), []);
    let reason = DeadReason::PayloadDamaged;
    world.outbox.happen(key(1, 6), DeliveryEvent::Expired { at: world.at.now, reason });
    assert_eq!(world.run(), [key(1, 7)]);
}

#[test]
fn one_order_key_goes_one_after_the_other_through_a_retry() {
    let mut world = World::with(&[(1, 1)]);
    for message in 0..3 {
        world.outbox.accept(key(1, message), 77, world.at.now);
    }
    world.accept(1, [3]);
    assert_eq!(world.run(), [key(1, 0)]);
    world.answer(key(1, 0), answered(500));
    assert_eq!(world.run(), [key(1, 3)], "without an order key it passes by");
    world.answer(key(1, 3), answered(200));
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::Behind { message: None }));
    let due = world.at.now + 5 * S;
    assert_eq!(world.scheduler.why(key(1, 0), world.at), Some(Wait::NotDue { due }));
    world.pass(5 * S);
    assert_eq!(world.run(), [key(1, 0)]);
    world.answer(key(1, 0), answered(200));
    assert_eq!(world.run(), [key(1, 1)]);
    world.outbox.happen(key(1, 2), DeliveryEvent::Cancelled { at: world.at.now });
    world.answer(key(1, 1), answered(200));
    assert_eq!(world.run(), []);
    assert_eq!(world.outbox.pending().len(), 0);
}

#[test]
fn a_held_lane_sends_nothing_and_goes_on_when_resumed() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..3);
    assert_eq!(world.run(), [key(1, 0)]);
    world.hold(lane(1, 1), Some(Hold::Paused));
    world.run();
    world.answer(key(1, 0), answered(200));
    assert_eq!(world.run(), [], "what was in flight ended normally, nothing new starts");
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::Held(Hold::Paused)));
    assert_eq!(world.scheduler.next_wake(world.at), None);
    world.pass(100 * S);
    assert_eq!(world.scheduler.gauges(world.at).oldest_due_age, Duration::ZERO);
    world.hold(lane(1, 1), None);
    assert_eq!(world.run(), [key(1, 1)]);
    assert_eq!(world.scheduler.gauges(world.at).oldest_due_age, 100 * S);
}

#[test]
fn a_job_that_was_handed_out_is_sent_whatever_comes_meanwhile() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.accept(1, [1, 2]);
    world.accept(2, [1]);
    world.observe();
    assert!(world.pick() && world.pick());
    world.hold(lane(1, 1), Some(Hold::Paused));
    world.observe();
    assert_eq!(world.fetch(), [key(1, 1), key(2, 1)], "the outbox counts on both being settled");
    world.outbox.happen(key(2, 1), DeliveryEvent::Cancelled { at: world.at.now });
    world.answer(key(1, 1), answered(500));
    world.answer(key(2, 1), answered(500));
    world.pass(5 * S);
    assert_eq!(world.run(), [], "one lane is held, the other's delivery is cancelled");
    world.hold(lane(1, 1), None);
    assert_eq!(world.run(), [key(1, 2)]);
}

#[test]
fn gone_disables_the_endpoint_and_the_delivery_waits_there() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..2);
    world.run();
    world.answer(key(1, 0), answered(410));
    assert_eq!(world.run(), []);
    let held = Some(Wait::Held(Hold::Disabled(DisabledBy::Gone)));
    assert_eq!(world.scheduler.why(key(1, 0), world.at), held);
    assert_eq!(world.scheduler.why(key(1, 1), world.at), held);
}

#[test]
fn dispatch_pauses_while_outcomes_cannot_be_recorded() {
    let mut world = World::new(Options { max_in_flight: 2, ..Options::default() });
    for number in 1..=5 {
        world.configure(lane(number, number));
        world.accept(number, 0..5);
    }
    world.outbox.inner.lock().hold_back = true;
    let sent = world.run();
    assert_eq!(sent.len(), 2);
    for sent in sent {
        world.answer(sent, answered(200));
    }
    assert_eq!(world.run(), [], "nothing is recorded yet");
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 2);
    world.outbox.record();
    assert_eq!(world.run().len(), 2);
}

#[test]
fn a_cancellation_and_a_replay_while_in_flight_never_make_two() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.outbox.happen(key(1, 1), DeliveryEvent::Cancelled { at: world.at.now });
    world.outbox.happen(key(1, 1), DeliveryEvent::Replayed { at: world.at.now });
    assert_eq!(world.run(), [], "the replay waits for the attempt in flight");
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::InFlight));
    world.outbox.inner.lock().hold_back = true;
    world.answer(key(1, 1), answered(500));
    world.outbox.put(key(1, 1), 0, Scheduled { trigger: Trigger::Manual, ..Scheduled::first(START) });
    assert_eq!(world.run(), [], "told again, but the outcome is not recorded yet");
    world.outbox.record();
    world.pass(5 * S);
    assert_eq!(world.run(), [key(1, 1)]);
    assert_eq!(world.sent.get(&key(1, 1)), Some(&2));
}

#[test]
fn a_delivery_that_left_before_its_job_was_read_is_forgotten() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1, 2]);
    world.observe();
    assert!(world.pick());
    world.outbox.happen(key(1, 1), DeliveryEvent::Cancelled { at: world.at.now });
    assert_eq!(world.fetch(), []);
    assert_eq!(world.scheduler.why(key(1, 1), world.at), None);
    assert_eq!(world.run(), [key(1, 2)]);
}

#[test]
fn a_cancellation_while_a_failure_is_recorded_is_not_taken_for_the_record() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.outbox.inner.lock().hold_back = true;
    world.answer(key(1, 1), answered(500));
    world.outbox.happen(key(1, 1), DeliveryEvent::Cancelled { at: world.at.now });
    world.run();
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 1);
    world.outbox.happen(key(1, 1), DeliveryEvent::Replayed { at: world.at.now });
    assert_eq!(world.run(), []);
    world.outbox.record();
    world.run();
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 0);
    world.pass(5 * S);
    assert_eq!(world.run(), [key(1, 1)]);
}

#[test]
fn events_of_what_is_not_known_say_nothing() {
    let mut world = World::with(&[(1, 1)]);
    for event in [
        LaneEvent::Left(key(1, 9)),
        LaneEvent::Left(key(9, 9)),
        LaneEvent::EndpointGone(endpoint(9)),
        LaneEvent::Waiting { key: key(9, 9), scheduled: Scheduled::first(START), order_key: 0 },
    ] {
        world.observe();
        world.scheduler.observe(event, world.at);
    }
    let gauges = world.scheduler.gauges(world.at);
    assert_eq!((gauges.lanes, gauges.waiting, gauges.in_flight), (1, 0, 0));
    assert_eq!(world.scheduler.why(key(9, 9), world.at), None);
}

#[test]
fn a_late_outcome_of_a_removed_endpoint_is_settled_and_frees_its_place() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.accept(1, 0..5);
    world.accept(2, 0..1);
    world.run();
    world.outbox.remove(endpoint(1));
    world.run();
    assert_eq!(world.scheduler.gauges(world.at).waiting, 0);
    world.answer(key(1, 0), answered(200));
    world.answer(key(2, 0), answered(200));
    world.run();
    let gauges = world.scheduler.gauges(world.at);
    assert_eq!((gauges.lanes, gauges.in_flight, gauges.waiting), (1, 0, 0));
    world.outbox.remove(endpoint(2));
    world.run();
    let gauges = world.scheduler.gauges(world.at);
    assert_eq!((gauges.lanes, gauges.applications), (0, 0));
}

#[test]
fn reading_that_fails_is_tried_again_without_an_attempt() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.observe();
    world.fail_jobs(key(1, 1), Some(JobError::Failed("disk".to_owned())));
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(world.run(), []);
        waits.push(world.sleep().expect("it is tried again").as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    world.fail_jobs(key(1, 1), None);
    assert_eq!(world.run(), [key(1, 1)]);
    assert_eq!(world.sent.get(&key(1, 1)), Some(&1));
}

#[test]
fn only_the_first_failed_reading_in_a_row_is_told() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1, 2]);
    world.observe();
    let error = JobError::Failed("disk".to_owned());
    let mut told = Vec::new();
    for _ in 0..3 {
        let key = world.scheduler.pick(world.at).expect("one is due").key;
        told.push(world.scheduler.no_job(key, &error, world.at));
        world.pass(100 * S);
    }
    assert_eq!(told, [true, false, false]);
}

#[test]
fn a_damaged_payload_waits_for_its_dead_letter() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1, 2]);
    world.fail_jobs(key(1, 1), Some(JobError::NoPayload("segment 3".to_owned())));
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 1);
    let reason = DeadReason::PayloadDamaged;
    world.outbox.happen(key(1, 1), DeliveryEvent::Expired { at: world.at.now, reason });
    assert_eq!(world.run(), [key(1, 2)]);
}

#[test]
fn stopping_picks_nothing_and_waits_for_what_is_in_flight() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.accept(1, 0..5);
    world.accept(2, 0..5);
    assert_eq!(world.run().len(), 2);
    assert_eq!((world.scheduler.drained(world.at), world.scheduler.is_stopping()), (None, false));
    world.scheduler.stop(world.at.monotonic + 30 * S);
    assert!(world.scheduler.is_stopping());
    world.answer(key(1, 0), answered(200));
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.drained(world.at), None);
    assert_eq!(world.sleep(), Some(30 * S), "it wakes for the deadline");
    assert_eq!(world.scheduler.drained(world.at), Some(Drained { in_flight: 1 }));
    world.answer(key(2, 0), answered(200));
    world.run();
    assert_eq!(world.scheduler.drained(world.at), Some(Drained { in_flight: 0 }));
}

#[test]
fn another_retry_schedule_counts_from_the_next_outcome() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    let schedule = RetrySchedule::try_new(vec![S]).expect("valid");
    world.scheduler.set_rules(Rules { schedule, ..Rules::default() }, world.at);
    world.answer(key(1, 1), answered(500));
    assert!(matches!(world.outbox.state(key(1, 1)), Some(DeliveryState::Dead { .. })));
}
