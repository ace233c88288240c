//! `postrider event-type`: what kinds of things happen.

use std::path::{Path as FilePath, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::app::without_nulls;
use super::endpoint::merged;
use super::{Context, PageArgs};
use crate::client::{Client, Path};
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, time};

/// Event types: the catalogue of what can happen, for people and tools
#[derive(Debug, Subcommand)]
pub(crate) enum EventType {
    /// Adds an event type
    #[command(after_help = "Examples:\n  postrider event-type create order.paid --description 'An order was paid'\n  \
                            postrider event-type create order.paid --schema order.json --validation refuse")]
    Create {
        /// Its name: letters, digits, `-`, `_`, and dots between the levels
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Changes what is given, leaves the rest
    #[command(after_help = "Example:\n  postrider event-type update order.paid --schema order.json --validation warn")]
    Update {
        /// Its name
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Lists event types
    #[command(after_help = "Example:\n  postrider event-type list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows an event type
    #[command(after_help = "Example:\n  postrider event-type get order.paid")]
    Get {
        /// Its name
        name: String,
    },
    /// Archives an event type; messages of it still pass
    #[command(after_help = "Example:\n  postrider event-type delete order.paid")]
    Delete {
        /// Its name
        name: String,
    },
    /// Makes and changes event types as the webhooks of an OpenAPI 3.1 document describe them
    #[command(after_help = "Examples:\n  postrider event-type import openapi.json --dry-run\n  \
                            postrider event-type export | postrider --data-dir other event-type import -")]
    Import {
        /// The document, in JSON; `-` reads standard input
        file: PathBuf,
        /// Change nothing; say what would be changed
        #[arg(long)]
        dry_run: bool,
        /// Archive the event types that are not in the document
        #[arg(long)]
        replace_all: bool,
    },
    /// Prints the event types that are not archived as the webhooks of an OpenAPI 3.1 document
    #[command(after_help = "Example:\n  postrider event-type export > openapi.json")]
    Export,
}

/// What can be chosen of an event type.
#[derive(Args, Debug)]
pub(crate) struct Fields {
    /// What it means
    #[arg(long)]
    description: Option<String>,
    /// A file with the JSON Schema of its payloads, which is added as the newest version; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// What becomes of messages whose payload differs from the newest schema
    #[arg(long, value_enum)]
    validation: Option<Validation>,
}

/// What becomes of payloads that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Validation {
    /// Nothing is compared
    Off,
    /// They are accepted, counted and logged
    Warn,
    /// They are refused
    Refuse,
    /// As the server's `event_types.validation` says
    Default,
}

impl Fields {
    /// As the API takes them. `present` are the versions of the schema that there are.
    fn body(self, present: Map<String, Value>) -> Result<Value, Failure> {
        let mut body = without_nulls(json!({ "description": self.description }));
        if let Some(file) = self.schema {
            body = merged(body, json!({ "schemas": with_schema(present, read(&file)?) }));
        }
        if let Some(validation) = self.validation {
            let word = match validation {
                Validation::Off => Some("off"),
                Validation::Warn => Some("warn"),
                Validation::Refuse => Some("refuse"),
                Validation::Default => None,
            };
            body = merged(body, json!({ "validation": word }));
        }
        Ok(body)
    }
}

/// The versions with one more, unless the newest is the same.
fn with_schema(mut versions: Map<String, Value>, schema: Value) -> Map<String, Value> {
    let newest = versions.keys().filter_map(|version| version.parse::<u64>().ok()).max();
    if newest.and_then(|newest| versions.get(&newest.to_string())) != Some(&schema) {
        versions.insert(newest.unwrap_or_default().saturating_add(1).to_string(), schema);
    }
    versions
}

fn read(file: &FilePath) -> Result<Value, Failure> {
    let name = file.display();
    let bytes = match file.to_str() {
        Some("-") => super::send::payload("-")?,
        _ => std::fs::read(file).map_err(|error| Failure::system(format!("failed to read {name}"), &error))?,
    };
    serde_json::from_slice(&bytes).map_err(|error| Failure::usage(format!("{name} is not JSON: {error}")))
}

impl EventType {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Create { name, fields } => {
                let body = merged(json!({ "name": name, "description": "" }), fields.body(Map::new())?);
                context.output.answer(&client.post(Path::new(["event-type"])?, &body).await?, show)
            }
            Self::Update { name, fields } => {
                let present = if fields.schema.is_some() { versions(&client, &name).await? } else { Map::new() };
                let body = fields.body(present)?;
                if body.as_object().is_none_or(Map::is_empty) {
                    return Err(Failure::usage("nothing to change")
                        .hint("name what changes: `--description`, `--schema` or `--validation`"));
                }
                context.output.answer(&client.patch(Path::new(["event-type", &name])?, &body).await?, show)
            }
            Self::List { page } => {
                // Whether there is a schema is shown, so they are asked for.
                let path = page.onto(Path::new(["event-type"])?);
                let path = path.query("with_content", (!context.output.json).then_some(true));
                context.output.answer(&client.get(path).await?, list)
            }
            Self::Get { name } => context.output.answer(&client.get(Path::new(["event-type", &name])?).await?, show),
            Self::Delete { name } => {
                client.delete(Path::new(["event-type", &name])?).await?;
                context.output.note(format!("archived event type {name}"));
                Ok(())
            }
            Self::Import { file, dry_run, replace_all } => {
                let body = json!({ "spec": read(&file)?, "dryRun": dry_run, "replaceAll": replace_all });
                let answer = client.post(Path::new(["event-type", "import", "openapi"])?, &body).await?;
                context.output.answer(&answer, |answer| imported(answer, dry_run))
            }
            Self::Export => {
                let answer = client.get(Path::new(["event-type", "export", "openapi"])?).await?;
                context.output.text(format!("{:#}\n", *answer))
            }
        }
    }
}

