//! Applications.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use postrider_model::application::{Application, ApplicationFields};
use postrider_model::command::{Command, Reply, Write};
use postrider_model::id::{AppId, OrgId};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Params, Path};
use crate::input::{Field, Problems, set};
use crate::page::{Cursor, List, Order, PageQuery};
use crate::time;

/// An application as it is asked for.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ApplicationIn {
    name: Field<String>,
    pub(crate) uid: Field<String>,
    throttle_rate: Field<u32>,
    rate_limit: Field<u32>,
    metadata: Field<BTreeMap<String, String>>,
}

impl ApplicationIn {
    /// The whole of its fields, for an application that is made or replaced.
    pub(crate) fn into_fields(self) -> Result<ApplicationFields, ApiError> {
        let mut problems = Problems::default();
        let fields = ApplicationFields {
            name: self.name.required("name", &mut problems),
            uid: self.uid.nullable(),
            throttle_per_second: self.throttle_rate.or(self.rate_limit).nullable(),
            metadata: self.metadata.given("metadata", &mut problems).unwrap_or_default(),
        };
        problems.finish().map(|()| fields)
    }

    /// The change that it asks for, and nothing else.
    fn into_patch(self) -> Result<impl FnOnce(&mut ApplicationFields) + Send + 'static, ApiError> {
        let mut problems = Problems::default();
        let name = self.name.given("name", &mut problems);
        let uid = self.uid.change();
        let throttle = self.throttle_rate.or(self.rate_limit).change();
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
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationOut {
    id: AppId,
    uid: Option<String>,
    name: String,
    throttle_rate: Option<u32>,
    rate_limit: Option<u32>,
    metadata: BTreeMap<String, String>,
    created_at: String,
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

pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<axum::Json<ApplicationOut>, ApiError> {
    caller.app(&context, &app, |entry| ApplicationOut::from(&*entry.app)).map(axum::Json)
}

pub(crate) async fn put(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(input): Json<ApplicationIn>,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    let mut fields = input.into_fields()?;
    if app.starts_with(AppId::PREFIX) {
        // An id is made by us, so none can be created by naming it.
        caller.app_id(&context, &app)?;
    } else {
        // The path goes on leading to what was put there.
        fields.uid.get_or_insert_with(|| app.clone());
    }
    execute(&context, org, app, Write::Upsert, move |present| *present = fields).await
}

pub(crate) async fn patch(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(input): Json<ApplicationIn>,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    execute(&context, org, app, Write::Update, input.into_patch()?).await
}

pub(crate) async fn delete(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<StatusCode, ApiError> {
    let org = caller.whole_org()?;
    context.ports.configure.execute(Command::DeleteApplication { org, app }).await?;
    Ok(StatusCode::NO_CONTENT)
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
