//! What a schema may cost: its patterns, the schemas that follow each other at one and the same
//! value, each of which lies on the validator's stack, and the steps that all of them take there.

use std::collections::HashMap;
use std::ptr;

use serde_json::Value;

use super::graph::{Graph, Node, Steps, size};
use super::parts::{Of, Part, parts};
use super::places::Places;
use super::{pattern, shortened};
use crate::validate::Problem;

/// Schemas that may follow each other at one value, by `$ref`, `allOf` and their like.
pub(super) const MAX_STEPS: usize = 32;
/// Patterns of a schema.
pub(super) const MAX_PATTERNS: u32 = 64;
/// Steps at one value.
pub(super) const MAX_AT_ONE_VALUE: u64 = 16 << 10;

/// Keywords that lead to another place by its address.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// What a value is compared with as a whole, or has to have.
const COMPARED_WITH: [&str; 5] = ["const", "enum", "required", "dependentRequired", "dependencies"];
/// Steps of `$dynamicRef`, for which the validator looks at all schemas that it came through.
const DYNAMIC_STEPS: u64 = 256;

/// Checks a schema before it is compiled under an address; what it consists of, and where that stands.
pub(super) fn check<'a>(schema: &'a Value, address: &str) -> Result<(Graph, Places<'a>), Problem> {
    let mut walk = Walk {
        places: Places::of(schema, address)?,
        within: vec![schema],
        nodes: HashMap::new(),
        known: HashMap::new(),
        graph: Graph::default(),
    };
    walk.graph.root = walk.node(schema);
    while let Some(part) = walk.within.pop() {
        let followed = walk.follow(part, 0)?;
        walk.graph.depth = walk.graph.depth.max(followed.depth);
    }
    Ok((walk.graph, walk.places))
}

/// A walk through all that is reached from the root.
struct Walk<'a> {
    places: Places<'a>,
    /// Schemas of values that lie within those that were walked through.
    within: Vec<&'a Value>,
    /// The node of each schema that was come across.
    nodes: HashMap<*const Value, usize>,
    /// Those that were followed.
    known: HashMap<usize, Followed>,
    graph: Graph,
}

#[derive(Clone, Copy)]
struct Followed {
    /// Schemas that follow each other from there on, itself counted.
    depth: usize,
    node: usize,
}

impl<'a> Walk<'a> {
    /// The node of a schema, which is filled when it is followed.
    fn node(&mut self, part: &'a Value) -> usize {
        let next = self.graph.nodes.len();
        let node = *self.nodes.entry(ptr::from_ref(part)).or_insert(next);
        if node == next {
            self.graph.nodes.push(Node::default());
        }
        node
    }

    /// The node of a schema for what lies within, which is followed later.
    fn node_within(&mut self, part: &'a Value) -> usize {
        if !self.nodes.contains_key(&ptr::from_ref(part)) {
            self.within.push(part);
        }
        self.node(part)
    }

    /// Follows a schema and those for the same value, `before` of which lie before it.
    fn follow(&mut self, part: &'a Value, before: usize) -> Result<Followed, Problem> {
        let index = self.node(part);
        let known = self.known.get(&index).copied();
        if before + known.map_or(1, |known| known.depth) > MAX_STEPS {
            return Err(format!(
                "has more than {MAX_STEPS} schemas that follow each other at the same value, by `$ref` or `allOf` and \
                 their like, or they lead in a circle"
            ));
        }
        if let Some(known) = known {
            return Ok(known);
        }
        self.check_draft(part)?;
        let (mut node, in_place) = self.within(part)?;
        let mut depth = 0;
        node.all = node.own;
        for next in in_place {
            let next = self.follow(next, before + 1)?;
            depth = depth.max(next.depth);
            node.in_place.push(next.node);
            if let Some(followed) = self.graph.nodes.get(next.node) {
                node.all = node.all.and(followed.all);
            }
        }
        if node.all.fixed > MAX_AT_ONE_VALUE {
            return Err(format!(
                "takes more than {MAX_AT_ONE_VALUE} steps at one value: schemas that follow there, by `$ref` or `allOf` \
                 and their like, and values that it is compared with"
            ));
        }
        let followed = Followed { depth: depth + 1, node: index };
        self.known.insert(index, followed);
        if let Some(place) = self.graph.nodes.get_mut(index) {
            *place = node;
        }
        Ok(followed)
    }

