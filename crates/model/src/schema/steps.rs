//! What a schema costs before a payload is compared: its patterns, and the steps that a validator
//! takes at one and the same value, each of which lies on its stack.

use std::collections::{HashMap, HashSet};
use std::ptr;

use percent_encoding::percent_decode_str;
use regex::RegexBuilder;
use serde_json::Value;

use super::shortened;
use crate::validate::Problem;

/// Schemas that may follow each other at one value, by `$ref`, `allOf` and their like.
pub(super) const MAX_STEPS: usize = 32;
/// What is followed in all: more only has a schema whose references are ambiguous.
const MAX_FOLLOWED: usize = 1 << 18;
/// Patterns of a schema.
pub(super) const MAX_PATTERNS: usize = 64;
/// Bytes that a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Keywords whose schemas, or lists or objects of schemas, are for the same value.
const SCHEMAS_IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
const LISTS_IN_PLACE: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const NAMED_IN_PLACE: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that lead to another place by its address.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords whose schemas are for what lies within the value. They lie on the stack, too, but a
/// payload's depth has a limit.
const SCHEMAS_WITHIN: [&str; 8] = [
    "additionalProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "contains",
    "contentSchema",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LISTS_WITHIN: [&str; 2] = ["prefixItems", "items"];
const NAMED_WITHIN: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Checks a schema before it is compiled; its most steps at one value.
pub(super) fn check(schema: &Value) -> Result<usize, Problem> {
    let mut walk = Walk::new(schema);
    while let Some(part) = walk.within.pop() {
        let steps = walk.follow(part, 0)?;
        walk.most = walk.most.max(steps);
    }
    Ok(walk.most)
}

/// A walk through all that is reached from the root.
struct Walk<'a> {
    /// Where references may start: the root, and whatever has an address. Which of them is
    /// meant is not found out: all that may be meant is followed.
    resources: Vec<&'a Value>,
    addresses: HashSet<&'a str>,
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    /// Schemas of values that lie within those that were walked through.
    within: Vec<&'a Value>,
    /// Steps from each schema, itself counted.
    known: HashMap<*const Value, usize>,
    patterns: usize,
    followed: usize,
    most: usize,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Value) -> Self {
        let mut walk = Self {
            resources: vec![root],
            addresses: HashSet::new(),
            anchors: HashMap::new(),
            within: vec![root],
            known: HashMap::new(),
            patterns: 0,
            followed: 0,
            most: 0,
        };
        walk.gather(root, true);
        walk
    }

    /// What has a name, wherever it is: a reference may lead anywhere. The depth has a limit.
    fn gather(&mut self, part: &'a Value, is_root: bool) {
        match part {
            Value::Array(members) => members.iter().for_each(|member| self.gather(member, false)),
            Value::Object(members) => {
                if let Some(address) = members.get("$id").and_then(Value::as_str) {
                    self.addresses.insert(address.trim_end_matches('#'));
                    if !is_root {
                        self.resources.push(part);
                    }
                }
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                        self.anchors.entry(name).or_default().push(part);
                    }
                }
                members.values().for_each(|member| self.gather(member, false));
            }
            _ => {}
        }
    }

    /// The steps from a schema on, itself counted, `before` of which were taken already.
    fn follow(&mut self, part: &'a Value, before: usize) -> Result<usize, Problem> {
        self.followed += 1;
        if self.followed > MAX_FOLLOWED {
            return Err("has too many references to places that may be meant".into());
        }
        let too_many = || {
            format!(
                "has more than {MAX_STEPS} schemas that follow each other at the same value, by `$ref` or `allOf` and \
                 their like, or they lead in a circle"
            )
        };
        let known = self.known.get(&ptr::from_ref(part)).copied();
        if before + known.unwrap_or(1) > MAX_STEPS {
            return Err(too_many());
        }
        if let Some(known) = known {
            return Ok(known);
        }
        self.check_patterns(part)?;
        let mut steps = 0;
        for next in self.in_place(part)? {
            steps = steps.max(self.follow(next, before + 1)?);
        }
        self.known.insert(ptr::from_ref(part), steps + 1);
        let within = parts(part, &SCHEMAS_WITHIN, &LISTS_WITHIN, &NAMED_WITHIN);
        self.within.extend(within);
        Ok(steps + 1)
    }

    fn in_place(&mut self, part: &'a Value) -> Result<Vec<&'a Value>, Problem> {
        let mut next = parts(part, &SCHEMAS_IN_PLACE, &LISTS_IN_PLACE, &NAMED_IN_PLACE);
        if let Some(draft) = part.get("$schema").and_then(Value::as_str)
            && boon::Draft::from_url(draft) != Some(boon::Draft::V2020_12)
        {
            return Err(format!("at \"/$schema\": `{draft}` is not draft 2020-12, the only one that is supported"));
        }
        for keyword in REFERENCES {
            let Some(reference) = part.get(keyword).and_then(Value::as_str) else { continue };
            let (address, place) = reference.split_once('#').unwrap_or((reference, ""));
            if !address.is_empty() && !self.addresses.contains(address) {
                return Err(shortened(&format!(
                    "has a reference that cannot be followed: `{reference}` is not a part of the schema, and nothing is \
                     fetched"
                )));
            }
            let place = percent_decode_str(place).decode_utf8_lossy();
            self.followed += self.resources.len();
            next.extend(self.resources.iter().filter_map(|resource| resource.pointer(&place)));
            next.extend(self.anchors.get(&*place).into_iter().flatten().copied());
        }
        Ok(next)
    }

    /// Each pattern is small before the validator, which allows more, compiles all.
    fn check_patterns(&mut self, part: &Value) -> Result<(), Problem> {
        let names = part.get("patternProperties").and_then(Value::as_object);
        let names = names.into_iter().flat_map(|named| named.keys().map(String::as_str));
        for pattern in part.get("pattern").and_then(Value::as_str).into_iter().chain(names) {
            self.patterns += 1;
            if self.patterns > MAX_PATTERNS {
                return Err(format!("has more than {MAX_PATTERNS} patterns"));
            }
            let compiled = RegexBuilder::new(&as_compiled(pattern)).size_limit(MAX_PATTERN_BYTES).build();
            compiled.map_err(|error| {
                let said = match error {
                    regex::Error::CompiledTooBig(_) => {
                        format!("is too large a pattern: compiled it has more than {MAX_PATTERN_BYTES} bytes")
                    }
                    // Before the last line there is a picture.
                    other => format!("is no pattern: {}", other.to_string().lines().last().unwrap_or_default()),
                };
                format!("`{}` {said}", shortened(pattern))
            })?;
        }
        Ok(())
    }
}

/// The schemas under keywords.
fn parts<'a>(schema: &'a Value, single: &[&str], lists: &[&str], named: &[&str]) -> Vec<&'a Value> {
    let get = |keyword: &&str| schema.get(*keyword);
    let single = single.iter().filter_map(get).filter(|part| part.is_object());
    let lists = lists.iter().filter_map(get).filter_map(Value::as_array).flatten();
    let named = named.iter().filter_map(get).filter_map(Value::as_object).flat_map(|named| named.values());
    single.chain(lists).chain(named).filter(|part| part.is_object()).collect()
}

/// A pattern with the meaning that the draft gives to its classes, as the validator compiles it:
/// they have letters and digits of ASCII only, and so are much smaller.
fn as_compiled(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(first) = rest.next() {
        match (first, if first == '\\' { rest.next() } else { None }) {
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
    out
}
