//! What a pattern of a schema may be, and what it takes.

use regex::RegexBuilder;

use super::shortened;
use crate::filter::steps_a_byte;
use crate::validate::Problem;

/// Characters of a pattern.
pub(super) const MAX_CHARS: usize = 4_096;
/// Classes of it with a name, as `\d`: the validator puts others in the place of one after the other, and reads and
/// copies all of the pattern for each.
pub(super) const MAX_CLASSES: usize = 64;
/// Characters of all patterns of an event type's schemas, those of each counted as often as it has such classes.
pub(super) const MAX_READ_CHARS: usize = 1 << 20;
/// Bytes that a compiled pattern may take.
const MAX_BYTES: usize = 1 << 20;

/// A pattern that is small.
#[derive(Debug)]
pub(super) struct Checked {
    /// Steps that it takes for a byte.
    pub(super) steps_a_byte: u64,
    /// Its characters, as often as it has classes with a name.
    pub(super) read_chars: usize,
}

/// Checks that a pattern is small, before the validator, which allows more, compiles it.
pub(super) fn check(pattern: &str) -> Result<Checked, Problem> {
    let said = |said: String| format!("`{}` {said}", shortened(pattern));
    let chars = pattern.chars().count();
    if chars > MAX_CHARS {
        return Err(said(format!("is too long a pattern: it has {chars} characters, at most {MAX_CHARS} are allowed")));
    }
    let (compiled, classes) = as_compiled(pattern);
    if classes > MAX_CLASSES {
        return Err(said(format!(
            "is a pattern with {classes} times `\\d`, `\\w`, `\\s` and their like, at most {MAX_CLASSES} are allowed; \
             `[0-9]` and its like do not count"
        )));
    }
    RegexBuilder::new(&compiled).size_limit(MAX_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            said(format!("is too large a pattern: compiled it has more than {MAX_BYTES} bytes"))
        }
        // Before the last line there is a picture.
        other => said(format!("is no pattern: {}", other.to_string().lines().last().unwrap_or_default())),
    })?;
    Ok(Checked { steps_a_byte: steps_a_byte(&compiled), read_chars: chars * classes })
}

/// Checks how much the validator reads of all patterns.
pub(super) fn check_read(chars: usize) -> Result<(), Problem> {
    if chars <= MAX_READ_CHARS {
        return Ok(());
    }
    Err(format!(
        "has too long patterns with `\\d`, `\\w`, `\\s` and their like: the characters of each times how many of these it has are more \
         than {MAX_READ_CHARS} together"
    ))
}

/// A pattern with the meaning that the draft gives to its classes, as the validator compiles it: they have letters and
/// digits of ASCII only, and so are much smaller. And how many the validator puts others in the place of.
fn as_compiled(pattern: &str) -> (String, usize) {
    let (mut out, mut classes) = (String::with_capacity(pattern.len()), 0);
    let mut rest = pattern.chars();
    while let Some(first) = rest.next() {
        let escaped = if first == '\\' { rest.next() } else { None };
        classes += usize::from(matches!(escaped, Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'c')));
        match (first, escaped) {
            (_, None) => out.push(first),
            (_, Some('d')) => out.push_str("[0-9]"),
            (_, Some('D')) => out.push_str("[^0-9]"),
            (_, Some('w')) => out.push_str("[0-9A-Za-z_]"),
            (_, Some('W')) => out.push_str("[^0-9A-Za-z_]"),
            (_, Some('c')) => match rest.next() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    out.push_str(&format!("\\x{{{:x}}}", letter as u32 % 32))
                }
                other => out.extend(['\\', 'c'].into_iter().chain(other)),
            },
            (_, Some(other)) => out.extend(['\\', other]),
        }
    }
    (out, classes)
}
