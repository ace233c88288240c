//! What a document says of an event type.

use std::collections::BTreeSet;

use postrider_model::event_type::{EventTypeFields, Validation};
use postrider_model::schema::{self, Schemas};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::references::Budget;
use super::{EXTENSION, MAX_WEBHOOKS, references};
use crate::input::Problems;

/// An event type as a document describes it. What it does not say stays as it is.
pub(super) struct Described {
    pub(super) name: String,
    description: Option<String>,
    deprecated: bool,
    group_name: Option<String>,
    schema: Option<Value>,
    /// It has a body, and no schema in JSON of it.
    pub(super) lacks_schema: bool,
    more: More,
}

/// What OpenAPI has no words for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct More {
    /// The version of the schema.
    version: Option<String>,
    /// The other versions.
    schemas: Map<String, Value>,
    feature_flags: Option<BTreeSet<String>>,
    validation: Option<Validation>,
}

impl Described {
    /// The fields of an event type after it is imported.
    pub(super) fn onto(self, mut fields: EventTypeFields) -> EventTypeFields {
        fields.archived = false;
        fields.deprecated = self.deprecated;
        fields.description = self.description.unwrap_or(fields.description);
        fields.group_name = self.group_name.or(fields.group_name);
        fields.feature_flags = self.more.feature_flags.unwrap_or(fields.feature_flags);
        fields.validation = self.more.validation.or(fields.validation);
        if let Some(schema) = self.schema {
            let present = fields.schemas.take().unwrap_or_default();
            let mut versions = present.versions().clone();
            match self.more.version {
                Some(version) => {
                    versions = self.more.schemas;
                    versions.insert(version, schema);
                }
                None if present.newest().is_some_and(|(_, newest)| *newest == schema) => {}
                None => drop(versions.insert(present.next_version(), schema)),
            }
            // What is compiled stays where nothing has changed.
            fields.schemas = Some(if versions == *present.versions() { present } else { Schemas::new(versions) });
        }
        fields
    }
}

/// Each webhook of a document, with what is wrong noted.
pub(super) fn all(document: &Map<String, Value>, problems: &mut Problems) -> Vec<Described> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.1.") {
        let what = "must be the version of an OpenAPI 3.1 document, such as `3.1.0`";
        problems.note(&["spec", "openapi"], what, "value_error");
        return vec![];
    }
    let Some(webhooks) = document.get("webhooks").and_then(Value::as_object) else {
        problems.note(&["spec", "webhooks"], "must be an object", "type_error.dict");
        return vec![];
    };
    if webhooks.len() > MAX_WEBHOOKS {
        let what = format!("has {} members, at most {MAX_WEBHOOKS} are allowed", webhooks.len());
        problems.note(&["spec", "webhooks"], what, "value_error");
        return vec![];
    }
    let mut budget = Budget::default();
    let described = webhooks.iter().filter_map(|(name, item)| match one(document, name, item, &mut budget) {
        Ok(described) => Some(described),
        Err((place, what)) => {
            let mut names = vec!["spec", "webhooks", name.as_str()];
            names.extend(place);
            problems.note(&names, what, "value_error");
            None
        }
    });
    described.collect()
}

/// Where in a webhook something is wrong, and what.
type Wrong = (Vec<&'static str>, String);

fn one(document: &Map<String, Value>, name: &str, item: &Value, budget: &mut Budget) -> Result<Described, Wrong> {
    let wrong = |place: &[&'static str]| {
        let place = place.to_vec();
        move |what: String| (place, what)
    };
    let item = references::followed(document, item).map_err(wrong(&[]))?;
    let operation = item.get("post").filter(|operation| operation.is_object());
    let operation = operation.ok_or_else(|| (vec!["post"], "must be an object: a webhook is a `POST`".to_owned()))?;
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let description = text(operation, "description").or_else(|| text(operation, "summary"));
    let description = description.or_else(|| text(item, "description")).or_else(|| text(item, "summary"));
    let group_name = operation.get("tags").and_then(|tags| tags.get(0)?.as_str().map(str::to_owned));
    let body = match operation.get("requestBody") {
        Some(body) => Some(references::followed(document, body).map_err(wrong(&["post", "requestBody"]))?),
        None => None,
    };
    let content = body.and_then(|body| body.get("content")?.as_object());
    let schema = content.and_then(|content| in_json(content)?.get("schema"));
    let lacks_schema = schema.is_none() && content.is_some_and(|content| !content.is_empty());
    let place = ["post", "requestBody", "content", "application/json", "schema"];
    let schema = schema.map(|schema| references::gathered(document, schema, budget)).transpose();
    let schema = schema.map_err(wrong(&place))?.map(as_object);
    let mut more = match operation.get(EXTENSION) {
        Some(more) => budget
            .take(more, &mut { schema::MAX_BYTES })
            .map_err(wrong(&["post", EXTENSION]))
            .and_then(|()| More::deserialize(more).map_err(|error| (vec!["post", EXTENSION], error.to_string())))?,
        None => More::default(),
    };
    more.schemas.values_mut().for_each(|schema| *schema = as_object(schema.take()));
    Ok(Described {
        name: name.to_owned(),
        description,
        deprecated: operation.get("deprecated").and_then(Value::as_bool).unwrap_or_default(),
        group_name,
        schema,
        lacks_schema,
        more,
    })
}

/// A schema may be `true` or `false` in a document; everywhere else it is an object that says the same.
fn as_object(schema: Value) -> Value {
    match schema {
        Value::Bool(true) => json!({}),
        Value::Bool(false) => json!({ "not": {} }),
        other => other,
    }
}

/// What is said of a body as JSON, whatever parameters its type has, such as `charset`.
fn in_json(content: &Map<String, Value>) -> Option<&Value> {
    const JSON: &str = "application/json";
    let is_json = |name: &str| name.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(JSON));
    let other = || content.iter().find(|(name, _)| is_json(name)).map(|(_, said)| said);
    content.get(JSON).or_else(other)
}
