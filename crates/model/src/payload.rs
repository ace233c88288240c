//! A message's payload as filters and order keys look into it.

use std::cell::OnceCell;

use serde_json::Value;

use crate::message::JSON;

/// Bytes of a payload that filters look into.
pub const MAX_FILTERED_BYTES: usize = 1 << 16;

/// The bytes of a payload, which are parsed when the first asks for that, and once.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    body: &'a [u8],
    /// Whether its content type says that it is JSON.
    json: bool,
    /// In a list of one, over which a filter selects. `None` if it is no JSON.
    listed: OnceCell<Option<Value>>,
}

impl<'a> Payload<'a> {
    /// The payload with these bytes, of which nothing says what they are.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { body, json: false, listed: OnceCell::new() }
    }

    /// The payload with these bytes of this content type; `None` is [`JSON`].
    #[must_use]
    pub fn of_type(body: &'a [u8], content_type: Option<&str>) -> Self {
        let name = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = content_type.map(name).is_none_or(|name| name == JSON || name.ends_with("+json"));
        Self { body, json, listed: OnceCell::new() }
    }

    /// Whether no filter can look into it although it may be what was asked for: it is too
    /// long, or JSON that cannot be held, as a number beyond all bounds or half a surrogate.
    pub(crate) fn is_beyond_filters(&self) -> bool {
        self.body.len() > MAX_FILTERED_BYTES || (self.json && self.listed().is_none())
    }

    /// Its value in JSON; `None` if it is none, or nested deeper than 128 levels.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.listed()?.get(0)
    }

    /// The same in a list of one.
    pub(crate) fn listed(&self) -> Option<&Value> {
        let parse = || serde_json::from_slice(self.body).ok().map(|value| Value::Array(vec![value]));
        self.listed.get_or_init(parse).as_ref()
    }
}
