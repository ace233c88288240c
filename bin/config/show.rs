//! Shows the configuration: the effective one, and the documentation of every key.

use std::fmt::Write as _;

use super::table::Key;
use super::{Config, KEYS, Loaded, SECTIONS};

/// The effective configuration as a TOML file, with where each value came from.
/// Secrets are redacted.
pub(crate) fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut open_section = "";
    for key in KEYS {
        let (section, name) = key.parts();
        if section != open_section {
            open_section = section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        let origin = origin(key, loaded);
        text.push_str(&match shown(key, &loaded.config) {
            Some(value) => format!("{name} = {value}  # {origin}\n"),
            None => format!("# {name} is not set\n"),
        });
    }
    text
}

/// The effective configuration for programs: key, value and origin of each.
/// Secrets are redacted; what is not set is null.
pub(crate) fn effective_json(loaded: &Loaded) -> serde_json::Value {
    let members = KEYS.iter().map(|key| {
        // What the values are shown as is JSON as well as TOML.
        let value = shown(key, &loaded.config).and_then(|text| serde_json::from_str(&text).ok());
        let origin = origin(key, loaded);
        serde_json::json!({ "key": key.name, "value": value.unwrap_or(serde_json::Value::Null), "origin": origin })
    });
    members.collect()
}

fn origin<'l>(key: &Key, loaded: &'l Loaded) -> &'l str {
    loaded.origins.get(key.name).map_or("default", String::as_str)
}

/// What a key shows: sockets with the place that they have by default.
fn shown(key: &Key, config: &Config) -> Option<String> {
    use super::value::quoted;
    let socket = |path: std::path::PathBuf| Some(quoted(&path.to_string_lossy()));
    match key.name {
        "api.socket" => socket(config.api_socket()),
        "ingest.socket" => socket(config.ingest_socket()),
        _ => key.show(config),
    }
}

/// `docs/configuration.md`.
pub(crate) fn documentation() -> String {
    let mut text = String::from(INTRODUCTION);
    let defaults = Config::default();
    let top_level = KEYS.iter().filter(|key| key.parts().0.is_empty());
    text.push_str("\n## Before the first section\n\n");
    top_level.for_each(|key| document(&mut text, key, &defaults));
    for section in SECTIONS {
        let _ = write!(text, "\n## [{}]\n\n{}\n\n", section.name, section.doc.trim());
        let members = KEYS.iter().filter(|key| key.parts().0 == section.name);
        members.for_each(|key| document(&mut text, key, &defaults));
    }
    text
}

fn document(text: &mut String, key: &Key, defaults: &Config) {
    let default = key.show(defaults).map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
    let bounds = key.bounds().map_or_else(String::new, |bounds| format!(", {bounds}"));
    let reload = if key.reload { " Takes effect at SIGHUP." } else { "" };
    let _ = writeln!(text, "- **`{}`**: {}{reload}", key.name, key.doc.trim());
    let _ = writeln!(text, "  Default: {default}. Type: {}{bounds}. Environment: `{}`.", key.kind, key.env());
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made by `postrider docs configuration`; a test compares. Change bin/config/keys.rs instead. -->

Four sources, each over the one before: the defaults below, a TOML file (`--config FILE`, or `postrider.toml` in the
working directory if it is there), environment variables (`POSTRIDER_SECTION__KEY`), flags (`--data-dir DIR`, and
`--set section.key=value` for every key). In the environment and in flags a list is separated by commas.

An unknown key is an error, in a file, in a flag, and in a variable whose name has two underscores in a row after
`POSTRIDER_`. All problems are reported at once, with exit code 64. `postrider check-config` shows the effective
configuration and where each value came from; secrets are redacted.

A key that says so takes effect at SIGHUP; all others at the next start.

```toml
data_dir = \"/var/lib/postrider\"

[api]
listen = \"127.0.0.1:8071\"

[dispatch]
allow_networks = [\"10.1.0.0/16\"]

[retry]
schedule = [0, 5, 300, 1800, 7200]
```
";
