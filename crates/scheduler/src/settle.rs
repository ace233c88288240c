//! From an outcome to what follows from it.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::delivery::{DeadReason, DeliveryKey, Next, Scheduled, Trigger};
use postrider_model::endpoint::DisabledBy;
use postrider_model::job::{AttemptResult, Outcome, Verdict};
use postrider_model::lane::Settlement;
use postrider_model::policy::Rules;
use postrider_model::position::Position;
use postrider_model::retry::{self, Ended};
use postrider_model::retry_after;
use postrider_model::time::UnixMs;

/// The status codes with which `Retry-After` speaks for the endpoint as a whole
/// (RFC 6585, section 4; RFC 9110, section 15.6.4). With others it speaks of the
/// one request.
const PAUSES_LANE: [u16; 2] = [429, 503];

/// What follows from an attempt's end, beside the delivery itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How long this delivery is to wait, clamped.
    pub(crate) retry_after: Option<Duration>,
    /// How long the whole lane is to wait, clamped.
    pub(crate) pause: Option<Duration>,
}

impl Asked {
    /// Reads what an endpoint asked for. A stranger wrote it: it is clamped to
    /// `max`, and ignored on success.
    pub(crate) fn of(result: &AttemptResult, now: UnixMs, max: Duration) -> Self {
        let AttemptResult::Answered(response) = result else { return Self { retry_after: None, pause: None } };
        let value = response.retry_after.as_deref().filter(|_| result.verdict() != Verdict::Success);
        let retry_after = value.and_then(|value| retry_after::parse(value, now, max));
        Self { retry_after, pause: retry_after.filter(|_| PAUSES_LANE.contains(&response.status)) }
    }
}

/// Decides what follows for the delivery. A delivery to an endpoint that answers
/// 410 is not lost: it waits on the disabled endpoint, as long as its schedule
/// goes. So it is with one that has failed for too long.
pub(crate) fn settle(
    outcome: Outcome,
    flown: &Flown,
    rules: &Rules,
    retry_after: Option<Duration>,
    now: UnixMs,
    random: f64,
) -> Settlement {
    let (verdict, status) = (outcome.result.verdict(), outcome.result.status());
    let Flown { scheduled, accepted, failing_since, .. } = *flown;
    let ended = Ended { scheduled, accepted, verdict, status, retry_after };
    let next = match retry::decide(rules, &ended, now, random) {
        // Else it would have been taken back.
        Next::Retry { .. } | Next::Dead { reason: DeadReason::AttemptsExhausted } if outcome.result.has_no_token() => {
            Next::Dead { reason: DeadReason::HeldTooLong }
        }
        next => next,
    };
    let too_long = |since: UnixMs| rules.disable_after.is_some_and(|after| since + after <= now);
    let ours = outcome.result.says_nothing();
    let disable = match verdict {
        Verdict::Gone => Some(DisabledBy::Gone),
        Verdict::Success => None,
        // What failed on our side says nothing of the endpoint.
        _ if ours => None,
        _ => failing_since.is_some_and(too_long).then_some(DisabledBy::Failing),
    };
    // A retry goes first in its order in any case.
    let ordered = flown.ordered && !matches!(next, Next::Retry { .. });
    Settlement { outcome, trigger: scheduled.trigger, next, disable, ordered }
}

/// Whether an attempt that was not made, because there was no token for it, is one for the
/// record all the same: a person asked for it, or the delivery has waited for too long. Age alone is
/// not enough, only with a token that is missing for `long` already. Nor is it that the attempt has been
/// due for the longest wait: that may be for another reason, such as a hold, a rate, a stop of the server
/// or a leap of the clock. The wait is given if the token has been missing for as long.
pub(crate) fn is_for_the_record(
    flown: &Flown,
    rules: &Rules,
    token_wait: Option<Duration>,
    long: bool,
    now: UnixMs,
) -> bool {
    let Flown { scheduled, accepted, .. } = *flown;
    let limit = rules.max_age.filter(|_| scheduled.trigger == Trigger::Scheduled).map(|age| accepted + age);
    scheduled.trigger == Trigger::Resent
        || token_wait.is_some_and(|wait| scheduled.due + wait <= now)
        || (long && limit.is_some_and(|limit| limit <= now))
}

