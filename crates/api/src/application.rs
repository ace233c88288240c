//! Applications.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use postrider_model::application::{Application, ApplicationFields};
use postrider_model::audit::{Call, Told};
use postrider_model::bounds::Whole;
use postrider_model::command::{Command, Reply, Write};
use postrider_model::id::{AppId, OrgId};
use postrider_model::validate::ThrottleRate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Params, Path, State};
use crate::input::{Field, Problems, set, throttle};
use crate::page::{Cursor, List, Order, PageParams, PageQuery};
use crate::schema::derived_body;
use crate::time;

/// An application as it is asked for.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ApplicationIn {
    /// For people.
    #[schema(value_type = String, required, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "Shop")]
    name: Field<String>,
    /// Your own name for it, by which paths find it, too. Must not begin with `app_`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$", example = "shop")]
    uid: Field<String>,
    /// Messages per second to all of its endpoints together.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 65_535)]
    throttle_rate: Field<Whole<ThrottleRate>>,
    /// The older name of `throttleRate`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 65_535)]
    rate_limit: Field<Whole<ThrottleRate>>,
    /// Your own texts; keys and values together have at most 4,096 bytes.
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Field<BTreeMap<String, String>>,
}

derived_body!(ApplicationPatch of ApplicationIn without [], nothing required);

impl ApplicationIn {
    /// The whole of its fields, for an application that is made or replaced.
    pub(crate) fn into_fields(self) -> Result<ApplicationFields, ApiError> {
        let mut problems = Problems::default();
        let fields = ApplicationFields {
            name: self.name.required("name", &mut problems),
            uid: self.uid.nullable(),
            throttle_per_second: throttle(self.throttle_rate, self.rate_limit, &mut problems).nullable(),
            metadata: self.metadata.given("metadata", &mut problems).unwrap_or_default(),
        };
        problems.finish().map(|()| fields)
    }

    /// The change that it asks for, and nothing else.
    fn into_patch(self) -> Result<impl FnOnce(&mut ApplicationFields) + Send + 'static, ApiError> {
        let mut problems = Problems::default();
        let name = self.name.given("name", &mut problems);
        let uid = self.uid.change();
        let throttle = throttle(self.throttle_rate, self.rate_limit, &mut problems).change();
        let metadata = self.metadata.given("metadata", &mut problems);
        problems.finish()?;
        Ok(move |fields: &mut ApplicationFields| {
            set(&mut fields.name, name);
            set(&mut fields.uid, uid);
            set(&mut fields.throttle_per_second, throttle);
            set(&mut fields.metadata, metadata);
        })
    }
}

/// An application as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationOut {
    #[schema(value_type = String, example = "app_0ERdjjO8mz4LTB1vMSiOjvaTlO7")]
    id: AppId,
    uid: Option<String>,
    name: String,
    throttle_rate: Option<u32>,
    rate_limit: Option<u32>,
    metadata: BTreeMap<String, String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    #[schema(value_type = String, format = DateTime)]
    updated_at: String,
}

impl From<&Application> for ApplicationOut {
    fn from(app: &Application) -> Self {
        let fields = app.fields.clone();
        Self {
            id: app.id,
            uid: fields.uid,
            name: fields.name,
            throttle_rate: fields.throttle_per_second,
            rate_limit: fields.throttle_per_second,
            metadata: fields.metadata,
            created_at: time::text(app.created),
            updated_at: time::text(app.updated),
        }
    }
}

/// Lists the applications of the tenant
#[utoipa::path(
    get,
    path = "/app",
    operation_id = "v1.application.list",
    tag = "Application",
    params(PageParams),
    responses((status = 200, body = List<ApplicationOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<ApplicationOut>>, ApiError> {
    let org = caller.whole_org()?;
    let query = PageQuery::read(&params, Cursor::App, Order::Ascending)?;
    let mut list = None;
    context.ports.configure.with_config(&mut |config| {
        let apps = config.apps().map(|entry| &entry.app).filter(|app| app.org == org);
        let key = |app: &&std::sync::Arc<Application>| app.id.as_bytes().to_vec();
        let page = query.cut(apps, key);
        list = Some(query.answer(&page, |app| Some(key(app)), |app| ApplicationOut::from(&***app)));
    });
    list.map(axum::Json).ok_or_else(|| ApiError::internal(&"the configuration was not shown"))
}

/// Creates an application
#[utoipa::path(
    post,
    path = "/app",
    operation_id = "v1.application.create",
    tag = "Application",
    params(("get_if_exists" = Option<bool>, Query, description = "Answer the one with this uid if there is one")),
    request_body = ApplicationIn,
    responses((status = 200, body = ApplicationOut, description = "it was there (`get_if_exists`)"), (status = 201, body = ApplicationOut)),
)]
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
    Json(input): Json<ApplicationIn>,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    let write = if params.flag("get_if_exists", false)? { Write::CreateOrGet } else { Write::Create };
    let fields = input.into_fields()?;
    // No path names an application here, so that one with this uid is never changed.
    execute(&context, org, String::new(), write, move |present| *present = fields).await
}

