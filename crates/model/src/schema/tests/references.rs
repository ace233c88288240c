use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn references_that_lead_in_a_circle_end() {
    let tree = schemas(json!({"1": {"properties": {"child": {"$ref": "#"}, "n": {"type": "number"}}}}));
    assert_eq!(tree.check(), Ok(()));
    assert_eq!(tree.compare_value(Some(&json!({"child": {"child": {"n": 1}}}))), Ok(()));
    let mismatch = difference(&tree, &json!({"child": {"child": {"n": "1"}}}));
    assert_eq!(mismatch.pointer, "/child/child/n");
    let nowhere = schemas(json!({"1": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}}));
    assert!(nowhere.check().is_err() || nowhere.compare_value(Some(&json!(1))).is_err());
}

#[test]
fn schemas_are_few_and_references_lead_somewhere() {
    let many = schemas(json!({"1": {"prefixItems": vec![json!({}); 8_200]}}));
    assert!(many.check().is_err_and(|(_, problem)| problem.contains("more than 8192 schemas")));
    let chain: Vec<_> = (1..1_500).map(|n| json!({"$ref": format!("#/allOf/{n}")})).chain([json!({})]).collect();
    let chain = schemas(json!({"1": {"allOf": chain}}));
    assert!(chain.check().is_err_and(|(_, problem)| problem.contains("follow each other")));
    let nowhere = schemas(json!({"1": {"$ref": "#/$defs/a", "$defs": {}}}));
    assert!(nowhere.check().is_err_and(|(_, problem)| problem.contains("/$defs/a")));
}

fn refused(schema: Value) -> String {
    let (version, problem) = schemas(json!({ "1": schema })).check().expect_err("it is refused");
    assert!(version.is_some(), "{problem}");
    problem
}

/// Of references with the addresses that schemas have, what is found here is what the validator compares with.
#[test]
fn references_are_relative_to_where_they_stand() {
    let bundle = |id: &str, reference: &str| {
        json!({
            "$id": id, "properties": {"a": {"$ref": reference}},
            "$defs": {
                "item": {"$id": "item", "const": "item", "$defs": {
                    "price": {"$anchor": "price", "const": "price"},
                    "unit": {"$id": "/units/unit", "const": "unit", "$defs": {"kg": {"const": "kg"}}},
                }},
                "far": {"$id": "https://other.example/far", "const": "far", "$defs": {"a/b": {"$id": "near", "const": "near"}}},
                "plain": {"const": "plain"},
            },
        })
    };
    for (id, reference, expected) in [
        ("https://e.com/s/order", "item", "item"),
        ("https://e.com/s/order", "./item", "item"),
        ("https://e.com/s/order", "/s/item", "item"),
        ("https://e.com/s/order#", "https://e.com/s/item#", "item"),
        ("order", "item", "item"),
        ("order.json", "item#price", "price"),
        ("https://e.com/s/order", "#/$defs/plain", "plain"),
        ("https://e.com/s/order", "order#/$defs/plain", "plain"),
        ("https://e.com/s/order", "item#/$defs/price", "price"),
        ("https://e.com/s/order", "#/$defs/item/$defs/price", "price"),
        ("https://e.com/s/order", "/units/unit#/$defs/kg", "kg"),
        ("https://e.com/s/order", "https://other.example/near", "near"),
        ("https://e.com/s/order", "#/$defs/far/$defs/a~1b", "near"),
        ("https://e.com/s/order", "#/%24defs/f%61r", "far"),
    ] {
        let schema = bundle(id, reference);
        let (_, mut places) = steps::check(&schema, "schema:///payload").expect(reference);
        let found = places.follow(&schema["properties"]["a"], "$ref", reference).expect(reference);
        assert_eq!(found["const"], expected, "{reference}");
        let schemas = schemas(json!({ "1": schema }));
        assert_eq!(schemas.check(), Ok(()), "{reference}");
        assert_eq!(schemas.compare_value(Some(&json!({"a": expected}))), Ok(()), "{reference}");
        assert!(schemas.compare_value(Some(&json!({"a": "other"}))).is_err(), "{reference}");
    }
    for reference in ["unit", "#price", "near", "#/$defs/gone", "item#gone", "https://e.com/item", "%ff#%ff"] {
        let problem = refused(bundle("https://e.com/s/order", reference));
        assert!(problem.contains("at \"/properties/a/$ref\": has a reference that cannot be followed"), "{problem}");
    }
}

