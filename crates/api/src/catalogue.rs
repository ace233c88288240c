//! Event types out of an OpenAPI document, and as one.

use std::sync::Arc;

use postrider_model::command::Write;
use postrider_model::event_type::{EventType, EventTypeFields};
use postrider_model::id::OrgId;
use postrider_model::validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::event_type;
use crate::extract::{Json, State};
use crate::input::{Field, Problems};

mod described;
mod references;
mod written;

use described::Described;

/// Webhooks of one document: each that differs is a change of its own.
const MAX_WEBHOOKS: usize = 1_000;
/// What our own members of a document are called.
const EXTENSION: &str = "x-postrider";
/// What an address begins with that is given to a schema on its way out.
const ADDRESS: &str = "urn:postrider:event-type:";

/// The name of an event type, and what it is to become.
type Planned = (String, EventTypeFields);

/// A document to import.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EventTypeImportOpenApiIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ImportIn {
    /// An OpenAPI 3.1 document. Each of its `webhooks` is an event type.
    #[schema(value_type = Option<Object>, example = json!({"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "webhooks": {}}))]
    spec: Field<Map<String, Value>>,
    /// The same as a text in JSON, in place of `spec`.
    #[schema(value_type = Option<String>)]
    spec_raw: Field<String>,
    /// Change nothing; answer what would be changed.
    #[schema(value_type = bool, default = false)]
    dry_run: Field<bool>,
    /// Archive the event types that are not in the document.
    #[schema(value_type = bool, default = false)]
    replace_all: Field<bool>,
}

/// What was imported.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypeImportOpenApiOut)]
pub(crate) struct ImportOut {
    data: ImportedOut,
}

/// What was changed, or would be.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypeImportOpenApiOutData)]
struct ImportedOut {
    /// The event types that were made, changed or archived; those that would be, if nothing was to be changed.
    modified: Vec<String>,
    /// Those of `modified` that are new.
    created: Vec<String>,
    /// Those of `modified` that were there and differ, or that are archived no more.
    changed: Vec<String>,
    /// Those of `modified` that are not in the document, with `replaceAll`.
    archived: Vec<String>,
    /// The event types of the document whose bodies it describes, but not by a schema for `application/json`: what schema
    /// they have stays as it is.
    without_schema: Vec<String>,
    /// As they would be, if nothing was to be changed.
    #[schema(required)]
    to_modify: Option<Vec<PlannedOut>>,
}

impl ImportedOut {
    fn new(planned: &[Planned], present: &[Arc<EventType>], without_schema: Vec<String>, is_plan: bool) -> Self {
        let is_present = |name: &str| present.iter().any(|found| found.name == name);
        let names = |of: &dyn Fn(&str, &EventTypeFields) -> bool| {
            let chosen = planned.iter().filter(|(name, fields)| of(name, fields));
            chosen.map(|(name, _)| name.clone()).collect()
        };
        Self {
            modified: names(&|_, _| true),
            created: names(&|name, _| !is_present(name)),
            // What is described is not archived any more.
            changed: names(&|name, fields| is_present(name) && !fields.archived),
            archived: names(&|_, fields| fields.archived),
            without_schema,
            to_modify: is_plan.then(|| planned.iter().map(|(name, fields)| PlannedOut::new(name, fields)).collect()),
        }
    }
}

/// An event type as a document describes it.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypeFromOpenApi)]
#[serde(rename_all = "camelCase")]
struct PlannedOut {
    name: String,
    description: String,
    deprecated: bool,
    archived: bool,
    #[schema(value_type = Option<BTreeMap<String, Object>>)]
    schemas: Option<Value>,
    feature_flags: Option<Vec<String>>,
    group_name: Option<String>,
}

impl PlannedOut {
    fn new(name: &str, fields: &EventTypeFields) -> Self {
        Self {
            name: name.to_owned(),
            description: fields.description.clone(),
            deprecated: fields.deprecated,
            archived: fields.archived,
            schemas: fields.schemas.as_ref().map(|schemas| schemas.versions().clone().into()),
            feature_flags: Some(fields.feature_flags.iter().cloned().collect())
                .filter(|flags: &Vec<_>| !flags.is_empty()),
            group_name: fields.group_name.clone(),
        }
    }
}