/// Gets an application
#[utoipa::path(
    get,
    path = "/app/{app_id}",
    operation_id = "v1.application.get",
    tag = "Application",
    responses((status = 200, body = ApplicationOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<axum::Json<ApplicationOut>, ApiError> {
    caller.app(&context, &app, |entry| ApplicationOut::from(&*entry.app)).map(axum::Json)
}

/// Replaces an application, or creates it if the path names a uid that is not taken
#[utoipa::path(
    put,
    path = "/app/{app_id}",
    operation_id = "v1.application.update",
    tag = "Application",
    request_body = ApplicationIn,
    responses((status = 200, body = ApplicationOut), (status = 201, body = ApplicationOut)),
)]
pub(crate) async fn put(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(input): Json<ApplicationIn>,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    let mut fields = input.into_fields()?;
    let is_named_by_path = fields.uid.is_none() && !app.starts_with(AppId::PREFIX);
    if app.starts_with(AppId::PREFIX) {
        // An id is made by us, so none can be created by naming it.
        caller.app_id(&context, &app)?;
    } else {
        // The path goes on leading to what was put there.
        fields.uid.get_or_insert_with(|| app.clone());
    }
    let put = execute(&context, org, app, Write::Upsert, move |present| *present = fields).await;
    put.map_err(|error| if is_named_by_path { error.in_path("uid", "app_id") } else { error })
}

/// Changes the fields of an application that are named
#[utoipa::path(
    patch,
    path = "/app/{app_id}",
    operation_id = "patch_application",
    tag = "Application",
    request_body = ApplicationPatch,
    responses((status = 200, body = ApplicationOut)),
)]
pub(crate) async fn patch(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(input): Json<ApplicationIn>,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    execute(&context, org, app, Write::Update, input.into_patch()?).await
}

/// Deletes an application with its endpoints; what waits for delivery is cancelled
#[utoipa::path(
    delete,
    path = "/app/{app_id}",
    operation_id = "v1.application.delete",
    tag = "Application",
    responses((status = 204)),
)]
pub(crate) async fn delete(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<StatusCode, ApiError> {
    let org = caller.whole_org()?;
    context.ports.configure.execute(Command::DeleteApplication { org, app }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the application that came along with something else, if the path leads
/// to none. It is checked in any case. `operation` is what it came along with.
pub(crate) async fn ensure(
    context: &Context,
    caller: &Caller,
    path: &str,
    application: ApplicationIn,
    operation: &str,
) -> Result<(), ApiError> {
    let org = caller.whole_org()?;
    let mut fields = application.into_fields().map_err(|error| error.within("application"))?;
    fields.validate().map_err(|errors| ApiError::from(errors).within("application"))?;
    let named = fields.uid.as_ref();
    let present = caller.app(context, path, |entry| named.is_none_or(|uid| entry.app.fields.uid.as_ref() == Some(uid)));
    let is_same = match present {
        Ok(is_same) => is_same,
        Err(_) if path.starts_with(AppId::PREFIX) => return Err(ApiError::not_found("application")),
        Err(_) => named.is_none_or(|uid| uid == path),
    };
    if !is_same {
        let mut problems = Problems::default();
        problems.note(&["application", "uid"], "is not that of the application in the path", "value_error");
        return problems.finish();
    }
    if present.is_ok() {
        return Ok(());
    }
    fields.uid = Some(path.to_owned());
    // Sending a message is not told of, but an application that is made for it is.
    let telling = (!context.tells()).then(|| {
        let accepted = StatusCode::ACCEPTED.as_u16();
        let call = Call { status: accepted, status_if_created: accepted, ..caller.call(operation) };
        context.telling_of(&Arc::new(Told::not_yet(call)))
    });
    let context = telling.as_ref().unwrap_or(context);
    // By uid and not by the path, so that one made meanwhile stays as it is.
    let made = execute(context, org, String::new(), Write::CreateOrGet, move |present| *present = fields).await;
    made.map(drop).map_err(|error| error.in_path("uid", "app_id").within("application"))
}

async fn execute(
    context: &Context,
    org: OrgId,
    app: String,
    write: Write,
    edit: impl FnOnce(&mut ApplicationFields) + Send + 'static,
) -> Result<Response, ApiError> {
    let command = Command::Application { org, app, write, edit: Box::new(edit) };
    match context.ports.configure.execute(command).await? {
        Reply::Application { app, created } => {
            Ok((created_or_ok(created), axum::Json(ApplicationOut::from(&*app))).into_response())
        }
        other => Err(ApiError::internal(&format_args!("an application was expected, not {other:?}"))),
    }
}

pub(crate) const fn created_or_ok(created: bool) -> StatusCode {
    if created { StatusCode::CREATED } else { StatusCode::OK }
}
