//! Room in a frame for what may be told in it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::delivery::{DeadReason, DeliveryKey};
use postrider_model::endpoint::DisabledBy;
use postrider_model::id::{MessageId, RawId};
use postrider_model::job::{self, AttemptResult, Response};
use postrider_model::ports::Configure as _;
use postrider_model::position::Position;

use super::*;
use crate::committer::request::{DeliveriesRequest, ExpungeRequest};
use crate::journal::record_bytes;
use crate::record::{Encoder, ExpungedContent};
use crate::tests::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use crate::tests::support::ORG;
use crate::{MasterKey, Options};

const FAILING_AFTER: u16 = 4;

/// An application that is told, with so many endpoints, and one that something happens to.
fn store(world: &SimWorld, told: usize) -> Stepper {
    let setting = OperationalEvents { application: "ops".to_owned(), failing_after: FAILING_AFTER };
    let options = Options {
        segment_bytes: 64 << 10,
        body_limit_bytes: 4 << 10,
        operational_events: Some(setting),
        ..Options::new(sim_dir(), MasterKey::new([7; 32]))
    };
    let mut stepper = world.start(options).expect("it is empty");
    let outbox = stepper.outbox.clone();
    let org = postrider_model::command::Command::EnsureDefaultOrg { wish: Some(ORG) };
    for command in [org, app("ops"), endpoint("ops", "sink", &["x"]), app("shop")] {
        stepper.ask(outbox.execute(command)).expect("it is legal");
    }
    let mut config = outbox.shared.config.write();
    let sink = Arc::clone(config.find_app(ORG, "ops").and_then(|ops| ops.find_endpoint("sink")).expect("it was made"));
    for n in 1..told {
        let id = EndpointId(RawId::new(UnixMs(1), n as u64, [1; 6]));
        config.apply(&ConfigChange::Endpoint(Arc::new(Endpoint { id, ..Endpoint::clone(&sink) })));
    }
    drop(config);
    stepper
}

fn telling(stepper: &Stepper) -> Telling {
    stepper.committer.as_ref().and_then(Committer::telling).expect("something is told")
}

#[test]
fn an_event_has_room_for_its_body_and_for_all_who_are_told() {
    const ID: RawId = RawId::from_bytes([0xff; 20]);
    for endpoints in [1, 30, 500] {
        let world = SimWorld::new();
        let telling = telling(&store(&world, endpoints));
        let meta = record::Accepted {
            id: MessageId(ID),
            app: AppId(ID),
            config_version: u64::MAX,
            event_type: Kind::Exhausted.as_str().to_owned(),
            content_type: None,
            event_id: None,
            channels: vec![],
            tags: vec![],
            idempotency: None,
            order_key: 0,
            endpoints: vec![EndpointId(ID); endpoints],
            orders: vec![u64::MAX; endpoints],
            payload_until: None,
        };
        let record = Record::Accepted(meta, Some(Bytes::from(vec![7; BODY_BYTES])));
        let taken = record_bytes(Encoder::default().encode(&record).len() + record.raw().len());
        let room = telling.event_bytes;
        assert!((taken..=2 * taken).contains(&room), "{endpoints} endpoints: {taken} bytes within {room}");
    }
}

fn endpoint_id(number: u8) -> EndpointId {
    EndpointId(RawId::from_bytes([number; 20]))
}

fn settlement(endpoint: u8, attempt: u16, next: Next, disable: Option<DisabledBy>) -> Settlement {
    let outcome = job::Outcome {
        key: DeliveryKey { endpoint: endpoint_id(endpoint), message: Position::new(1, 64) },
        attempt,
        started: UnixMs(1),
        duration: Duration::ZERO,
        url: Arc::new("https://example.com/".parse().expect("it is a URL")),
        result: AttemptResult::Answered(Response::default()),
    };
    Settlement { outcome, trigger: Trigger::Scheduled, next, disable, ordered: false }
}

#[test]
fn an_outcome_has_room_for_each_event_that_may_come_of_it() {
    const RETRY: Next = Next::Retry { due: UnixMs(9) };
    const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };
    let world = SimWorld::new();
    let stepper = store(&world, 3);
    let mut telling = telling(&stepper);
    let state = stepper.outbox.shared.state.lock();
    let mut may_tell = false;
    for (what, settlement, events) in [
        ("a success", settlement(1, 1, Next::Delivered, None), 0),
        ("another", settlement(1, 1, Next::Delivered, None), 0),
        ("a failure", settlement(1, 1, RETRY, None), 0),
        ("the last before", settlement(1, FAILING_AFTER - 1, RETRY, None), 0),
        ("the attempt of the setting", settlement(1, FAILING_AFTER, RETRY, None), 1),
        ("one after it", settlement(1, FAILING_AFTER + 1, RETRY, None), 1),
        ("a success after a failure", settlement(1, 1, Next::Delivered, None), 1),
        ("a success elsewhere", settlement(2, 1, Next::Delivered, None), 0),
        ("a dead letter", settlement(2, 1, DEAD, None), 1),
        ("a resend", settlement(3, 1, Next::AsBefore, None), 1),
        ("a failure that disables", settlement(4, 1, RETRY, Some(DisabledBy::Gone)), 1),
        ("a dead letter that disables", settlement(4, 1, DEAD, Some(DisabledBy::Failing)), 2),
    ] {
        let room = telling.of_outcome(&state, &settlement);
        assert_eq!(room, events * telling.event_bytes, "{what}");
        // That anything is told is not forgotten for what tells nothing.
        may_tell |= events > 0;
        assert_eq!(telling.may_tell, may_tell, "{what}");
    }
}

