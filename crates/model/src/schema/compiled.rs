//! A schema that payloads can be compared with.

use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use boon::{CompileError, Compiler, Draft, SchemaIndex, UrlLoader, ValidationError};
use serde_json::Value;

use super::graph::Graph;
use super::places::Places;
use super::work::{MAX_STEPS, MAX_TOLD_STEPS, Taken, Work};
use super::{CompareError, Mismatch, metaschema, shortened, steps};
use crate::validate::Problem;

/// What a schema without an address of its own is called within.
const ADDRESS: &str = "schema:///payload";
/// The same schema within two `not`, by which the validator notes no differences.
const WHETHER_ADDRESS: &str = "schema:///whether";
/// Steps at one value up to which the stack of every thread is enough for a payload as deep as is
/// allowed; a step takes 1.6 KB.
pub(super) const FEW_STEPS: usize = 4;
/// Of a thread that compares where it is not: [`steps::MAX_STEPS`] at each level of a payload.
const STACK_BYTES: usize = 64 << 20;
/// Only one payload is compared at a time that takes many steps, since what is noted meanwhile takes
/// much more memory than it has.
pub(super) static LARGE: Mutex<()> = Mutex::new(());

/// A compiled schema.
pub(super) struct Schema {
    all: boon::Schemas,
    index: SchemaIndex,
    /// Says only whether a payload passes.
    whether: SchemaIndex,
    graph: Graph,
}

/// Nothing is fetched: whoever sets a schema does not choose what the server asks for or reads.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("`{url}` is not a part of the schema, and nothing is fetched").into())
    }
}

impl Schema {
    pub(super) fn compile(schema: &Value) -> Result<Self, Problem> {
        let (graph, places) = steps::check(schema, ADDRESS)?;
        metaschema::check(schema, "")?;
        places.stray().try_for_each(|(part, pointer)| metaschema::check(part, pointer))?;
        let mut compiler = Compiler::new();
        compiler.use_loader(Box::new(NoLoader));
        compiler.set_default_draft(Draft::V2020_12);
        let mut all = boon::Schemas::new();
        let said = |error: &CompileError| shortened(&problem(error));
        compiler.add_resource(ADDRESS, without_fractions(schema, &places)).map_err(|error| said(&error))?;
        let index = compiler.compile(ADDRESS, &mut all).map_err(|error| said(&error))?;
        if all.size() > graph.nodes.len() {
            let (compiled, found) = (all.size(), graph.nodes.len());
            return Err(format!("is {compiled} schemas to the validator, and {found} were found in it"));
        }
        compiler.add_resource(WHETHER_ADDRESS, without_differences(ADDRESS)).map_err(|error| said(&error))?;
        let whether = compiler.compile(WHETHER_ADDRESS, &mut all).map_err(|error| said(&error))?;
        Ok(Self { all, index, whether, graph })
    }

    /// How many schemas it consists of, itself counted.
    pub(super) fn parts(&self) -> u32 {
        u32::try_from(self.graph.nodes.len()).unwrap_or(u32::MAX)
    }

    /// How many patterns it has.
    pub(super) const fn patterns(&self) -> u32 {
        self.graph.patterns
    }

    /// What the validator reads of them.
    pub(super) const fn read_chars(&self) -> usize {
        self.graph.read_chars
    }

    /// Compares if that takes a moment only.
    pub(super) fn compare_at_once(&self, payload: &Value) -> Option<Result<(), CompareError>> {
        if self.graph.depth > FEW_STEPS {
            return None;
        }
        let taken = Work::count(&self.graph, payload, MAX_TOLD_STEPS);
        (taken.steps <= MAX_TOLD_STEPS).then(|| self.judge(payload, taken))
    }

    pub(super) fn compare(&self, payload: &Value) -> Result<(), CompareError> {
        if self.graph.depth <= FEW_STEPS {
            return self.compare_here(payload);
        }
        thread::scope(|scope| {
            let comparing = thread::Builder::new().stack_size(STACK_BYTES);
            match comparing.spawn_scoped(scope, || self.compare_here(payload)).map(thread::ScopedJoinHandle::join) {
                Ok(Ok(compared)) => compared,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => Err(no_thread(error)),
            }
        })
    }

