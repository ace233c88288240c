//! How an endpoint is doing, in numbers.

use postrider_model::time::UnixMs;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Path, State};
use crate::{Context, time};

/// Numbers of deliveries. `success`, `fail` and `canceled` are those that came to
/// this end between `since` and `until`; `pending` and `sending` those of now.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointStats)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointStatsOut {
    success: u64,
    pending: u64,
    sending: u64,
    fail: u64,
    canceled: u64,
    /// Messages that its filter has held back since the server was started.
    filtered: u64,
    /// From when on is counted, if not everything that is kept was.
    #[schema(required, format = DateTime)]
    since: Option<String>,
}

/// The time for which an endpoint's deliveries are counted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `get` reads")]
pub(crate) struct StatsParams {
    /// From this time on, by RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Before this time, by RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// Counts the deliveries of an endpoint by their state
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint/{endpoint_id}/stats",
    operation_id = "v1.endpoint.get-stats",
    tag = "Endpoint",
    params(StatsParams),
    responses((status = 200, body = EndpointStatsOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    params: Params,
) -> Result<axum::Json<EndpointStatsOut>, ApiError> {
    // Both ends are whole milliseconds: the first counts, the last does not.
    let since = params.parsed("since", "a time by RFC 3339", time::parse_before)?.unwrap_or_default();
    let until = params.parsed("until", "a time by RFC 3339", time::parse_before)?.unwrap_or(UnixMs(u64::MAX));
    if until < since {
        return Err(ApiError::invalid("query", "until", "lies before `since`"));
    }
    let endpoint = caller.endpoint(&context, &app, &endpoint, |found| found.id)?;
    let stats = context.read(move |store| Ok(store.endpoint_stats(endpoint, since, until)?)).await?;
    Ok(axum::Json(EndpointStatsOut {
        success: stats.success,
        pending: stats.pending,
        sending: stats.sending,
        fail: stats.fail,
        canceled: stats.canceled,
        filtered: stats.filtered,
        since: (stats.since > UnixMs::default()).then(|| time::text(stats.since)),
    }))
}
