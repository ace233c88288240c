//! `match` and `search` of RFC 9535, with patterns that are read once.
//!
//! Those that the library brings along read their pattern anew for every value, and
//! let a payload bring one. A pattern takes time in proportion to the text that it is
//! compared with, and to its own size, which is bounded: mostly it takes far less, but there are
//! texts with which each of its places has to be looked at for each byte.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

use crate::validate::Problem;

/// Bytes of a pattern that is read: what is compared one state after the other if it comes to that.
const MAX_BYTES: usize = 1 << 16;
/// Bytes of what it has come across so far, which makes it fast.
const MAX_DFA_BYTES: usize = 1 << 18;
/// Patterns that a thread keeps; when there are more it begins anew.
const KEPT: usize = 512;

/// Steps for a byte of a text, besides those for the places of the pattern.
const BYTE_STEPS: u64 = 3;
/// Steps that it takes to begin with a text.
const TEXT_STEPS: u64 = 16;

/// Patterns that were read; `None` is one that cannot be.
type Known = HashMap<(Extent, Box<str>), Option<Pattern>>;

thread_local! {
    static READ: RefCell<Known> = RefCell::default();
    /// What is left for the patterns of the filter that is asked.
    static LEFT: Cell<Left> = const { Cell::new(Left { steps: 0, ran_out: false }) };
}

struct Pattern {
    regex: Regex,
    /// Steps that it takes for a byte, at the most.
    byte_steps: u64,
}

/// What patterns may still take.
#[derive(Clone, Copy)]
struct Left {
    steps: u64,
    /// Whether one would have taken more.
    ran_out: bool,
}

/// What of a text a pattern is to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extent {
    Whole,
    Part,
}

/// Checks a pattern.
pub(super) fn check(pattern: &str) -> Result<(), Problem> {
    // By itself at first: `a)|(?:b` is none, and would be one in what is put around it.
    let by_itself = build(pattern).and_then(|_| read(Extent::Part, pattern));
    by_itself.and_then(|_| read(Extent::Whole, pattern)).map(|_| ()).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is too large when it is read".to_owned(),
        // Behind its first line it draws a picture.
        error => format!("is no pattern: {}", error.to_string().lines().last().unwrap_or_default()),
    })
}

/// Asks a filter whose patterns may take so many steps. Its answer, which is `None` if they would have
/// taken more, and the steps that are left.
pub(super) fn within(steps: u64, ask: impl FnOnce() -> bool) -> (Option<bool>, u64) {
    LEFT.set(Left { steps, ran_out: false });
    let answer = ask();
    let Left { steps, ran_out } = LEFT.get();
    ((!ran_out).then_some(answer), steps)
}

fn read(extent: Extent, pattern: &str) -> Result<Pattern, regex::Error> {
    let pattern = match extent {
        Extent::Whole => format!(r"\A(?:{pattern})\z"),
        Extent::Part => format!("(?:{pattern})"),
    };
    Ok(Pattern { regex: build(&pattern)?, byte_steps: steps_a_byte(&pattern) })
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    // A dot is any character but a line feed and a carriage return (RFC 9485, section 5.2).
    RegexBuilder::new(pattern).crlf(true).size_limit(MAX_BYTES).dfa_size_limit(MAX_DFA_BYTES).build()
}

/// Steps that a pattern takes for a byte of a text, at the most.
pub(crate) fn steps_a_byte(pattern: &str) -> u64 {
    // What was built can be parsed. Nothing but words is found at one speed, however many.
    let places = match ParserBuilder::new().crlf(true).build().parse(pattern) {
        Ok(parsed) if parsed.properties().is_alternation_literal() => 0,
        Ok(parsed) => places(&parsed),
        Err(_) => u64::MAX,
    };
    places.saturating_add(BYTE_STEPS)
}

/// Places at which the text's next character can be, what is repeated counted as often.
fn places(pattern: &Hir) -> u64 {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            places(&repetition.sub).saturating_mul(times.into())
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(0, |sum, part| sum.saturating_add(places(part)))
        }
    }
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
        let pattern = known.entry(key).or_insert_with(|| read(extent, pattern).ok());
        pattern.as_ref().is_some_and(|pattern| pattern.may_take(text) && pattern.regex.is_match(text))
    })
}

impl Pattern {
    /// Takes the steps for a text, if there are so many. Behind one for which there were not, no other is looked at.
    fn may_take(&self, text: &str) -> bool {
        let needed = (text.len() as u64).saturating_mul(self.byte_steps).saturating_add(TEXT_STEPS);
        let left = LEFT.get();
        let after = left.steps.checked_sub(needed).filter(|_| !left.ran_out);
        LEFT.set(Left { steps: after.unwrap_or(left.steps), ran_out: after.is_none() });
        after.is_some()
    }
}

#[serde_json_path::function(name = "match")]
fn match_whole(value: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    matches(Extent::Whole, &value, &pattern).into()
}

#[serde_json_path::function(name = "search")]
fn search_part(value: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    matches(Extent::Part, &value, &pattern).into()
}
