//! `postrider event-type`: what kinds of things happen.

use std::path::{Path as FilePath, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use postrider_model::schema::Schemas;
use serde_json::{Map, Value, json};

use super::endpoint::merged;
use super::given::{self, or_taken_away};
use super::{Context, PageArgs};
use crate::client::{Client, Path};
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, printable, time};

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
    #[command(
        after_help = "Examples:\n  postrider event-type update order.paid --schema order.json --validation warn\n  \
                            postrider event-type update order.paid --deprecated true --group orders\n  \
                            postrider event-type update order.paid --no-schema --group '' --feature-flag ''"
    )]
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
    /// Removes all versions of it
    #[arg(long, conflicts_with = "schema")]
    no_schema: bool,
    /// What becomes of messages whose payload differs from the newest schema
    #[arg(long, value_enum)]
    validation: Option<Validation>,
    /// A heading to show it under, such as `orders`; an empty one takes it away
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Whether it is on its way out; shown, and without effect
    #[arg(long, value_name = "true|false")]
    deprecated: Option<bool>,
    /// Whether it is listed no more; messages of it pass as before
    #[arg(long, value_name = "true|false")]
    archived: Option<bool>,
    /// A flag of yours, shown and without effect, in the place of all that were; may be given many times. An empty one alone
    /// takes them away
    #[arg(long = "feature-flag", value_name = "FLAG")]
    feature_flags: Vec<String>,
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
        let schemas = match self.schema {
            Some(file) => Some(with_schema(present, read(&file)?).into()),
            None => None,
        };
        let validation = self.validation.map(|validation| match validation {
            Validation::Off => "off".into(),
            Validation::Warn => "warn".into(),
            Validation::Refuse => "refuse".into(),
            Validation::Default => Value::Null,
        });
        Ok(given::body([
            ("description", self.description.map(Value::from)),
            ("schemas", or_taken_away(schemas, self.no_schema, Value::Null)),
            ("validation", validation),
            ("groupName", given::text(self.group)),
            ("deprecated", self.deprecated.map(Value::from)),
            ("archived", self.archived.map(Value::from)),
            ("featureFlags", given::texts(self.feature_flags)),
        ]))
    }
}

/// The versions with one more, unless the newest is the same.
fn with_schema(versions: Map<String, Value>, schema: Value) -> Map<String, Value> {
    let present = Schemas::new(versions);
    let mut versions = present.versions().clone();
    if present.newest().map(|(_, newest)| newest) != Some(&schema) {
        versions.insert(present.next_version(), schema);
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
                    return Err(Failure::usage("nothing to change").hint(
                        "name what changes, such as `--schema`; `postrider event-type update --help` lists all",
                    ));
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
                context.output.done(&json!({ "name": name, "archived": true }), format!("archived event type {name}"))
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
        ("group", field(event_type, "groupName")),
        ("feature flags", field(event_type, "featureFlags")),
        ("deprecated", field(event_type, "deprecated")),
        ("archived", field(event_type, "archived")),
        ("created", time(event_type, "createdAt")),
    ])
}

fn schema_versions(event_type: &Value) -> String {
    let versions =
        event_type.get("schemas").and_then(Value::as_object).into_iter().flat_map(|versions| versions.keys());
    versions.map(|version| printable(version)).collect::<Vec<_>>().join(", ")
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
    let mut table = Table::new(["name", if dry_run { "would be" } else { "was" }]);
    let mut is_same = true;
    for (member, what) in [("created", "made"), ("changed", "changed"), ("archived", "archived")] {
        let names = answer.pointer(&format!("/data/{member}")).and_then(Value::as_array).into_iter().flatten();
        for name in names.filter_map(Value::as_str) {
            table.row([printable(name), what.to_owned()]);
            is_same = false;
        }
    }
    let done = match (is_same, dry_run) {
        (true, _) => "nothing differs\n".to_owned(),
        (false, true) => format!("nothing was done\n{table}"),
        (false, false) => table.to_string(),
    };
    match answer.get("data").map(|data| field(data, "without_schema")).filter(|names| !names.is_empty()) {
        Some(names) => format!("{done}the document has no schema in JSON for the bodies of: {names}\n"),
        None => done,
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
        let dated = with_schema(versions(json!({"1": {}, "20261130141744123456": {}})), json!(true));
        assert_eq!(dated.get("20261130141744123457"), Some(&json!(true)));
    }

    #[test]
    fn names_of_versions_and_types_cannot_move_the_cursor() {
        let wild = json!({ "name": "a.b", "schemas": { "\u{1b}[2Jx": {}, "2": {} } });
        let shown = [show(&wild), list(&json!({ "data": [wild], "done": true }))];
        let done = imported(&json!({ "data": { "created": ["\u{1b}[2Jx"] } }), false);
        for text in shown.iter().chain([&done]) {
            assert!(text.contains("\\u{1b}[2Jx") && !text.contains('\u{1b}'), "{text:?}");
        }
    }

    #[test]
    fn an_import_says_what_it_did() {
        let data = json!({
            "modified": ["a.b", "new.one", "old", "a.c"], "created": ["new.one"], "changed": ["a.b", "a.c"],
            "archived": ["old"], "to_modify": null,
        });
        let answer = json!({ "data": data });
        let expected = "\
            NAME     WAS\n\
            new.one  made\n\
            a.b      changed\n\
            a.c      changed\n\
            old      archived\n";
        assert_eq!(imported(&answer, false), expected);
        let planned = imported(&answer, true);
        assert!(planned.starts_with("nothing was done\nNAME     WOULD BE\nnew.one  made\n"), "{planned}");
        assert_eq!(imported(&json!({ "data": { "modified": [], "created": [] } }), true), "nothing differs\n");
        let lacking = json!({ "data": { "modified": [], "without_schema": ["a.b", "c"] } });
        let said = "nothing differs\nthe document has no schema in JSON for the bodies of: a.b,c\n";
        assert_eq!(imported(&lacking, false), said);
    }
}
