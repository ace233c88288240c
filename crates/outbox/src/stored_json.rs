//! Reads JSON that this program wrote into a store.
//!
//! A reader that goes no deeper than serde_json does by itself is not enough: schemas of event
//! types that earlier builds took are nearly as deep as that, and what they are written within
//! makes them deeper. A store must open whatever it took.

use postrider_model::json;
use serde::de::DeserializeOwned;
use serde_json::Deserializer;

/// Arrays and objects that may lie within each other. What came by way of a request had 127 at
/// most, and what it is written within adds fewer than ten; each takes some stack.
const MAX_DEPTH: usize = 256;

/// Reads a value; nothing may follow it.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // Up to where a text stops being JSON both readers see the same brackets.
    json::check_depth_within(bytes, MAX_DEPTH)?;
    let mut reader = Deserializer::from_slice(bytes);
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_deep_is_read_up_to_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(serde_json::from_str::<Value>(&nested(MAX_DEPTH)).is_err(), "by itself it is not read");
        assert!(from_slice::<Value>(nested(MAX_DEPTH).as_bytes()).is_ok());
        let problem = from_slice::<Value>(nested(MAX_DEPTH + 1).as_bytes()).expect_err("it is too deep");
        assert!(problem.contains("more than 256 arrays and objects"), "{problem}");
        for bad in ["", "[", "[] []", "\"[", &"[".repeat(MAX_DEPTH)] {
            assert!(from_slice::<Value>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
