//! Many messages in one request: one sync, and an answer for each.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use postrider_model::id::{MessageId, OrgId};
use postrider_model::message::NewMessage;
use postrider_model::ports::AcceptError;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::application::{self, ApplicationIn};
use crate::auth::Caller;
use crate::error::{ApiError, ErrorOut};
use crate::extract::{self, BatchBody, Path, State};
use crate::input::{Field, Object, Problems};
use crate::message::{MessageIn, WithApplication};
use crate::{Context, time};

/// Messages of one batch.
const MAX_MESSAGES: usize = 1_000;

/// Many messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
struct BatchIn<T> {
    #[serde(default = "Field::default")]
    messages: Field<UpTo<T>>,
}

impl<T> BatchIn<T> {
    fn messages(self) -> Result<Vec<T>, ApiError> {
        let mut problems = Problems::default();
        let messages = self.messages.given_or_missing("messages", &mut problems);
        problems.finish()?;
        Ok(messages.map_or_else(Vec::new, |UpTo(messages)| messages))
    }
}

/// A list of at most [`MAX_MESSAGES`]. What comes after them is not even read, so
/// that a small body cannot take much memory.
struct UpTo<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for UpTo<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while list.len() < MAX_MESSAGES {
                    let Some(member) = members.next_element()? else { return Ok(list) };
                    list.push(member);
                }
                match members.next_element::<IgnoredAny>()? {
                    None => Ok(list),
                    Some(_) => Err(A::Error::custom(format_args!("has more than {MAX_MESSAGES} members"))),
                }
            }
        }
        deserializer.deserialize_seq(Members(PhantomData)).map(Self)
    }
}

/// A message of a batch, or what is wrong with it.
type Asked = Result<WithApplication, ApiError>;

/// Reads all messages in one pass. Only where something is wrong each is read by
/// itself, so that it is known which, and the others are taken in.
fn read(body: &Bytes, org: OrgId, app: &str) -> Result<Vec<Asked>, ApiError> {
    let message = |mut input: MessageIn<'_>| {
        let key = input.take_key();
        let (mut message, application) = input.into_message(org, app.to_owned(), body)?;
        message.idempotency_key = key;
        Ok((message, application))
    };
    extract::refuse_all_but_objects(body)?;
    let asked: Vec<Asked> = match serde_json::from_slice::<BatchIn<Object<MessageIn<'_>>>>(body) {
        Ok(batch) => batch.messages()?.into_iter().map(|Object(input)| message(input)).collect(),
        Err(_) => {
            let Ok(batch) = extract::parse::<BatchIn<&RawValue>>(body) else {
                // It is no batch; with the fields of messages it is known where.
                return Err(extract::parse::<BatchIn<MessageIn<'_>>>(body).err().unwrap_or_else(not_a_batch));
            };
            let each = batch.messages()?.into_iter();
            each.map(|raw| extract::parse(raw.get().as_bytes()).and_then(message)).collect()
        }
    };
    if asked.is_empty() {
        return Err(ApiError::invalid("body", "messages", "must not be an empty list"));
    }
    Ok(asked)
}

fn not_a_batch() -> ApiError {
    ApiError::invalid("body", "messages", "is no list of messages")
}

/// What became of each message, in their order.
#[derive(Serialize, ToSchema)]
struct BatchOut {
    data: Vec<MemberOut>,
}

/// What became of one message.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchMemberOut)]
struct MemberOut {
    /// The status that the message alone would have been answered with.
    status: u16,
    /// Of a message that is on disk.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<MessageId>,
    /// When it was accepted.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Arc<str>>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorOut>,
}

/// Sends up to 1,000 messages with one sync: 202 if all are on disk, 207 if some were refused
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg/batch",
    operation_id = "v1.message.create-batch",
    tag = "Message",
    request_body = BatchDescribed,
    responses((status = 202, body = BatchOut), (status = 207, description = "Some were refused", body = BatchOut)),
)]
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    BatchBody(body): BatchBody,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    let asked = read(&body.bytes, org, &app)?;
    let mut messages = Vec::with_capacity(asked.len());
    let mut refused = Vec::with_capacity(asked.len());
    for (place, asked) in (0..).zip(asked) {
        let ready = match asked {
            Ok((message, None)) => Ok(message),
            Ok((message, Some(application))) => {
                make_application(&context, &caller, &message, *application).await.map(|()| message)
            }
            Err(error) => Err(error),
        };
        match ready {
            Ok(mut message) => {
                message.place = place;
                messages.push(message);
                refused.push(None);
            }
            // Nothing is taken in yet, so this is the answer to all of it.
            Err(error) if is_passing(&error) || matches!(error, ApiError::Answered(_)) => return Err(error),
            Err(error) => refused.push(Some(error)),
        }
    }
    caller.app_id(&context, &app)?;
    let mut accepted = context.ports.accept.accept_all(messages).await.into_iter();
    let outcomes = refused.into_iter().map(|refused| match refused {
        Some(error) => Err(error),
        None => accepted.next().unwrap_or(Err(AcceptError::UnknownApplication)).map_err(ApiError::from),
    });
    let mut outcomes: Vec<_> = outcomes.collect();
    // Whoever tries again has to send all of it.
    if outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(is_passing))
        && let Some(Err(error)) = outcomes.pop()
    {
        return Err(error);
    }
    let all = outcomes.iter().all(Result::is_ok);
    let mut times = time::Texts::default();
    let data = outcomes.into_iter().enumerate().map(|(index, outcome)| match outcome {
        Ok(accepted) => MemberOut {
            status: StatusCode::ACCEPTED.as_u16(),
            id: Some(accepted.id),
            timestamp: Some(times.of(accepted.at)),
            error: None,
        },
        Err(error) => {
            let (status, error) = (error.status().as_u16(), error.of_member(index).into_body());
            MemberOut { status, id: None, timestamp: None, error: Some(error) }
        }
    });
    let status = if all { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
    Ok((status, axum::Json(BatchOut { data: data.collect() })).into_response())
}

/// Makes the application that comes with a message, if there is none. The message
/// is checked before, so that nothing is made for a bad one.
async fn make_application(
    context: &Context,
    caller: &Caller,
    message: &NewMessage,
    Object(application): Object<ApplicationIn>,
) -> Result<(), ApiError> {
    message.validate()?;
    application::ensure(context, caller, &message.app, application, "v1.message.create-batch").await?;
    Ok(())
}

/// The same message may be taken in later.
fn is_passing(error: &ApiError) -> bool {
    error.status().is_server_error() || error.status() == StatusCode::TOO_MANY_REQUESTS
}

/// The body as it is described.
#[derive(ToSchema)]
#[schema(as = MessageBatchIn)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this only describes what `read` reads")]
struct BatchDescribed {
    /// Up to 1,000 messages.
    #[schema(min_items = 1, max_items = 1_000)]
    messages: Vec<MemberIn>,
}

/// A message of a batch: the fields of a message, and its idempotency key.
enum MemberIn {}

impl PartialSchema for MemberIn {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut message)) = MessageIn::schema() else { return MessageIn::schema() };
        let key = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("The same message with the same key is answered like the first, for 24 hours"))
            .min_length(Some(1))
            .max_length(Some(256));
        message.properties.insert("idempotencyKey".to_owned(), RefOr::T(key.into()));
        RefOr::T(Schema::Object(message))
    }
}

impl ToSchema for MemberIn {
    fn name() -> std::borrow::Cow<'static, str> {
        "BatchMemberIn".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        MessageIn::schemas(schemas);
    }
}
