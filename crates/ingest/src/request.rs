//! One line becomes one message. The payload stays where it was read to.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use postrider_model::id::OrgId;
use postrider_model::json;
use postrider_model::message::NewMessage;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::answer::{Refusal, code};
use crate::peer::Access;

/// What a recipient assumes of a body without a content type (RFC 9110, 8.3).
const OCTET_STREAM: &str = "application/octet-stream";

/// What holds for all lines of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The tenant that the socket speaks for.
    pub(crate) org: OrgId,
    pub(crate) access: Access,
    pub(crate) body_limit_bytes: usize,
}

/// Reads a line. The values of the message's fields are checked where it is
/// accepted; here is checked what only the line knows.
pub(crate) fn parse(line: &Bytes, rules: &Rules) -> Result<NewMessage, Refusal> {
    let text = std::str::from_utf8(line).map_err(|e| Refusal::new(code::INVALID_JSON, e.to_string()))?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|e| Refusal::new(code::INVALID_JSON, e.to_string()))?;
    if let Some(problem) = fields.problem {
        return Err(problem);
    }
    let (body, content_type) = fields.body(line, rules)?;
    Ok(NewMessage {
        org: org(fields.org, rules)?,
        app: required("app", fields.app)?,
        create_app: optional("create_app", fields.create_app)?,
        event_type: required("type", fields.r#type)?,
        body,
        content_type,
        event_id: optional("event_id", fields.event_id)?,
        channels: optional::<BTreeSet<String>>("channels", fields.channels)?.unwrap_or_default(),
        idempotency_key: optional("key", fields.key)?,
        order_key: optional("order_key", fields.order_key)?,
        tags: BTreeSet::new(),
        only: None,
        payload_retention: None,
        place: 0,
    })
}

/// The line's values, each still as it was written.
#[derive(Default)]
struct Fields<'a> {
    app: Option<&'a RawValue>,
    r#type: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    payload_base64: Option<&'a RawValue>,
    content_type: Option<&'a RawValue>,
    key: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    channels: Option<&'a RawValue>,
    order_key: Option<&'a RawValue>,
    create_app: Option<&'a RawValue>,
    org: Option<&'a RawValue>,
    /// The first field that may not be there. Kept aside, so that a line that is
    /// no JSON at all is refused for that.
    problem: Option<Refusal>,
}

impl<'a> Fields<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match name {
            "app" => &mut self.app,
            "type" => &mut self.r#type,
            "payload" => &mut self.payload,
            "payload_base64" => &mut self.payload_base64,
            "content_type" => &mut self.content_type,
            "key" => &mut self.key,
            "event_id" => &mut self.event_id,
            "channels" => &mut self.channels,
            "order_key" => &mut self.order_key,
            "create_app" => &mut self.create_app,
            "org" => &mut self.org,
            _ => return None,
        })
    }

    fn put(&mut self, name: &str, value: &'a RawValue) {
        let refusal = match self.slot(name) {
            Some(slot @ None) => {
                *slot = Some(value);
                return;
            }
            Some(Some(_)) => Refusal::of_field(code::INVALID_FIELD, name.to_owned(), "is given twice"),
            None => Refusal::of_field(code::UNKNOWN_FIELD, name.to_owned(), format!("unknown field `{name}`")),
        };
        self.problem.get_or_insert(refusal);
    }

    /// The body and its content type, if that is not [`postrider_model::message::JSON`].
    fn body(&self, line: &Bytes, rules: &Rules) -> Result<(Bytes, Option<String>), Refusal> {
        let content_type = optional::<String>("content_type", self.content_type)?;
        match (self.payload, present(self.payload_base64)) {
            (Some(payload), None) => Ok((json_body(line, payload, rules)?, json_type(content_type)?)),
            (None, Some(encoded)) => {
                let content_type = content_type.unwrap_or_else(|| OCTET_STREAM.to_owned());
                Ok((decoded_body(encoded, rules)?, Some(content_type)))
            }
            (None, None) => Err(missing("payload")),
            (Some(_), Some(_)) => {
                Err(Refusal::of_field(code::INVALID_FIELD, "payload_base64", "excludes `payload`; give one of both"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A name, borrowed unless it is written with escapes.
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.put(&name, value);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

fn missing(field: &'static str) -> Refusal {
    Refusal::of_field(code::MISSING_FIELD, field, format!("field `{field}` is required"))
}

/// Libraries write `null` for what is absent.
fn present(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

fn optional<T: DeserializeOwned>(field: &'static str, value: Option<&RawValue>) -> Result<Option<T>, Refusal> {
    let Some(value) = present(value) else { return Ok(None) };
    let parsed = serde_json::from_str(value.get());
    parsed.map(Some).map_err(|e| Refusal::of_field(code::INVALID_FIELD, field, e.to_string()))
}

fn required(field: &'static str, value: Option<&RawValue>) -> Result<String, Refusal> {
    optional(field, value)?.ok_or_else(|| missing(field))
}

fn org(value: Option<&RawValue>, rules: &Rules) -> Result<OrgId, Refusal> {
    match optional::<OrgId>("org", value)? {
        Some(other) if other != rules.org && rules.access != Access::Owner => {
            Err(Refusal::of_field(code::FORBIDDEN, "org", "this user may not send for another organisation"))
        }
        named => Ok(named.unwrap_or(rules.org)),
    }
}

fn too_large(field: &'static str, bytes: usize, rules: &Rules) -> Refusal {
    let detail = format!("payload has {bytes} bytes, at most {} are allowed", rules.body_limit_bytes);
    Refusal::of_field(code::PAYLOAD_TOO_LARGE, field, detail)
}

fn json_body(line: &Bytes, payload: &RawValue, rules: &Rules) -> Result<Bytes, Refusal> {
    let bytes = payload.get().as_bytes();
    if bytes.len() > rules.body_limit_bytes {
        return Err(too_large("payload", bytes.len(), rules));
    }
    json::check_depth(bytes).map_err(|problem| Refusal::of_field(code::INVALID_FIELD, "payload", problem))?;
    Ok(line.slice_ref(bytes))
}

/// A JSON payload may be called by another JSON type (RFC 6839, 3.1), not by a lie.
fn json_type(content_type: Option<String>) -> Result<Option<String>, Refusal> {
    let is_json = |text: &String| {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    };
    match content_type {
        Some(other) if !is_json(&other) => Err(Refusal::of_field(
            code::INVALID_FIELD,
            "content_type",
            "is no JSON type; send a body of another type as `payload_base64`",
        )),
        content_type => Ok(content_type),
    }
}

fn decoded_body(encoded: &RawValue, rules: &Rules) -> Result<Bytes, Refusal> {
    const FIELD: &str = "payload_base64";
    // Nearly always borrowed: base64 needs no escapes.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let invalid = |problem: String| Refusal::of_field(code::INVALID_FIELD, FIELD, problem);
    let Text(text) = serde_json::from_str(encoded.get()).map_err(|e| invalid(e.to_string()))?;
    let decoded = STANDARD.decode(text.as_bytes()).map_err(|e| invalid(format!("is no padded base64: {e}")))?;
    if decoded.len() > rules.body_limit_bytes {
        return Err(too_large(FIELD, decoded.len(), rules));
    }
    Ok(decoded.into())
}

#[cfg(test)]
mod tests;
