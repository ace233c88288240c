//! What can be set of an object, and how two of them differ.

use postrider_model::auth::Auth;
use postrider_model::client_tls::ClientTls;
use postrider_model::credentials;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::exchange::{BadLine, Line};

/// A field that can be set, with what it is when it is left out.
type Field = (&'static str, fn() -> Value);

const NOTHING: fn() -> Value = || Value::Null;
const NO_TEXT: fn() -> Value = || json!("");
const NO_MEMBERS: fn() -> Value = || json!({});
const NONE: fn() -> Value = || json!("none");
const NO: fn() -> Value = || json!(false);
const STANDARD: fn() -> Value = || json!("standard");

pub(super) const EVENT_TYPE: &[Field] = &[
    ("description", NO_TEXT),
    ("archived", NO),
    ("deprecated", NO),
    ("schemas", NOTHING),
    ("validation", NOTHING),
    ("featureFlags", NOTHING),
    ("groupName", NOTHING),
];

pub(super) const APPLICATION: &[Field] =
    &[("name", NO_TEXT), ("uid", NOTHING), ("throttleRate", NOTHING), ("metadata", NO_MEMBERS)];

pub(super) const ENDPOINT: &[Field] = &[
    ("url", NO_TEXT),
    ("uid", NOTHING),
    ("description", NO_TEXT),
    ("eventTypes", NOTHING),
    ("channels", NOTHING),
    ("filter", NOTHING),
    ("throttleRate", NOTHING),
    ("metadata", NO_MEMBERS),
    ("timeoutMs", NOTHING),
    ("policy", NO_MEMBERS),
    ("format", NOTHING),
    ("auth", NOTHING),
    ("signature", STANDARD),
    ("tls", NOTHING),
    ("proxy", NOTHING),
    ("verification", NONE),
    ("disabled", NO),
    ("paused", NO),
    ("headers", NO_MEMBERS),
];

/// The fields of a line, each as it is or as if it were left out.
pub(super) fn of_line(fields: &[Field], line: &Line<'_>) -> Result<Map<String, Value>, BadLine> {
    let read = |(name, default): &Field| Ok(((*name).to_owned(), sorted(line.get(name)?.unwrap_or_else(default))));
    fields.iter().map(read).collect()
}

/// The same of what the server shows.
pub(super) fn of_answer(fields: &[Field], shown: &Value) -> Map<String, Value> {
    let read = |(name, default): &Field| {
        let value = shown.get(*name).filter(|value| !value.is_null()).cloned();
        ((*name).to_owned(), sorted(value.unwrap_or_else(default)))
    };
    fields.iter().map(read).collect()
}

/// Fields as the server shows them: no user name and no password in a URL, and no secret in
/// what requests get in with. So they are not compared, and no error shows them.
pub(super) fn as_shown(fields: &Map<String, Value>) -> Map<String, Value> {
    let mut shown = fields.clone();
    if let Some(url) = shown.get_mut("url")
        && let Some(text) = url.as_str()
    {
        *url = credentials::masked(text).into();
    }
    // What is no such thing is refused by the server, which shows nothing of it.
    mask::<Auth>(&mut shown, "auth", |auth| auth.masked());
    mask::<ClientTls>(&mut shown, "tls", |tls| tls.masked());
    mask::<String>(&mut shown, "proxy", |proxy| credentials::masked(&proxy));
    shown
}

/// A field with what is secret in it masked; null if it cannot be read.
fn mask<T: DeserializeOwned + Serialize>(fields: &mut Map<String, Value>, name: &str, masked: fn(T) -> T) {
    if let Some(value) = fields.get_mut(name) {
        let read = T::deserialize(&*value).ok();
        *value = read.and_then(|read| serde_json::to_value(masked(read)).ok()).unwrap_or_default();
    }
}

/// Lists are sets: event types, channels, flags.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(mut members) if members.iter().all(Value::is_string) => {
            members.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            members.into()
        }
        other => other,
    }
}

/// The first field in which two differ.
pub(super) fn difference<'a>(wanted: &'a Map<String, Value>, present: &Map<String, Value>) -> Option<&'a str> {
    wanted.iter().find(|(name, value)| present.get(*name) != Some(value)).map(|(name, _)| name.as_str())
}

/// A body: without what is null, which some fields do not take.
pub(super) fn body(fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_and_passwords_are_neither_compared_nor_shown() {
        let [wanted, present] = ["https://us:pw@example.com/x", "https://***@example.com/x"]
            .map(|url| as_shown(json!({ "url": url, "uid": null }).as_object().expect("it is one")));
        assert_eq!(difference(&wanted, &present), None, "{wanted:?}");
        let [wanted, present] = ["t0ken", "***"].map(|token| {
            let fields = json!({ "auth": { "type": "bearer", "token": token } });
            as_shown(fields.as_object().expect("it is one"))
        });
        assert_eq!(difference(&wanted, &present), None, "{wanted:?}");
    }

    #[test]
    fn leaving_out_is_what_it_is_by_default_and_lists_have_no_order() {
        let line = Line::parse(1, r#"{"url":"u","eventTypes":["b","a"],"other":1}"#).expect("it is an object");
        let wanted = of_line(ENDPOINT, &line).expect("nothing is wrong");
        let mut shown = json!({
            "id": "ep_1", "url": "u", "uid": null, "description": "", "eventTypes": ["a", "b"], "channels": null,
            "metadata": {}, "policy": {}, "disabled": false, "paused": false, "headers": {},
        });
        assert_eq!(difference(&wanted, &of_answer(ENDPOINT, &shown)), None);
        shown["timeoutMs"] = json!(1_000);
        assert_eq!(difference(&wanted, &of_answer(ENDPOINT, &shown)), Some("timeoutMs"));
        assert!(!body(&wanted).contains_key("timeoutMs"));
    }
}
