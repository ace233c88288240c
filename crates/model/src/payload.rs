//! A message's payload as filters and order keys look into it.

use std::cell::OnceCell;

use serde_json::Value;

/// The bytes of a payload, which are parsed when the first asks for that, and once.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    body: &'a [u8],
    /// In a list of one, over which a filter selects. `None` if it is no JSON.
    listed: OnceCell<Option<Value>>,
}

impl<'a> Payload<'a> {
    /// The payload with these bytes, whatever their content type.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { body, listed: OnceCell::new() }
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