/// The versions of the schema that an event type has.
async fn versions(client: &Client, name: &str) -> Result<Map<String, Value>, Failure> {
    let found = client.get(Path::new(["event-type", name])?).await?;
    Ok(found.get("schemas").and_then(Value::as_object).cloned().unwrap_or_default())
}

fn show(event_type: &Value) -> String {
    card(&[
        ("name", field(event_type, "name")),
        ("description", field(event_type, "description")),
        ("schema versions", schema_versions(event_type)),
        ("validation", field(event_type, "validation")),
        ("archived", field(event_type, "archived")),
        ("created", time(event_type, "createdAt")),
    ])
}

fn schema_versions(event_type: &Value) -> String {
    let versions =
        event_type.get("schemas").and_then(Value::as_object).into_iter().flat_map(|versions| versions.keys());
    versions.cloned().collect::<Vec<_>>().join(", ")
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["name", "schemas", "validation", "description"]);
    for event_type in data(answer) {
        table.row([
            field(event_type, "name"),
            schema_versions(event_type),
            field(event_type, "validation"),
            field(event_type, "description"),
        ]);
    }
    format!("{table}{}", more(answer))
}

fn imported(answer: &Value, dry_run: bool) -> String {
    let modified = answer.pointer("/data/modified").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<_> = modified.filter_map(Value::as_str).map(|name| format!("  {name}\n")).collect();
    match (names.is_empty(), dry_run) {
        (true, _) => "nothing differs\n".to_owned(),
        (false, true) => format!("nothing was done; this would be made, changed or archived:\n{}", names.concat()),
        (false, false) => format!("made, changed or archived:\n{}", names.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_new_version_unless_it_is_the_newest() {
        let versions = |value: Value| value.as_object().cloned().unwrap_or_default();
        let first = with_schema(Map::new(), json!({"type": "object"}));
        assert_eq!(first, versions(json!({"1": {"type": "object"}})));
        assert_eq!(with_schema(first.clone(), json!({"type": "object"})), first);
        let second = with_schema(first, json!(true));
        assert_eq!(second, versions(json!({"1": {"type": "object"}, "2": true})));
        let old = versions(json!({"draft": {}, "9": {}, "10": {"type": "null"}}));
        assert_eq!(with_schema(old.clone(), json!({"type": "null"})), old);
    }

    #[test]
    fn an_import_says_what_it_did() {
        let answer = json!({ "data": { "modified": ["a.b"], "to_modify": null } });
        assert_eq!(imported(&answer, false), "made, changed or archived:\n  a.b\n");
        assert!(imported(&answer, true).starts_with("nothing was done"));
        assert_eq!(imported(&json!({ "data": { "modified": [] } }), true), "nothing differs\n");
    }
}
