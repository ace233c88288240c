//! Brings the sources together: each overrides those before it, and every
//! problem of every source is noted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::check::check;
use super::table::Key;
use super::value::Raw;
use super::{Config, KEYS, SECTIONS};

/// The file that is read if none is named and it is there.
const DEFAULT_FILE: &str = "postrider.toml";
const ENV_PREFIX: &str = "POSTRIDER_";

/// Where the configuration comes from besides the defaults. `Debug` prints no
/// values: some are secrets, and the environment is whoever's.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    /// `--config`; if there is none, [`DEFAULT_FILE`] where it exists.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Flags: the flag as it was written, the key's name, the value.
    pub(crate) flags: Vec<(String, String, String)>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.flags.iter().map(|(flag, key, _)| (flag, key)).collect();
        f.debug_struct("Sources").field("file", &self.file).field("flags", &flags).finish_non_exhaustive()
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    /// Where each value came from that is not the default, by key.
    pub(crate) origins: BTreeMap<&'static str, String>,
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "configuration: {one}"),
            many => {
                write!(f, "the configuration has {} problems", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// Reads every source.
///
/// # Errors
/// Everything that is wrong in any of them.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut loader = Loader::default();
    loader.file(sources.file.as_deref());
    loader.env(&sources.env);
    loader.flags(&sources.flags);
    loader.finish()
}

#[derive(Default)]
struct Loader {
    config: Config,
    origins: BTreeMap<&'static str, String>,
    problems: Vec<String>,
}

impl Loader {
    fn file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => self.toml(&path.display().to_string(), &text),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.problems.push(format!("failed to read {}: {error}", path.display())),
        }
    }

    fn toml(&mut self, file: &str, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let mut broken_lines = vec![];
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(span.start));
            broken_lines.push(line);
            // The error's own text would repeat the line, which may hold a secret.
            self.problems.push(format!("{file}:{line}: {}", error.message()));
        }
        let place = |offset: usize| Some(line_of(offset)).filter(|line| !broken_lines.contains(line));
        for (name, value) in in_file_order(document.get_ref()) {
            let Some(line) = place(name.span().start) else { continue };
            let section = SECTIONS.iter().any(|section| section.name == name.get_ref());
            match value.get_ref() {
                DeValue::Table(members) if section => self.section(file, name.get_ref(), members, &place),
                value if section => {
                    let what = format!("must be a section `[{}]`, not a TOML {}", name.get_ref(), value.type_str());
                    self.problems.push(format!("{file}:{line}: {}: {what}", name.get_ref()));
                }
                value => self.set(&format!("{file}:{line}"), name.get_ref(), Raw::Toml(value)),
            }
        }
    }

    fn section(&mut self, file: &str, section: &str, members: &DeTable<'_>, place: &dyn Fn(usize) -> Option<usize>) {
        for (name, value) in in_file_order(members) {
            let offset = Spanned::span(name).start;
            let Some(line) = place(offset) else { continue };
            let name = format!("{section}.{}", name.get_ref());
            match value.get_ref() {
                DeValue::Table(members) if SECTIONS.iter().any(|section| section.name == name) => {
                    self.section(file, &name, members, place);
                }
                value => self.set(&format!("{file}:{line}"), &name, Raw::Toml(value)),
            }
        }
    }

    fn env(&mut self, variables: &[(OsString, OsString)]) {
        let mut ours: Vec<_> = variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        ours.sort();
        for (name, value) in ours {
            let known = KEYS.iter().find(|key| key.env() == name);
            // Others set variables such as `POSTRIDER_PORT` for a service of this
            // name, so only a name with a section is surely meant for us.
            let Some(key) = known.map(|key| key.name.to_owned()).or_else(|| key_of_env(name)) else { continue };
            match value.to_str() {
                Some(value) => self.set(name, &key, Raw::Text(value)),
                None => self.problems.push(format!("{name}: {key}: is not UTF-8")),
            }
        }
    }

    fn flags(&mut self, flags: &[(String, String, String)]) {
        for (flag, key, value) in flags {
            self.set(flag, key, Raw::Text(value));
        }
    }

    fn set(&mut self, place: &str, name: &str, raw: Raw<'_>) {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            self.problems.push(format!("{place}: {name}: unknown key{}", suggestion(name)));
            return;
        };
        match key.set(&mut self.config, raw) {
            Ok(()) => {
                self.origins.insert(key.name, place.to_owned());
            }
            Err(what) => self.problems.push(format!("{place}: {name}: {what}")),
        }
    }

    fn finish(mut self) -> Result<Loaded, Problems> {
        for (key, what) in check(&self.config) {
            let place = self.origins.get(key).map(|origin| format!("{origin}: ")).unwrap_or_default();
            self.problems.push(format!("{place}{key}: {what}"));
        }
        match self.problems.is_empty() {
            true => Ok(Loaded { config: self.config, origins: self.origins }),
            false => Err(Problems(self.problems)),
        }
    }
}

/// Tables are sorted by name when they are read.
fn in_file_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(name, _)| name.span().start);
    members
}

fn key_of_env(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(ENV_PREFIX)?;
    name.contains("__").then(|| name.replace("__", ".").to_lowercase())
}

fn suggestion(name: &str) -> String {
    let best = KEYS.iter().max_by(|a, b| likeness(a, name).total_cmp(&likeness(b, name)));
    match best.filter(|key| likeness(key, name) > 0.85) {
        Some(key) => format!("; did you mean `{}`?", key.name),
        None => String::new(),
    }
}

/// How much an unknown name is like a key's, 0 to 1: misspelt in the right
/// section, or right in a wrong one.
fn likeness(key: &Key, name: &str) -> f64 {
    let (own_section, own_name) = key.parts();
    let (section, name) = name.rsplit_once('.').unwrap_or(("", name));
    let of_name = strsim::jaro_winkler(own_name, name);
    if of_name == 1.0 { 1.0 } else { of_name * strsim::jaro_winkler(own_section, section) }
}
