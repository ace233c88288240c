//! The laws of the pace: the rate holds, something may always be in flight, a
//! pause always ends.

use super::*;
use postrider_model::job::{FailureKind, Response};
use postrider_model::rate::{Per, Rate};
use proptest::prelude::*;

use crate::testing::{key, outcome};
use postrider_model::time::UnixMs;

const S: Duration = Duration::from_secs(1);

fn pace() -> Pace {
    Pace::new(&Rules::default(), Duration::ZERO)
}

/// The middle of the spread: the rule's own pause.
const MIDDLE: f64 = 0.5;
const FAILURES: u32 = 5;

fn answered(status: u16) -> AttemptResult {
    AttemptResult::Answered(Response { status, ..Response::default() })
}

fn failed(kind: FailureKind) -> AttemptResult {
    AttemptResult::Failed { kind, detail: String::new() }
}

#[test]
fn an_attempts_end_is_read_as_the_endpoint_means_it() {
    for (result, signal) in [
        (answered(204), Signal::Success),
        (answered(301), Signal::Alive),
        (answered(410), Signal::Alive),
        (answered(429), Signal::Overload),
        (answered(500), Signal::Down),
        (answered(503), Signal::Overload),
        (failed(FailureKind::Timeout), Signal::Overload),
        (failed(FailureKind::Connect), Signal::Down),
        (failed(FailureKind::Internal), Signal::Unknown),
        (failed(FailureKind::Token), Signal::Unknown),
    ] {
        assert_eq!(Signal::of(&outcome(key(1, 1), 1, UnixMs(0), result.clone()), 1), signal, "{result:?}");
    }
    let just_fast = Outcome { duration: FAST, ..outcome(key(1, 1), 1, UnixMs(0), answered(200)) };
    assert_eq!(Signal::of(&just_fast, 1), Signal::Success);
    let slow = Outcome { duration: FAST + S, ..outcome(key(1, 1), 1, UnixMs(0), answered(200)) };
    assert_eq!(Signal::of(&slow, 1), Signal::Slow);
}

#[test]
fn it_grows_by_one_with_each_window_and_halves_on_overload() {
    let mut pace = pace();
    let mut allowed = Vec::new();
    for _ in 0..6 {
        allowed.push(pace.allowed());
        pace.ended(S, false, Signal::Success, None, MIDDLE);
    }
    assert_eq!(allowed, [1, 2, 2, 3, 3, 3]);
    for _ in 0..10_000 {
        pace.ended(S, false, Signal::Success, None, MIDDLE);
    }
    assert_eq!(pace.allowed(), 32);
    pace.ended(S, false, Signal::Overload, None, MIDDLE);
    assert_eq!(pace.allowed(), 16);
}

#[test]
fn the_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() {
    let mut pace = pace();
    pace.ended(S, false, Signal::Success, None, MIDDLE);
    for _ in 1..FAILURES {
        pace.ended(S, false, Signal::Down, None, MIDDLE);
        assert_eq!(pace.start(S, 1), Start::Now);
    }
    pace.ended(S, false, Signal::Down, None, MIDDLE);
    assert_eq!(pace.allowed(), 1, "it begins at one again");
    assert_eq!(pace.start(S, 0), Start::NotBefore(2 * S, Because::Open));
    pace.ended(S, false, Signal::Down, None, MIDDLE);
    assert_eq!(pace.start(S, 0), Start::NotBefore(2 * S, Because::Open), "a late failure does not prolong the pause");

    assert!(pace.started(2 * S), "the first after the pause is the probe");
    assert_eq!(pace.start(2 * S, 0), Start::Probing, "there is one probe only");
    pace.ended(3 * S, true, Signal::Down, None, MIDDLE);
    assert_eq!(pace.start(3 * S, 0), Start::NotBefore(5 * S, Because::Open), "the pause doubles");
    assert!(pace.started(5 * S));
    pace.ended(5 * S, true, Signal::Success, None, MIDDLE);
    assert_eq!(pace.start(5 * S, 0), Start::Now);
}

