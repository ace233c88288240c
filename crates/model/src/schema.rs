//! JSON Schemas of payloads (draft 2020-12), by version.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json;
use crate::payload::Payload;
use crate::validate::{self, Problem};
use compiled::Schema;

mod compiled;
mod graph;
mod kept;
mod metaschema;
mod parts;
mod pattern;
mod places;
mod steps;
mod unique;
mod work;

pub use work::{MAX_STEPS, MAX_TOLD_STEPS};

/// Bytes of all versions of an event type's schema, written without spaces.
pub const MAX_BYTES: usize = 256 << 10;
/// Versions of an event type's schema.
pub const MAX_VERSIONS: usize = 100;
/// Patterns of all of them.
pub const MAX_PATTERNS: u32 = 256;
/// Characters of a version.
pub const MAX_VERSION_CHARS: usize = 64;
/// Arrays and objects of a schema that may lie within each other. A record of it, and an answer with
/// it, wrap it in more of them, and readers of JSON have a limit, too.
pub const MAX_DEPTH: usize = 64;
/// Characters that are told of what is wrong with a payload.
const MAX_SAID_CHARS: usize = 300;
/// Schemas are checked one after the other: with many patterns that takes long.
static CHECKING: Mutex<()> = Mutex::new(());

/// The schemas of an event type, kept as they came. Two are equal if what was given is.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schemas {
    versions: Map<String, Value>,
    /// What came of checking them, for those that were made of these.
    #[serde(skip)]
    checked: Arc<OnceLock<Checked>>,
    /// What the newest is known by once it is compiled.
    #[serde(skip)]
    key: kept::Key,
}

/// What is wrong, with the version in which.
type Checked = Result<(), (Option<String>, Problem)>;

/// Why a payload did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// It is not what the schema says.
    #[error("the payload is not valid: {0}")]
    Differs(#[from] Mismatch),
    /// It is not compared, and passes: it would take more than [`MAX_STEPS`].
    #[error("it would take too long to compare the payload with its schema")]
    TakesTooLong,
    /// It is not compared, and passes: it is said to be JSON, and has what cannot be held, such as `1e400` or half a
    /// surrogate.
    #[error("the payload has what cannot be compared with its schema")]
    CannotBeRead,
    /// It could not be compared: there is no thread for it.
    #[error("no thread can be started to compare the payload with its schema: {0}")]
    NoThread(String),
}

impl Schemas {
    /// Schemas by version, which may be none that are allowed: see [`Self::check`].
    #[must_use]
    pub fn new(versions: Map<String, Value>) -> Self {
        Self { versions, ..Self::default() }
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
        let newest = self.newest().map_or("", |(version, _)| version);
        // One more than it: of its last digits the nines become noughts, and the one before them grows.
        let digits = digits(newest).unwrap_or_default();
        let before = digits.trim_end_matches('9');
        let noughts = "0".repeat(digits.len() - before.len());
        let (rest, last) = before.split_at_checked(before.len().saturating_sub(1)).unwrap_or_default();
        match last.parse::<u8>() {
            Ok(last) => format!("{rest}{}{noughts}", last + 1),
            Err(_) => format!("1{noughts}"),
        }
    }

    /// Checks that each is a schema, and refers to nothing outside of itself. That may take seconds;
    /// those that were cloned from checked ones are so already.
    ///
    /// # Errors
    /// One is none, or there is too much of them. With the version in which.
    pub fn check(&self) -> Checked {
        self.checked.get_or_init(|| check(&self.versions)).clone()
    }

    /// Compares a payload with the newest. What cannot be compiled any more, which was checked
    /// when it was set, lets all pass.
    ///
    /// # Errors
    /// The payload is not what the schema says, or no JSON. Or it was not compared, and why.
    pub fn compare(&self, payload: &Payload<'_>) -> Result<(), CompareError> {
        unread(payload, self.compare_value(payload.value()))
    }

    /// The same, if it takes a moment only: the newest is compiled, and takes few steps. `None` if not.
    #[must_use]
    pub fn compare_at_once(&self, payload: &Payload<'_>) -> Option<Result<(), CompareError>> {
        Some(unread(payload, self.compare_value_at_once(payload.value())?))
    }

    /// `None` is no JSON.
    fn compare_value(&self, payload: Option<&Value>) -> Result<(), CompareError> {
        let Some((_, newest)) = self.newest() else { return Ok(()) };
        match (&*kept::schema(&self.key, newest), payload) {
            (Ok(schema), Some(payload)) => schema.compare(payload),
            (Ok(_), None) => Err(Mismatch::not_json().into()),
            (Err(_), _) => Ok(()),
        }
    }

    fn compare_value_at_once(&self, payload: Option<&Value>) -> Option<Result<(), CompareError>> {
        if self.versions.is_empty() {
            return Some(Ok(()));
        }
        match (&*kept::known(&self.key)?, payload) {
            (Ok(schema), Some(payload)) => schema.compare_at_once(payload),
            (Ok(_), None) => Some(Err(Mismatch::not_json().into())),
            (Err(_), _) => Some(Ok(())),
        }
    }
}

/// What has come of a comparison, of which it may be that there was nothing to compare.
fn unread(payload: &Payload<'_>, compared: Result<(), CompareError>) -> Result<(), CompareError> {
    compared.map_err(|error| if payload.is_unreadable() { CompareError::CannotBeRead } else { error })
}

fn check(versions: &Map<String, Value>) -> Checked {
    if versions.len() > MAX_VERSIONS {
        let n = versions.len();
        return Err((None, format!("has {n} versions, at most {MAX_VERSIONS} are allowed")));
    }
    match serde_json::to_vec(versions).map_or(0, |text| text.len()) {
        n if n > MAX_BYTES => return Err((None, format!("has {n} bytes, at most {MAX_BYTES} are allowed"))),
        _ => {}
    }
    let _one = CHECKING.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut patterns, mut read_chars) = (0, 0);
    for (version, schema) in versions {
        validate::version(version).map_err(|problem| (None, format!("the version {version:?} {problem}")))?;
        let compiled = check_depth(schema).and_then(|()| Schema::compile(schema));
        let compiled = compiled.map_err(|problem| (Some(version.clone()), problem))?;
        patterns += compiled.patterns();
        read_chars += compiled.read_chars();
        if patterns > MAX_PATTERNS {
            return Err((None, format!("has more than {MAX_PATTERNS} patterns in all versions")));
        }
        pattern::check_read(read_chars).map_err(|problem| (None, problem))?;
    }
    Ok(())
}

fn check_depth(schema: &Value) -> Result<(), Problem> {
    json::check_depth_within(schema.to_string().as_bytes(), MAX_DEPTH)
}

/// Versions are whole numbers; what is none is older than all that are. Of those that are
/// equally old the last by name counts.
fn newest(versions: &Map<String, Value>) -> Option<(&str, &Value)> {
    let newest = versions.iter().max_by_key(|(version, _)| {
        let digits = digits(version);
        (digits.map(|digits| (digits.len(), digits)), *version)
    });
    newest.map(|(version, schema)| (version.as_str(), schema))
}

/// Those of a number, which may be larger than any that is computed with, without noughts before it.
fn digits(version: &str) -> Option<&str> {
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| version.trim_start_matches('0'))
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {pointer:?}: {said} (rule {rule:?} of its event type's schema)")]
pub struct Mismatch {
    /// Where in the payload, as a JSON pointer; the first 300 characters of it, as of all that is told.
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

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SAID_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
