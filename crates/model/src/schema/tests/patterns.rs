use serde_json::json;

use super::*;

#[test]
fn patterns_are_few_and_small() {
    let (_, problem) = schemas(json!({"1": {"items": {"pattern": "\\pL{300}"}}})).check().expect_err("it is large");
    assert!(problem.contains("too large a pattern"), "{problem}");
    let named = json!({"1": {"patternProperties": {"\\pL{300}": {}}}});
    assert!(schemas(named).check().is_err());
    let many = |n: u32| (0..n).map(|n| json!({"pattern": format!("^a{n}$")})).collect::<Vec<_>>();
    assert_eq!(schemas(json!({"1": {"allOf": many(steps::MAX_PATTERNS)}})).check(), Ok(()));
    let (_, problem) = schemas(json!({"1": {"allOf": many(65)}})).check().expect_err("they are many");
    assert!(problem.contains("more than 64 patterns"), "{problem}");
    for usual in [r"^\w{1,64}$", r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", r"^\d{4}-\d\d$", r"^\cA\\w?$"] {
        assert_eq!(schemas(json!({"1": {"pattern": usual}})).check(), Ok(()), "{usual}");
    }
}

/// The validator reads a pattern once more for each class that it puts another in the place of.
#[test]
fn patterns_are_short_and_have_few_classes() {
    let times = |part: &str, times: usize| part.repeat(times);
    for (bad, says) in [
        (format!("[{}]", times("\\d", 10_000)), "4096 are allowed"),
        (format!("[{}]", times("\\d", 65)), "65 times `\\d`"),
        (times("\\S", 65), "65 times `\\d`"),
        (times("\\cA", 65), "65 times `\\d`"),
        (times("a", 4_097), "4096 are allowed"),
    ] {
        for schema in [json!({"items": {"pattern": bad}}), json!({"patternProperties": {(bad.as_str()): true}})] {
            let (_, problem) = schemas(json!({ "1": schema })).check().expect_err("it is refused");
            assert!(problem.contains(says), "{problem}");
        }
    }
    let currencies = format!("^({})$", vec!["EUR"; 1_000].join("|"));
    for usual in [times("\\d", 64), times("\\.\\-\\\\d", 300), currencies] {
        assert_eq!(schemas(json!({"1": {"pattern": usual}})).check(), Ok(()), "{usual:.40}");
    }
    // All together are read no more often than some of them.
    let long = format!("[{}]{}", times("\\d", 64), times("a", 3_900));
    let several =
        |n: usize| json!({"allOf": (0..n).map(|n| json!({"pattern": format!("{long}{n}")})).collect::<Vec<_>>()});
    assert_eq!(schemas(json!({"1": several(2), "2": several(1)})).check(), Ok(()));
    let (version, problem) = schemas(json!({"1": several(5)})).check().expect_err("they are long");
    assert!(version.is_some() && problem.contains("more than 1048576 together"), "{problem}");
    let (version, problem) = schemas(json!({"1": several(2), "2": several(3)})).check().expect_err("they are long");
    assert!(version.is_none() && problem.contains("more than 1048576 together"), "{problem}");
    // One that is stored lets all pass.
    assert_eq!(schemas(json!({"1": {"pattern": times("\\d", 65)}})).compare_value(Some(&json!("a"))), Ok(()));
}

#[test]
fn patterns_of_all_versions_are_counted_and_checking_is_remembered() {
    let one = json!({"allOf": (0..64).map(|n| json!({"pattern": format!("^a{n}$")})).collect::<Vec<_>>()});
    let versions = |n: usize| schemas((1..=n).map(|n| (n.to_string(), one.clone())).collect());
    assert_eq!(versions(4).check(), Ok(()));
    let five = versions(5);
    let (version, problem) = five.check().expect_err("there are too many");
    assert!(version.is_none() && problem.contains("more than 256 patterns"), "{problem}");
    let same = five.clone();
    assert!(same.checked.get().is_some(), "what was found counts for all that are made of it");
    assert!(Schemas::new(five.versions().clone()).checked.get().is_none());
}

#[test]
fn patterns_of_any_schema_are_few_and_small() {
    for schema in [json!(true), json!(false), json!({})] {
        let large = schemas(json!({"1": {"patternProperties": {"\\pL{300}": schema}}}));
        assert!(large.check().is_err_and(|(_, problem)| problem.contains("too large a pattern")), "{schema}");
        let many: Map<String, Value> = (0..65).map(|n| (format!("^a{n}$"), schema.clone())).collect();
        let many = schemas(json!({"1": {"patternProperties": many}}));
        assert!(many.check().is_err_and(|(_, problem)| problem.contains("more than 64 patterns")), "{schema}");
        assert_eq!(schemas(json!({"1": {"patternProperties": {"^x-": schema}}})).check(), Ok(()));
    }
}
