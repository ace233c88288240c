use super::*;
use proptest::prelude::*;

use crate::policy::Policy;

const NOW: UnixMs = UnixMs(1_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn at_step(step: u16) -> Ended {
    Ended {
        scheduled: Scheduled { step, ..Scheduled::first(NOW) },
        accepted: NOW,
        verdict: Verdict::Failure,
        status: Some(500),
        retry_after: None,
    }
}

fn rules(policy: &str) -> Rules {
    Rules::default().with(&serde_json::from_str::<Policy>(policy).expect("a policy"))
}

#[test]
fn the_default_is_the_example_of_standard_webhooks() {
    let schedule = RetrySchedule::default();
    assert_eq!(schedule.attempts(), 10);
    let total: u64 = Vec::<u64>::from(schedule).iter().sum();
    assert_eq!(total, 75 * 3600 + 35 * 60 + 5);
}

#[test]
fn after_the_last_attempt_comes_the_dead_letter() {
    let next = decide(&Rules::default(), &at_step(9), NOW, 0.5);
    assert_eq!(next, Next::Dead { reason: DeadReason::AttemptsExhausted });
    let success = Ended { verdict: Verdict::Success, ..at_step(9) };
    assert_eq!(decide(&Rules::default(), &success, NOW, 0.5), Next::Delivered);
}

#[test]
fn the_later_of_schedule_and_retry_after_counts() {
    let asked = |step| Ended { retry_after: Some(HOUR), ..at_step(step) };
    assert_eq!(decide(&Rules::default(), &asked(0), NOW, 0.5), Next::Retry { due: NOW + HOUR });
    assert_eq!(decide(&Rules::default(), &asked(4), NOW, 0.5), Next::Retry { due: NOW + HOUR * 5 });
}

#[test]
fn a_resend_consumes_no_step_of_the_schedule() {
    let rules = rules(r#"{"finalStatuses":["5xx"],"maxAgeS":60}"#);
    for step in [0, 9, 200] {
        let scheduled = Scheduled { trigger: Trigger::Resent, ..at_step(step).scheduled };
        let late = NOW + HOUR;
        for verdict in [Verdict::Failure, Verdict::Overload, Verdict::Gone] {
            let resent = Ended { scheduled, verdict, retry_after: Some(HOUR), ..at_step(step) };
            assert_eq!(decide(&rules, &resent, late, 0.5), Next::AsBefore);
        }
        let success = Ended { scheduled, verdict: Verdict::Success, ..at_step(step) };
        assert_eq!(decide(&rules, &success, late, 0.5), Next::Delivered);
    }
}

#[test]
fn a_final_status_ends_the_attempts_and_an_overload_does_not() {
    let rules = rules(r#"{"finalStatuses":["4xx","501"]}"#);
    let next = |status, verdict| decide(&rules, &Ended { status, verdict, ..at_step(0) }, NOW, 0.5);
    let refused = Next::Dead { reason: DeadReason::Refused };
    assert_eq!(next(Some(404), Verdict::Failure), refused);
    assert_eq!(next(Some(501), Verdict::Failure), refused);
    for (status, verdict) in [
        (Some(500), Verdict::Failure),
        (Some(429), Verdict::Overload),
        (Some(410), Verdict::Gone),
        (None, Verdict::Failure),
    ] {
        assert!(matches!(next(status, verdict), Next::Retry { .. }), "{status:?}");
    }
    assert_eq!(next(Some(200), Verdict::Success), Next::Delivered);
}

#[test]
fn the_last_attempt_comes_at_the_age_limit() {
    let rules = rules(r#"{"retrySchedule":[0,60,36000],"retryJitterPercent":0,"maxAgeS":3600}"#);
    let end = NOW + HOUR;
    assert_eq!(decide(&rules, &at_step(1), NOW, 0.5), Next::Retry { due: end });
    assert_eq!(decide(&rules, &at_step(1), end, 0.5), Next::Dead { reason: DeadReason::TooOld });
    let asked = Ended { retry_after: Some(HOUR * 2), ..at_step(0) };
    assert_eq!(decide(&rules, &asked, NOW, 0.5), Next::Retry { due: NOW + HOUR * 2 }, "the endpoint asked for it");
    let scheduled = Scheduled { trigger: Trigger::Manual, ..at_step(0).scheduled };
    let replayed = decide(&rules, &Ended { scheduled, ..at_step(0) }, end, 0.5);
    assert_eq!(replayed, Next::Retry { due: end + Duration::from_secs(60) }, "a replay begins anew");
}

#[test]
fn a_bad_schedule_is_refused() {
    assert_eq!(RetrySchedule::try_new(vec![]), Err(InvalidSchedule::Attempts(0)));
    assert!(RetrySchedule::try_new(vec![Duration::ZERO; 101]).is_err());
    assert!(RetrySchedule::try_from(vec![31 * 86_400]).is_err());
    let rule = Exponential { base_ms: 1_000, factor: 2.0, cap_ms: 60_000, attempts: 5 };
    let refused = |rule| RetrySchedule::exponential(rule).expect_err("it is no schedule");
    for factor in [0.9, 10.1, f64::NAN, f64::INFINITY, -1.0] {
        assert_eq!(refused(Exponential { factor, ..rule }), InvalidSchedule::Factor);
    }
    assert_eq!(refused(Exponential { attempts: 0, ..rule }), InvalidSchedule::Attempts(0));
    assert_eq!(refused(Exponential { attempts: u16::MAX, ..rule }), InvalidSchedule::Attempts(65_535));
    assert_eq!(refused(Exponential { base_ms: 0, ..rule }), InvalidSchedule::Base(0));
    assert_eq!(refused(Exponential { base_ms: u64::MAX, ..rule }), InvalidSchedule::Base(u64::MAX));
    assert_eq!(refused(Exponential { cap_ms: 999, ..rule }), InvalidSchedule::Cap { cap: 999, base: 1_000 });
    assert!(matches!(refused(Exponential { cap_ms: u64::MAX, ..rule }), InvalidSchedule::Cap { .. }));
}

#[test]
fn delays_grow_up_to_their_cap() {
    let text = r#"{"baseMs":500,"factor":3.0,"capMs":4000,"attempts":5}"#;
    let schedule: RetrySchedule = serde_json::from_str(text).expect("a schedule");
    let delays: Vec<_> = (0..6).map(|step| schedule.delay(step).map(|delay| delay.as_millis())).collect();
    assert_eq!(delays, [Some(0), Some(500), Some(1_500), Some(4_000), Some(4_000), None]);
    assert_eq!(serde_json::to_string(&schedule).expect("it can be written"), text);
    for (wrong, says) in [
        ("[-1]", "is -1, 0 to 2592000 are allowed"),
        ("[2592001]", "is 2592001, 0 to 2592000 are allowed"),
        ("[1.5]", "must be a whole number, 0 to 2592000 are allowed"),
        (r#"["5"]"#, "must be a whole number, 0 to 2592000 are allowed"),
        (r#"{"baseMs":0,"factor":2,"capMs":9,"attempts":2}"#, "is 0, 1 to 2592000000 are allowed"),
        (r#"{"baseMs":5,"factor":2,"capMs":4,"attempts":2}"#, "`capMs` is 4, 5 (`baseMs`) to 2592000000 are allowed"),
        (r#"{"baseMs":5,"factor":2,"capMs":2592000001,"attempts":2}"#, "is 2592000001, 1 to 2592000000 are allowed"),
        (r#"{"baseMs":5,"factor":11,"capMs":9,"attempts":2}"#, "must be a number, 1 to 10 are allowed"),
        (r#"{"baseMs":5,"factor":"2","capMs":9,"attempts":2}"#, "must be a number, 1 to 10 are allowed"),
        (r#"{"baseMs":5,"factor":2,"capMs":9,"attempts":101}"#, "is 101, 1 to 100 are allowed"),
        ("7", "a list of seconds"),
        (r#"{"baseMs":1}"#, "missing field `factor`"),
        (r#"{"baseMs":1,"factor":2,"capMs":1,"attempts":2,"more":1}"#, "more"),
        ("[1000,2.0,5000,5]", "0 to 2592000"),
    ] {
        let error = serde_json::from_str::<RetrySchedule>(wrong).expect_err("it is no schedule").to_string();
        assert!(error.contains(says), "{wrong}: {error}");
    }
    let list: RetrySchedule = serde_json::from_str("[0,5]").expect("a schedule");
    assert_eq!(serde_json::to_string(&list).expect("it can be written"), "[0,5]");
}

proptest! {
    #[test]
    fn jitter_stays_within_its_spread(secs in 0u64..100_000, percent in proptest::option::of(0u8..=100), random in 0.0f64..1.0) {
        let delay = Duration::from_secs(secs);
        let jitter = percent.map_or(Jitter::Standard, Jitter::Percent);
        let spread = percent.map_or(if secs <= 600 { 0.5 } else { 0.1 }, |percent| f64::from(percent) / 100.0);
        let delay_s = delay.as_secs_f64();
        prop_assert!((jitter.apply(delay, random).as_secs_f64() - delay_s).abs() <= delay_s * spread + 1e-6);
    }

    #[test]
    fn whatever_is_answered_every_delivery_ends(
        attempts in 1u16..=100, factor in 1.0f64..=10.0, statuses in prop::collection::vec(300u16..600, 100), age in proptest::option::of(60u32..10_000),
    ) {
        let schedule = RetrySchedule::exponential(Exponential { base_ms: 10, factor, cap_ms: 3_600_000, attempts });
        let policy = Policy { retry_schedule: Some(schedule.expect("it is legal")), max_age_s: age, ..Policy::default() };
        let rules = Rules::default().with(&policy);
        let (mut ended, mut now, mut made) = (at_step(0), NOW, 0);
        for status in statuses {
            made += 1;
            ended.status = Some(status);
            match decide(&rules, &ended, now, 0.5) {
                Next::Retry { due } => {
                    prop_assert!(due >= now);
                    now = due;
                    ended.scheduled.step += 1;
                }
                next => {
                    prop_assert!(matches!(next, Next::Dead { .. }), "{:?}", next);
                    break;
                }
            }
        }
        prop_assert!(made <= attempts);
        prop_assert!(age.is_none_or(|age| now <= NOW + Duration::from_secs(age.into())));
    }
}
