//! Example messages, by which an endpoint's owner sees what an event looks like.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use postrider_model::message::{JSON, NewMessage};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{self, Path, RawBody, State};
use crate::input::{Field, Problems};
use crate::message::{self, MessageOut};
use crate::schema::EventTypeName;
use crate::{Context, schema_example};

/// Which event to send an example of.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EventExampleIn)]
#[serde(rename_all = "camelCase", default)]
struct ExampleIn<'a> {
    #[schema(value_type = EventTypeName, required)]
    event_type: Field<String>,
    /// Which of the examples that the schema brings along, from 0.
    #[schema(value_type = Option<u16>)]
    example_index: Field<u16>,
    /// What to send instead; not for a token of an application.
    #[schema(value_type = Option<Object>)]
    #[serde(borrow)]
    payload: Field<&'a RawValue>,
}

/// Sends an example of an event to this endpoint and to no other, whatever its filters
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/send-example",
    operation_id = "v1.endpoint.send-example",
    tag = "Endpoint",
    request_body = ExampleIn<'static>,
    responses((status = 200, body = MessageOut<'static>)),
)]
pub(crate) async fn send(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    RawBody { bytes: body, room: _room }: RawBody,
) -> Result<Response, ApiError> {
    let input = extract::parse::<ExampleIn<'_>>(&body)?;
    let mut problems = Problems::default();
    let event_type = input.event_type.required("eventType", &mut problems);
    let index = input.example_index.nullable().unwrap_or_default();
    let given = match input.payload {
        Field::Absent | Field::Null => None,
        payload => {
            // A message that the tenant did not think of is the tenant's to send.
            caller.whole_org()?;
            Some(message::payload(payload, &body, &mut problems))
        }
    };
    problems.finish()?;
    let (app, only) = caller.endpoint(&context, &app, &endpoint, |found| (found.app, found.id))?;
    let payload = match given {
        Some(payload) => payload,
        None => example(&context, &caller, &event_type, index.into())?,
    };
    let mut message = NewMessage::new(caller.org(), app.to_string(), event_type, payload);
    message.only = Some(only);
    message.validate()?;
    let accepted = context.ports.accept.accept(message.clone()).await?;
    let payload = message::shown_payload(Some(&message.body), JSON, true)?;
    Ok(axum::Json(MessageOut::accepted(&message, payload, accepted.id, accepted.at)).into_response())
}

/// By the event type's schema, if it is in the catalogue and has one.
fn example(context: &Context, caller: &Caller, event_type: &str, index: usize) -> Result<Bytes, ApiError> {
    let mut example = None;
    context.ports.configure.with_config(&mut |config| {
        let found = config.event_type(caller.org(), event_type);
        let newest = found.and_then(|found| found.fields.schemas.as_ref()?.newest());
        example = schema_example::of_schema(newest.map(|(_, schema)| schema), index);
    });
    let too_high = || ApiError::invalid("body", "exampleIndex", "the schema has fewer examples");
    serde_json::to_vec(&example.ok_or_else(too_high)?).map(Bytes::from).map_err(|error| ApiError::internal(&error))
}
