//! Payloads that are expunged, and messages that are carried, while something is done to their deliveries.

use postrider_model::delivery::TransitionError;
use postrider_model::id::{AttemptId, RawId};

use super::*;
use crate::committer::request::ExpungeRequest;
use crate::record::{ExpungedContent, Record};

impl Store {
    /// Another endpoint, to which the message did not go.
    fn other_endpoint(&mut self) -> EndpointId {
        let outbox = self.stepper.outbox.clone();
        self.stepper.ask(outbox.execute(endpoint("shop", "f", &["order.sent"]))).expect("it is new");
        self.stepper.endpoint_id("shop", "f").expect("it was made")
    }

    fn states(&self) -> Vec<DeliveryState> {
        let found = self.stepper.outbox.deliveries_of(self.app, self.found.meta.id).expect("they can be read");
        found.into_iter().map(|delivery| delivery.state).collect()
    }

    /// That the payload is to be expunged, as it is asked for by who has found the message.
    fn expunge(&self, reply: oneshot::Sender<Result<(), ControlError>>) -> ExpungeRequest {
        let Found { sequence, position, meta, .. } = &self.found;
        let what = ExpungedContent::Payload { message: meta.id, sequence: *sequence };
        let (app, position, deliveries) = (self.app, *position, vec![self.delivery()]);
        ExpungeRequest { app, what, position, deliveries, reply: reply.into() }
    }

    fn ask_to_expunge(&mut self, edit: impl FnOnce(&mut ExpungeRequest)) -> Result<(), ControlError> {
        let (reply, answer) = oneshot::channel();
        let mut request = self.expunge(reply);
        edit(&mut request);
        self.stepper.outbox.urgent.send(Urgent::Expunge(request)).expect("the committer is there");
        self.stepper.ask(answer).expect("it is answered")
    }
}

#[test]
fn a_replay_in_the_frame_before_an_expunge_ends_by_it_too() {
    let mut store = Store::new();
    let other = store.other_endpoint();
    let added = store.found.delivery(other);
    assert!(added.added);
    let (reply, replayed) = oneshot::channel();
    let what = DeliveryChange::Replayed { attempts_made: 0 };
    let replay = DeliveriesRequest { what, deliveries: vec![added], reply: reply.into() };
    let (reply, expunged) = oneshot::channel();
    for request in [Urgent::Deliveries(replay), Urgent::Expunge(store.expunge(reply))] {
        store.stepper.outbox.urgent.send(request).expect("the committer is there");
    }
    assert_eq!(store.stepper.ask(replayed), Ok(Ok(1)));
    assert_eq!(store.stepper.ask(expunged), Ok(Ok(())));
    let check = |store: &Store| {
        let states = store.states();
        let is_over = |state: &DeliveryState| {
            matches!(state, DeliveryState::Dead { reason: DeadReason::PayloadExpunged, attempt: 0, .. })
        };
        assert!(states.len() == 2 && states.iter().all(is_over), "{states:?}");
        assert_eq!(store.stepper.outbox.stats().pending, 0);
    };
    check(&store);
    check(&store.crash());
}

