//! Event types.

use std::collections::BTreeSet;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use postrider_model::command::{Command, Reply, Write};
use postrider_model::event_type::{EventType, EventTypeFields, Validation};
use postrider_model::schema::Schemas;
use postrider_model::validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Context;
use crate::application::created_or_ok;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Params, Path, State};
use crate::input::{Field, Problems, set};
use crate::page::{Cursor, List, Order, PageParams, PageQuery};
use crate::schema::{EventTypeName, ValidationWord, derived_body};
use crate::time;

/// An event type as it is asked for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EventTypeIn {
    #[schema(value_type = EventTypeName, required)]
    name: Field<String>,
    /// For people.
    #[schema(value_type = String, required, max_length = 4_096, example = "An order was paid")]
    description: Field<String>,
    /// It is not listed any more; messages of it are taken as before.
    #[schema(value_type = bool, default = false)]
    archived: Field<bool>,
    /// Shown, and without effect.
    #[schema(value_type = bool, default = false)]
    deprecated: Field<bool>,
    /// JSON Schemas (draft 2020-12) of its payloads by version, which are whole numbers. The newest counts.
    #[schema(value_type = Option<BTreeMap<String, Object>>, example = json!({"1": {"type": "object"}}))]
    schemas: Field<Map<String, Value>>,
    /// What becomes of messages whose payload differs from the newest schema: `off`, nothing is compared; `warn`, they are
    /// accepted, counted and logged; `refuse`, they are refused. `null` leaves it to the server. `PUT` leaves it as it is
    /// where it is not named.
    #[schema(value_type = Option<ValidationWord>)]
    validation: Field<String>,
    /// Shown, and without effect.
    #[schema(value_type = Option<Vec<EventTypeName>>, max_items = 10, example = json!(["beta"]))]
    feature_flags: Field<BTreeSet<String>>,
    /// The older form of `featureFlags`, for one.
    #[schema(value_type = Option<EventTypeName>)]
    feature_flag: Field<String>,
    /// Shown, and without effect.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    group_name: Field<String>,
}

derived_body!(EventTypeUpdate of EventTypeIn without ["name"]);
derived_body!(EventTypePatch of EventTypeIn without ["name"], nothing required);

type Edit = Box<dyn FnOnce(&mut EventTypeFields) + Send>;

/// What a request asks for.
struct Asked {
    edit: Edit,
    /// The schemas that it sets.
    schemas: Option<Schemas>,
}

impl Asked {
    /// The change, with schemas that are checked, which may take long. What came of it is remembered: whoever
    /// makes the change has others who wait, and looks at it again.
    async fn checked(self, context: &Context) -> Result<Edit, ApiError> {
        if let Some(schemas) = self.schemas {
            context.working(move || Ok(schemas.check().is_ok())).await?;
        }
        Ok(self.edit)
    }
}

impl EventTypeIn {
    /// The whole of its fields, for an event type that is made or replaced.
    fn whole(self, problems: &mut Problems) -> Asked {
        check_schemas(&self.schemas, problems);
        let feature_flags = flags(self.feature_flags, self.feature_flag, problems).nullable();
        let validation = validation(self.validation, problems).change();
        let fields = EventTypeFields {
            validation: None,
            description: self.description.required("description", problems),
            archived: self.archived.given("archived", problems).unwrap_or_default(),
            deprecated: self.deprecated.given("deprecated", problems).unwrap_or_default(),
            schemas: self.schemas.nullable().map(Schemas::new),
            feature_flags: feature_flags.unwrap_or_default(),
            group_name: self.group_name.nullable(),
        };
        let schemas = fields.schemas.clone();
        let edit = Box::new(move |present: &mut EventTypeFields| {
            let validation = validation.unwrap_or(present.validation);
            *present = EventTypeFields { validation, ..fields };
        });
        Asked { edit, schemas }
    }

    /// The change that it asks for, and nothing else.
    fn patch(self, problems: &mut Problems) -> Asked {
        check_schemas(&self.schemas, problems);
        let description = self.description.given("description", problems);
        let archived = self.archived.given("archived", problems);
        let deprecated = self.deprecated.given("deprecated", problems);
        let schemas = self.schemas.change().map(|schemas| schemas.map(Schemas::new));
        let validation = validation(self.validation, problems).change();
        let feature_flags = flags(self.feature_flags, self.feature_flag, problems).change();
        let group_name = self.group_name.change();
        let set_schemas = schemas.clone().flatten();
        let edit = Box::new(move |fields: &mut EventTypeFields| {
            set(&mut fields.description, description);
            set(&mut fields.archived, archived);
            set(&mut fields.deprecated, deprecated);
            set(&mut fields.schemas, schemas);
            set(&mut fields.validation, validation);
            set(&mut fields.feature_flags, feature_flags.map(Option::unwrap_or_default));
            set(&mut fields.group_name, group_name);
        });
        Asked { edit, schemas: set_schemas }
    }
}