/// A breaker that has been open, and whose probe is under way.
fn probing() -> Pace {
    let mut pace = pace();
    for _ in 0..FAILURES {
        pace.ended(S, false, Signal::Down, None, MIDDLE);
    }
    assert!(pace.started(2 * S), "it is the probe");
    pace
}

#[test]
fn only_the_probe_says_whether_the_breaker_opens_again() {
    for signal in [Signal::Down, Signal::Overload, Signal::Unknown] {
        let mut pace = probing();
        pace.ended(2 * S, false, signal, None, MIDDLE);
        assert_eq!(pace.start(100 * S, 0), Start::Probing, "{signal:?} of an attempt from before is old news");
    }
}

#[test]
fn a_probe_that_failed_on_our_side_is_made_again_after_the_same_pause() {
    let mut pace = probing();
    pace.ended(3 * S, true, Signal::Unknown, None, MIDDLE);
    assert_eq!(pace.start(3 * S, 0), Start::NotBefore(4 * S, Because::Open));
}

#[test]
fn a_success_between_keeps_the_breaker_closed() {
    let mut pace = pace();
    for _ in 0..20 {
        for _ in 1..FAILURES {
            pace.ended(S, false, Signal::Down, None, MIDDLE);
        }
        pace.ended(S, false, Signal::Success, None, MIDDLE);
        assert_eq!(pace.start(S, 0), Start::Now);
    }
}

#[test]
fn the_pause_has_a_limit_and_a_withdrawn_probe_is_tried_again() {
    let mut pace = pace();
    let mut now = S;
    for _ in 0..50 {
        pace.ended(now, true, Signal::Down, None, MIDDLE);
        if let Start::NotBefore(at, _) = pace.start(now, 0) {
            assert!(at <= now + 60 * S);
            now = at;
            assert!(pace.started(now));
        }
    }
    pace.withdrawn(now, true);
    assert_eq!(pace.start(now, 0), Start::Now);
}

#[test]
fn what_the_endpoint_asked_for_counts_and_is_never_shortened() {
    let mut pace = pace();
    pace.ended(S, false, Signal::Overload, Some(100 * S), MIDDLE);
    pace.ended(2 * S, false, Signal::Overload, Some(S), MIDDLE);
    pace.ended(3 * S, false, Signal::Success, None, MIDDLE);
    pace.restart();
    assert_eq!(pace.start(4 * S, 0), Start::NotBefore(101 * S, Because::Asked));
    assert_eq!(pace.start(101 * S, 0), Start::Now);
}

#[test]
fn slow_answers_are_no_reason_to_ask_for_more_at_once() {
    let mut pace = pace();
    for _ in 0..100 {
        pace.ended(S, false, Signal::Slow, None, MIDDLE);
    }
    assert_eq!(pace.allowed(), 1);
}

#[test]
fn pauses_are_spread_around_the_rule() {
    for (random, ms) in [(0.0, 800), (0.5, 1_000), (1.0, 1_200)] {
        let mut pace = pace();
        for _ in 0..FAILURES {
            pace.ended(S, false, Signal::Down, None, random);
        }
        assert_eq!(pace.start(S, 0), Start::NotBefore(S + Duration::from_millis(ms), Because::Open));
    }
}

