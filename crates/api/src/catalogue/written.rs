//! An event type as a webhook of a document.

use postrider_model::event_type::EventType;
use serde_json::{Map, Value, json};

use super::{ADDRESS, EXTENSION};

/// The path item of an event type.
pub(super) fn webhook(event_type: &EventType) -> Value {
    let fields = &event_type.fields;
    let mut operation = Map::new();
    let mut more = Map::new();
    let mut put = |name: &str, value: Value| drop(operation.insert(name.to_owned(), value));
    put("operationId", json!(event_type.name));
    put("description", json!(fields.description));
    put("responses", json!({ "2XX": { "description": "The event was taken in" } }));
    if fields.deprecated {
        put("deprecated", json!(true));
    }
    if let Some(group) = &fields.group_name {
        put("tags", json!([group]));
    }
    if let Some((version, schema)) = fields.schemas.as_ref().and_then(|schemas| schemas.newest()) {
        let schema = standing_alone(&event_type.name, version, schema);
        put("requestBody", json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        more.insert("version".into(), json!(version));
        let mut others = fields.schemas.as_ref().map(|schemas| schemas.versions().clone()).unwrap_or_default();
        others.remove(version);
        if !others.is_empty() {
            more.insert("schemas".into(), others.into());
        }
    }
    if !fields.feature_flags.is_empty() {
        more.insert("featureFlags".into(), json!(fields.feature_flags));
    }
    if let Some(validation) = fields.validation {
        more.insert("validation".into(), json!(validation));
    }
    if !more.is_empty() {
        put(EXTENSION, more.into());
    }
    json!({ "post": operation })
}

/// With an address of its own, a schema's references lead into itself and not into the document.
fn standing_alone(name: &str, version: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    let has_references = refers(&schema);
    if let Some(members) = schema.as_object_mut().filter(|members| has_references && !members.contains_key("$id")) {
        members.insert("$id".into(), format!("{ADDRESS}{name}:{version}").into());
    }
    schema
}

fn refers(part: &Value) -> bool {
    match part {
        Value::Array(members) => members.iter().any(refers),
        Value::Object(members) => {
            ["$ref", "$dynamicRef"].iter().any(|name| members.contains_key(*name)) || members.values().any(refers)
        }
        _ => false,
    }
}
