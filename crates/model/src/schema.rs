//! JSON Schemas of payloads (draft 2020-12), by version.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use boon::{CompileError, Compiler, Draft, SchemaIndex, UrlLoader, ValidationError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json;
use crate::validate::Problem;

/// Bytes of all versions of an event type's schema, written without spaces.
pub const MAX_BYTES: usize = 256 << 10;
/// Versions of an event type's schema.
pub const MAX_VERSIONS: usize = 100;
/// Arrays and objects of a schema that may lie within each other. A record of it, and an answer with
/// it, wrap it in more of them, and readers of JSON have a limit, too.
pub const MAX_DEPTH: usize = 64;
/// What a schema without an address of its own is called within.
const ADDRESS: &str = "schema:///payload";
/// The same schema within two `not`, by which the validator notes no differences.
const WHETHER_ADDRESS: &str = "schema:///whether";
/// Values of a payload up to which it is told where the payload differs: the validator gathers all
/// differences.
const MAX_TOLD_VALUES: usize = 4096;
/// Steps at one value up to which the stack of every thread is enough for a payload as deep as is
/// allowed; a step takes 1.6 KB.
const FEW_STEPS: usize = 4;
/// Of a thread that compares where it is not: [`steps::MAX_STEPS`] at each level of a payload.
const STACK_BYTES: usize = 64 << 20;
/// Only one large payload is compared at a time, since what is noted meanwhile takes much more memory
/// than it has.
static LARGE: Mutex<()> = Mutex::new(());
/// Characters that are told of what is wrong with a payload.
const MAX_SAID_CHARS: usize = 300;

/// The schemas of an event type, kept as they came. Two are equal if what was given is.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schemas {
    versions: Map<String, Value>,
    /// The newest, compiled when it is first needed.
    #[serde(skip)]
    newest: Arc<OnceLock<Result<Schema, Problem>>>,
}

impl Schemas {
    /// Schemas by version, which may be none that are allowed: see [`Self::check`].
    #[must_use]
    pub fn new(versions: Map<String, Value>) -> Self {
        Self { versions, newest: Arc::default() }
    }

    /// All of them.
    #[must_use]
    pub const fn versions(&self) -> &Map<String, Value> {
        &self.versions
    }

    /// The newest, with its version.
    #[must_use]
    pub fn newest(&self) -> Option<(&str, &Value)> {
        newest(&self.versions)
    }

    /// The version that comes next: by one more than the newest.
    #[must_use]
    pub fn next_version(&self) -> String {
        let newest = self.versions.keys().filter_map(|version| version.parse::<u64>().ok()).max();
        newest.unwrap_or_default().saturating_add(1).to_string()
    }

    /// Checks that each is a schema, and refers to nothing outside of itself.
    ///
    /// # Errors
    /// One is none, or there is too much of them. With the version in which.
    pub fn check(&self) -> Result<(), (Option<String>, Problem)> {
        if self.versions.len() > MAX_VERSIONS {
            let n = self.versions.len();
            return Err((None, format!("has {n} versions, at most {MAX_VERSIONS} are allowed")));
        }
        match serde_json::to_vec(&self.versions).map_or(0, |text| text.len()) {
            n if n > MAX_BYTES => return Err((None, format!("has {n} bytes, at most {MAX_BYTES} are allowed"))),
            _ => {}
        }
        self.versions.iter().try_for_each(|(version, schema)| {
            let checked = check_depth(schema).and_then(|()| Schema::compile(schema).map(drop));
            checked.map_err(|problem| (Some(version.clone()), problem))
        })
    }

    /// Compares a payload with the newest. What cannot be compiled any more, which was checked
    /// when it was set, lets all pass.
    ///
    /// # Errors
    /// The payload is not what the schema says; `None` is one that is no JSON.
    pub fn compare(&self, payload: Option<&Value>) -> Result<(), Mismatch> {
        let Some((_, schema)) = self.newest() else { return Ok(()) };
        match (self.newest.get_or_init(|| Schema::compile(schema)), payload) {
            (Ok(schema), Some(payload)) => schema.compare(payload),
            (Ok(_), None) => Err(Mismatch::not_json()),
            (Err(_), _) => Ok(()),
        }
    }
}

fn check_depth(schema: &Value) -> Result<(), Problem> {
    json::check_depth_within(schema.to_string().as_bytes(), MAX_DEPTH)
}

