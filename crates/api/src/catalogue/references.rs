//! References of a document: followed, or brought along, so that a schema stands alone.

use std::collections::BTreeSet;
use std::io;

use postrider_model::schema;
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

/// Bytes of all that is taken out of one document, where what several webhooks have in common counts
/// for each of them.
const MAX_TAKEN_BYTES: usize = 4 << 20;

/// What may still be taken out of a document.
pub(super) struct Budget {
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_TAKEN_BYTES }
    }
}

impl Budget {
    /// Counts a part before it is copied, which is one of what may have `left` bytes.
    pub(super) fn take(&mut self, part: &Value, left: &mut usize) -> Result<(), String> {
        let before = *left;
        serde_json::to_writer(Counted { left }, part)
            .map_err(|_| format!("has more than {} bytes with all that it refers to", schema::MAX_BYTES))?;
        let rest = self.bytes.checked_sub(before - *left);
        self.bytes = rest.ok_or_else(|| {
            format!(
                "is where the schemas of this document, with all that they refer to, exceed {MAX_TAKEN_BYTES} bytes"
            )
        })?;
        Ok(())
    }
}

/// Takes bytes as long as some are left, and keeps none.
struct Counted<'a> {
    left: &'a mut usize,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
pub(super) fn gathered(document: &Map<String, Value>, schema: &Value, budget: &mut Budget) -> Result<Value, String> {
    let mut left = schema::MAX_BYTES;
    if let Some(address) = schema.get("$id").and_then(Value::as_str) {
        budget.take(schema, &mut left)?;
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
    let root = if is_reference { followed(document, schema)? } else { schema };
    budget.take(root, &mut left)?;
    let mut root = root.clone();
    let mut wanted = BTreeSet::new();
    point_inward(&mut root, false, &mut wanted)?;
    let mut definitions = Map::new();
    while let Some(name) = wanted.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let reference = format!("{COMPONENTS}{name}");
        let definition = target(document, &reference).ok_or_else(|| leads_nowhere(&reference))?;
        budget.take(definition, &mut left)?;
        let mut definition = definition.clone();
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_gathered_has_a_limit_for_each_schema_and_for_all() {
        let schema = json!({ "properties": { "a": { "$ref": "#/components/schemas/big" } } });
        let document = |bytes: usize| {
            let document = json!({ "components": { "schemas": { "big": { "enum": ["x".repeat(bytes)] } } } });
            document.as_object().cloned().unwrap_or_default()
        };
        let problem = gathered(&document(schema::MAX_BYTES), &schema, &mut Budget::default()).expect_err("it is large");
        assert!(problem.contains("more than 262144 bytes"), "{problem}");
        let (document, mut budget) = (document(schema::MAX_BYTES / 2), Budget::default());
        let taken = (0..200).map_while(|_| gathered(&document, &schema, &mut budget).ok()).count();
        assert_eq!(taken, 31, "4 MiB by somewhat more than 128 KiB");
        let problem = gathered(&document, &schema, &mut budget).expect_err("all of it is large");
        assert!(problem.contains("exceed 4194304 bytes"), "{problem}");
    }
}
