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
    let nested = |depth| (1..depth).fold(json!({}), |within, _| json!({ "items": within }));
    assert_eq!(schemas(json!({"1": nested(MAX_DEPTH)})).check(), Ok(()));
    let (version, problem) = schemas(json!({"1": {}, "2": nested(MAX_DEPTH + 1)})).check().expect_err("it is deeper");
    assert_eq!(version.as_deref(), Some("2"));
    assert!(problem.contains("more than 64 arrays and objects"), "{problem}");
}

#[test]
fn steps_at_one_value_have_a_limit_and_a_stack() {
    let chain = |links: usize| {
        let link = |n: usize| (format!("a{n}"), json!({"$ref": format!("#/$defs/a{}", n + 1)}));
        let mut links: Map<String, Value> = (0..links).map(link).collect();
        let last = json!({"items": {"$ref": "#/$defs/a0"}, "type": "array"});
        links.insert(format!("a{}", links.len()), last);
        json!({"$ref": "#/$defs/a0", "$defs": links})
    };
    for bad in [
        chain(1_500),
        chain(steps::MAX_STEPS),
        json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [true, {"$ref": "#"}]}}}),
        json!({"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a", "not": {"$ref": "#"}}}}),
        json!({"properties": {"a": {"$id": "b", "$ref": "c"}}, "$defs": {"c": {"$id": "c", "$ref": "b"}}}),
    ] {
        let (_, problem) = schemas(json!({ "1": bad })).check().expect_err("it has no end");
        assert!(problem.contains("follow each other"), "{problem}");
    }
    // As deep as a payload may be, at the most steps for each level, on a thread like any other.
    let payload = (1..json::MAX_DEPTH).fold(json!([]), |within, _| json!([within]));
    for links in [1, FEW_STEPS - 2, FEW_STEPS - 1, steps::MAX_STEPS - 2] {
        let schemas = schemas(json!({ "1": chain(links) }));
        assert_eq!(schemas.check(), Ok(()), "{links}");
        assert_eq!(schemas.compare(Some(&payload)), Ok(()), "{links}");
        assert!(schemas.compare(Some(&json!([[1]]))).is_err(), "{links}");
    }
}

#[test]
fn patterns_are_few_and_small() {
    let (_, problem) = schemas(json!({"1": {"items": {"pattern": "\\pL{300}"}}})).check().expect_err("it is large");
    assert!(problem.contains("too large a pattern"), "{problem}");
    let named = json!({"1": {"patternProperties": {"\\pL{300}": {}}}});
    assert!(schemas(named).check().is_err());
    let many = |n: usize| (0..n).map(|n| json!({"pattern": format!("^a{n}$")})).collect::<Vec<_>>();
    assert_eq!(schemas(json!({"1": {"allOf": many(steps::MAX_PATTERNS)}})).check(), Ok(()));
    let (_, problem) = schemas(json!({"1": {"allOf": many(65)}})).check().expect_err("they are many");
    assert!(problem.contains("more than 64 patterns"), "{problem}");
    for usual in [r"^\w{1,64}$", r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", r"^\d{4}-\d\d$", r"^\cA\\w?$"] {
        assert_eq!(schemas(json!({"1": {"pattern": usual}})).check(), Ok(()), "{usual}");
    }
}

#[test]
fn a_large_payload_passes_or_not_and_no_more_is_told() {
    let schemas = schemas(json!({"1": {"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}));
    let many = |n: usize, of: Value| Value::Array(vec![of; n]);
    let told = schemas.compare(Some(&many(MAX_TOLD_VALUES - 1, json!(1)))).expect_err("it differs");
    assert_eq!(told.pointer, "/0");
    let untold = schemas.compare(Some(&many(MAX_TOLD_VALUES, json!(1)))).expect_err("it differs");
    assert_eq!((untold.pointer.as_str(), untold.rule.as_str()), ("", ""));
    assert!(untold.said.contains("4096 values"), "{untold}");
    assert_eq!(schemas.compare(Some(&many(MAX_TOLD_VALUES, json!("a")))), Ok(()));
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