/// Versions are whole numbers; what is none is older than all that are. Of those that are
/// equally old the last by name counts.
fn newest(versions: &Map<String, Value>) -> Option<(&str, &Value)> {
    let newest = versions.iter().max_by_key(|(version, _)| (version.parse::<u64>().ok(), *version));
    newest.map(|(version, schema)| (version.as_str(), schema))
}

impl PartialEq for Schemas {
    fn eq(&self, other: &Self) -> bool {
        self.versions == other.versions
    }
}

impl Eq for Schemas {}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schemas").field(&self.versions).finish()
    }
}

/// How a payload differs from a schema: the first difference that lies deepest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where in the payload, as a JSON pointer.
    pub pointer: String,
    /// Which rule of the schema, as a JSON pointer to its keyword.
    pub rule: String,
    /// What is wrong; it may show what the payload has there.
    pub said: String,
}

impl Mismatch {
    fn not_json() -> Self {
        Self::nowhere("it is no JSON".into())
    }

    fn nowhere(said: String) -> Self {
        Self { pointer: String::new(), rule: String::new(), said }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, rule, said } = self;
        write!(f, "at {pointer:?}: {said} (rule {rule:?} of its event type's schema)")
    }
}

/// A compiled schema.
struct Schema {
    all: boon::Schemas,
    index: SchemaIndex,
    /// Says only whether a payload passes.
    whether: SchemaIndex,
    /// The most at one value.
    steps: usize,
}

/// Nothing is fetched: whoever sets a schema does not choose what the server asks for or reads.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("`{url}` is not a part of the schema, and nothing is fetched").into())
    }
}

impl Schema {
    fn compile(schema: &Value) -> Result<Self, Problem> {
        if let Some(other) = schema.get("$schema").and_then(Value::as_str)
            && Draft::from_url(other) != Some(Draft::V2020_12)
        {
            return Err(format!("at \"/$schema\": `{other}` is not draft 2020-12, the only one that is supported"));
        }
        let steps = steps::check(schema)?;
        let mut compiler = Compiler::new();
        compiler.use_loader(Box::new(NoLoader));
        compiler.set_default_draft(Draft::V2020_12);
        let mut all = boon::Schemas::new();
        let said = |error: &CompileError| shortened(&problem(error));
        compiler.add_resource(ADDRESS, schema.clone()).map_err(|error| said(&error))?;
        let index = compiler.compile(ADDRESS, &mut all).map_err(|error| said(&error))?;
        let whether = serde_json::json!({ "not": { "not": { "$ref": ADDRESS } } });
        compiler.add_resource(WHETHER_ADDRESS, whether).map_err(|error| said(&error))?;
        let whether = compiler.compile(WHETHER_ADDRESS, &mut all).map_err(|error| said(&error))?;
        Ok(Self { all, index, whether, steps })
    }

    fn compare(&self, payload: &Value) -> Result<(), Mismatch> {
        if self.steps <= FEW_STEPS {
            return self.compare_here(payload);
        }
        thread::scope(|scope| {
            let comparing = thread::Builder::new().stack_size(STACK_BYTES);
            match comparing.spawn_scoped(scope, || self.compare_here(payload)).map(thread::ScopedJoinHandle::join) {
                Ok(Ok(compared)) => compared,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => Err(Mismatch::nowhere(format!("it cannot be compared at the moment: {error}"))),
            }
        })
    }

    fn compare_here(&self, payload: &Value) -> Result<(), Mismatch> {
        if has_at_most(payload, &mut { MAX_TOLD_VALUES }) {
            return self.all.validate(payload, self.index).map_err(|error| mismatch(deepest(&error)));
        }
        let _one = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
        self.all.validate(payload, self.whether).map_err(|_| {
            Mismatch::nowhere(format!("it differs; where is not told of more than {MAX_TOLD_VALUES} values"))
        })
    }
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

/// Of all that is wrong what comes first, as near to the cause as the validator tells.
fn deepest<'a, 's, 'v>(error: &'a ValidationError<'s, 'v>) -> &'a ValidationError<'s, 'v> {
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
        pointer: error.instance_location.to_string(),
        rule: format!("{}{keyword}", place(error.schema_url)),
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

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SAID_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

mod steps;
#[cfg(test)]
mod tests;