fn delivery(endpoint: u8) -> DeliveryRef {
    DeliveryRef {
        app: AppId(RawId::from_bytes([9; 20])),
        endpoint: endpoint_id(endpoint),
        message: MessageId(RawId::from_bytes([8; 20])),
        sequence: Position::new(1, 64),
        position: Position::new(1, 64),
        order_key: 0,
        added: false,
    }
}

#[test]
fn a_request_has_room_for_an_event_for_each_endpoint_that_it_is_about() {
    let world = SimWorld::new();
    let mut telling = telling(&store(&world, 3));
    let deliveries = || [1, 2, 1, 3, 1].map(delivery).to_vec();
    let changed = |what| {
        let (reply, _) = oneshot::channel();
        Urgent::Deliveries(DeliveriesRequest { what, deliveries: deliveries(), reply: reply.into() })
    };
    let command = || {
        let (reply, _) = oneshot::channel();
        Urgent::Command(app("shop"), reply.into())
    };
    let (reply, _) = oneshot::channel();
    let expunged = Urgent::Expunge(ExpungeRequest {
        app: AppId(RawId::from_bytes([9; 20])),
        what: ExpungedContent::Payload { message: delivery(1).message, sequence: delivery(1).sequence },
        position: delivery(1).position,
        deliveries: deliveries(),
        reply: reply.into(),
    });
    for (what, request, events) in [
        ("a command: changed, and disabled or enabled", command(), 2),
        ("given up", changed(DeliveryChange::Expired(DeadReason::HeldTooLong)), 3),
        ("cancelled", changed(DeliveryChange::Cancelled), 0),
        ("expunged", expunged, 3),
    ] {
        assert_eq!(telling.of_request(&request), events * telling.event_bytes, "{what}");
    }
}

#[test]
fn each_endpoint_stands_with_its_first_delivery_and_their_number() {
    let second = DeliveryRef { sequence: Position::new(1, 128), ..delivery(1) };
    let found = endpoints_of(&[delivery(1), delivery(2), second, second]);
    assert_eq!(found, [(delivery(1), 3), (delivery(2), 1)]);
    assert_eq!(endpoints_of(&[]), []);
}

#[test]
fn of_what_was_counted_no_more_is_told_in_a_frame_than_has_room() {
    let world = SimWorld::new();
    let mut stepper = store(&world, 3);
    let outbox = stepper.outbox.clone();
    let now = outbox.shared.now();
    let telling = telling(&stepper);
    let committer = stepper.committer.as_mut().expect("it has not ended");
    for n in 1..=7 {
        let config = outbox.shared.config.read();
        let like = config.find_app(ORG, "ops").and_then(|ops| ops.find_endpoint("sink")).expect("it was made");
        let other = Endpoint { id: endpoint_id(n), ..Endpoint::clone(like) };
        for _ in 0..2 {
            committer.quiet.turn(Event::of(Kind::Failing, &config, &other), now);
        }
    }
    let event_bytes = telling.event_bytes;
    assert_eq!(committer.counted(Some(&telling), 9 * event_bytes).1, 0, "its minute is not over");
    assert!(!committer.has_counted());
    world.clock.forward(Duration::from_secs(60));
    assert!(committer.has_counted());
    assert_eq!(committer.counted(None, 9 * event_bytes).0.len(), 0, "there is nobody to tell");
    let mut took = |room: usize| {
        let (events, bytes) = committer.counted(Some(&telling), room);
        (events.len(), bytes)
    };
    assert_eq!(took(3 * event_bytes), (3, 3 * event_bytes));
    assert_eq!(took(2 * event_bytes - 1), (1, event_bytes));
    assert_eq!(took(event_bytes / 2), (1, event_bytes / 2), "one at least, in all the room that there is");
    assert_eq!(took(9 * event_bytes), (2, 2 * event_bytes), "the rest");
    assert_eq!(took(9 * event_bytes), (0, 0));
}