/// The outcomes of a batch's members, those that failed first: so the last word that is
/// recorded of an endpoint that took some of them is that it works.
pub(crate) fn each(outcome: &Outcome, mut members: Vec<(Position, Flown)>) -> impl Iterator<Item = (Outcome, Flown)> {
    let failed = outcome.result.failed();
    members.sort_by_key(|(message, _)| !failed.contains(message));
    members.into_iter().map(|(message, flown)| {
        let key = DeliveryKey { message, ..outcome.key };
        let (attempt, result) = (flown.scheduled.attempt, outcome.result.of_member(message));
        (Outcome { key, attempt, result, url: Arc::clone(&outcome.url), ..*outcome }, flown)
    })
}

/// Lets a request disable its endpoint once, with the first that is recorded of it, and
/// not at all if the endpoint took some of a batch. Whether it does.
pub(crate) fn disable_once(settlements: &mut [Settlement]) -> bool {
    let took_some = settlements.last().is_some_and(|last| last.outcome.result.verdict() == Verdict::Success);
    settlements.iter_mut().skip(usize::from(!took_some)).for_each(|settlement| settlement.disable = None);
    settlements.first().is_some_and(|first| first.disable.is_some())
}

/// What is known of an attempt that has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flown {
    /// What its delivery waited for.
    pub(crate) scheduled: Scheduled,
    /// When its message was accepted.
    pub(crate) accepted: UnixMs,
    /// Since when its endpoint has had nothing but failures, if it has.
    pub(crate) failing_since: Option<UnixMs>,
    /// Others may wait for it in order.
    pub(crate) ordered: bool,
    /// What was paid for its turn.
    pub(crate) price: Duration,
    /// Since when the dispatcher has it, by monotonic time.
    pub(crate) sent: Duration,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use postrider_model::delivery::DeliveryKey;
    use postrider_model::id::{EndpointId, RawId};
    use postrider_model::job::{FailureKind, Response};
    use postrider_model::position::Position;
    use proptest::prelude::*;
    use url::Url;

    const NOW: UnixMs = UnixMs(1_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn answered(status: u16, retry_after: Option<&str>) -> AttemptResult {
        AttemptResult::Answered(Response { status, retry_after: retry_after.map(str::to_owned), ..Response::default() })
    }

    fn outcome(result: AttemptResult) -> Outcome {
        let endpoint = EndpointId(RawId::from_bytes([1; 20]));
        Outcome {
            key: DeliveryKey { endpoint, message: Position::ZERO },
            attempt: 1,
            started: NOW,
            duration: Duration::ZERO,
            url: Arc::new(Url::parse("https://example.com").expect("a valid url")),
            result,
        }
    }

    fn follows(result: AttemptResult, step: u16) -> Settlement {
        let asked = Asked::of(&result, NOW, DAY);
        let scheduled = Scheduled { step, ..Scheduled::first(NOW) };
        let flown = Flown {
            scheduled,
            accepted: NOW,
            failing_since: None,
            ordered: true,
            price: Duration::ZERO,
            sent: Duration::ZERO,
        };
        settle(outcome(result), &flown, &Rules::default(), asked.retry_after, NOW, 0.5)
    }

    #[test]
    fn gone_disables_the_endpoint_and_the_delivery_waits() {
        let settlement = follows(answered(410, None), 0);
        assert_eq!(settlement.disable, Some(DisabledBy::Gone));
        assert_eq!(settlement.next, Next::Retry { due: NOW + Duration::from_secs(5) });
        let last = follows(answered(410, None), 9);
        assert_eq!(last.disable, Some(DisabledBy::Gone));
        assert_eq!(last.next, Next::Dead { reason: DeadReason::AttemptsExhausted });
    }

    #[test]
    fn a_long_time_of_nothing_but_failure_disables_the_endpoint() {
        let rules = Rules { disable_after: Some(DAY), ..Rules::default() };
        let ended = |result, failing_since| {
            let flown = Flown {
                scheduled: Scheduled::first(NOW),
                accepted: NOW,
                failing_since,
                ordered: false,
                price: Duration::ZERO,
                sent: Duration::ZERO,
            };
            settle(outcome(result), &flown, &rules, None, NOW + DAY, 0.5)
        };
        let settled = |status, failing_since| ended(answered(status, None), failing_since);
        let settlement = settled(500, Some(NOW));
        assert_eq!(settlement.disable, Some(DisabledBy::Failing));
        assert!(matches!(settlement.next, Next::Retry { .. }), "the delivery waits");
        assert_eq!(settled(500, Some(NOW + Duration::from_millis(1))).disable, None);
        assert_eq!(settled(500, None).disable, None);
        assert_eq!(settled(200, Some(NOW)).disable, None);
        let ours = AttemptResult::Failed { kind: FailureKind::Internal, detail: String::new() };
        assert_eq!(ended(ours, Some(NOW)).disable, None);
    }

    #[test]
    fn what_ends_in_an_order_is_to_be_synced_and_a_retry_is_not() {
        assert!(follows(answered(200, None), 0).ordered);
        assert!(follows(answered(500, None), 9).ordered, "a dead letter");
        assert!(!follows(answered(500, None), 0).ordered);
    }

    #[test]
    fn retry_after_counts_on_any_failure_and_on_no_success() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(follows(answered(404, Some("3600")), 0).next, Next::Retry { due: NOW + hour });
        assert_eq!(follows(answered(404, Some("1")), 3).next, Next::Retry { due: NOW + 2 * hour });
        assert_eq!(follows(answered(200, Some("3600")), 0).next, Next::Delivered);
        assert_eq!(Asked::of(&answered(200, Some("3600")), NOW, DAY).retry_after, None);
        let failed = AttemptResult::Failed { kind: FailureKind::Dns, detail: String::new() };
        assert_eq!(Asked::of(&failed, NOW, DAY).retry_after, None);
    }

    #[test]
    fn only_429_and_503_pause_the_lane() {
        for status in [301, 404, 410, 429, 500, 502, 503, 504] {
            let asked = Asked::of(&answered(status, Some("7")), NOW, DAY);
            assert_eq!(asked.retry_after, Some(Duration::from_secs(7)));
            assert_eq!(asked.pause.is_some(), status == 429 || status == 503, "{status}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_or_exceeds_the_maximum(
            status in 100u16..600, value in "(inf|-1|[0-9]{1,40}|[A-Z][a-z]{2}, .*|.*)", step in 0u16..10,
        ) {
            let settlement = follows(answered(status, Some(&value)), step);
            if let Next::Retry { due } = settlement.next {
                prop_assert!(due <= NOW + DAY.mul_f64(1.1));
            }
        }
    }

    #[test]
    fn an_attempt_without_a_token_is_for_the_record_when_its_age_limit_has_passed_and_the_token_is_long_missing() {
        let rules = Rules { max_age: Some(DAY), ..Rules::default() };
        let at_age = |age: Duration, long| {
            let flown = Flown {
                scheduled: Scheduled::first(NOW),
                accepted: NOW,
                failing_since: None,
                ordered: false,
                price: Duration::ZERO,
                sent: Duration::ZERO,
            };
            is_for_the_record(&flown, &rules, None, long, NOW + age)
        };
        let almost = DAY.saturating_sub(Duration::from_millis(1));
        assert!(!at_age(almost, true));
        assert!(at_age(DAY, true));
        assert!(!at_age(DAY, false), "age alone is not enough");
    }

    #[test]
    fn of_a_batch_those_that_failed_come_first_and_each_has_its_own_outcome() {
        let at = Position::from_u64;
        let members = [1, 2, 3].map(|message| {
            let scheduled = Scheduled { attempt: 10 + message as u16, ..Scheduled::first(NOW) };
            let flown = Flown {
                scheduled,
                accepted: NOW,
                failing_since: None,
                ordered: false,
                price: Duration::ZERO,
                sent: Duration::ZERO,
            };
            (at(message), flown)
        });
        let response = Response { status: 200, failed: vec![at(2)], ..Response::default() };
        let whole = outcome(AttemptResult::Answered(response));
        let outcomes = each(&whole, members.to_vec()).map(|(outcome, flown)| {
            assert_eq!(outcome.attempt, flown.scheduled.attempt);
            assert_eq!((outcome.key.endpoint, &outcome.url), (whole.key.endpoint, &whole.url));
            (outcome.key.message, outcome.attempt, outcome.result.verdict() == Verdict::Success)
        });
        assert_eq!(outcomes.collect::<Vec<_>>(), [(at(2), 12, false), (at(1), 11, true), (at(3), 13, true)]);
    }
}
