//! Whom a message would go to. Nothing is stored.

use std::collections::BTreeSet;

use postrider_model::config::AppEntry;
use postrider_model::endpoint::{Endpoint, Hold};
use postrider_model::fan_out::Verdict;
use postrider_model::id::EndpointId;
use postrider_model::payload::Payload;
use postrider_model::schema::Mismatch;
use postrider_model::validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{self, Path, RawBody, State};
use crate::input::{Field, Problems};
use crate::schema::{Channel, EventTypeName};
use crate::{Context, message};

/// The message that might be sent.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = MessageDryRunIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DryRunIn<'a> {
    #[schema(value_type = EventTypeName, required)]
    event_type: Field<String>,
    #[schema(value_type = Object, required, example = json!({"amount": 170}))]
    #[serde(borrow)]
    payload: Field<&'a RawValue>,
    #[schema(value_type = Option<Vec<Channel>>, min_items = 1, max_items = 5)]
    channels: Field<BTreeSet<String>>,
}

/// What would become of the message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageDryRunOut)]
pub(crate) struct DryRunOut {
    /// How the payload differs from the newest schema of its event type, if it has one and differs. Whether that matters
    /// is a matter of `validation`.
    mismatch: Option<MismatchOut>,
    /// Each endpoint of the application, oldest first.
    endpoints: Vec<ReceiverOut>,
}

/// How a payload differs from a schema.
#[derive(Serialize, ToSchema)]
#[schema(as = SchemaMismatchOut)]
struct MismatchOut {
    /// A JSON pointer to the place in the payload.
    #[schema(example = "/amount")]
    pointer: String,
    /// A JSON pointer to the rule in the schema.
    #[schema(example = "/properties/amount/type")]
    rule: String,
    /// What is wrong.
    detail: String,
}

/// Whether an endpoint would get it.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageDryRunEndpointOut)]
#[serde(rename_all = "camelCase")]
struct ReceiverOut {
    #[schema(value_type = String, example = "ep_0ERdjjOCvwLrdBodjus57LGrMBo")]
    endpoint_id: EndpointId,
    endpoint_uid: Option<String>,
    /// A delivery to it would be made.
    matches: bool,
    /// Why not, if not: `event_type`, `channels`, or `filter`.
    reason: Option<&'static str>,
    /// Why the delivery would wait, if so: `endpoint_disabled`, `endpoint_disabled_by_410`,
    /// `endpoint_disabled_by_failures`, `endpoint_paused`, `endpoint_unverified` or `dispatch_paused`.
    held: Option<&'static str>,
}

/// Says which endpoints a message would go to, and why not to the others; nothing is stored
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg/precheck/dry-run",
    operation_id = "v1.message.dry-run",
    tag = "Message",
    request_body = DryRunIn<'static>,
    responses((status = 200, body = DryRunOut)),
)]
pub(crate) async fn dry_run(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    RawBody { bytes, .. }: RawBody,
) -> Result<axum::Json<DryRunOut>, ApiError> {
    let input = extract::parse::<DryRunIn<'_>>(&bytes)?;
    let mut problems = Problems::default();
    let event_type = input.event_type.given_or_missing("eventType", &mut problems);
    if let Some(event_type) = &event_type {
        problems.check("eventType", validate::event_type(event_type));
    }
    let channels = message::channels(input.channels, &mut problems);
    problems.check("channels", validate::channels(Some(&channels).filter(|channels| !channels.is_empty())));
    let body = message::payload(input.payload, &bytes, &mut problems);
    problems.finish()?;
    let event_type = event_type.unwrap_or_default();
    let (mut all_paused, mut schemas) = (false, None);
    context.ports.configure.with_config(&mut |config| {
        all_paused = config.dispatch_paused().is_some();
        schemas = config.event_type(caller.org(), &event_type).and_then(|found| found.fields.schemas.clone());
    });
    let endpoints: Vec<_> = caller.app(&context, &app, |entry: &AppEntry| entry.endpoints().cloned().collect())?;
    // Outside of the lock: a payload may be long.
    let payload = Payload::of_type(&body, None);
    let receiver = |endpoint: &std::sync::Arc<Endpoint>| {
        let verdict = endpoint.fields.judge(&event_type, &channels, &payload);
        let matches = verdict == Verdict::Wanted;
        let hold = endpoint.hold().map(|(hold, _)| hold).or_else(|| all_paused.then_some(Hold::AllPaused));
        ReceiverOut {
            endpoint_id: endpoint.id,
            endpoint_uid: endpoint.fields.uid.clone(),
            matches,
            reason: verdict.reason(),
            held: hold.filter(|_| matches).map(|hold| hold.as_str()),
        }
    };
    let mismatch = schemas.and_then(|schemas| schemas.compare(payload.value()).err());
    let mismatch = mismatch.map(|Mismatch { pointer, rule, said }| MismatchOut { pointer, rule, detail: said });
    Ok(axum::Json(DryRunOut { mismatch, endpoints: endpoints.iter().map(receiver).collect() }))
}