/// The word, if it is one.
fn validation(word: Field<String>, problems: &mut Problems) -> Field<Validation> {
    word.map(|word| {
        let known =
            [Validation::Off, Validation::Warn, Validation::Refuse].into_iter().find(|one| one.as_str() == word);
        problems.check("validation", known.map(drop).ok_or_else(|| format!("must be {}", Validation::WORDS)));
        known.unwrap_or_default()
    })
}

/// The flags, whichever way they came. Of the older form the name is checked
/// here, so that its own place is answered.
fn flags(flags: Field<BTreeSet<String>>, older: Field<String>, problems: &mut Problems) -> Field<BTreeSet<String>> {
    if flags.is_absent()
        && let Field::Value(flag) = &older
    {
        problems.check("featureFlag", validate::event_type(flag));
    }
    flags.or(match older {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Value(flag) => Field::Value([flag].into()),
    })
}

/// Each version of a schema is an object.
fn check_schemas(schemas: &Field<Map<String, Value>>, problems: &mut Problems) {
    let Field::Value(schemas) = schemas else { return };
    for (version, _) in schemas.iter().filter(|(_, schema)| !schema.is_object()) {
        problems.note(&["schemas", version], "must be an object", "type_error.dict");
    }
}

/// An event type as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeOut {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    #[schema(value_type = Option<BTreeMap<String, Object>>)]
    schemas: Option<Value>,
    /// `off`, `warn` or `refuse`; `null` is the server's setting.
    validation: Option<&'static str>,
    feature_flags: Option<BTreeSet<String>>,
    /// The first of them; kept for clients that ask for it.
    feature_flag: Option<String>,
    group_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    #[schema(value_type = String, format = DateTime)]
    updated_at: String,
}

impl EventTypeOut {
    fn new(event_type: &EventType, with_content: bool) -> Self {
        let fields = &event_type.fields;
        Self {
            name: event_type.name.clone(),
            description: fields.description.clone(),
            archived: fields.archived,
            deprecated: fields.deprecated,
            schemas: fields.schemas.as_ref().filter(|_| with_content).map(|schemas| schemas.versions().clone().into()),
            validation: fields.validation.map(Validation::as_str),
            feature_flags: Some(fields.feature_flags.clone()).filter(|flags| !flags.is_empty()),
            feature_flag: fields.feature_flags.first().cloned(),
            group_name: fields.group_name.clone(),
            created_at: time::text(event_type.created),
            updated_at: time::text(event_type.updated),
        }
    }
}

/// Lists the event types of the tenant
#[utoipa::path(
    get,
    path = "/event-type",
    operation_id = "v1.event-type.list",
    tag = "Event Type",
    params(
        PageParams,
        ("include_archived" = Option<bool>, Query, description = "Show those that are archived, too"),
        ("with_content" = Option<bool>, Query, description = "Show the schemas, too"),
    ),
    responses((status = 200, body = List<EventTypeOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<EventTypeOut>>, ApiError> {
    let query = PageQuery::read(&params, Cursor::Name, Order::Ascending)?;
    let archived = params.flag("include_archived", false)?;
    let with_content = params.flag("with_content", false)?;
    // The configuration gives them in one direction only, so they are gathered first.
    let mut all = Vec::new();
    context.ports.configure.with_config(&mut |config| {
        all = config.event_types(caller.org()).filter(|found| archived || !found.fields.archived).cloned().collect();
    });
    let key = |event_type: &std::sync::Arc<EventType>| event_type.name.as_bytes().to_vec();
    let page = query.cut(all.into_iter(), key);
    Ok(axum::Json(query.answer(&page, |found| Some(key(found)), |found| EventTypeOut::new(found, with_content))))
}

/// Creates an event type, or makes one that is archived anew
#[utoipa::path(
    post,
    path = "/event-type",
    operation_id = "v1.event-type.create",
    tag = "Event Type",
    request_body = EventTypeIn,
    responses((status = 201, body = EventTypeOut)),
)]
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    Json(mut input): Json<EventTypeIn>,
) -> Result<Response, ApiError> {
    caller.whole_org()?;
    let mut problems = Problems::default();
    let name = std::mem::take(&mut input.name).required("name", &mut problems);
    let asked = input.whole(&mut problems);
    problems.finish()?;
    let edit = asked.checked(&context).await?;
    // One that is archived is made anew under its name; nothing of the old one stays.
    let is_archived = find(&context, &caller, &name).is_ok_and(|found| found.fields.archived);
    let write = if is_archived { Write::Upsert } else { Write::Create };
    let (event_type, _) = execute(&context, &caller, name, write, edit).await?;
    Ok((StatusCode::CREATED, axum::Json(event_type)).into_response())
}

