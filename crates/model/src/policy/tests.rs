use super::*;
use crate::rate::Per;

fn policy(text: &str) -> Policy {
    serde_json::from_str(text).expect("a policy")
}

#[test]
fn what_is_left_open_is_the_servers() {
    let server = Rules::default().with(&policy(r#"{"maxInFlight":8,"retrySchedule":[0,1],"disableAfterS":0}"#));
    let own = server.with(&policy(r#"{"maxInFlight":2,"rate":{"count":30,"per":"minute"}}"#));
    assert_eq!((own.max_in_flight, own.schedule.attempts(), own.disable_after), (2, 2, None));
    assert_eq!(own.rate, Some(Rate { count: 30, per: Per::Minute, burst: 1 }));
    assert_eq!(own.breaker, BreakerRule::default());
    assert_eq!(server.with(&Policy::default()), server);
}

#[test]
fn what_is_out_of_range_is_named_with_its_bounds() {
    let wrong = policy(
        r#"{"retryJitterPercent":101,"maxAgeS":59,"maxInFlight":0,"disableAfterS":1,"rate":{"count":10001,"burst":0},
        "breaker":{"failures":0,"pauseMinMs":5000,"pauseMaxMs":4999}}"#,
    );
    let errors = wrong.validate().expect_err("all are out of range").to_string();
    let expected = "policy.retryJitterPercent: is 101, 0 to 100 are allowed; \
        policy.maxAgeS: is 59, 60 to 31536000 are allowed; \
        policy.maxInFlight: is 0, 1 to 4096 are allowed; \
        policy.disableAfterS: is 1, 0 (never), or 60 to 31536000 are allowed; \
        policy.breaker.failures: is 0, 1 to 1000 are allowed; \
        policy.breaker.pauseMaxMs: is 4999, 5000 to 86400000 are allowed; \
        policy.rate.count: is 10001, 1 to 10000 are allowed; \
        policy.rate.burst: is 0, 1 to 5000 are allowed";
    assert_eq!(errors, expected);
    let fine = policy(r#"{"disableAfterS":0,"rate":{"count":600000,"per":"minute","burst":300000}}"#);
    assert_eq!(fine.validate(), Ok(()));
    assert_eq!(policy(r#"{"rate":{"count":1,"burst":1}}"#).validate(), Ok(()));
    let trap = policy(r#"{"rate":{"count":120,"per":"minute","burst":120}}"#).validate();
    assert_eq!(trap.expect_err("it leaves one a minute").to_string(), "policy.rate.burst: is 120, 1 to 60 are allowed");
}

#[test]
fn a_policy_is_written_as_it_was_read() {
    let text = r#"{"retrySchedule":[0,5],"finalStatuses":["404","5xx"],"rate":{"count":5,"per":"second","burst":2}}"#;
    assert_eq!(serde_json::to_string(&policy(text)).expect("it can be written"), text);
    assert_eq!(serde_json::to_string(&Policy::default()).expect("it can be written"), "{}");
    let unknown = serde_json::from_str::<Policy>(r#"{"maxInFlght":2}"#).expect_err("a slip of the pen");
    assert!(unknown.to_string().contains("maxInFlght"));
}

#[test]
fn what_a_breaker_leaves_open_is_the_servers_and_gives_way() {
    let rule = |text: &str| Rules::default().with(&policy(text)).breaker;
    let standard = BreakerRule::default();
    assert_eq!(rule(r#"{"breaker":{"failures":3}}"#), BreakerRule { failures: 3, ..standard });
    let short = rule(r#"{"breaker":{"pauseMaxMs":500}}"#);
    assert_eq!((short.pause_min_ms, short.pause_max_ms), (500, 500));
    let long = rule(r#"{"breaker":{"pauseMinMs":90000}}"#);
    assert_eq!((long.pause_min_ms, long.pause_max_ms), (90_000, 90_000));
}
