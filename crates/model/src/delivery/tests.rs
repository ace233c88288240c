use super::*;
use proptest::prelude::*;

const T: UnixMs = UnixMs(1_000);

fn any_next(resend: bool) -> impl Strategy<Value = Next> {
    let more = if resend { Next::AsBefore } else { Next::Dead { reason: DeadReason::AttemptsExhausted } };
    prop_oneof![Just(Next::Delivered), (0u64..10_000).prop_map(|ms| Next::Retry { due: UnixMs(ms) }), Just(more)]
}

fn any_outcome() -> impl Strategy<Value = DeliveryEvent> {
    (1u16..8, any::<bool>()).prop_flat_map(|(attempt, resend)| {
        any_next(resend).prop_map(move |next| DeliveryEvent::AttemptEnded { attempt, resend, at: T, next })
    })
}

fn any_event() -> impl Strategy<Value = DeliveryEvent> {
    prop_oneof![
        4 => any_outcome(),
        1 => Just(DeliveryEvent::Cancelled { at: T }),
        1 => Just(DeliveryEvent::Expired { at: T, reason: DeadReason::HeldTooLong }),
        1 => Just(DeliveryEvent::Expired { at: T, reason: DeadReason::PayloadExpunged }),
        1 => Just(DeliveryEvent::Replayed { at: T }),
        2 => Just(DeliveryEvent::Resent { at: T }),
        1 => Just(DeliveryEvent::CalledOff),
        1 => Just(DeliveryEvent::Purged { at: T }),
    ]
}

/// Every state that events can lead to.
fn any_state() -> impl Strategy<Value = DeliveryState> {
    prop::collection::vec(any_event(), 0..40).prop_map(|events| {
        let first = DeliveryState::Scheduled(Scheduled::first(T));
        events.iter().fold(first, |state, event| transition(&state, event).unwrap_or(state))
    })
}

/// Of these, what can be resent and is not being resent.
fn any_sendable() -> impl Strategy<Value = DeliveryState> {
    let can_be = |state: &DeliveryState| {
        !is_resending(state) && transition(state, &DeliveryEvent::Resent { at: T }) != Err(TransitionError::NoPayload)
    };
    any_state().prop_filter("it is as it should be", can_be)
}

fn is_resending(state: &DeliveryState) -> bool {
    matches!(state, DeliveryState::Resending(_))
}

/// What a state is, but for the numbers of attempts.
fn kind(state: &DeliveryState) -> DeliveryState {
    match state.without_resend() {
        DeliveryState::Scheduled(waiting) => DeliveryState::Scheduled(Scheduled { attempt: 0, ..waiting }),
        DeliveryState::Delivered { at, .. } => DeliveryState::Delivered { at, attempt: 0 },
        DeliveryState::Dead { at, reason, .. } => DeliveryState::Dead { at, reason, attempt: 0 },
        DeliveryState::Cancelled { at, .. } => DeliveryState::Cancelled { at, attempt: 0 },
        DeliveryState::Resending(_) => unreachable!("a resend is not resent"),
    }
}

