//! What was given of an object's fields, as members of a request's body. Where nothing was given nothing
//! is asked for; a member that is null or empty takes away what is there.

use serde_json::{Map, Value};

/// A body with the members that were given.
pub(super) fn body<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect::<Map<_, _>>().into()
}

/// A text; an empty one takes it away.
pub(super) fn text(given: Option<String>) -> Option<Value> {
    given.map(|text| if text.is_empty() { Value::Null } else { text.into() })
}

/// Texts; an empty one alone takes them away.
pub(super) fn texts(given: Vec<String>) -> Option<Value> {
    match &given[..] {
        [] => None,
        [one] if one.is_empty() => Some(Value::Null),
        _ => Some(given.into()),
    }
}

/// Pairs, as an object.
pub(super) fn pairs(given: Vec<(String, String)>) -> Option<Value> {
    if given.is_empty() {
        return None;
    }
    Some(given.into_iter().map(|(key, value)| (key, value.into())).collect::<Map<_, _>>().into())
}

/// What was given, or what stands for nothing where it is to be taken away.
pub(super) fn or_taken_away(given: Option<Value>, is_taken_away: bool, nothing: Value) -> Option<Value> {
    given.or_else(|| is_taken_away.then_some(nothing))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_asked_for_unless_it_was_given_and_an_empty_one_takes_away() {
        let given = [
            ("a", text(None)),
            ("b", text(Some(String::new()))),
            ("c", text(Some("x".to_owned()))),
            ("d", texts(vec![])),
            ("e", texts(vec![String::new()])),
            ("f", texts(vec![String::new(), "x".to_owned()])),
            ("g", pairs(vec![])),
            ("h", pairs(vec![("k".to_owned(), String::new())])),
            ("i", or_taken_away(None, false, Value::Null)),
            ("j", or_taken_away(None, true, json!({}))),
            ("k", or_taken_away(Some(json!(1)), true, Value::Null)),
        ];
        let expected = json!({ "b": null, "c": "x", "e": null, "f": ["", "x"], "h": { "k": "" }, "j": {}, "k": 1 });
        assert_eq!(body(given), expected);
    }
}
