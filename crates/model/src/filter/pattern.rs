//! `match` and `search` of RFC 9535, with patterns that are read once.
//!
//! Those that the library brings along read their pattern anew for every value, and
//! let a payload bring one. A pattern takes time in proportion to the text that it is
//! compared with, and its size is bounded.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

use crate::validate::Problem;

/// Bytes of a pattern that is read: what is compared one state after the other if it comes to that.
const MAX_BYTES: usize = 1 << 16;
/// Bytes of what it has come across so far, which makes it fast.
const MAX_DFA_BYTES: usize = 1 << 18;
/// Patterns that a thread keeps; when there are more it begins anew.
const KEPT: usize = 512;

/// Patterns that were read; `None` is one that cannot be.
type Known = HashMap<(Extent, Box<str>), Option<Regex>>;

thread_local! {
    static READ: RefCell<Known> = RefCell::default();
}

/// What of a text a pattern is to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extent {
    Whole,
    Part,
}

/// Checks a pattern.
pub(super) fn check(pattern: &str) -> Result<(), Problem> {
    read(Extent::Part, pattern).and_then(|_| read(Extent::Whole, pattern)).map(|_| ()).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is too large when it is read".to_owned(),
        // Behind its first line it draws a picture.
        error => format!("is no pattern: {}", error.to_string().lines().last().unwrap_or_default()),
    })
}

fn read(extent: Extent, pattern: &str) -> Result<Regex, regex::Error> {
    let pattern = match extent {
        Extent::Whole => format!(r"\A(?:{pattern})\z"),
        Extent::Part => format!("(?:{pattern})"),
    };
    // A dot is any character but a line feed and a carriage return (RFC 9485, section 5.2).
    RegexBuilder::new(&pattern).crlf(true).size_limit(MAX_BYTES).dfa_size_limit(MAX_DFA_BYTES).build()
}

fn matches(extent: Extent, value: &ValueType<'_>, pattern: &ValueType<'_>) -> bool {
    let (Some(Value::String(text)), Some(Value::String(pattern))) = (value.as_value(), pattern.as_value()) else {
        return false;
    };
    READ.with_borrow_mut(|known| {
        let key = (extent, pattern.as_str().into());
        if known.len() >= KEPT && !known.contains_key(&key) {
            known.clear();
        }
        let regex = known.entry(key).or_insert_with(|| read(extent, pattern).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    })
}

#[serde_json_path::function(name = "match")]
fn match_whole(value: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    matches(Extent::Whole, &value, &pattern).into()
}

#[serde_json_path::function(name = "search")]
fn search_part(value: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    matches(Extent::Part, &value, &pattern).into()
}