proptest! {
    /// Attempts made never go down, go up by one at most, and only by the
    /// outcome of the attempt that was waited for, or by the end of a resend.
    #[test]
    fn attempts_are_counted_exactly(state in any_state(), event in any_event()) {
        match transition(&state, &event) {
            Ok(after) => {
                let ends_resend = is_resending(&state) && !is_resending(&after);
                let counted = matches!(event, DeliveryEvent::AttemptEnded { .. }) || ends_resend;
                prop_assert_eq!(after.attempts_made(), state.attempts_made() + u16::from(counted));
            }
            Err(TransitionError::StaleAttempt { attempt, expected }) => {
                let DeliveryEvent::AttemptEnded { resend, .. } = event else { panic!("only outcomes are stale") };
                prop_assert!(state.waits_for().is_none() || attempt != expected || !state.expects(attempt, resend));
            }
            Err(TransitionError::Illegal { .. } | TransitionError::NoPayload) => {}
        }
    }

    /// An outcome is taken exactly if it is expected.
    #[test]
    fn what_is_expected_is_what_is_taken(state in any_state(), outcome in any_outcome()) {
        let DeliveryEvent::AttemptEnded { attempt, resend, .. } = outcome else { panic!("it is an outcome") };
        let stale = matches!(transition(&state, &outcome), Err(TransitionError::StaleAttempt { .. }));
        prop_assert_eq!(stale, !state.expects(attempt, resend));
    }

    /// Whatever a delivery is, a resend that does not succeed leaves it so: its
    /// due time, its step, its reason. One that succeeds delivers it.
    #[test]
    fn a_resend_changes_the_state_only_by_its_success(state in any_sendable(), at in 0u64..9_000) {
        let resent = transition(&state, &DeliveryEvent::Resent { at: UnixMs(at) }).expect("it has a payload");
        prop_assert_eq!(kind(&resent), kind(&state));
        let waits = resent.waits_for().expect("it waits for its attempt");
        prop_assert_eq!((waits.trigger, waits.attempt), (Trigger::Resent, state.attempts_made() + 1));
        prop_assert_eq!(transition(&resent, &DeliveryEvent::Resent { at: T }), Ok(resent), "two at once are one");

        let end = |next| DeliveryEvent::AttemptEnded { attempt: waits.attempt, resend: true, at: UnixMs(9_999), next };
        for back in [end(Next::AsBefore), DeliveryEvent::CalledOff] {
            let back = transition(&resent, &back).expect("legal");
            prop_assert!(!is_resending(&back));
            prop_assert_eq!(kind(&back), kind(&state));
            prop_assert_eq!(back.attempts_made(), waits.attempt);
        }
        let delivered = DeliveryState::Delivered { at: UnixMs(9_999), attempt: waits.attempt };
        prop_assert_eq!(transition(&resent, &end(Next::Delivered)), Ok(delivered));
    }

    /// The attempt that was in flight when the resend was asked for ends as it
    /// would have ended without, and the resend is made all the same.
    #[test]
    fn a_resend_waits_for_the_attempt_in_flight(next in any_next(false)) {
        let waiting = Scheduled { attempt: 3, step: 2, ..Scheduled::first(T) };
        let state = DeliveryState::Scheduled(waiting);
        let resent = transition(&state, &DeliveryEvent::Resent { at: T }).expect("always legal");
        let end = DeliveryEvent::AttemptEnded { attempt: 3, resend: false, at: T, next };
        let after = transition(&resent, &end).expect("it is expected");
        prop_assert_eq!(after.without_resend(), transition(&state, &end).expect("it is expected"));
        let waits = after.waits_for().expect("the resend is still to be made");
        prop_assert_eq!((waits.trigger, waits.attempt, waits.due), (Trigger::Resent, 4, T));
    }

    /// What ends a resend otherwise leaves no number that its attempt, which may
    /// be in flight, could be taken for.
    #[test]
    fn the_outcome_of_a_resend_that_has_ended_is_stale(state in any_sendable(), event in any_event()) {
        let resent = transition(&state, &DeliveryEvent::Resent { at: T }).expect("it has a payload");
        let number = resent.waits_for().expect("it waits for its attempt").attempt;
        if let Ok(after) = transition(&resent, &event) && !is_resending(&after) {
            let again = transition(&after, &DeliveryEvent::Resent { at: T }).unwrap_or(after);
            prop_assert!(!after.expects(number, true) && !again.expects(number, true));
            prop_assert!(!after.expects(number, false));
        }
    }
}

#[test]
fn only_a_dead_letter_is_purged() {
    let purged = |state| transition(&state, &DeliveryEvent::Purged { at: UnixMs(5) });
    let dead = DeliveryState::Dead { at: T, reason: DeadReason::PayloadExpunged, attempt: 3 };
    assert_eq!(purged(dead), Ok(DeliveryState::Cancelled { at: UnixMs(5), attempt: 3 }));
    let dead = DeliveryState::Dead { at: T, reason: DeadReason::TooOld, attempt: 3 };
    let resent = transition(&dead, &DeliveryEvent::Resent { at: T }).expect("it has a payload");
    // The number of the resend is used up: it may be in flight.
    assert_eq!(purged(resent), Ok(DeliveryState::Cancelled { at: UnixMs(5), attempt: 4 }));
    let waiting = DeliveryState::Scheduled(Scheduled::first(T));
    for state in
        [waiting, DeliveryState::Delivered { at: T, attempt: 1 }, DeliveryState::Cancelled { at: T, attempt: 0 }]
    {
        assert!(matches!(purged(state), Err(TransitionError::Illegal { event: "purging", .. })), "{state:?}");
        let resent = transition(&state, &DeliveryEvent::Resent { at: T }).expect("it has a payload");
        assert!(purged(resent).is_err(), "{state:?}");
    }
}