    fn compare_here(&self, payload: &Value) -> Result<(), CompareError> {
        let taken = Work::count(&self.graph, payload, MAX_STEPS);
        if taken.steps > MAX_STEPS {
            return Err(CompareError::TakesTooLong);
        }
        // Who takes few steps waits for nobody: others may wait for the thread.
        let _one = (taken.steps > MAX_TOLD_STEPS).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
        self.judge(payload, taken)
    }

    fn judge(&self, payload: &Value, taken: Taken) -> Result<(), CompareError> {
        if taken.can_be_told() {
            return self.all.validate(payload, self.index).map_err(|error| mismatch(deepest(&error)).into());
        }
        self.all.validate(payload, self.whether).map_err(|_| {
            let why = format!(
                "it differs; where is not told of what takes more than {MAX_TOLD_STEPS} steps, or in many levels less than that"
            );
            Mismatch::nowhere(why).into()
        })
    }
}

/// A schema by which the validator notes no differences from another one.
pub(super) fn without_differences(address: &str) -> Value {
    serde_json::json!({ "not": { "not": { "$ref": address } } })
}

/// The same without `multipleOf` of a fraction: the validator divides in binary, where 19.99 is no
/// multiple of 0.01. Only where it is a keyword, and not a name or a part of a value.
fn without_fractions(schema: &Value, places: &Places<'_>) -> Value {
    let is_fraction = |value: &Value| value.as_f64().is_some_and(|number| number.fract() != 0.0);
    match schema {
        Value::Array(items) => items.iter().map(|item| without_fractions(item, places)).collect(),
        Value::Object(members) => {
            let is_left_out =
                |name: &str, value| name == "multipleOf" && is_fraction(value) && places.is_schema(schema);
            let kept = members.iter().filter(|(name, value)| !is_left_out(name, value));
            Value::Object(kept.map(|(name, value)| (name.clone(), without_fractions(value, places))).collect())
        }
        other => other.clone(),
    }
}

fn no_thread(error: io::Error) -> CompareError {
    CompareError::NoThread(error.to_string())
}

/// Of all that is wrong what comes first, as near to the cause as the validator tells.
pub(super) fn deepest<'a, 's, 'v>(error: &'a ValidationError<'s, 'v>) -> &'a ValidationError<'s, 'v> {
    error.causes.first().map_or(error, deepest)
}

fn mismatch(error: &ValidationError<'_, '_>) -> Mismatch {
    let keyword = error.kind.keyword_path().map(|keyword| match keyword.keyword {
        // The library calls it by another name than the draft.
        "additionalProperty" => "/additionalProperties".to_owned(),
        _ => format!("/{keyword}"),
    });
    let keyword = keyword.unwrap_or_default();
    Mismatch {
        pointer: shortened(&error.instance_location.to_string()),
        rule: shortened(&format!("{}{keyword}", place(error.schema_url))),
        said: shortened(&error.kind.to_string()),
    }
}

/// Why a schema was refused, with the place in it where there is one.
fn problem(error: &CompileError) -> Problem {
    match error {
        CompileError::ValidationError { src, .. } => {
            let at = deepest(src);
            format!("at {:?}: {}", at.instance_location.to_string(), at.kind)
        }
        CompileError::LoadUrlError { src, .. } | CompileError::ParseUrlError { src, .. } => {
            format!("has a reference that cannot be followed: {src}")
        }
        CompileError::InvalidRegex { url, regex, src } => {
            let said = src.to_string();
            // Before its last line there is a picture.
            format!("at {:?}: `{regex}` is no pattern: {}", place(url), said.lines().last().unwrap_or_default())
        }
        other => other.to_string().replace(ADDRESS, "the schema"),
    }
}

/// The part of an address that leads into a schema.
fn place(address: &str) -> String {
    address.split_once('#').map_or("", |(_, place)| place).to_owned()
}
