//! What came of each mutant, in a file with a line for each.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The compiler refuses it, by itself or beside others.
    DoesNotCompile,
    /// It cannot lie beside others in one program.
    NotPlaced,
    /// A test failed.
    Noticed,
    /// A test did not come to its end within limits far above what it takes.
    RanForEver,
    /// No test failed.
    Missed,
    /// No test comes by its function.
    NotReached,
}

impl Verdict {
    /// Whether it is left out of the program.
    pub(crate) const fn is_of_the_compiler(self) -> bool {
        matches!(self, Self::DoesNotCompile | Self::NotPlaced)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DoesNotCompile => "do not compile",
            Self::NotPlaced => "could not be placed",
            Self::Noticed => "noticed",
            Self::RanForEver => "ran for ever",
            Self::Missed => "missed",
            Self::NotReached => "not reached",
        })
    }
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// The test that noticed it, or that did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<f64>,
    /// What the sources were: of others it says nothing.
    pub(crate) sources: String,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Verdicts {
    path: PathBuf,
    sources: String,
    known: BTreeMap<String, Verdict>,
}

impl Verdicts {
    /// Reads what is known of these sources; nothing if there is no file.
    ///
    /// # Errors
    /// It cannot be read. A line that is none, such as one that was cut off, is passed over.
    pub(crate) fn open(path: &Path, sources: String) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("failed to read {}", path.display()))?,
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let known = lines.filter(|line| line.sources == sources).map(|line| (line.name, line.verdict)).collect();
        Ok(Self { path: path.to_owned(), sources, known })
    }

    pub(crate) fn of(&self, name: &str) -> Option<Verdict> {
        self.known.get(name).copied()
    }

    /// Adds a verdict at the end.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn add(&mut self, name: &str, verdict: Verdict, by: Option<String>, seconds: Option<f64>) -> Result<()> {
        let line = Line { name: name.to_owned(), verdict, by, seconds, sources: self.sources.clone() };
        let text = serde_json::to_string(&line)? + "\n";
        let file = fs::OpenOptions::new().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("failed to write {}", self.path.display()))?;
        self.known.insert(line.name, verdict);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_of_the_same_sources() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mutants.jsonl");
        let mut verdicts = Verdicts::open(&path, "1".into()).expect("there is none yet");
        verdicts.add("a", Verdict::Noticed, Some("test".into()), Some(0.5)).expect("it can be written");
        verdicts.add("b", Verdict::NotPlaced, None, None).expect("it can be written");
        let text = fs::read_to_string(&path).expect("it is there");
        assert!(
            text.starts_with(r#"{"name":"a","verdict":"noticed","by":"test","seconds":0.5,"sources":"1"}"#),
            "{text}"
        );
        fs::write(&path, text + r#"{"name":"c"#).expect("it can be written");
        let again = Verdicts::open(&path, "1".into()).expect("it can be read");
        assert_eq!((again.of("a"), again.of("b")), (Some(Verdict::Noticed), Some(Verdict::NotPlaced)));
        assert_eq!(again.of("c"), None);
        assert_eq!(Verdicts::open(&path, "2".into()).expect("it can be read").of("a"), None);
    }
}
