//! In which order an endpoint gets its messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Characters of a pointer into a payload.
pub const MAX_POINTER_CHARS: usize = 256;

/// What an endpoint says of order. Of deliveries that are in one order the next
/// goes out only when the outcome of the one before is synced to disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OrderRule {
    /// What is in one order.
    pub by: OrderBy,
    /// Where the key lies in a JSON payload (RFC 6901), in place of the message's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What becomes of those that come after a dead letter.
    pub after_dead: AfterDead,
}

/// What is in one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderBy {
    /// Messages with the same order key; those without one are in none.
    #[default]
    Key,
    /// All messages.
    Fifo,
    /// Nothing, whatever order keys say.
    None,
}

/// What becomes of those that come after a dead letter in the same order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterDead {
    /// They go on.
    #[default]
    Continue,
    /// They wait until it is delivered, cancelled, purged or past its retention.
    Hold,
}

impl AfterDead {
    /// The words for it.
    pub const WORDS: &str = "`continue` or `hold`";
}

/// The order of all messages of an endpoint with [`OrderBy::Fifo`].
const FIFO: u64 = 1;

impl OrderBy {
    /// The words for it.
    pub const WORDS: &str = "`key`, `fifo` or `none`";

    /// In which order a message is that has this hash of an order key, 0 for
    /// none; 0 if it is in none.
    #[must_use]
    pub const fn order(self, order_key: u64) -> u64 {
        match self {
            Self::Key => order_key,
            Self::Fifo => FIFO,
            Self::None => 0,
        }
    }
}

impl OrderRule {
    /// Checks the pointer.
    ///
    /// # Errors
    /// It is no JSON pointer, too long, or given where no key counts.
    pub fn check_pointer(&self) -> Result<(), String> {
        let Some(pointer) = &self.pointer else { return Ok(()) };
        if self.by != OrderBy::Key {
            return Err("has no meaning unless `by` is `key`".into());
        }
        match pointer.chars().count() {
            n if n > MAX_POINTER_CHARS => {
                return Err(format!("has {n} characters, at most {MAX_POINTER_CHARS} are allowed"));
            }
            _ => {}
        }
        let escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if pointer.starts_with('/') && escaped {
            return Ok(());
        }
        Err("is no JSON pointer (RFC 6901), such as `/data/id`".into())
    }
}

/// The order key that a payload has at a pointer: a string's text, or a number's
/// or truth value's. `None` if the payload is no JSON or has nothing of that kind there.
#[must_use]
pub fn key_at(payload: &Value, pointer: &str) -> Option<String> {
    match payload.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pointer_is_checked() {
        let with = |by, pointer: &str| OrderRule { by, pointer: Some(pointer.into()), ..OrderRule::default() };
        for good in ["/id", "/data/0/id", "/a~1b/~0c", "/"] {
            assert_eq!(with(OrderBy::Key, good).check_pointer(), Ok(()), "{good}");
        }
        for bad in ["", "id", "/a~2", "/a~", &"/x".repeat(200)] {
            assert!(with(OrderBy::Key, bad).check_pointer().is_err(), "{bad}");
        }
        assert!(with(OrderBy::Fifo, "/id").check_pointer().is_err());
    }

    #[test]
    fn keys_are_read_from_payloads() {
        let payload = json!({ "data": { "id": 17, "name": "a", "on": true, "none": null, "list": [1] }, "a/b": "c" });
        let key = |pointer| key_at(&payload, pointer);
        assert_eq!(key("/data/id").as_deref(), Some("17"));
        assert_eq!(key("/data/name").as_deref(), Some("a"));
        assert_eq!(key("/data/on").as_deref(), Some("true"));
        assert_eq!(key("/data/list/0").as_deref(), Some("1"));
        assert_eq!(key("/a~1b").as_deref(), Some("c"));
        for nothing in ["/data/none", "/data/list", "/data", "/data/list/7", "/x"] {
            assert_eq!(key(nothing), None, "{nothing}");
        }
    }
}
