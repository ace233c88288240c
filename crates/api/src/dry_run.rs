//! Whom a message would go to. Nothing is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use postrider_model::config::AppEntry;
use postrider_model::endpoint::{Endpoint, Hold};
use postrider_model::fan_out::Verdict;
use postrider_model::filter::HURRIED_STEPS;
use postrider_model::id::EndpointId;
use postrider_model::payload::Payload;
use postrider_model::schema::{CompareError, Mismatch, Schemas};
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
    let (event_type, channels) = message::kind(input.event_type, input.channels, &mut problems);
    let body = message::payload(input.payload, &bytes, &mut problems);
    problems.finish()?;
    let (mut all_paused, mut schemas) = (false, None);
    context.ports.configure.with_config(&mut |config| {
        all_paused = config.dispatch_paused().is_some();
        schemas = config.event_type(caller.org(), &event_type).and_then(|found| found.fields.schemas.clone());
    });
    let endpoints = caller.app(&context, &app, |entry: &AppEntry| entry.endpoints().cloned().collect())?;
    let message = Message { event_type, channels, body, schemas, endpoints, all_paused };
    // Outside of the lock: a payload may be long. It is rare that it takes so long that others would wait (W11).
    let out = match message.hurried()? {
        Some(out) => out,
        None => context.working(move || message.dry_run(&message.payload())).await?,
    };
    Ok(axum::Json(out))
}

/// The message, and what there is to compare it with.
struct Message {
    event_type: String,
    channels: BTreeSet<String>,
    body: Bytes,
    schemas: Option<Schemas>,
    endpoints: Vec<Arc<Endpoint>>,
    all_paused: bool,
}

impl Message {
    fn payload(&self) -> Payload<'_> {
        Payload::of_type(&self.body, None)
    }

    /// What would become of it, if that takes a moment only.
    fn hurried(&self) -> Result<Option<DryRunOut>, ApiError> {
        let payload = self.payload().with_steps(HURRIED_STEPS);
        let compared = self.schemas.as_ref().map_or(Some(Ok(())), |schemas| schemas.compare_at_once(&payload));
        let Some(compared) = compared else { return Ok(None) };
        let out = self.out(&payload, compared)?;
        Ok(Some(out).filter(|_| !payload.ran_out()))
    }

    fn dry_run(&self, payload: &Payload<'_>) -> Result<DryRunOut, ApiError> {
        self.out(payload, self.schemas.as_ref().map_or(Ok(()), |schemas| schemas.compare(payload)))
    }

    fn out(&self, payload: &Payload<'_>, compared: Result<(), CompareError>) -> Result<DryRunOut, ApiError> {
        let mismatch = match compared {
            Ok(()) | Err(CompareError::TakesTooLong | CompareError::CannotBeRead) => None,
            Err(CompareError::Differs(Mismatch { pointer, rule, said })) => {
                Some(MismatchOut { pointer, rule, detail: said })
            }
            Err(error @ CompareError::NoThread(_)) => return Err(ApiError::internal(&error)),
        };
        let endpoints = self.endpoints.iter().map(|endpoint| self.receiver(endpoint, payload)).collect();
        Ok(DryRunOut { mismatch, endpoints })
    }

    fn receiver(&self, endpoint: &Endpoint, payload: &Payload<'_>) -> ReceiverOut {
        let verdict = endpoint.fields.judge(&self.event_type, &self.channels, payload);
        let matches = verdict == Verdict::Wanted;
        let hold = endpoint.hold().map(|(hold, _)| hold).or_else(|| self.all_paused.then_some(Hold::AllPaused));
        ReceiverOut {
            endpoint_id: endpoint.id,
            endpoint_uid: endpoint.fields.uid.clone(),
            matches,
            reason: verdict.reason(),
            held: hold.filter(|_| matches).map(|hold| hold.as_str()),
        }
    }
}
