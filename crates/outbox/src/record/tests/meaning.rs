//! What a record says of deliveries, for whoever asks it.

use postrider_model::resend::{Before, Resending};

use super::*;

const AT: UnixMs = UnixMs(50);

fn scheduled() -> Scheduled {
    Scheduled { due: UnixMs(20), attempt: 4, step: 3, trigger: Trigger::Resent }
}

fn resent(before: Before) -> DeliveryState {
    DeliveryState::Resending(Resending { scheduled: scheduled(), before })
}

/// All changes there are.
fn changes() -> [DeliveryChange; 8] {
    let ended = Some(DeliveryState::Delivered { at: UnixMs(11), attempt: 2 });
    [
        DeliveryChange::Cancelled,
        DeliveryChange::Expired(DeadReason::HeldTooLong),
        DeliveryChange::Expired(DeadReason::TooOld),
        DeliveryChange::Forgotten,
        DeliveryChange::Replayed { attempts_made: 3 },
        DeliveryChange::Resent { ended },
        DeliveryChange::CalledOff,
        DeliveryChange::Purged,
    ]
}

/// What ended well or badly stays what it was, though the resend does not come to its end.
#[test]
fn what_ends_a_delivery_that_waits_only_calls_off_the_resend_of_one_that_has_ended() {
    let off = DeliveryChange::CalledOff;
    let [cancelled, held, old, others @ ..] = changes();
    let dead = resent(Before::Dead { at: UnixMs(11), reason: DeadReason::AttemptsExhausted, attempt: 3 });
    let delivered = resent(Before::Delivered { at: UnixMs(11), attempt: 3 });
    let was_cancelled = resent(Before::Cancelled { at: UnixMs(11), attempt: 3 });
    let waits = resent(Before::Scheduled(scheduled()));
    let meant = |state: &DeliveryState| [cancelled, held, old].map(|change| change.meant_for(state));
    assert_eq!(meant(&delivered), [off; 3]);
    assert_eq!(meant(&was_cancelled), [off; 3]);
    assert_eq!(meant(&dead), [off, off, old], "a dead letter whose payload is gone says so from then on");
    assert_eq!(meant(&waits), [cancelled, held, old], "it waits by the schedule as well");
    let states = [
        DeliveryState::Scheduled(scheduled()),
        DeliveryState::Delivered { at: UnixMs(11), attempt: 3 },
        DeliveryState::Dead { at: UnixMs(11), reason: DeadReason::TooOld, attempt: 3 },
    ];
    for state in &states {
        assert_eq!(meant(state), [cancelled, held, old], "{state:?} is not resent");
    }
    for change in others {
        for state in [dead, delivered, was_cancelled, waits] {
            assert_eq!(change.meant_for(&state), change, "{state:?}");
        }
    }
}

#[test]
fn only_who_replays_or_resends_knows_what_a_delivery_was_that_nobody_knows_any_more() {
    let ended = DeliveryState::Delivered { at: UnixMs(11), attempt: 2 };
    for change in changes() {
        let expected = match change {
            DeliveryChange::Replayed { .. } => Some(DeliveryState::Delivered { at: AT, attempt: 3 }),
            DeliveryChange::Resent { .. } => Some(ended),
            _ => None,
        };
        assert_eq!(change.assumes(AT), expected, "{change:?}");
    }
}

#[test]
fn each_change_is_its_event_at_its_time_and_to_forget_is_none() {
    let events = changes().map(|change| change.event(AT));
    let expected = [
        Some(DeliveryEvent::Cancelled { at: AT }),
        Some(DeliveryEvent::Expired { at: AT, reason: DeadReason::HeldTooLong }),
        Some(DeliveryEvent::Expired { at: AT, reason: DeadReason::TooOld }),
        None,
        Some(DeliveryEvent::Replayed { at: AT }),
        Some(DeliveryEvent::Resent { at: AT }),
        Some(DeliveryEvent::CalledOff),
        Some(DeliveryEvent::Purged { at: AT }),
    ];
    assert_eq!(events, expected);
}

