//! What of a schema decides how many steps a payload takes.

use std::collections::HashMap;

use serde_json::Value;

/// Bytes of a text that are compared in one step.
const TEXT_BYTES: usize = 64;
/// What is counted for a byte is counted in parts of a step.
const PARTS_A_STEP: u64 = 1024;
/// Of those, what a step of a pattern has: it is much smaller.
const PATTERN_PARTS: u64 = PARTS_A_STEP / 16;

/// A schema and all that it consists of, by how they lead to each other.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) root: usize,
    /// The most schemas that follow each other at one value.
    pub(super) depth: usize,
    /// Patterns of it.
    pub(super) patterns: u32,
    /// Characters that the validator reads of them to put other classes in the place of some.
    pub(super) read_chars: usize,
}

/// Steps at a value, and for each byte of a text some parts of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) fixed: u64,
    parts_a_byte: u64,
}

impl Steps {
    /// Of a schema at a text, which may be gone through to count its characters.
    pub(super) const TEXT: Self = Self { fixed: 0, parts_a_byte: 1 };
    /// Of a schema at the name of a member, which is looked up, noted and copied.
    pub(super) const NAME: Self = Self { fixed: 0, parts_a_byte: PARTS_A_STEP / TEXT_BYTES as u64 };

    /// Those of a pattern that takes so many of its own for a byte.
    pub(super) fn of_pattern(steps_a_byte: u64) -> Self {
        Self { fixed: 0, parts_a_byte: steps_a_byte.saturating_mul(PATTERN_PARTS) }
    }

    /// At a value with a text of so many bytes.
    pub(super) fn at(self, bytes: usize) -> u64 {
        self.fixed.saturating_add(self.parts_a_byte.saturating_mul(bytes as u64) / PARTS_A_STEP)
    }

    pub(super) fn and(self, other: Self) -> Self {
        let fixed = self.fixed.saturating_add(other.fixed);
        Self { fixed, parts_a_byte: self.parts_a_byte.saturating_add(other.parts_a_byte) }
    }
}

/// A part of a schema that is a schema itself.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Its own steps.
    pub(super) own: Steps,
    /// With all that follow at the same value.
    pub(super) all: Steps,
    /// Those of patterns for each name of an object.
    pub(super) a_name: Steps,
    /// Schemas for the same value.
    pub(super) in_place: Vec<usize>,
    /// For members of an object, by name.
    pub(super) named: HashMap<Box<str>, usize>,
    /// For members of an object, whatever their name is.
    pub(super) members: Vec<usize>,
    /// For the names.
    pub(super) names: Vec<usize>,
    /// For the first items of an array.
    pub(super) prefix: Vec<usize>,
    /// For items of an array.
    pub(super) items: Vec<usize>,
    /// No item is like another one.
    pub(super) is_unique: bool,
}

/// Steps that it takes to compare something with a value of a schema.
pub(super) fn size(value: &Value) -> u64 {
    let text = |text: &str| (text.len() / TEXT_BYTES) as u64;
    match value {
        Value::String(value) => 1 + text(value),
        Value::Array(members) => members.iter().map(size).fold(1, u64::saturating_add),
        Value::Object(members) => {
            members.iter().map(|(name, member)| text(name) + size(member)).fold(1, u64::saturating_add)
        }
        _ => 1,
    }
}
