//! An example of an event, out of the schema of its type.

use serde_json::{Value, json};

/// What is sent where the event type says nothing of its payload.
pub(crate) fn plain() -> Value {
    json!({ "example": true })
}

/// An example of a payload by an event type's schema: one that the schema brings
/// along, `index` choosing among several, else one made by its types. `None` if the
/// schema has `examples`, but not so many.
pub(crate) fn of_schema(schema: Option<&Value>, index: usize) -> Option<Value> {
    let Some(schema) = schema else { return Some(plain()) };
    let example = match schema.get("examples").and_then(Value::as_array) {
        Some(examples) if !examples.is_empty() => examples.get(index)?.clone(),
        _ => schema.get("example").cloned().unwrap_or_else(|| made(schema)),
    };
    Some(if example.is_object() { example } else { plain() })
}

/// A value of the schema's type. References are not followed, so it is no larger
/// than the schema.
fn made(schema: &Value) -> Value {
    let get = |name| schema.get(name);
    let given = ["const", "default", "example"].into_iter().find_map(get);
    let first = |name| get(name).and_then(Value::as_array).and_then(|values| values.first());
    if let Some(value) = given.or_else(|| first("examples")).or_else(|| first("enum")) {
        return value.clone();
    }
    if let Some(choice) = ["oneOf", "anyOf", "allOf"].into_iter().find_map(first) {
        return made(choice);
    }
    let kind = get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("string") => Value::from(text(get("format").and_then(Value::as_str))),
        Some("integer" | "number") => get("minimum").cloned().unwrap_or_else(|| json!(0)),
        Some("boolean") => json!(true),
        Some("array") => Value::Array(get("items").map(made).into_iter().collect()),
        Some("null") => Value::Null,
        // Whoever leaves the type out means an object, most of the time.
        _ => match get("properties").and_then(Value::as_object) {
            Some(properties) => properties.iter().map(|(name, schema)| (name.clone(), made(schema))).collect(),
            None if kind == Some("object") => json!({}),
            None => Value::Null,
        },
    }
}

fn text(format: Option<&str>) -> &'static str {
    match format {
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("date") => "2026-01-31",
        Some("time") => "12:00:00Z",
        Some("email") => "somebody@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("uuid") => "123e4567-e89b-42d3-a456-426614174000",
        Some("hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_of_the_schema_comes_first() {
        let schema = json!({ "example": { "n": 10 } });
        assert_eq!(of_schema(Some(&schema), 7), Some(json!({ "n": 10 })));
        let schema = json!({ "examples": [{ "n": 2 }, { "n": 3 }], "example": { "n": 4 } });
        assert_eq!(of_schema(Some(&schema), 1), Some(json!({ "n": 3 })));
        assert_eq!(of_schema(Some(&schema), 2), None);
    }

    #[test]
    fn without_one_it_is_made_by_the_types() {
        let schema = json!({ "type": "object", "properties": {
            "id": { "type": "string" }, "at": { "type": ["string", "null"], "format": "date-time" },
            "total": { "type": "integer", "minimum": 5 }, "paid": { "type": "boolean" },
            "state": { "enum": ["open", "done"] }, "kind": { "const": "order" }, "any": {},
            "lines": { "type": "array", "items": { "properties": { "sku": { "example": "a-1" } } } },
            "to": { "anyOf": [{ "type": "string", "format": "email" }, { "type": "null" }] },
        } });
        let expected = json!({
            "id": "text", "at": "2026-01-31T12:00:00Z", "total": 5, "paid": true, "state": "open", "kind": "order",
            "any": null, "lines": [{ "sku": "a-1" }], "to": "somebody@example.com",
        });
        assert_eq!(of_schema(Some(&schema), 0), Some(expected));
    }

    #[test]
    fn it_is_always_an_object() {
        for schema in [json!({}), json!(true), json!({ "type": "string" }), json!({ "example": [1] })] {
            assert_eq!(of_schema(Some(&schema), 0), Some(plain()), "{schema}");
        }
        assert_eq!(of_schema(None, 3), Some(plain()));
    }
}