    fn check_draft(&self, part: &Value) -> Result<(), Problem> {
        match part.get("$schema").and_then(Value::as_str) {
            Some(draft) if boon::Draft::from_url(draft) != Some(boon::Draft::V2020_12) => {
                let at = self.places.at(part, "$schema");
                Err(format!("{at}`{}` is not draft 2020-12, the only one that is supported", shortened(draft)))
            }
            _ => Ok(()),
        }
    }

    /// What a schema has by itself, which are for what lies within its value, and those that are for the same.
    fn within(&mut self, part: &'a Value) -> Result<(Node, Vec<&'a Value>), Problem> {
        let mut node = self.alone(part)?;
        let mut in_place = vec![];
        for Part { of, name, schema, .. } in parts(part) {
            if of == Of::SameValue {
                in_place.push(schema);
                continue;
            }
            let next = self.node_within(schema);
            match (of, name) {
                (Of::Property, Some(name)) => drop(node.named.insert(name.into(), next)),
                (Of::PatternProperty, Some(pattern)) => {
                    node.a_name = node.a_name.and(self.pattern(part, "patternProperties", &pattern)?);
                    node.members.push(next);
                }
                (Of::Members, _) => node.members.push(next),
                (Of::Names, _) => node.names.push(next),
                (Of::FirstItems, _) => node.prefix.push(next),
                (Of::Items, _) => node.items.push(next),
                _ => {}
            }
        }
        for keyword in REFERENCES {
            if let Some(reference) = part.get(keyword).and_then(Value::as_str) {
                in_place.extend(self.referred_to(part, keyword, reference)?);
            }
        }
        Ok((node, in_place))
    }

    /// What a schema has without the schemas within it.
    fn alone(&mut self, part: &Value) -> Result<Node, Problem> {
        let get = |keyword: &str| part.get(keyword);
        let compared = COMPARED_WITH.iter().filter_map(|keyword| get(keyword)).map(size);
        let mut node = Node { own: Steps::TEXT, ..Node::default() };
        node.own.fixed = compared.fold(1, u64::saturating_add);
        if get("$dynamicRef").is_some() {
            node.own.fixed += DYNAMIC_STEPS;
        }
        node.is_unique = get("uniqueItems") == Some(&Value::Bool(true));
        if let Some(pattern) = get("pattern").and_then(Value::as_str) {
            node.own = node.own.and(self.pattern(part, "pattern", pattern)?);
        }
        Ok(node)
    }

    /// What a reference leads to, and all that it may lead to where that depends on the way there.
    fn referred_to(&mut self, part: &Value, keyword: &str, reference: &str) -> Result<Vec<&'a Value>, Problem> {
        let mut found = vec![self.places.follow(part, keyword, reference)?];
        let anchor = found.first().and_then(|target| target.get("$dynamicAnchor")).and_then(Value::as_str);
        if let Some(anchor) = anchor.filter(|_| keyword == "$dynamicRef") {
            found.extend(self.places.with_dynamic_anchor(anchor));
        }
        Ok(found)
    }

    /// The steps that a pattern takes.
    fn pattern(&mut self, part: &Value, keyword: &str, pattern: &str) -> Result<Steps, Problem> {
        self.graph.patterns += 1;
        if self.graph.patterns > MAX_PATTERNS {
            return Err(format!("has more than {MAX_PATTERNS} patterns"));
        }
        let checked = pattern::check(pattern);
        let checked = checked.map_err(|problem| format!("{}{problem}", self.places.at(part, keyword)))?;
        self.graph.read_chars += checked.read_chars;
        pattern::check_read(self.graph.read_chars)?;
        Ok(Steps::of_pattern(checked.steps_a_byte))
    }
}
