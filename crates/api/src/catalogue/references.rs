//! References of a document: followed, or brought along, so that a schema stands alone.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ADDRESS;

/// Where schemas lie that several webhooks have in common.
const COMPONENTS: &str = "#/components/schemas/";
/// References that lead to a reference, at most.
const MAX_STEPS: usize = 16;
/// Members of a schema that hold schemas by names of the author's.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Members of a schema that hold values.
const VALUES: [&str; 5] = ["enum", "const", "default", "example", "examples"];

/// What a part of a document means, if it refers to another part.
pub(super) fn followed<'a>(document: &'a Map<String, Value>, part: &'a Value) -> Result<&'a Value, String> {
    let mut part = part;
    for _ in 0..MAX_STEPS {
        let Some(reference) = part.get("$ref").and_then(Value::as_str) else { return Ok(part) };
        part = target(document, reference).ok_or_else(|| leads_nowhere(reference))?;
    }
    Err("has references that lead to references without an end".to_owned())
}

/// A schema that stands alone: the components that it refers to are its `$defs`.
pub(super) fn gathered(document: &Map<String, Value>, schema: &Value) -> Result<Value, String> {
    if let Some(address) = schema.get("$id").and_then(Value::as_str) {
        // It has an address, so that its references do not lead into the document.
        let mut schema = schema.clone();
        if address.starts_with(ADDRESS)
            && let Some(members) = schema.as_object_mut()
        {
            members.remove("$id");
        }
        return Ok(schema);
    }
    let is_reference = schema.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("$ref"));
    let mut root = if is_reference { followed(document, schema)?.clone() } else { schema.clone() };
    let mut wanted = BTreeSet::new();
    point_inward(&mut root, false, &mut wanted)?;
    let mut definitions = Map::new();
    while let Some(name) = wanted.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let reference = format!("{COMPONENTS}{name}");
        let mut definition = target(document, &reference).ok_or_else(|| leads_nowhere(&reference))?.clone();
        point_inward(&mut definition, false, &mut wanted)?;
        definitions.insert(name, definition);
    }
    if definitions.is_empty() {
        return Ok(root);
    }
    let Some(members) = root.as_object_mut() else { return Ok(root) };
    let own = members.entry("$defs").or_insert_with(|| Map::new().into());
    let own = own.as_object_mut().ok_or("has `$defs` that are no object")?;
    for (name, definition) in definitions {
        if own.get(&name).is_some_and(|present| *present != definition) {
            return Err(format!("has `{name}` among its `$defs` and among the components that it refers to"));
        }
        own.insert(name, definition);
    }
    Ok(root)
}

/// Turns references to components into ones to `$defs`, and gathers their names.
fn point_inward(part: &mut Value, is_named: bool, wanted: &mut BTreeSet<String>) -> Result<(), String> {
    match part {
        Value::Array(members) => members.iter_mut().try_for_each(|member| point_inward(member, false, wanted)),
        Value::Object(members) => members.iter_mut().try_for_each(|(name, member)| match member {
            Value::String(reference) if !is_named && name == "$ref" => {
                let rest = reference.strip_prefix(COMPONENTS).ok_or_else(|| leads_nowhere(reference))?;
                wanted.insert(rest.split('/').next().unwrap_or_default().to_owned());
                *reference = format!("#/$defs/{rest}");
                Ok(())
            }
            _ if !is_named && VALUES.contains(&name.as_str()) => Ok(()),
            member => {
                let is_named = !is_named && NAMED.contains(&name.as_str());
                point_inward(member, is_named, wanted)
            }
        }),
        _ => Ok(()),
    }
}

fn target<'a>(document: &'a Map<String, Value>, reference: &str) -> Option<&'a Value> {
    let (first, rest) = reference.strip_prefix("#/")?.split_once('/').unwrap_or((reference.get(2..)?, ""));
    let found = document.get(first)?;
    if rest.is_empty() { Some(found) } else { found.pointer(&format!("/{rest}")) }
}

fn leads_nowhere(reference: &str) -> String {
    format!("refers to `{reference}`, which is no component of this document")
}