#[test]
fn usual_bundles_are_accepted() {
    let order = json!({"type": "object", "properties": {"items": {"items": {"$ref": "#/components/schemas/Item"}}}});
    let item =
        json!({"type": "object", "required": ["sku"], "properties": {"enum": {"$ref": "#/components/schemas/Order"}}});
    for (schema, good, bad) in [
        (json!({"$ref": "item", "$defs": {"item": {"$id": "item", "type": "string"}}}), json!("a"), json!(1)),
        (
            json!({"allOf": [{"$ref": "item"}], "$defs": {"item": {"$id": "item", "type": "string"}}}),
            json!("a"),
            json!(1),
        ),
        (
            json!({"$id": "urn:example:order", "$ref": "urn:example:item", "$defs": {"i": {"$id": "urn:example:item", "type": "string"}}}),
            json!("a"),
            json!(1),
        ),
        (
            json!({"$ref": "#/components/schemas/Order", "components": {"schemas": {"Order": order, "Item": item}}}),
            json!({"items": [{"sku": 1}]}),
            json!({"items": [{"sku": 1, "enum": {"items": [{}]}}]}),
        ),
        (json!({"$dynamicRef": "#t", "$defs": {"t": {"$dynamicAnchor": "t", "type": "string"}}}), json!("a"), json!(1)),
        (
            json!({"properties": {"$id": {"type": "string"}, "$ref": {"type": "string"}}}),
            json!({"$ref": "a"}),
            json!({"$id": 1}),
        ),
    ] {
        let schemas = schemas(json!({ "1": schema }));
        assert_eq!(schemas.check(), Ok(()), "{schemas:?}");
        assert_eq!(schemas.compare_value(Some(&good)), Ok(()), "{schemas:?}");
        assert!(schemas.compare_value(Some(&bad)).is_err(), "{schemas:?}");
    }
}

/// The validator compiles what has two pointers twice.
#[test]
fn an_index_is_written_in_one_way() {
    for index in ["+0", "00", "000"] {
        let schema =
            json!({"$defs": {"l": {"anyOf": [{}]}}, "properties": {"p": {"$ref": format!("#/$defs/l/anyOf/{index}")}}});
        let problem = refused(schema.clone());
        assert!(problem.contains("at \"/properties/p/$ref\"") && problem.contains("no index"), "{problem}");
        assert_eq!(schemas(json!({ "1": schema })).compare_value(Some(&json!({"p": 1}))), Ok(()), "one that is stored");
    }
}

/// The validator has the drafts' own schemas, which are many, and looks for an `$id` only where schemas stand.
#[test]
fn an_id_where_no_schema_stands_is_none() {
    const DRAFT_7: &str = "http://json-schema.org/draft-07/schema";
    for keyword in ["default", "const", "x"] {
        let problem = refused(json!({keyword: {"$id": DRAFT_7}, "properties": {"a": {"$ref": DRAFT_7}}}));
        assert!(problem.contains("is not a part of the schema"), "{problem}");
    }
    assert!(refused(json!({"$ref": "https://json-schema.org/draft/2020-12/schema"})).contains("is not a part"));
    for keyword in ["$id", "$anchor", "$dynamicAnchor"] {
        let problem = refused(json!({"$ref": "#/x", "x": {"items": {keyword: "a"}}}));
        assert!(problem.contains(&format!("has an `{keyword}` and stands where none counts")), "{problem}");
    }
}

/// The validator checks each of these with all that lies within it.
#[test]
fn references_to_where_no_schemas_stand_are_few() {
    let nested = |levels: usize| {
        (0..levels).fold(json!({"allOf": vec![json!({}); 4_000]}), |within, _| json!({"items": within}))
    };
    let patterns = |levels: usize| {
        let patterns: Vec<_> = (0..60).map(|n| json!({"pattern": format!("^a{n}$")})).collect();
        (0..levels).fold(json!({"allOf": patterns}), |within, _| json!({"items": within}))
    };
    for x in [nested(50), patterns(50)] {
        let problem = refused(json!({"$ref": "#/x", "x": x}));
        assert!(problem.contains("more than 131072 values where no schemas stand"), "{problem}");
    }
    assert_eq!(
        schemas(json!({"1": {"$ref": "#/components/schemas/x", "components": {"schemas": {"x": patterns(8)}}}}))
            .check(),
        Ok(())
    );
    for schema in [json!({"$ref": "#/x", "x": nested(10)}), json!({"$ref": "#/$defs/x", "$defs": {"x": nested(50)}})] {
        assert_eq!(schemas(json!({ "1": schema })).check(), Ok(()));
    }
}

