//! Access for an application's owner: a token that reaches that application only.
//!
//! There is no portal. Where Svix answers with a link to one, the link here leads
//! to this server's page about its API.

use std::time::Duration;

use axum::Extension;
use http::header::HOST;
use http::uri::{Authority, Uri};
use http::{HeaderMap, StatusCode};
use postrider_model::validate;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::application::{self, ApplicationIn};
use crate::audited::MadeToken;
use crate::auth::{Caller, Scheme};
use crate::error::ApiError;
use crate::extract::{Json, Path, State};
use crate::input::{Field, Object, Problems};
use crate::schema::EventTypeName;
use crate::{Context, known_tokens, token};

/// Seconds for which a token may be valid: an hour to seven days, and the latter
/// where nothing is said.
const EXPIRY_S: std::ops::RangeInclusive<u64> = 3_600..=604_800;

/// What access is asked for.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AppPortalAccessIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PortalAccessIn {
    /// The application to make if there is none; its uid is the one in the path.
    #[schema(value_type = Option<ApplicationIn>)]
    application: Field<Object<ApplicationIn>>,
    /// Without effect: event types with such a flag are shown to everybody.
    #[schema(value_type = Option<Vec<EventTypeName>>)]
    feature_flags: Field<Vec<String>>,
    /// For how many seconds the token is valid.
    #[schema(value_type = Option<u64>, minimum = 3_600, maximum = 604_800, default = 604_800)]
    expiry: Field<u64>,
    // Refused where they ask for a token that may do less.
    #[schema(ignore)]
    read_only: Field<bool>,
    #[schema(ignore)]
    capabilities: Field<IgnoredAny>,
}

/// The way in.
#[derive(Serialize, ToSchema)]
#[schema(as = AppPortalAccessOut)]
pub(crate) struct PortalAccessOut {
    /// This server's page about its API; there is no portal.
    url: String,
    /// A bearer token that reaches the application and nothing else.
    token: String,
}

impl PortalAccessIn {
    /// How long the token lives, and the application to make if there is none.
    fn read(self) -> Result<(Duration, Option<ApplicationIn>), ApiError> {
        let mut problems = Problems::default();
        let expiry = self.expiry.nullable().unwrap_or(*EXPIRY_S.end());
        if !EXPIRY_S.contains(&expiry) {
            let (min, max) = EXPIRY_S.into_inner();
            problems.check("expiry", Err(format!("is {expiry}, {min} to {max} seconds are allowed")));
        }
        for flag in self.feature_flags.nullable().iter().flatten() {
            problems.check("featureFlags", validate::event_type(flag).map_err(|problem| format!("`{flag}` {problem}")));
        }
        // A token that can do more than was asked for is worse than none.
        let cannot = || Err("is not supported: a token of an application can do all that any other can".to_owned());
        if self.read_only == Field::Value(true) {
            problems.check("readOnly", cannot());
        }
        if matches!(self.capabilities, Field::Value(_)) {
            problems.check("capabilities", cannot());
        }
        problems.finish()?;
        Ok((Duration::from_secs(expiry), self.application.nullable().map(|Object(application)| application)))
    }
}

/// Makes a token for who owns an application
#[utoipa::path(
    post,
    path = "/auth/app-portal-access/{app_id}",
    operation_id = "v1.authentication.app-portal-access",
    tag = "Authentication",
    request_body = PortalAccessIn,
    responses((status = 200, body = PortalAccessOut)),
)]
pub(crate) async fn access(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    scheme: Scheme,
    uri: Uri,
    headers: HeaderMap,
    Json(input): Json<PortalAccessIn>,
) -> Result<(Extension<MadeToken>, axum::Json<PortalAccessOut>), ApiError> {
    let org = caller.whole_org()?;
    let (ttl, application) = input.read()?;
    if let Some(application) = application {
        application::ensure(&context, &caller, &app, application, "v1.authentication.app-portal-access").await?;
    }
    let app = caller.app_id(&context, &app)?;
    let token = token::create_for_application(&context.token_secret, org, app, ttl, context.clock.now());
    let made = known_tokens::hash(&token).map(|hash| known_tokens::fingerprint(&hash)).unwrap_or_default();
    Ok((Extension(MadeToken(made)), axum::Json(PortalAccessOut { url: docs_url(scheme, &uri, &headers), token })))
}

/// The address of `/docs` as whoever asks sees this server.
fn docs_url(scheme: Scheme, uri: &Uri, headers: &HeaderMap) -> String {
    let in_header = || headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let authority = uri.authority().cloned().or_else(in_header);
    let host = authority.filter(|authority| !authority.as_str().contains('@'));
    let host = host.as_ref().map_or("localhost", Authority::as_str);
    format!("{}://{host}/docs", scheme.as_str())
}

/// Logs a token out; nothing is kept of tokens, so that it stays valid until it expires
#[utoipa::path(
    post,
    path = "/auth/logout",
    operation_id = "logout_api_v1_auth_logout__post",
    tag = "Authentication",
    responses((status = 204)),
)]
pub(crate) async fn logout(_: Caller) -> StatusCode {
    StatusCode::NO_CONTENT
}
