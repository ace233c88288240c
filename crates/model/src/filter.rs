//! An endpoint's filter on payloads: a logical expression of JSONPath (RFC 9535),
//! in which `@` is the payload.
//!
//! Tenants' customers write filters, and each is evaluated for each message. So what
//! it may cost is bounded when it is set, by what it may have: it looks at each value of a
//! payload a fixed number of times. What all of a message's may cost together is bounded when they
//! are asked.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json_path::{JsonPath, ParseError};

use crate::payload::Payload;
use crate::validate::Problem;

mod limits;
mod pattern;
mod work;

pub use limits::{MAX_CHARS, MAX_NESTING, MAX_PATTERN_CHARS, MAX_PATTERNS, MAX_TERMS, MAX_WIDE, MAX_WIDE_TERMS};
pub(crate) use pattern::steps_a_byte;
pub(crate) use work::Size;
pub use work::{HURRIED_STEPS, MAX_STEPS};

/// What stands before an expression to make a query of it that selects the payload in a list of one.
const SELECT: &str = "$[?";

/// A filter. Two are equal if their texts are.
#[derive(Clone)]
pub struct Filter {
    text: Arc<str>,
    compiled: Arc<Result<Compiled, Problem>>,
}

struct Compiled {
    path: JsonPath,
    looks: work::Looks,
}

impl Filter {
    /// The filter with this text, which may be none that is allowed: see [`Self::check`].
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: Arc::new(compile(text)) }
    }

    /// Its text, as it was set.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks the text.
    ///
    /// # Errors
    /// It is no expression, or could cost too much.
    pub fn check(&self) -> Result<(), Problem> {
        self.compiled.as_ref().as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Whether it lets a payload through; none that is not JSON. A filter that this version does
    /// not understand lets all through, and each lets through what it cannot look into, or not in
    /// the steps that are left to the payload's filters: better too much is delivered than too little.
    #[must_use]
    pub fn lets_through(&self, payload: &Payload<'_>) -> bool {
        match &*self.compiled {
            Ok(compiled) => payload.is_beyond_filters() || compiled.selects(payload),
            Err(_) => true,
        }
    }
}

impl Compiled {
    fn selects(&self, payload: &Payload<'_>) -> bool {
        let Some(listed) = payload.listed() else { return false };
        let selected = payload.spending(self.looks.steps(payload.size()), |left| {
            pattern::within(left, || !self.path.query(listed).is_empty())
        });
        selected.unwrap_or(true)
    }
}

fn compile(text: &str) -> Result<Compiled, Problem> {
    let looks = limits::check(text)?;
    let path = JsonPath::parse(&format!("{SELECT}{text}]")).map_err(|error| problem(text, &error))?;
    Ok(Compiled { path, looks })
}

fn problem(text: &str, error: &ParseError) -> Problem {
    // The position counts bytes from 1 on, in what the expression was put into.
    let byte = error.position().saturating_sub(SELECT.len() + 1).min(text.len());
    let character = text.char_indices().take_while(|(at, _)| *at < byte).count() + 1;
    let said = error.message();
    let what = said.strip_prefix("in long-hand segment, ").unwrap_or(said);
    match what {
        // The bracket is that of the query around it, more often than not.
        "parser error" | "expected closing ']'" => {
            format!("is no expression: it cannot be read from character {character} on")
        }
        what => format!("is no expression: {what}, at character {character}"),
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.text)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[cfg(test)]
mod tests;
