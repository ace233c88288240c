//! What is asked of a JSON payload beyond being JSON.

use crate::validate::Problem;

/// Arrays and objects that may lie within each other. Readers of JSON have such
/// a limit too, and one message that they cannot read makes a whole list
/// unreadable for them. Theirs is often 128, and an answer wraps the payload.
pub const MAX_DEPTH: usize = 120;

/// Checks the depth of a text that is known to be JSON.
///
/// # Errors
/// More than [`MAX_DEPTH`] arrays and objects lie within each other.
pub fn check_depth(json: &[u8]) -> Result<(), Problem> {
    check_depth_within(json, MAX_DEPTH)
}

/// As [`check_depth`], with a limit of the caller's.
///
/// # Errors
/// More than `max` arrays and objects lie within each other.
pub fn check_depth_within(json: &[u8], max: usize) -> Result<(), Problem> {
    // Most texts have fewer brackets in all, and to count them is much quicker.
    if opening_brackets(json) <= max {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' if depth == max => {
                return Err(format!("has more than {max} arrays and objects within each other"));
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// How many bytes open an array or an object, or look so within a text.
fn opening_brackets(json: &[u8]) -> usize {
    // In pieces whose count fits a byte, so that many bytes are compared at once.
    let in_piece = |piece: &[u8]| piece.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    json.chunks(usize::from(u8::MAX)).map(|piece| usize::from(in_piece(piece))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn the_limit_is_exact_and_one_that_readers_share() {
        assert_eq!(check_depth(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert!(check_depth(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        let wrapped = format!(r#"{{"data":[{{"payload":{}}}]}}"#, nested(MAX_DEPTH));
        assert!(serde_json::from_str::<serde_json::Value>(&wrapped).is_ok(), "an answer can be read");
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        let text = format!(r#"{{"a\"{0}":"{0}\\","b":[1]}}"#, "[{".repeat(200));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        assert_eq!(check_depth(text.as_bytes()), Ok(()));
    }

    #[test]
    fn all_brackets_are_counted() {
        for (text, expected) in [("", 0), ("]}", 0), ("[{}]", 2)] {
            assert_eq!(opening_brackets(text.as_bytes()), expected, "{text}");
        }
        for many in [254, 255, 256, 1_000] {
            assert_eq!(opening_brackets("[{".repeat(many).as_bytes()), 2 * many);
        }
    }

    #[test]
    fn siblings_do_not_count() {
        let text = format!("[{}[]]", "[],".repeat(1_000));
        assert_eq!(check_depth(text.as_bytes()), Ok(()));
    }
}