#[test]
fn replay_starts_the_schedule_again_but_not_the_numbers() {
    let dead = DeliveryState::Dead { at: T, reason: DeadReason::AttemptsExhausted, attempt: 10 };
    let state = transition(&dead, &DeliveryEvent::Replayed { at: UnixMs(5) });
    let expected = Scheduled { due: UnixMs(5), attempt: 11, step: 0, trigger: Trigger::Manual };
    assert_eq!(state, Ok(DeliveryState::Scheduled(expected)));
}

#[test]
fn without_its_payload_a_dead_letter_says_so_and_is_not_sent_again() {
    let dead = DeliveryState::Dead { at: T, reason: DeadReason::AttemptsExhausted, attempt: 10 };
    let expired = |reason| DeliveryEvent::Expired { at: UnixMs(5), reason };
    assert!(transition(&dead, &expired(DeadReason::HeldTooLong)).is_err());
    let reason = DeadReason::PayloadExpunged;
    let expunged = DeliveryState::Dead { at: T, reason, attempt: 10 };
    assert_eq!(transition(&dead, &expired(reason)), Ok(expunged));
    assert!(transition(&expunged, &expired(DeadReason::PayloadDamaged)).is_err());
    for again in [DeliveryEvent::Replayed { at: T }, DeliveryEvent::Resent { at: T }] {
        assert_eq!(transition(&expunged, &again), Err(TransitionError::NoPayload));
    }
}

#[test]
fn a_resend_without_its_payload_ends_whatever_its_delivery_was() {
    let reason = DeadReason::PayloadDamaged;
    let dead = |reason| DeliveryState::Dead { at: T, reason, attempt: 3 };
    let delivered = DeliveryState::Delivered { at: T, attempt: 3 };
    let waiting = DeliveryState::Scheduled(Scheduled { attempt: 4, ..Scheduled::first(T) });
    for (before, after) in [
        (waiting, DeliveryState::Dead { at: UnixMs(5), reason, attempt: 4 }),
        (dead(DeadReason::AttemptsExhausted), DeliveryState::Dead { at: T, reason, attempt: 4 }),
        (dead(reason), DeliveryState::Dead { at: T, reason, attempt: 4 }),
        (delivered, DeliveryState::Delivered { at: T, attempt: 4 }),
    ] {
        let resent = transition(&before, &DeliveryEvent::Resent { at: T }).expect("it may have a payload");
        assert_eq!(transition(&resent, &DeliveryEvent::Expired { at: UnixMs(5), reason }), Ok(after));
        let next = Next::Dead { reason };
        let ended = DeliveryEvent::AttemptEnded { attempt: 4, resend: true, at: UnixMs(5), next };
        assert_eq!(transition(&resent, &ended), Ok(after));
    }
}

#[test]
fn a_dead_letter_cannot_be_cancelled_nor_a_waiting_one_replayed() {
    let dead = DeliveryState::Dead { at: T, reason: DeadReason::TooOld, attempt: 1 };
    let waiting = DeliveryState::Scheduled(Scheduled::first(T));
    let resent = |state| transition(&state, &DeliveryEvent::Resent { at: T }).expect("always legal");
    for dead in [dead, resent(dead)] {
        assert!(matches!(
            transition(&dead, &DeliveryEvent::Cancelled { at: T }),
            Err(TransitionError::Illegal { state: "dead", .. })
        ));
    }
    for waiting in [waiting, resent(waiting)] {
        assert!(transition(&waiting, &DeliveryEvent::Replayed { at: T }).is_err());
    }
}
