use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schemas(versions: Value) -> Schemas {
    serde_json::from_value(versions).expect("versions are an object")
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
        assert_eq!(schemas.compare(Some(&good)), Ok(()), "{good}");
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
        let mismatch = schemas.compare(Some(&bad)).expect_err("it differs");
        assert_eq!((mismatch.pointer.as_str(), mismatch.rule.as_str()), (pointer, rule), "{bad}: {mismatch}");
        assert!(!mismatch.said.is_empty());
    }
    assert_eq!(schemas.compare(None), Err(Mismatch::not_json()));
    let long = json!({"amount": 1, "sku": "x".repeat(10_000)});
    assert!(schemas.compare(Some(&long)).expect_err("it differs").said.len() < 400);
}

#[test]
fn the_newest_version_counts() {
    let is = |kind: &str| json!({"type": kind});
    for (versions, kind) in [
        (json!({"1": is("string"), "2": is("number")}), json!(1)),
        (json!({"9": is("string"), "10": is("number")}), json!(1)),
        (json!({"2": is("number"), "draft": is("string")}), json!(1)),
        (json!({"a": is("string"), "b": is("number")}), json!(1)),
    ] {
        let schemas = schemas(versions);
        assert_eq!(schemas.compare(Some(&kind)), Ok(()), "{schemas:?}");
        assert!(schemas.compare(Some(&json!("x"))).is_err(), "{schemas:?}");
    }
    assert_eq!(schemas(json!({})).compare(None), Ok(()), "without a schema nothing differs");
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
    ] {
        let (version, problem) = schemas(json!({ "1": {}, "2": bad })).check().expect_err("it is none");
        assert_eq!(version.as_deref(), Some("2"), "{problem}");
        assert!(problem.contains(says), "{bad}: {problem}");
    }
    let many: Map<String, Value> = (0..=MAX_VERSIONS).map(|n| (n.to_string(), json!({}))).collect();
    assert!(Schemas::new(many).check().is_err_and(|(_, problem)| problem.contains("at most 100")));
    let large = schemas(json!({"1": {"description": "x".repeat(MAX_BYTES)}}));
    assert!(large.check().is_err_and(|(_, problem)| problem.contains("bytes, at most")));
}

#[test]
fn references_that_lead_in_a_circle_end() {
    let tree = schemas(json!({"1": {"properties": {"child": {"$ref": "#"}, "n": {"type": "number"}}}}));
    assert_eq!(tree.check(), Ok(()));
    assert_eq!(tree.compare(Some(&json!({"child": {"child": {"n": 1}}}))), Ok(()));
    let mismatch = tree.compare(Some(&json!({"child": {"child": {"n": "1"}}}))).expect_err("it differs");
    assert_eq!(mismatch.pointer, "/child/child/n");
    let nowhere = schemas(json!({"1": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}}));
    assert!(nowhere.check().is_err() || nowhere.compare(Some(&json!(1))).is_err());
}

#[test]
fn schemas_are_written_as_they_came() {
    let text = r#"{"1":{"type":"object","x-note":1.0},"2":{}}"#;
    let schemas: Schemas = serde_json::from_str(text).expect("an object");
    assert_eq!(serde_json::to_string(&schemas).expect("JSON"), text);
}

#[test]
fn a_schema_is_no_deeper_than_its_record_can_be_read() {
    let nested = |depth| (1..depth).fold(json!({}), |within, _| json!({ "not": within }));
    assert_eq!(schemas(json!({"1": nested(MAX_DEPTH)})).check(), Ok(()));
    let (version, problem) = schemas(json!({"1": {}, "2": nested(MAX_DEPTH + 1)})).check().expect_err("it is deeper");
    assert_eq!(version.as_deref(), Some("2"));
    assert!(problem.contains("more than 64 arrays and objects"), "{problem}");
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
            let _ = schemas.compare(Some(&payload));
        }
    }
}