/// Gets an event type
#[utoipa::path(
    get,
    path = "/event-type/{event_type_name}",
    operation_id = "v1.event-type.get",
    tag = "Event Type",
    responses((status = 200, body = EventTypeOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<EventTypeOut>, ApiError> {
    find(&context, &caller, &name).map(|found| axum::Json(EventTypeOut::new(&found, true)))
}

/// Replaces an event type, or creates it
#[utoipa::path(
    put,
    path = "/event-type/{event_type_name}",
    operation_id = "v1.event-type.update",
    tag = "Event Type",
    request_body = EventTypeUpdate,
    responses((status = 200, body = EventTypeOut), (status = 201, body = EventTypeOut)),
)]
pub(crate) async fn put(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Json(input): Json<EventTypeIn>,
) -> Result<Response, ApiError> {
    caller.whole_org()?;
    let mut problems = Problems::default();
    let asked = input.whole(&mut problems);
    problems.finish()?;
    let edit = asked.checked(&context).await?;
    let put = execute(&context, &caller, name, Write::Upsert, edit).await;
    let (event_type, created) = put.map_err(named_by_path)?;
    Ok((created_or_ok(created), axum::Json(event_type)).into_response())
}

/// Changes the fields of an event type that are named
#[utoipa::path(
    patch,
    path = "/event-type/{event_type_name}",
    operation_id = "patch_event_type",
    tag = "Event Type",
    request_body = EventTypePatch,
    responses((status = 200, body = EventTypeOut)),
)]
pub(crate) async fn patch(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    Json(input): Json<EventTypeIn>,
) -> Result<axum::Json<EventTypeOut>, ApiError> {
    caller.whole_org()?;
    let mut problems = Problems::default();
    let asked = input.patch(&mut problems);
    problems.finish()?;
    let edit = asked.checked(&context).await?;
    let (event_type, _) = execute(&context, &caller, name, Write::Update, edit).await.map_err(named_by_path)?;
    Ok(axum::Json(event_type))
}

/// Archives an event type; with `expunge` it is gone
#[utoipa::path(
    delete,
    path = "/event-type/{event_type_name}",
    operation_id = "v1.event-type.delete",
    tag = "Event Type",
    params(("expunge" = Option<bool>, Query, description = "Remove it instead of archiving it")),
    responses((status = 204)),
)]
pub(crate) async fn delete(
    State(context): State<Context>,
    caller: Caller,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    let org = caller.whole_org()?;
    if params.flag("expunge", false)? {
        context.ports.configure.execute(Command::DeleteEventType { org, name }).await?;
    } else {
        let archive = Box::new(|fields: &mut EventTypeFields| fields.archived = true);
        execute(&context, &caller, name, Write::Update, archive).await.map_err(named_by_path)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn named_by_path(error: ApiError) -> ApiError {
    error.in_path("name", "event_type_name")
}

fn find(context: &Context, caller: &Caller, name: &str) -> Result<std::sync::Arc<EventType>, ApiError> {
    let mut found = None;
    context.ports.configure.with_config(&mut |config| found = config.event_type(caller.org(), name).cloned());
    found.ok_or_else(|| ApiError::not_found("event type"))
}

pub(crate) async fn execute(
    context: &Context,
    caller: &Caller,
    name: String,
    write: Write,
    edit: Edit,
) -> Result<(EventTypeOut, bool), ApiError> {
    let command = Command::EventType { org: caller.org(), name, write, edit };
    match context.ports.configure.execute(command).await? {
        Reply::EventType { event_type, created } => Ok((EventTypeOut::new(&event_type, true), created)),
        other => Err(ApiError::internal(&format_args!("an event type was expected, not {other:?}"))),
    }
}
