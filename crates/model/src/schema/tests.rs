use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod limits;
mod patterns;
mod references;

fn schemas(versions: Value) -> Schemas {
    serde_json::from_value(versions).expect("versions are an object")
}

fn difference(schemas: &Schemas, payload: &Value) -> Mismatch {
    match schemas.compare_value(Some(payload)) {
        Err(CompareError::Differs(mismatch)) => mismatch,
        other => panic!("{other:?}"),
    }
}

fn is_quick(schemas: &Schemas, payload: &Value) -> bool {
    schemas.compare_value_at_once(Some(payload)).is_some()
}

fn order() -> Value {
    json!({
        "type": "object", "required": ["amount"], "additionalProperties": false,
        "properties": {
            "amount": {"type": "number", "minimum": 1}, "sku": {"type": "string", "pattern": "^[a-z]-\\d+$"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        },
        "$defs": {"item": {"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}},
    })
}

#[test]
fn a_payload_is_compared_and_what_differs_is_named() {
    let schemas = schemas(json!({ "1": order() }));
    assert_eq!(schemas.check(), Ok(()));
    for good in [json!({"amount": 1}), json!({"amount": 2.5, "sku": "a-17", "items": [{"price": 3, "more": 1}]})] {
        assert_eq!(schemas.compare_value(Some(&good)), Ok(()), "{good}");
    }
    for (bad, pointer, rule) in [
        (json!({}), "", "/required"),
        (json!([]), "", "/type"),
        (json!({"amount": "17"}), "/amount", "/properties/amount/type"),
        (json!({"amount": 0}), "/amount", "/properties/amount/minimum"),
        (json!({"amount": 1, "sku": "A-1"}), "/sku", "/properties/sku/pattern"),
        (json!({"amount": 1, "other": 1}), "", "/additionalProperties"),
        (
            json!({"amount": 1, "items": [{"price": 1}, {"price": 1.5}]}),
            "/items/1/price",
            "/$defs/item/properties/price/type",
        ),
        (json!({"amount": 1, "items": [{}]}), "/items/0", "/$defs/item/required"),
    ] {
        let mismatch = difference(&schemas, &bad);
        assert_eq!((mismatch.pointer.as_str(), mismatch.rule.as_str()), (pointer, rule), "{bad}: {mismatch}");
        assert!(!mismatch.said.is_empty());
    }
    assert_eq!(schemas.compare_value(None), Err(Mismatch::not_json().into()));
    let long = json!({"amount": 1, "sku": "x".repeat(10_000)});
    assert!(difference(&schemas, &long).said.len() < 400);
}

/// The door takes them, since they are JSON.
#[test]
fn what_cannot_be_held_is_not_compared_and_passes() {
    let any = schemas(json!({"1": {}}));
    for body in [r#"{"a": 1e400}"#, r#"{"a": "\ud800"}"#] {
        let json = Payload::of_type(body.as_bytes(), None);
        assert_eq!(any.compare(&json), Err(CompareError::CannotBeRead), "{body}");
        assert_eq!(any.compare_at_once(&json), Some(Err(CompareError::CannotBeRead)), "{body}");
        assert_eq!(Schemas::default().compare(&json), Ok(()), "{body}: there is nothing to compare it with");
        let text = Payload::of_type(body.as_bytes(), Some("text/plain"));
        assert_eq!(any.compare(&text), Err(Mismatch::not_json().into()), "{body}");
    }
    assert_eq!(any.compare(&Payload::new(b"{}")), Ok(()));
}

#[test]
fn the_newest_version_counts() {
    let is = |kind: &str| json!({"type": kind});
    for (versions, kind) in [
        (json!({"1": is("string"), "2": is("number")}), json!(1)),
        (json!({"9": is("string"), "10": is("number")}), json!(1)),
        (json!({"2": is("number"), "draft": is("string")}), json!(1)),
        (json!({"1": is("string"), "20261130141744123456": is("number")}), json!(1)),
        (json!({"20261130141744123455": is("string"), "20261130141744123456": is("number")}), json!(1)),
        (json!({"010": is("number"), "9": is("string"), "0": is("string")}), json!(1)),
        (json!({"a": is("string"), "b": is("number")}), json!(1)),
    ] {
        let schemas = schemas(versions);
        assert_eq!(schemas.compare_value(Some(&kind)), Ok(()), "{schemas:?}");
        assert!(schemas.compare_value(Some(&json!("x"))).is_err(), "{schemas:?}");
    }
    assert_eq!(schemas(json!({})).compare_value(None), Ok(()), "without a schema nothing differs");
}

#[test]
fn the_next_version_is_one_more() {
    for (newest, next) in [
        ("1", "2"),
        ("9", "10"),
        ("007", "8"),
        ("18446744073709551615", "18446744073709551616"),
        ("20261130141744123999", "20261130141744124000"),
        ("draft", "1"),
        ("0", "1"),
    ] {
        assert_eq!(schemas(json!({"a": {}, "0": {}, newest: {}})).next_version(), next, "{newest}");
    }
    assert_eq!(Schemas::default().next_version(), "1");
}

/// A payload may have a name of a megabyte.
#[test]
fn what_is_told_of_a_payload_is_short() {
    let schemas = schemas(
        json!({"1": {"additionalProperties": {"type": "string"}, "properties": {"n".repeat(5_000): {"type": "string"}}}}),
    );
    for name in ["m".repeat(20_000), "n".repeat(5_000), "\u{1f4e8}".repeat(5_000)] {
        let mismatch = difference(&schemas, &json!({ name: 1 }));
        for told in [&mismatch.pointer, &mismatch.rule, &mismatch.said] {
            assert!(told.chars().count() <= MAX_SAID_CHARS + 3, "{told}");
        }
    }
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (bad, says) in [
        (json!({"type": "strin"}), "at \"/type\""),
        (json!({"properties": {"a": {"minimum": "1"}}}), "at \"/properties/a/minimum\""),
        (json!({"properties": {"a": {"pattern": "("}}}), "pattern"),
        (json!({"$ref": "https://example.com/order.json"}), "nothing is fetched"),
        (json!({"$ref": "file:///etc/passwd"}), "nothing is fetched"),
        (json!({"$ref": "other.json"}), "nothing is fetched"),
        (json!({"$ref": "#/$defs/gone"}), "/$defs/gone"),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "is not draft 2020-12"),
        (json!({"required": "amount"}), "at \"/required\""),
        (json!({"$ref": "#/x", "x": {"items": {"type": 1}}}), "at \"/x/items/type\""),
        (json!({"items": {"allOf": vec![1; 20_000]}}), "at \"/items\": is no schema; where"),
        (json!({"$ref": "#/x", "x": {"required": vec![1; 10_000]}}), "at \"/x\": is no schema; where"),
    ] {
        let (version, problem) = schemas(json!({ "1": {}, "2": bad })).check().expect_err("it is none");
        assert_eq!(version.as_deref(), Some("2"), "{problem}");
        assert!(problem.contains(says), "{problem}");
    }
    let many: Map<String, Value> = (0..=MAX_VERSIONS).map(|n| (n.to_string(), json!({}))).collect();
    assert!(Schemas::new(many).check().is_err_and(|(_, problem)| problem.contains("at most 100")));
    let large = schemas(json!({"1": {"description": "x".repeat(MAX_BYTES)}}));
    assert!(large.check().is_err_and(|(_, problem)| problem.contains("bytes, at most")));
}

#[test]
fn schemas_are_written_as_they_came() {
    let text = r#"{"1":{"type":"object","x-note":1.0},"2":{}}"#;
    let schemas: Schemas = serde_json::from_str(text).expect("an object");
    assert_eq!(serde_json::to_string(&schemas).expect("JSON"), text);
}

#[test]
fn a_schema_is_no_deeper_than_its_record_can_be_read() {
    let nested = |depth| (1..depth).fold(json!({}), |within, _| json!({ "items": within }));
    assert_eq!(schemas(json!({"1": nested(MAX_DEPTH)})).check(), Ok(()));
    let (version, problem) = schemas(json!({"1": {}, "2": nested(MAX_DEPTH + 1)})).check().expect_err("it is deeper");
    assert_eq!(version.as_deref(), Some("2"));
    assert!(problem.contains("more than 64 arrays and objects"), "{problem}");
    // One that is stored is compared with.
    let stored =
        (1..125).fold(json!({"type": "null"}), |within, _| json!({ "items": within, "type": ["array", "null"] }));
    let stored = schemas(json!({ "1": stored }));
    assert_eq!(stored.compare_value(Some(&json!([[null]]))), Ok(()));
    assert_eq!(difference(&stored, &json!([[[], 1]])).pointer, "/0/1");
}

#[test]
fn one_that_is_not_compiled_yet_takes_longer() {
    let schemas = schemas(json!({ "1": order() }));
    let payload = json!({"amount": 1});
    assert!(!is_quick(&schemas, &payload));
    assert_eq!(schemas.compare_value(Some(&payload)), Ok(()));
    let same = schemas.clone();
    assert!(is_quick(&schemas, &payload) && is_quick(&same, &payload));
    assert!(is_quick(&Schemas::default(), &payload), "there is nothing to compare it with");
}

#[test]
fn fractions_are_no_measure() {
    let cents = json!({"properties": {"total": {"multipleOf": 0.01}, "multipleOf": {"type": "string"}}, "enum": [{"multipleOf": 0.5}, {"total": 19.99}]});
    let schemas = schemas(json!({ "1": cents }));
    for (payload, passes) in
        [(json!({"total": 19.99}), true), (json!({"multipleOf": 0.5}), false), (json!({"total": 1}), false)]
    {
        assert_eq!(schemas.compare_value(Some(&payload)).is_ok(), passes, "{payload}");
    }
    for whole in ["5", "5.0", "0.5e1"] {
        let text = format!(r#"{{"1": {{"multipleOf": {whole}}}}}"#);
        let whole: Schemas = serde_json::from_str(&text).expect("an object");
        assert!(
            whole.compare_value(Some(&json!(10))).is_ok() && whole.compare_value(Some(&json!(7))).is_err(),
            "{text}"
        );
    }
    // Names are no keywords.
    for named in ["const", "enum", "default", "multipleOf"] {
        let fraction = json!({"multipleOf": 0.01, "type": "number"});
        for schema in [
            json!({"properties": {named: fraction}}),
            json!({"patternProperties": {named: fraction}}),
            json!({"additionalProperties": {"$ref": format!("#/$defs/{named}")}, "$defs": {named: fraction}}),
            json!({"additionalProperties": {"$ref": format!("#/components/{named}")}, "components": {named: fraction}}),
            json!({"dependentSchemas": {named: {"properties": {named: fraction}}}}),
        ] {
            let schemas = self::schemas(json!({ "1": schema }));
            assert_eq!(schemas.check(), Ok(()), "{schemas:?}");
            assert_eq!(schemas.compare_value(Some(&json!({named: 19.99}))), Ok(()), "{schemas:?}");
            assert!(schemas.compare_value(Some(&json!({named: "a"}))).is_err(), "{schemas:?}");
        }
    }
    let value = self::schemas(json!({"1": {"const": {"multipleOf": 0.5}}}));
    assert!(
        value.compare_value(Some(&json!({"multipleOf": 0.5}))).is_ok()
            && value.compare_value(Some(&json!({}))).is_err()
    );
}

#[test]
fn versions_are_short_words() {
    for bad in ["", "\u{1b}[2J", "a b", &"1".repeat(65)] {
        let schemas = Schemas::new([(bad.to_owned(), json!({}))].into_iter().collect());
        let (version, problem) = schemas.check().expect_err("it is none");
        assert!(version.is_none() && problem.contains("the version"), "{problem}");
    }
}

proptest! {
    #[test]
    fn every_payload_can_be_compared(
        keyword in prop_oneof![Just("type"), Just("required"), Just("enum"), Just("pattern"), Just("allOf"), Just("$ref"),
            Just("minimum"), Just("multipleOf"), Just("unevaluatedProperties"), Just("contains"), Just("$dynamicRef")],
        value in prop_oneof![Just(json!("object")), Just(json!(["a"])), Just(json!(0)), Just(json!(0.1)), Just(json!([{}])),
            Just(json!("#")), Just(json!({})), Just(json!("^a$")), Just(json!(false))],
        payload in prop_oneof![Just(json!({})), Just(json!({"a": [1, {"b": null}]})), Just(json!([[], 1e300])), Just(json!("a"))],
    ) {
        let schemas = schemas(json!({"1": {keyword: value, "properties": {"a": {"items": {keyword: value}}}}}));
        if schemas.check().is_ok() {
            let _ = schemas.compare_value(Some(&payload));
        }
    }
}
