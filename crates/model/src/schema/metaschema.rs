//! Whether something is a schema, by the schema that the draft has for schemas. The validator asks that, too, and then
//! gathers all differences, which may take thousands of times as much memory as what is no schema.

use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex};
use serde_json::Value;

use super::compiled::{deepest, without_differences};
use super::parts::parts;
use super::shortened;
use crate::validate::Problem;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
const WHETHER_ADDRESS: &str = "schema:///whether-schema";
/// Values of what is no schema up to which it is told where.
pub(super) const MAX_TOLD_VALUES: usize = 4_096;
/// How many times that is looked for in something smaller.
const MAX_LOOKED: usize = 8;

/// The draft's schema for schemas, and the same which only says whether.
struct Drafts {
    all: boon::Schemas,
    index: SchemaIndex,
    whether: SchemaIndex,
}

static DRAFTS: LazyLock<Result<Drafts, Problem>> = LazyLock::new(|| {
    let mut compiler = Compiler::new();
    let mut all = boon::Schemas::new();
    let said = |error: boon::CompileError| error.to_string();
    compiler.add_resource(WHETHER_ADDRESS, without_differences(DRAFT)).map_err(said)?;
    let index = compiler.compile(DRAFT, &mut all).map_err(said)?;
    let whether = compiler.compile(WHETHER_ADDRESS, &mut all).map_err(said)?;
    Ok(Drafts { all, index, whether })
});

/// Checks a part of a schema with all within it, which stands at `pointer`. That patterns are some is not asked here.
pub(super) fn check(part: &Value, pointer: &str) -> Result<(), Problem> {
    let drafts = DRAFTS.as_ref().map_err(Clone::clone)?;
    let is_one = |part: &Value| drafts.all.validate(part, drafts.whether).is_ok();
    if is_one(part) {
        return Ok(());
    }
    let (mut part, mut pointer) = (part, pointer.to_owned());
    for _ in 0..MAX_LOOKED {
        if has_at_most(part, &mut { MAX_TOLD_VALUES }) {
            break;
        }
        let Some(inner) = parts(part).into_iter().find(|inner| !is_one(inner.schema)) else { break };
        (part, pointer) = (inner.schema, inner.pointer(&pointer));
    }
    if !has_at_most(part, &mut { MAX_TOLD_VALUES }) {
        return Err(format!(
            "at {:?}: is no schema; where in it is not told of more than {MAX_TOLD_VALUES} values",
            shortened(&pointer)
        ));
    }
    drafts.all.validate(part, drafts.index).map_err(|error| {
        let at = deepest(&error);
        let place = format!("{pointer}{}", at.instance_location);
        format!("at {:?}: {}", shortened(&place), shortened(&at.kind.to_string()))
    })
}

/// Whether a value has at most as many values as are `left`, itself counted.
fn has_at_most(value: &Value, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else { return false };
    *left = fewer;
    match value {
        Value::Array(members) => members.iter().all(|member| has_at_most(member, left)),
        Value::Object(members) => members.values().all(|member| has_at_most(member, left)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_schema_is_told_with_its_place_where_it_is_small() {
        let nested = |levels: usize, last: Value| (0..levels).fold(last, |within, _| json!({ "items": within }));
        for levels in [0, MAX_LOOKED, 45] {
            let pointer = "/items".repeat(levels);
            let problem = check(&nested(levels, json!({"type": 1})), "/$defs/a").expect_err("it is none");
            assert!(problem.contains(&format!("at \"/$defs/a{pointer}/type\"")), "{problem}");
        }
        // Beside much that is right it is looked for, and what is wrong all over is only told to be so.
        let right: Vec<_> = (0..5_000).map(|_| json!({"type": "string"})).collect();
        let beside = nested(3, json!({"allOf": right, "not": {"minimum": "1"}}));
        let problem = check(&beside, "").expect_err("it is none");
        assert!(problem.contains("at \"/items/items/items/not/minimum\""), "{problem}");
        for wrong in [json!({"allOf": vec![1; 10_000]}), json!({"required": vec![1; 10_000]})] {
            let problem = check(&nested(5, wrong.clone()), "").expect_err("it is none");
            assert!(problem.contains("at \"/items/items/items/items/items\": is no schema; where"), "{problem}");
            let problem = check(&nested(60, wrong), "").expect_err("it is none");
            assert!(problem.contains("not told of more than 4096 values"), "{problem}");
        }
        assert_eq!(check(&json!({"pattern": "("}), ""), Ok(()), "patterns are looked at elsewhere");
    }
}