#[test]
fn other_rules_count_at_once() {
    let mut pace = pace();
    for _ in 0..10_000 {
        pace.ended(S, false, Signal::Success, None, MIDDLE);
    }
    let breaker = BreakerRule { failures: 1, pause_min_ms: 9_000, pause_max_ms: 9_000 };
    let rules = Rules { max_in_flight: 3, rate: Some(Rate::per_second(1)), breaker, ..Rules::default() };
    pace.configure(&rules, S);
    assert_eq!(pace.allowed(), 3);
    assert_eq!(pace.start(S, 0), Start::NotBefore(2 * S, Because::Rate));
    pace.ended(S, false, Signal::Down, None, MIDDLE);
    assert_eq!(pace.start(S, 0), Start::NotBefore(10 * S, Because::Open));
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        2 => Just(Signal::Success),
        1 => Just(Signal::Slow),
        1 => Just(Signal::Alive),
        2 => Just(Signal::Overload),
        4 => Just(Signal::Down),
        1 => Just(Signal::Unknown),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let rate = (1u32..40, any::<bool>(), 1u32..40).prop_map(|(count, minute, burst)| Rate {
        count,
        per: if minute { Per::Minute } else { Per::Second },
        burst: burst.min(count),
    });
    (prop::option::of(rate), 1u32..9, 1u32..6).prop_map(|(rate, max_in_flight, failures)| {
        let breaker = BreakerRule { failures, ..BreakerRule::default() };
        Rules { rate, max_in_flight, breaker, ..Rules::default() }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Start,
    End { signal: Signal, asked: Option<u64>, random: f64 },
    Withdraw,
    Configure(usize),
    Restart,
    Pass(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Start),
        6 => (any_signal(), prop::option::weighted(0.1, 0u64..30), 0.0..1.0)
            .prop_map(|(signal, asked, random)| Step::End { signal, asked, random }),
        1 => Just(Step::Withdraw),
        2 => (0usize..2).prop_map(Step::Configure),
        1 => Just(Step::Restart),
        4 => prop_oneof![0u64..200, 0u64..20_000].prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Any order of starts, ends and changes of the rules: there is always a way
    /// on, the number in flight keeps its bounds, and each rate holds.
    #[test]
    fn there_is_always_a_way_on(
        rules in [any_rules(), any_rules()], steps in prop::collection::vec(any_step(), 1..300),
    ) {
        let (mut now, mut at_present) = (Duration::ZERO, &rules[0]);
        let mut pace = Pace::new(at_present, now);
        let mut flights = Vec::new();
        // Each with the rate that counted then.
        let mut starts: Vec<(Duration, Rate)> = Vec::new();
        for step in steps {
            match step {
                Step::Start => {
                    while pace.start(now, flights.len() as u32) == Start::Now && starts.len() < 1_000 {
                        flights.push(pace.started(now));
                        starts.extend(at_present.rate.map(|rate| (now, rate)));
                    }
                }
                Step::End { signal, asked, random } if !flights.is_empty() => {
                    pace.ended(now, flights.remove(0), signal, asked.map(Duration::from_secs), random);
                }
                Step::Withdraw if !flights.is_empty() => pace.withdrawn(now, flights.remove(0)),
                Step::End { .. } | Step::Withdraw => {}
                Step::Configure(which) => {
                    at_present = &rules[which];
                    pace.configure(at_present, now);
                }
                Step::Restart => pace.restart(),
                Step::Pass(ms) => now += Duration::from_millis(ms),
            }
            match pace.start(now, flights.len() as u32) {
                Start::Now => {}
                // The longest is the breaker's, with its spread.
                Start::NotBefore(at, _) => prop_assert!(at > now && at <= now + 72 * S, "a pause ends"),
                Start::Full | Start::Probing => prop_assert!(!flights.is_empty(), "an idle lane is never full"),
            }
            prop_assert!((1..=at_present.max_in_flight).contains(&pace.allowed()));
        }
        for rate in rules.iter().filter_map(|rules| rules.rate) {
            let times: Vec<_> = starts.iter().filter(|(_, at)| *at == rate).map(|(at, _)| *at).collect();
            for (first, start) in times.iter().enumerate() {
                let end = *start + rate.per.duration();
                let within = times.iter().skip(first).take_while(|other| **other < end).count();
                prop_assert!(within <= rate.count as usize, "{} in a window of {:?}", within, rate);
            }
        }
    }
}

#[test]
fn only_the_first_token_in_a_row_that_is_missed_is_told() {
    let mut pace = pace();
    assert!(pace.missed_token(S));
    assert!(!pace.missed_token(S), "others were under way with it");
    assert!(!pace.missed_token(1_000 * S), "it is still missing");
    pace.expect_token();
    assert!(pace.missed_token(2_000 * S));
}
