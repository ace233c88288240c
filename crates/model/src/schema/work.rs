//! How many steps it takes to compare a payload with a schema. They are counted before it is
//! compared, since the validator has no bound of its own: a small schema whose parts lead to each
//! other many times over, or to each value in several ways, can take for ever with a small payload.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::graph::{Graph, Node, Steps};
use super::unique;

/// Steps above which a payload is not compared. One takes some tenths of a microsecond on a core of
/// today, and what is noted at it meanwhile up to 200 bytes.
pub const MAX_STEPS: u64 = 1 << 20;
/// Steps up to which it is told where a payload differs: the validator gathers all differences.
pub const MAX_TOLD_STEPS: u64 = 32 << 10;
/// The same, times the levels that the payload was looked at: with each difference the way to it is noted, 24 bytes for
/// each level.
pub(super) const MAX_TOLD_LEVELS: u64 = 8 * MAX_TOLD_STEPS;
/// Of a schema at an array or object, what is counted again rather than remembered as long as there is less: most
/// payloads have no more, and that is quicker.
const MIN_KNOWN: u64 = 256;
/// The same when there is more.
const MAX_KNOWN: usize = 1 << 18;
/// Members of an array or object that are gone through in one step.
const MEMBERS_A_STEP: u64 = 2;

/// What it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) steps: u64,
    /// Arrays and objects within each other that are looked at, and what lies in them.
    levels: u64,
}

impl Taken {
    /// Whether it can be told where a payload differs.
    pub(super) fn can_be_told(self) -> bool {
        self.steps <= MAX_TOLD_STEPS && self.steps.saturating_mul(self.levels) <= MAX_TOLD_LEVELS
    }
}

/// The steps of a payload.
pub(super) struct Work<'g> {
    graph: &'g Graph,
    /// Those of each schema at each array and object, for there a schema may come along many times.
    known: HashMap<(usize, *const Value), u64>,
    /// When there are more, they are too many.
    most: u64,
    /// How often it may be counted.
    left: u64,
    levels: u64,
}

impl<'g> Work<'g> {
    /// As many as it takes at the most, or some number above `most`.
    pub(super) fn count(graph: &'g Graph, payload: &Value, most: u64) -> Taken {
        let mut work = Self { graph, known: HashMap::new(), most, left: most, levels: 0 };
        let steps = work.at(graph.root, payload, 1);
        Taken { steps, levels: work.levels }
    }

    fn at(&mut self, index: usize, value: &Value, level: u64) -> u64 {
        let Some(node) = self.graph.nodes.get(index) else { return 0 };
        self.levels = self.levels.max(level);
        let members = match value {
            Value::String(text) => return node.all.at(text.len()),
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => return node.all.fixed,
        };
        let key = (index, std::ptr::from_ref(value));
        let is_remembered = self.most.saturating_sub(self.left) >= MIN_KNOWN;
        if is_remembered && let Some(known) = self.known.get(&key) {
            return *known;
        }
        let Some(left) = self.left.checked_sub(1) else { return self.most.saturating_add(1) };
        self.left = left;
        let mut steps = node.own.fixed.saturating_add(members as u64 / MEMBERS_A_STEP);
        for next in &node.in_place {
            steps = self.and(steps, *next, value, level);
        }
        match value {
            Value::Array(items) => steps = self.with_items(steps, node, items, level + 1),
            Value::Object(members) => steps = self.with_members(steps, node, members, level + 1),
            _ => {}
        }
        if is_remembered && self.known.len() < MAX_KNOWN {
            self.known.insert(key, steps);
        }
        steps
    }

    fn with_items(&mut self, mut steps: u64, node: &Node, items: &[Value], level: u64) -> u64 {
        if steps > self.most {
            return steps;
        }
        if node.is_unique {
            steps = steps.saturating_add(unique::steps(items));
        }
        for (place, item) in items.iter().enumerate() {
            for next in node.prefix.get(place).into_iter().chain(&node.items) {
                steps = self.and(steps, *next, item, level);
            }
        }
        steps
    }

    fn with_members(&mut self, mut steps: u64, node: &Node, members: &Map<String, Value>, level: u64) -> u64 {
        if steps > self.most {
            return steps;
        }
        let of_names = node.names.iter().filter_map(|next| self.graph.nodes.get(*next));
        // A name is copied for each schema of names.
        let a_name = of_names.fold(Steps::NAME.and(node.a_name), |all, next| all.and(Steps::NAME).and(next.all));
        for (name, member) in members {
            steps = steps.saturating_add(a_name.at(name.len()));
            for next in node.named.get(name.as_str()).into_iter().chain(&node.members) {
                steps = self.and(steps, *next, member, level);
            }
        }
        steps
    }

    /// These and those of another schema, unless they are too many already.
    fn and(&mut self, steps: u64, next: usize, value: &Value, level: u64) -> u64 {
        if steps > self.most { steps } else { steps.saturating_add(self.at(next, value, level)) }
    }
}