/// Makes and changes event types as the webhooks of an OpenAPI document describe them
#[utoipa::path(
    post,
    path = "/event-type/import/openapi",
    operation_id = "v1.event-type.import-openapi",
    tag = "Event Type",
    request_body = ImportIn,
    responses((status = 200, body = ImportOut)),
)]
pub(crate) async fn import(
    State(context): State<Context>,
    caller: Caller,
    Json(input): Json<ImportIn>,
) -> Result<axum::Json<ImportOut>, ApiError> {
    caller.whole_org()?;
    let mut problems = Problems::default();
    let dry_run = input.dry_run.given("dryRun", &mut problems).unwrap_or_default();
    let replace_all = input.replace_all.given("replaceAll", &mut problems).unwrap_or_default();
    problems.finish()?;
    let turn = context.turn_to_import().await?;
    let (asked, org) = (context.clone(), caller.org());
    // A document may refer to much, and schemas with many patterns take long to check.
    let (planned, data, _turn) = context
        .working(move || {
            let present = present(&asked, org);
            let (planned, data) = worked_out(input.spec, input.spec_raw, &present, replace_all, dry_run)?;
            // It lasts as long as this does, whether the caller is still there or not, and then until all is written.
            Ok((planned, data, turn))
        })
        .await?;
    if dry_run {
        return Ok(axum::Json(ImportOut { data }));
    }
    for (name, fields) in planned {
        let edit = Box::new(move |present: &mut EventTypeFields| *present = fields);
        event_type::execute(&context, &caller, name, Write::Upsert, edit).await?;
    }
    Ok(axum::Json(ImportOut { data }))
}

/// Shows the event types that are not archived as the webhooks of an OpenAPI document
#[utoipa::path(
    get,
    path = "/event-type/export/openapi",
    operation_id = "v1.event-type.export-openapi",
    tag = "Event Type",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object)),
)]
pub(crate) async fn export(State(context): State<Context>, caller: Caller) -> Result<axum::Json<Value>, ApiError> {
    let present = present(&context, caller.org());
    let offered = present.iter().filter(|found| !found.fields.archived);
    let webhooks: Map<_, _> = offered.map(|found| (found.name.clone(), written::webhook(found))).collect();
    Ok(axum::Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Events", "version": "1" },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "webhooks": webhooks,
    })))
}

fn present(context: &Context, org: OrgId) -> Vec<Arc<EventType>> {
    let mut all = vec![];
    context.ports.configure.with_config(&mut |config| all = config.event_types(org).cloned().collect());
    all
}

/// What is to be written, and what is answered. Nothing is written if anything is wrong.
fn worked_out(
    spec: Field<Map<String, Value>>,
    raw: Field<String>,
    present: &[Arc<EventType>],
    replace_all: bool,
    is_plan: bool,
) -> Result<(Vec<Planned>, ImportedOut), ApiError> {
    let mut problems = Problems::default();
    let document = document(spec, raw, &mut problems);
    let described = document.map(|document| described::all(&document, &mut problems)).unwrap_or_default();
    let lacking = described.iter().filter(|described| described.lacks_schema);
    let without_schema = lacking.map(|described| described.name.clone()).collect();
    let planned = planned(present, described, replace_all);
    for (name, fields) in &planned {
        check(name, fields, present, &mut problems);
    }
    problems.finish()?;
    let data = ImportedOut::new(&planned, present, without_schema, is_plan);
    Ok((planned, data))
}

fn document(
    spec: Field<Map<String, Value>>,
    raw: Field<String>,
    problems: &mut Problems,
) -> Option<Map<String, Value>> {
    match (spec.nullable(), raw.nullable()) {
        (Some(spec), None) => Some(spec),
        (None, Some(text)) => match serde_json::from_str(&text) {
            Ok(spec) => Some(spec),
            Err(error) => {
                let what = format!("is no object in JSON, the only form that is read: {error}");
                problems.check("specRaw", Err(what));
                None
            }
        },
        (None, None) => {
            problems.note(&["spec"], "field required", "value_error.missing");
            None
        }
        (Some(_), Some(_)) => {
            problems.check("specRaw", Err("is given beside `spec`; only one of them can count".to_owned()));
            None
        }
    }
}

/// What is to be written: all that differs from what there is.
fn planned(present: &[Arc<EventType>], described: Vec<Described>, replace_all: bool) -> Vec<Planned> {
    let find = |name: &str| present.iter().find(|found| found.name == name);
    let names: std::collections::BTreeSet<_> = described.iter().map(|described| described.name.clone()).collect();
    let left = present.iter().filter(|found| replace_all && !names.contains(&found.name) && !found.fields.archived);
    let archived = left.map(|found| (found.name.clone(), EventTypeFields { archived: true, ..found.fields.clone() }));
    let written = described.into_iter().filter_map(|described| {
        let before = find(&described.name).map(|found| &found.fields);
        let name = described.name.clone();
        let after = described.onto(before.cloned().unwrap_or_default());
        (before != Some(&after)).then_some((name, after))
    });
    written.chain(archived).collect()
}

/// All of it is checked before anything is written.
fn check(name: &str, fields: &EventTypeFields, present: &[Arc<EventType>], problems: &mut Problems) {
    let before = present.iter().find(|found| found.name == name).map(|found| &found.fields);
    let mut note = |what: Result<(), String>| {
        if let Err(what) = what {
            problems.note(&["spec", "webhooks", name], what, "value_error");
        }
    };
    note(validate::event_type(name).map_err(|problem| format!("the name {problem}")));
    note(fields.validate(before).map_err(|errors| errors.to_string()));
}