#[test]
fn a_delivery_that_a_replay_added_is_named_once_by_an_expunge() {
    let mut store = Store::new();
    let other = store.other_endpoint();
    let added = store.found.delivery(other);
    let outbox = store.stepper.outbox.clone();
    let what = DeliveryChange::Replayed { attempts_made: 0 };
    let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries: vec![added], reply });
    assert_eq!(store.stepper.ask(outbox.ask(request)), Ok(1));
    assert_eq!(store.ask_to_expunge(|request| request.deliveries.push(added)), Ok(()));
    let mut waiting = vec![];
    crate::lookup::scan(&outbox.shared.reader, Position::ZERO, Position::MAX, &mut |_, record| {
        if let Record::Expunged(expunged) = record {
            waiting.extend(expunged.waiting);
        }
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert_eq!(store.states().len(), 2);
}

#[test]
fn nothing_is_expunged_of_which_the_record_or_the_application_is_gone() {
    let mut store = Store::new();
    let segments = store.stepper.outbox.shared.reader.segments();
    let gone = segments.iter().map(|segment| segment.number).max().expect("there is one") + 1;
    let attempt = AttemptId(RawId::from_bytes([9; 20]));
    let other = AppId(RawId::from_bytes([8; 20]));
    let not_found = |kind| Err(ControlError::NotFound { kind });
    let refused = [
        store.ask_to_expunge(|request| request.position = Position::new(gone, 64)),
        store.ask_to_expunge(|request| request.app = other),
        store.ask_to_expunge(|request| {
            request.position = Position::new(gone, 64);
            request.what = ExpungedContent::Response { attempt, position: request.position };
        }),
    ];
    assert_eq!(refused, [not_found("message"), not_found("message"), not_found("attempt")]);
    assert_eq!(store.stepper.outbox.stats().expunged_on_disk, 0);
    assert!(matches!(store.state(), DeliveryState::Scheduled(_)));
    assert_eq!(store.ask_to_expunge(|_| ()), Ok(()));
    assert_eq!(store.stepper.outbox.stats().expunged_on_disk, 1);
}

#[test]
fn what_is_expunged_meanwhile_is_neither_replayed_nor_resent() {
    let mut store = Store::new();
    store.attempt(200, Next::Delivered);
    let ended = Some(store.state());
    assert_eq!(store.ask_to_expunge(|_| ()), Ok(()));
    for what in [DeliveryChange::Replayed { attempts_made: 1 }, DeliveryChange::Resent { ended }] {
        assert_eq!(store.change(what), Err(ControlError::Transition(TransitionError::NoPayload)), "{what:?}");
    }
    assert_eq!(store.stepper.outbox.stats().pending, 0);
}

#[test]
fn two_resends_are_one() {
    let mut store = Store::new();
    store.attempt(200, Next::Delivered);
    let what = DeliveryChange::Resent { ended: Some(store.state()) };
    assert_eq!(store.change(what), Ok(1));
    let end = store.stepper.outbox.shared.state.lock().applied;
    assert_eq!(store.change(what), Ok(1), "it is what was asked for");
    assert_eq!(store.stepper.outbox.shared.state.lock().applied, end, "nothing is to be recorded");
    store.attempt(500, Next::AsBefore);
    let outbox = store.stepper.outbox.clone();
    assert!(store.stepper.ask(outbox.job(store.delivery().key())).is_err(), "one attempt was made");
}

/// Carried with how it stood before, it would come back.
#[test]
fn a_message_is_carried_with_what_its_frame_has_made_of_its_deliveries() {
    let mut store = Store::new();
    let (reply, cancelled) = oneshot::channel();
    let deliveries = vec![store.delivery()];
    let cancel = DeliveriesRequest { what: DeliveryChange::Cancelled, deliveries, reply: reply.into() };
    let (reply, carried) = oneshot::channel();
    let Found { sequence, meta, body, .. } = &store.found;
    let carry = CarryRequest {
        message: meta.clone(),
        sequence: *sequence,
        endpoints: vec![store.endpoint],
        known: vec![store.endpoint],
        body: body.clone(),
        ended: BTreeMap::new(),
        reply,
    };
    for request in [Urgent::Deliveries(cancel), Urgent::Carry(carry)] {
        store.stepper.outbox.urgent.send(request).expect("the committer is there");
    }
    assert_eq!(store.stepper.ask(cancelled), Ok(Ok(1)));
    assert!(matches!(store.stepper.ask(carried), Ok(Carrying::LookAgain)), "it has ended since");
    assert_eq!(store.stepper.outbox.stats().pending, 0);
    let store = store.crash();
    assert!(matches!(store.state(), DeliveryState::Cancelled { .. }), "{:?}", store.state());
}