#[test]
fn an_endpoint_has_confirmed_with_200_to_299_and_nothing_else() {
    let says = |status, failure| Outcome { status, failure, ..outcome() }.succeeded();
    for (status, confirmed) in [
        (None, false),
        (Some(199), false),
        (Some(200), true),
        (Some(299), true),
        (Some(300), false),
        (Some(500), false),
    ] {
        assert_eq!(says(status, None), Some(confirmed), "{status:?}");
    }
    assert_eq!(says(Some(200), Some(FailureKind::Timeout)), Some(false), "its answer did not come whole");
    for ours in [FailureKind::Internal, FailureKind::Token] {
        assert_eq!([says(None, Some(ours)), says(Some(200), Some(ours))], [None; 2], "{ours:?}");
    }
}

#[test]
fn a_payload_is_over_at_its_time_and_without_one_never() {
    let until = UnixMs(1_800_000_009_000);
    let with = |payload_until| Accepted { payload_until, ..accepted() };
    let over = [8_999, 9_000, 9_001].map(|ms| with(Some(until)).payload_is_over(UnixMs(1_800_000_000_000 + ms)));
    assert_eq!(over, [false, true, true]);
    assert!(!with(None).payload_is_over(UnixMs(u64::MAX)));
}

#[test]
fn a_message_was_accepted_when_its_id_says() {
    assert_eq!(accepted().at(), UnixMs(1_800_000_000_003));
    assert_eq!(delivery().accepted(), UnixMs(1_800_000_000_003));
    assert_eq!(delivery().key(), DeliveryKey { endpoint: EndpointId(id(2)), message: Position::new(4, 64) });
}

/// Its order decides what waits for what: another key would send messages out of their order.
#[test]
fn the_order_of_a_delivery_is_what_its_endpoint_finds_in_the_payload_or_the_messages_own() {
    let (first, second, other) = (EndpointId(id(2)), EndpointId(id(8)), EndpointId(id(9)));
    let order = |meta: &Accepted| {
        [first, second, other].map(|endpoint| meta.delivery(endpoint, Position::ZERO, Position::ZERO).order_key)
    };
    let found = Accepted { order_key: 77, endpoints: vec![first, second], orders: vec![0, 78], ..accepted() };
    assert_eq!(order(&found), [0, 78, 77], "a replay adds the last one, which was not asked for");
    assert_eq!(order(&Accepted { orders: vec![], ..found }), [77; 3]);
}

#[test]
fn a_delivery_is_named_by_its_message_or_added_by_a_replay() {
    let (sequence, position) = (Position::new(4, 64), Position::new(9, 128));
    let added = |endpoint| accepted().delivery(endpoint, sequence, position);
    assert_eq!([2, 8, 9].map(|n| added(EndpointId(id(n))).added), [false, false, true]);
    let expected = DeliveryRef { order_key: 0, added: false, ..delivery() };
    assert_eq!(added(EndpointId(id(2))), expected);
    assert_eq!(accepted().named_delivery(EndpointId(id(2)), sequence, position), expected);
}

#[test]
fn what_is_expunged_is_known_by_where_it_was_first_recorded() {
    let position = Position::new(4, 64);
    let payload = ExpungedContent::Payload { message: MessageId(id(3)), sequence: position };
    let response = ExpungedContent::Response { attempt: AttemptId(id(4)), position };
    assert_eq!([payload, response].map(|what| what.position()), [position; 2]);
}

#[test]
fn only_what_may_have_content_shows_any() {
    for (name, record) in samples() {
        let has_content = match name.split('-').next() {
            Some("accepted" | "outcome" | "carried") => !name.ends_with("-erased"),
            Some("answered") => true,
            _ => false,
        };
        assert_eq!(!record.raw().is_empty(), has_content, "{name}");
    }
}
