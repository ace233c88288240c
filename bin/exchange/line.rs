//! One line of an exported file, as members whose values are looked at one by one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit::Failure;
use crate::output::printable;

/// An object of the file.
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: u64,
    members: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// The member of the line that this is, and a dot; empty for the line itself.
    within: &'static str,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {what}")]
pub(crate) struct BadLine {
    number: u64,
    what: String,
}

impl BadLine {
    pub(crate) fn new(number: u64, what: impl Display) -> Self {
        Self { number, what: printable(&what.to_string()) }
    }

    /// A failure of the server with this line.
    pub(crate) fn failed(number: u64, failure: Failure) -> Failure {
        Failure { error: format!("line {number}: {}", failure.error), ..failure }
    }
}

/// The members of an object. By a wrapper, since the map is borrowed from the line.
#[derive(Deserialize)]
#[serde(transparent)]
struct Members<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Line<'a> {
    /// Reads a line.
    pub(crate) fn parse(number: u64, text: &'a str) -> Result<Self, BadLine> {
        Self::read(number, text, "")
    }

    fn read(number: u64, text: &'a str, within: &'static str) -> Result<Self, BadLine> {
        let parsed: Result<Members<'_>, _> = serde_json::from_str(text);
        let Members(members) = parsed.map_err(|error| {
            let place = within.trim_end_matches('.');
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            BadLine::new(
                number,
                format_args!("{place}is no object in JSON: {}, at byte {}", cause(&error), error.column()),
            )
        })?;
        Ok(Self { number, members, within })
    }

    /// Something is wrong with a field.
    pub(crate) fn bad(&self, field: &str, what: impl Display) -> BadLine {
        BadLine::new(self.number, format_args!("{}{field}: {what}", self.within))
    }

    /// A field as it stands in the line.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members.get(name).copied().filter(|raw| raw.get() != "null")
    }

    /// The same, where null is a value like others.
    pub(crate) fn raw_or_null(&self, name: &str) -> Option<&'a RawValue> {
        self.members.get(name).copied()
    }

    /// A field, if it is there and not null.
    pub(crate) fn get<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, BadLine> {
        let read = |raw: &'a RawValue| serde_json::from_str(raw.get()).map_err(|error| self.bad(name, cause(&error)));
        self.raw(name).map(read).transpose()
    }

    /// A field that must be there.
    pub(crate) fn required<T: Deserialize<'a>>(&self, name: &str) -> Result<T, BadLine> {
        self.get(name)?.ok_or_else(|| self.bad(name, "is missing"))
    }

    /// An id: what goes into paths and keys.
    pub(crate) fn id(&self, name: &str) -> Result<String, BadLine> {
        let id: String = self.required(name)?;
        let is_id = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_id { Ok(id) } else { Err(self.bad(name, "is no id")) }
    }

    /// Whether these are all of its members.
    pub(crate) fn has_just(&self, names: &[&str]) -> bool {
        self.members.len() == names.len() && names.iter().all(|name| self.members.contains_key(*name))
    }

    /// A field that is an object of its own.
    pub(crate) fn object(&self, name: &'static str, within: &'static str) -> Result<Option<Line<'a>>, BadLine> {
        self.raw(name).map(|raw| Line::read(self.number, raw.get(), within)).transpose()
    }
}

/// An error without its place, which counts from the beginning of a part of the line.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_by_line_and_field() {
        let text = r#"{"id":"app_1","name":7,"message":{"id":"../x"},"none":null}"#;
        let line = Line::parse(3, text).expect("it is an object");
        assert_eq!(line.id("id"), Ok("app_1".to_owned()));
        let error = line.get::<String>("name").expect_err("it is a number").to_string();
        assert!(error.starts_with("line 3: name: invalid type"), "{error}");
        assert_eq!(line.required::<String>("uid").map_err(|e| e.to_string()), Err("line 3: uid: is missing".into()));
        assert_eq!(line.get::<String>("none"), Ok(None));
        let message = line.object("message", "message.").expect("it is an object").expect("it is there");
        assert_eq!(message.id("id").map_err(|e| e.to_string()), Err("line 3: message.id: is no id".into()));
        let error = Line::parse(9, "{\"a\":").map(drop).expect_err("it is broken off").to_string();
        assert_eq!(error, "line 9: is no object in JSON: EOF while parsing a value, at byte 5");
        for bad in ["", "[]", "{", "\u{1b}", "{\"a\":1} x"] {
            let Err(error) = Line::parse(9, bad) else { panic!("{bad}") };
            assert!(error.to_string().starts_with("line 9: is no object in JSON: "), "{error}");
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }
}
