//! Values that a description does not allow.

use serde_json::{Map, Value, json};

use super::document::Schema;

/// Stands in a value for bytes that are not UTF-8.
const NOT_UTF8: &str = "NOT-UTF-8";
const BYTES_THAT_ARE_NOT_UTF8: &[u8] = b"\xf0\x28\x8c\x28";
/// Longer than any text that has no limit of its own may be, because the whole
/// that it belongs to has one.
pub(super) const VERY_LONG: usize = 5_000;

/// A value, and what is wrong with it.
pub(super) struct Bad {
    pub(super) why: String,
    pub(super) value: Value,
    /// Names of fields within the value that lead to what is wrong.
    pub(super) within: Vec<String>,
}

fn bad(why: impl Into<String>, value: Value) -> Bad {
    Bad { why: why.into(), value, within: vec![] }
}

/// The body as bytes, with what no JSON value can hold.
pub(super) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    let mut parts = text.split(NOT_UTF8);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(BYTES_THAT_ARE_NOT_UTF8);
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// Every kind of value that is not allowed in a body.
pub(super) fn bad_in_body(schema: &Schema) -> Vec<Bad> {
    let mut all = wrong_types(schema);
    all.push(bad("not UTF-8", json!(NOT_UTF8)));
    if !schema.nullable {
        all.push(bad("null", Value::Null));
    }
    match schema.kind.as_str() {
        "string" => all.extend(bad_texts(schema).into_iter().map(|(why, text)| bad(why, json!(text)))),
        "integer" => all.extend(bad_numbers(schema).into_iter().map(|(why, number)| bad(why, number))),
        "array" => all.extend(bad_lists(schema)),
        "object" => all.extend(bad_objects(schema)),
        _ => {}
    }
    all
}

fn wrong_types(schema: &Schema) -> Vec<Bad> {
    let others = [
        ("string", json!("x")),
        ("integer", json!(17)),
        ("number", json!(1.5)),
        ("boolean", json!(true)),
        ("array", json!([17])),
        ("object", json!({ "x": [] })),
    ];
    let others = others.into_iter().filter(|(kind, _)| *kind != schema.kind);
    let mut all: Vec<Bad> = others.map(|(kind, value)| bad(format!("a {kind}"), value)).collect();
    if schema.kind == "object" {
        // What its fields may be, without their names.
        all.push(bad("an array of values", good_fields(schema).into_iter().map(|(_, value)| value).collect()));
    }
    all
}

/// Texts that are not allowed, for a body or a parameter.
pub(super) fn bad_texts(schema: &Schema) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if let Some(max) = schema.number("maxLength") {
        all.push(("too long", "a".repeat(usize::try_from(max).expect("a length") + 1)));
    }
    if schema.number("minLength").is_some_and(|min| min > 0) || schema.rules["format"].is_string() {
        all.push(("empty", String::new()));
    }
    if schema.rules["pattern"].is_string() || schema.rules["format"].is_string() {
        all.push(("of another form", "a b\u{7}".to_owned()));
    }
    if schema.rules["enum"].is_array() {
        all.push(("unknown", "nonsense".to_owned()));
        all.push(("empty", String::new()));
    }
    all
}

fn bad_numbers(schema: &Schema) -> Vec<(&'static str, Value)> {
    let mut all = vec![("huge", json!(1e300)), ("a fraction", json!(1.5))];
    all.extend(schema.number("minimum").map(|min| ("too small", json!(min - 1))));
    all.extend(schema.number("maximum").map(|max| ("too large", json!(max + 1))));
    if schema.rules["enum"].is_array() {
        all.push(("unknown", json!(12_345)));
    }
    all
}

fn bad_lists(schema: &Schema) -> Vec<Bad> {
    let mut all = Vec::new();
    if schema.number("minItems").is_some_and(|min| min > 0) {
        all.push(bad("empty", json!([])));
    }
    if let Some(max) = schema.number("maxItems") {
        all.push(bad("too many", (0..=max).map(|n| json!(format!("a{n}"))).collect()));
    }
    let member = schema.member("items").expect("lists have members");
    let is_object = member.kind == "object";
    all.extend(bad_in_body(&member).into_iter().map(|found| Bad {
        why: format!("with a member that is {}", found.why),
        value: json!([found.value]),
        // The members that are texts are named by the message.
        within: if is_object { std::iter::once("0".to_owned()).chain(found.within).collect() } else { vec![] },
    }));
    all
}

fn bad_objects(schema: &Schema) -> Vec<Bad> {
    let mut all = Vec::new();
    if let Some(values) = schema.member("additionalProperties") {
        let members = bad_in_body(&values);
        all.extend(
            members
                .into_iter()
                .map(|member| bad(format!("with a value that is {}", member.why), json!({ "x-a": member.value }))),
        );
        if values.kind == "string" {
            all.push(bad("too long", json!({ "x-a": "x".repeat(VERY_LONG) })));
            all.push(bad("with a name that is too long", json!({ "x".repeat(VERY_LONG): "x" })));
        }
    }
    for (name, field) in schema.fields() {
        all.extend(bad_in_body(&field).into_iter().map(|found| within(schema, &name, found)));
    }
    if schema.rules["additionalProperties"] == false {
        let mut fields = good_fields(schema);
        fields.insert("nonsense".to_owned(), json!(1));
        all.push(Bad {
            why: "an unknown field".to_owned(),
            value: Value::Object(fields),
            within: vec!["nonsense".to_owned()],
        });
    }
    for name in schema.required() {
        let mut fields = good_fields(schema);
        fields.remove(&name);
        all.push(Bad { why: format!("without {name}"), value: Value::Object(fields), within: vec![name] });
    }
    all
}

/// An object in which one field is wrong.
fn within(schema: &Schema, name: &str, found: Bad) -> Bad {
    let mut fields = good_fields(schema);
    fields.insert(name.to_owned(), found.value);
    let names = std::iter::once(name.to_owned()).chain(found.within).collect();
    Bad { why: format!("{name} {}", found.why), value: Value::Object(fields), within: names }
}

fn good_fields(schema: &Schema) -> Map<String, Value> {
    schema.good().as_object().cloned().unwrap_or_default()
}

/// What is not allowed in the query, percent-encoded.
pub(super) fn bad_in_query(schema: &Schema) -> Vec<(&'static str, String)> {
    let mut all = vec![("not UTF-8", "%f0%28%8c%28".to_owned())];
    match schema.kind.as_str() {
        "string" => all.extend(encoded(bad_texts(schema))),
        "array" => all.extend(encoded(bad_texts(&schema.member("items").expect("lists have members")))),
        "integer" => {
            all.extend([("empty", String::new()), ("no number", "x".to_owned())]);
            all.extend(bad_numbers(schema).into_iter().map(|(why, number)| (why, number.to_string())));
        }
        _ => all.extend([("empty", String::new()), ("no boolean", "maybe".to_owned())]),
    }
    all
}

fn encoded(texts: Vec<(&'static str, String)>) -> impl Iterator<Item = (&'static str, String)> {
    texts.into_iter().map(|(why, text)| (why, url::form_urlencoded::byte_serialize(text.as_bytes()).collect()))
}
