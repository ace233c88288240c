//! JSON as a [`Value`] to look into, also where a `Value` cannot hold all of it: numbers such as
//! `1e400` and texts with half of a surrogate pair are JSON, and a payload may have them.

use std::collections::BTreeMap;

use postrider_model::json;
use serde_json::Value;
use serde_json::value::RawValue;

/// Arrays and objects that may lie within each other: payloads may have 120, schemas that earlier
/// servers took a few more, and answers wrap them.
const MAX_DEPTH: usize = 160;

/// Checks that a text is JSON, and no deeper than [`value`] goes.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string())?;
    json::check_depth_within(text.as_bytes(), MAX_DEPTH)
}

/// The value of a text that passes [`check`]. In the place of what cannot be held stands its text.
pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| by_parts(text).unwrap_or_else(|| text.trim().into()))
}

fn by_parts(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('[') {
        let members: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        return Some(members.into_iter().map(|member| value(member.get())).collect());
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    Some(members.into_iter().map(|(name, member)| (name, value(member.get()))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_value_cannot_hold_stands_as_its_text() {
        for (text, expected) in [
            (r#"{"a":[1,{"b":null}]}"#, json!({"a": [1, {"b": null}]})),
            (r#" {"a": 1e400 , "b":[-1E+999, 2], "c":"x"}"#, json!({"a": "1e400", "b": ["-1E+999", 2], "c": "x"})),
            (r#"["\ud800","\ud83d\ude00"]"#, json!([r#""\ud800""#, "😀"])),
            (r#"{"ok":1,"p":{"\udc00":1}}"#, json!({"ok": 1, "p": r#"{"\udc00":1}"#})),
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert_eq!(value(text), expected);
        }
    }

    #[test]
    fn no_json_and_too_deep_json_are_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        let deep = (1..MAX_DEPTH).fold(json!([]), |within, _| json!([within]));
        assert_eq!(value(&nested(MAX_DEPTH)), deep);
        for bad in [&nested(MAX_DEPTH + 1), "", "<html>", "[1", "{} {}", "01"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
