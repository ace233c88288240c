use serde_json::json;

use super::super::work::Work;
use super::*;

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
    for links in [1, compiled::FEW_STEPS - 2, compiled::FEW_STEPS - 1, steps::MAX_STEPS - 2] {
        let schemas = schemas(json!({ "1": chain(links) }));
        assert_eq!(schemas.check(), Ok(()), "{links}");
        assert_eq!(schemas.compare_value(Some(&payload)), Ok(()), "{links}");
        assert!(schemas.compare_value(Some(&json!([[1]]))).is_err(), "{links}");
    }
}

#[test]
fn a_large_payload_passes_or_not_and_no_more_is_told() {
    let schemas = schemas(json!({"1": {"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}));
    let many = |n: usize, of: Value| Value::Array(vec![of; n]);
    // Each is three steps, and half a one to go through.
    let told = difference(&schemas, &many(9_300, json!(1)));
    assert_eq!(told.pointer, "/0");
    let untold = difference(&schemas, &many(9_400, json!(1)));
    assert_eq!((untold.pointer.as_str(), untold.rule.as_str()), ("", ""));
    assert!(untold.said.contains("32768 steps"), "{untold}");
    assert_eq!(schemas.compare_value(Some(&many(9_400, json!("a")))), Ok(()));
}

/// Ten schemas of which each leads to all of the next, and so on: few, and steps without end.
fn fanned(levels: usize, last: Value) -> Value {
    let next = |level: usize| vec![json!({"$ref": format!("#/$defs/d{}", level + 1)}); 10];
    let mut defs: Map<String, Value> =
        (0..levels).map(|level| (format!("d{level}"), json!({"allOf": next(level)}))).collect();
    defs.insert(format!("d{levels}"), last);
    json!({"$ref": "#/$defs/d0", "$defs": defs})
}

#[test]
fn steps_at_one_value_are_few() {
    for last in [json!({"type": "null"}), json!({})] {
        assert_eq!(schemas(json!({"1": fanned(3, last.clone())})).check(), Ok(()));
        let (_, problem) = schemas(json!({"1": fanned(14, last)})).check().expect_err("it takes for ever");
        assert!(problem.contains("more than 16384 steps at one value"), "{problem}");
    }
    let values = |n: u32| json!({"enum": (0..n).collect::<Vec<_>>()});
    assert_eq!(schemas(json!({"1": values(16_000)})).check(), Ok(()));
    assert!(schemas(json!({"1": values(17_000)})).check().is_err());
    // A stored one that is beyond is none that counts.
    assert_eq!(schemas(json!({"1": fanned(14, json!({"type": "null"}))})).compare_value(Some(&json!(1))), Ok(()));
}

#[test]
fn what_would_take_too_many_steps_passes() {
    let wide = json!({"items": {"anyOf": vec![json!({"const": 0}); 4_000]}});
    // Each of the two leads to each value within, at each level.
    let twice =
        json!({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}, "maxProperties": 1});
    let deep = |levels: usize, last: Value| (0..levels).fold(last, |within, _| json!({ "a": within }));
    let slow = json!({"items": {"pattern": "^[ab]*a[ab]{600}c$"}});
    for (schema, few, many) in [
        (&wide, json!(vec![1; 3]), json!(vec![1; 4_095])),
        (&twice, deep(4, json!({"a": 1, "b": 1})), deep(100, json!({"a": 1, "b": 1}))),
        (&slow, json!(["ab"]), json!(vec!["ab".repeat(10_000); 2])),
    ] {
        let schemas = schemas(json!({ "1": schema }));
        assert_eq!(schemas.check(), Ok(()));
        assert!(schemas.compare_value(Some(&few)).is_err(), "{few}");
        assert!(is_quick(&schemas, &few) && !is_quick(&schemas, &many), "{few}");
        assert_eq!(schemas.compare_value(Some(&many)), Err(CompareError::TakesTooLong));
    }
}

#[test]
fn large_payloads_of_usual_schemas_are_compared() {
    let item = json!({"sku": "a-17", "price": 12.5, "name": "a thing", "tags": ["new", "red"]});
    let properties = json!({
        "sku": {"type": "string", "pattern": "^[a-z]-\\d+$"}, "price": {"type": "number", "minimum": 0},
        "name": {"type": "string", "maxLength": 100}, "tags": {"type": "array", "items": {"enum": ["new", "red", "old"]}},
    });
    let item_schema =
        json!({"type": "object", "required": ["sku"], "properties": properties, "additionalProperties": false});
    let image = json!({"type": "string", "pattern": "^[A-Za-z0-9+/=]*$"});
    let schema = json!({"properties": {"items": {"items": {"$ref": "#/$defs/item"}}, "image": image}, "$defs": {"item": item_schema}});
    let schemas = schemas(json!({ "1": schema }));
    let mut items = vec![item; 10_000];
    let payload =
        |items: &[Value], end: &str| json!({"items": items, "image": format!("{}{end}", "aB3+".repeat(1 << 18))});
    assert_eq!(schemas.compare_value(Some(&payload(&items, ""))), Ok(()));
    assert!(schemas.compare_value(Some(&payload(&items, "!"))).is_err());
    items.push(json!({"sku": "17"}));
    assert!(schemas.compare_value(Some(&payload(&items, ""))).is_err());
}

/// Each of these is more to the validator than it seems.
#[test]
fn what_hides_from_the_count_is_counted() {
    // An index in a pointer.
    let target = json!({"$ref": "#/$defs/l/anyOf/0"});
    let twice = json!({"items": {"allOf": [target, target]}});
    let index = json!({"$ref": "#/$defs/l/anyOf/0", "$defs": {"l": {"anyOf": [twice]}}});
    let nested = (0..100).fold(json!([]), |within, _| json!([within]));
    // Schemas that are `false`, of which each notes a difference.
    let never = json!({"items": {"anyOf": vec![false; 5_000]}});
    // Names that are missing, of which all are noted.
    let names: Vec<_> = (0..15_000).map(|n| n.to_string()).collect();
    let missing = json!({"items": {"dependencies": {"a": names}}});
    let texts: Vec<_> = (0..4_000).map(|n| format!("n{n}")).collect();
    let of_names =
        json!({"allOf": vec![json!({"propertyNames": {"$ref": "#/$defs/p"}}); 3_000], "$defs": {"p": {"enum": texts}}});
    let several: Map<String, Value> = (0..3).map(|n| (format!("n{n}"), json!(1))).collect();
    for (schema, payload) in [
        (index, nested),
        (never, json!(vec![0; 4_000])),
        (missing, json!(vec![json!({"a": 1}); 2_000])),
        (of_names, Value::Object(several)),
        (json!({"uniqueItems": true}), Value::Array(bracketed(9))),
    ] {
        let schemas = schemas(json!({ "1": schema }));
        assert_eq!(schemas.check(), Ok(()));
        assert_eq!(schemas.compare_value(Some(&payload)), Err(CompareError::TakesTooLong), "{schemas:.200?}");
        assert!(!is_quick(&schemas, &payload));
    }
    let unique = schemas(json!({"1": {"uniqueItems": true}}));
    let mut many: Vec<_> = (0..20_000).map(|n| json!({"id": n, "tags": [n, [n]]})).collect();
    assert_eq!(unique.compare_value(Some(&json!(many))), Ok(()));
    many.push(many[0].clone());
    assert!(unique.compare_value(Some(&json!(many))).is_err());
}

/// All lists of nothing but lists, with so many in all.
fn bracketed(brackets: usize) -> Vec<Value> {
    let mut by_size: Vec<Vec<Vec<Value>>> = vec![vec![vec![]]];
    for size in 1..=brackets {
        let mut all = vec![];
        for first in 1..=size {
            for (head, rest) in
                by_size[first - 1].iter().flat_map(|head| by_size[size - first].iter().map(move |rest| (head, rest)))
            {
                all.push([&[Value::Array(head.clone())], &rest[..]].concat());
            }
        }
        by_size.push(all);
    }
    by_size.concat().into_iter().map(Value::Array).collect()
}

fn counted(schema: &Value, payload: &Value) -> u64 {
    let (graph, _) = steps::check(schema, "schema:///payload").expect("it is one");
    Work::count(&graph, payload, MAX_STEPS).steps
}

/// Each schema at a value goes through its members, and notes, copies and looks up their names.
#[test]
fn all_that_each_schema_does_is_counted() {
    let name = "n".repeat(1 << 20);
    let long_name = json!({ (name.as_str()): 0 });
    let members = Value::Object((0..48_000).map(|n| (n.to_string(), json!(0))).collect());
    for (schema, payload) in [
        (json!({"allOf": vec![json!({"type": "object"}); 1_500], "unevaluatedProperties": true}), &members),
        (json!({"allOf": vec![true; 1_500], "unevaluatedProperties": true}), &long_name),
        (json!({"allOf": vec![json!({"propertyNames": false}); 500]}), &long_name),
        (json!({"allOf": vec![json!({"properties": {"a": {}}}); 500]}), &long_name),
        (json!({"allOf": vec![json!({"minLength": 1}); 1_500]}), &json!(name)),
    ] {
        let schemas = schemas(json!({ "1": schema }));
        assert_eq!(schemas.check(), Ok(()));
        assert_eq!(schemas.compare_value(Some(payload)), Err(CompareError::TakesTooLong), "{schemas:.100?}");
        assert!(!is_quick(&schemas, payload), "{schemas:.100?}");
    }
    let some = 1 << 14;
    let a_name = json!({ (name.get(..some).unwrap_or_default()): 0 });
    assert_eq!(counted(&json!({}), &a_name), 1 + 256);
    assert_eq!(counted(&json!({"propertyNames": {}}), &a_name), 1 + 256 + 256 + 1 + 16);
    assert_eq!(counted(&json!({"allOf": [{}, {}]}), &a_name), 3 * (1 + 256));
    assert_eq!(counted(&json!({"allOf": [{}, {}]}), &json!(name.get(..some))), 3 * (1 + 16));
    assert_eq!(counted(&json!({"allOf": [{}, {}]}), &json!(vec![0; 100])), 3 * (1 + 50));
    assert_eq!(counted(&json!({"unevaluatedProperties": false}), &json!({"a": 0, "b": 0})), 1 + 1 + 2);
}

#[test]
fn what_takes_few_steps_waits_for_nobody() {
    let schemas = schemas(json!({"1": {"type": "object"}}));
    let payload = json!({"a": vec![0; 5_000]});
    assert_eq!(schemas.compare_value(Some(&payload)), Ok(()), "it is compiled");
    let (said, hears) = std::sync::mpsc::channel();
    let one = compiled::LARGE.lock().expect("nobody has panicked");
    std::thread::spawn(move || said.send(schemas.compare_value_at_once(Some(&payload))));
    let compared = hears.recv_timeout(std::time::Duration::from_secs(60));
    drop(one);
    assert_eq!(compared, Ok(Some(Ok(()))));
}

/// With each difference the validator notes the way to it.
#[test]
fn where_is_not_told_of_many_differences_far_below() {
    let few = json!({"items": {"$ref": "#"}, "anyOf": vec![json!({"type": "array"}); 2]});
    let schemas = schemas(json!({ "1": few }));
    let deep = |levels: usize, numbers: usize| (1..levels).fold(json!(vec![0; numbers]), |within, _| json!([within]));
    assert_eq!(difference(&schemas, &deep(2, 3_500)).pointer, "/0/0");
    let untold = difference(&schemas, &deep(110, 3_500));
    assert!(untold.pointer.is_empty() && untold.said.contains("levels"), "{untold}");
    assert!(is_quick(&schemas, &deep(110, 3_500)));
    assert_eq!(difference(&schemas, &deep(110, 100)).pointer.len(), 220);
}
