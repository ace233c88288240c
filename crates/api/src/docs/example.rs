//! A command line that calls an operation.

use serde_json::{Map, Value, json};

use super::document::{Document, Kind, Operation, list};
use super::text;

/// Calls it by `curl`, with what must be there and what has an example.
pub(super) fn curl(document: &Document<'_>, operation: &Operation<'_>) -> String {
    let mut path = operation.path.to_owned();
    for parameter in list(&operation.about["parameters"]).filter(|parameter| parameter["in"] == "path") {
        path = path.replace(&format!("{{{}}}", text(&parameter["name"])), text(&parameter["example"]));
    }
    let method = match (operation.method.as_str(), operation.body()) {
        ("GET", None) | ("POST", Some(_)) => String::new(),
        (method, _) => format!(" -X {method}"),
    };
    let mut lines = vec![format!("curl{method} \"$B{path}\"")];
    if operation.needs_token() {
        lines.push("-H \"authorization: Bearer $TOKEN\"".to_owned());
    }
    if let Some(body) = operation.body() {
        lines.push("-H 'content-type: application/json'".to_owned());
        lines.push(format!("-d '{}'", object(document, body)));
    }
    lines.join(" \\\n    ")
}

fn object<'a>(document: &Document<'a>, schema: &'a Value) -> Value {
    let fields = document.fields(schema).into_iter();
    let shown = fields.filter(|field| field.is_required || given(&field.kind).is_some());
    Value::Object(shown.map(|field| (field.name.to_owned(), value(document, &field.kind))).collect::<Map<_, _>>())
}

/// An example that the document gives.
fn given<'a>(kind: &Kind<'a>) -> Option<&'a Value> {
    kind.schema.get("example").or_else(|| kind.schema["examples"].get(0))
}

fn value(document: &Document<'_>, kind: &Kind<'_>) -> Value {
    if let Some(example) = given(kind) {
        return example.clone();
    }
    let member = || kind.member.as_ref().map(|member| value(document, member));
    match (kind.name(), kind.schema["format"].as_str()) {
        ("string", Some("date-time")) => json!("2026-01-31T12:00:00Z"),
        ("string", _) => kind.schema["enum"].get(0).cloned().unwrap_or_else(|| json!("text")),
        ("integer" | "number", _) => kind.schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        ("boolean", _) => json!(true),
        ("array", _) => member().into_iter().collect(),
        _ if kind.member.is_some() => json!({ "name": member() }),
        _ => object(document, kind.schema),
    }
}
