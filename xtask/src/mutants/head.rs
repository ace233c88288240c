//! The head of a function: what comes before the brace of its body.

/// Where the brace is that opens the body, in a text that begins with the function; `None`
/// if there is no body.
///
/// A brace in brackets or in generics is no body's (`[u8; { N }]`, `Of<{ N }>`), and one in a
/// comment or in the string of an attribute is no brace.
pub(crate) fn body(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let next = rest.chars().next()?;
        if let Some(length) = skipped(rest) {
            at += length;
            continue;
        }
        match next {
            '(' | '[' | '<' => depth += 1,
            ')' | ']' | '>' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => return Some(at),
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return None,
            _ => {}
        }
        at += next.len_utf8();
    }
    None
}

/// The length of what the text begins with, if it is a comment, a string, or an arrow, which
/// closes nothing.
fn skipped(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("->") || text.starts_with("=>") {
        return Some(2);
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    let raw = text.strip_prefix('r').map(|rest| rest.trim_start_matches('#'));
    if let Some(rest) = raw.and_then(|rest| rest.strip_prefix('"')) {
        let opening = text.len() - rest.len();
        let closing = format!("\"{}", "#".repeat(opening - 2));
        return Some(rest.find(&closing).map_or(text.len(), |at| opening + at + closing.len()));
    }
    text.strip_prefix('"').map(|rest| 1 + string(rest))
}

/// They nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of what is left of a string, with its end.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, next) in text.char_indices() {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The head without its `const`: what asks which mutant is active is not `const`.
/// `None` if it has none.
pub(crate) fn without_const(head: &str) -> Option<String> {
    head.match_indices("const").find_map(|(at, word)| {
        let (before, after) = (head.get(..at)?, head.get(at + word.len()..)?);
        let is_word = !before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let rest = after.trim_start();
        let is_of_function = rest.starts_with("fn ") || rest.starts_with("unsafe fn ");
        (is_word && is_of_function && rest.len() < after.len()).then(|| format!("{before}{rest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_begins_at_its_brace() {
        for head in [
            "fn f() ",
            "fn f() -> Option<u8>\nwhere\n    T: Fn(u8) -> u8,\n",
            "/// In { braces }.\n#[doc = \"a \\\" { b\"] /* { /* } */ { */ pub fn f() ",
            "#[doc = r#\"a \" { b\"#] fn f() ",
            "fn f<const N: usize>(of: [u8; { N }]) -> Of<{ N }> ",
            "fn f<'a>(of: &'a str, // with {\n) ",
        ] {
            let text = format!("{head}{{ if a {{ b }} }}");
            assert_eq!(body(&text), Some(head.len()), "{head}");
        }
        assert_eq!(body("fn f();\nfn g() {}"), None);
        assert_eq!(body("fn f()"), None);
    }

    #[test]
    fn a_function_that_is_const_loses_it() {
        let without = |head| without_const(head);
        assert_eq!(without("pub(crate) const fn f() ").as_deref(), Some("pub(crate) fn f() "));
        assert_eq!(without("const unsafe fn f() ").as_deref(), Some("unsafe fn f() "));
        assert_eq!(without("fn f<const N: usize>() "), None);
        assert_eq!(without("fn const_of() "), None);
    }
}