/// The validator keeps the pointer to each schema, and the address of each with an `$id`.
#[test]
fn what_schemas_are_known_by_is_short() {
    let properties: Map<String, Value> = (0..4_000).map(|n| (n.to_string(), json!({}))).collect();
    let around = |name: String| json!({"properties": {name: {"properties": properties}}});
    assert_eq!(schemas(json!({"1": around("n".repeat(900))})).check(), Ok(()));
    let problem = refused(around("n".repeat(2_000)));
    assert!(problem.contains("more than 4194304 bytes"), "{problem}");
    let problem = refused(json!({"items": {"$id": "a".repeat(2_100)}}));
    assert!(problem.contains("at \"/items/$id\": has more than 2048 characters"), "{problem}");
    let many = |n: usize| json!({"allOf": (0..n).map(|n| json!({"$id": format!("s{n}")})).collect::<Vec<_>>()});
    assert_eq!(schemas(json!({"1": many(1_023)})).check(), Ok(()));
    assert!(refused(many(1_024)).contains("more than 1024 schemas with an `$id`"));
}

fn with_addresses() -> impl Strategy<Value = Value> {
    let address =
        prop_oneof![Just("a"), Just("b"), Just("/x/a"), Just("https://e.com/s/"), Just("urn:x:a"), Just("a#")];
    let reference = prop_oneof![
        Just("#"),
        Just("#p"),
        Just("#/$defs/k"),
        Just("#/properties/l/$defs/k"),
        Just("#/allOf/0"),
        Just("a"),
        Just("a#p"),
        Just("b#/$defs/k"),
        Just("/x/a"),
        Just("../x/a#/properties/l"),
        Just("https://e.com/s/a"),
        Just("urn:x:a"),
        Just("schema:///payload"),
        Just("#/x"),
        Just("#/x/items"),
    ];
    let alone = (
        proptest::option::weighted(0.3, address),
        proptest::option::weighted(0.2, 0..2_usize),
        proptest::option::of(reference),
    );
    let alone = alone.prop_map(|(id, anchor, reference)| {
        let mut members = Map::new();
        members.extend(id.map(|id| ("$id".to_owned(), json!(id))));
        members.extend(anchor.map(|kind| (["$anchor", "$dynamicAnchor"][kind].to_owned(), json!("p"))));
        let keyword = if reference.is_some_and(|text| text.ends_with('p')) { "$dynamicRef" } else { "$ref" };
        // Within another value nothing leads in a circle.
        members.extend(reference.map(|text| ("properties".to_owned(), json!({"r": {keyword: text}}))));
        Value::Object(members)
    });
    let places = prop_oneof![
        Just("/$defs/k"),
        Just("/properties/l"),
        Just("/allOf/0"),
        Just("/items"),
        Just("/x"),
        Just("/not")
    ];
    alone.prop_recursive(4, 12, 3, move |inner| {
        (inner.clone(), proptest::collection::vec((places.clone(), inner), 1..4)).prop_map(|(mut schema, parts)| {
            for (place, part) in parts {
                match place.split('/').collect::<Vec<_>>()[..] {
                    [_, keyword, "0"] => schema[keyword] = json!([part]),
                    [_, keyword, name] => schema[keyword][name] = part,
                    [_, keyword] => schema[keyword] = part,
                    _ => {}
                }
            }
            schema
        })
    })
}

/// To all schemas within one, also those that nothing refers to.
fn pointers(schema: &Value, pointer: String) -> Vec<String> {
    let within = parts::parts(schema).into_iter().flat_map(|part| pointers(part.schema, part.pointer(&pointer)));
    within.chain([pointer.clone()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What the validator compiles is accepted, and the other way round.
    #[test]
    fn references_lead_where_the_validator_finds_them(schema in with_addresses()) {
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.add_resource("schema:///payload", schema.clone()).expect("an address");
        let mut all = boon::Schemas::new();
        let mut compile = |pointer: String| match compiler.compile(&format!("schema:///payload#{pointer}"), &mut all) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        let compiled = pointers(&schema, String::new()).into_iter().try_for_each(&mut compile);
        match (steps::check(&schema, "schema:///payload"), compiled) {
            (Ok((graph, _)), compiled) => {
                prop_assert!(compiled.is_err() || all.size() <= graph.nodes.len());
                if let Err(told) = compiled {
                    prop_assert!(told.contains("duplicate"), "{told} {schema}");
                }
            }
            (Err(problem), compiled) => {
                // Whether the validator has come to an address there before a reference to it is a matter of chance.
                let is_stray = problem.contains("stands where none counts")
                    || problem.contains("cannot be followed") && schema.to_string().contains(r#""x":"#);
                prop_assert!(compiled.is_err() || is_stray || problem.contains("in a circle"), "{problem} {schema}");
            }
        }
    }
}
