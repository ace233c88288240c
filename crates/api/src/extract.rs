//! What handlers take from a request. Each extractor refuses in our own error
//! shape and names the place.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;
use percent_encoding::percent_decode_str;
use postrider_model::time::UnixMs;
use postrider_model::validate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;
use tokio::sync::OwnedSemaphorePermit;

use crate::Context;
use crate::error::{ApiError, Item};
use crate::time;

/// What handlers work with: where a request was bound to its idempotency key, or is told
/// of in the audit log, the ports for that.
pub(crate) struct State<T>(pub(crate) T);

impl FromRequestParts<Context> for State<Context> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().unwrap_or(context).clone()))
    }
}

/// The whole body, within the limit and the time that a body may take.
#[derive(Clone)]
pub(crate) struct RawBody {
    pub(crate) bytes: Bytes,
    /// The room that the body takes up; to be kept as long as the bytes.
    pub(crate) room: Arc<OwnedSemaphorePermit>,
}

impl FromRequest<Context> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, context: &Context) -> Result<Self, ApiError> {
        Self::of_request(request, context, context.limits.request_bytes()).await
    }
}

impl RawBody {
    /// One that was read before the request came here is taken as it is.
    async fn of_request(mut request: Request, context: &Context, limit: usize) -> Result<Self, ApiError> {
        match request.extensions_mut().remove() {
            Some(read) => Ok(read),
            None => Self::read(request.into_body(), context, limit).await,
        }
    }

    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn read<B>(body: B, context: &Context, limit: usize) -> Result<Self, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let too_large = || ApiError::too_large(format!("request body has more than {limit} bytes"));
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        // Who does not tell the length may come up to the limit.
        let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit);
        let room = Arc::new(context.room_for_body(expected).await?);
        let read = tokio::time::timeout(context.limits.body_read_timeout, Limited::new(body, limit).collect());
        match read.await {
            Ok(Ok(collected)) => Ok(Self { bytes: collected.to_bytes(), room }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", "request body broke off")),
            Err(_) => {
                Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "request body came too slowly"))
            }
        }
    }
}

/// The body of a batch, which may be larger than others.
pub(crate) struct BatchBody(pub(crate) RawBody);

impl FromRequest<Context> for BatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, context: &Context) -> Result<Self, ApiError> {
        RawBody::of_request(request, context, context.limits.batch_bytes()).await.map(Self)
    }
}

/// A body in JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Context> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, context: &Context) -> Result<Self, ApiError> {
        let body = RawBody::from_request(request, context).await?;
        refuse_all_but_objects(&body.bytes)?;
        // Bodies of management are few: one way to read them, not a fast one beside it, keeps the program small.
        parse_noting_the_path(&body.bytes).map(Self)
    }
}

/// Reads a JSON object; what is wrong is answered with the path that leads to it.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    refuse_all_but_objects(bytes)?;
    // Only where something is wrong it is read once more, and noted on the way where that is.
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(_) => parse_noting_the_path(bytes),
    }
}

fn parse_noting_the_path<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Unknown => None,
            named => Some(named.to_string()),
        });
        json_problem(path.collect(), error.inner())
    })?;
    reader.end().map_err(|error| json_problem(vec![], &error))?;
    Ok(value)
}

/// The derived readers would take an array for an object.
pub(crate) fn refuse_all_but_objects(bytes: &[u8]) -> Result<(), ApiError> {
    let (msg, kind) = match bytes.trim_ascii_start().first() {
        None => ("is empty; a JSON object is expected, such as `{}`", "value_error.jsondecode"),
        Some(first) if *first != b'{' && is_json(bytes) => ("must be an object", "type_error.dict"),
        Some(_) => return Ok(()),
    };
    Err(ApiError::Invalid(vec![Item { loc: vec!["body".into()], msg: msg.to_owned(), kind }]))
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// A message of serde's without the value of the wrong type, which may be a secret.
fn without_value(msg: &str) -> Option<String> {
    let found = msg.strip_prefix("invalid type: ")?;
    let (found, expected) = found.rsplit_once(", expected ")?;
    let kind = found.split([' ', '"', '`']).next()?;
    Some(format!("invalid type: {kind}, expected {expected}"))
}

fn json_problem(path: Vec<String>, error: &serde_json::Error) -> ApiError {
    let kind = match error.classify() {
        Category::Data => "type_error",
        Category::Io | Category::Syntax | Category::Eof => "value_error.jsondecode",
    };
    let mut msg = error.to_string();
    if error.is_data() {
        // The path says where.
        let place = format!(" at line {} column {}", error.line(), error.column());
        msg.truncate(msg.strip_suffix(&place).map_or(msg.len(), str::len));
        msg = without_value(&msg).unwrap_or(msg);
    }
    let loc = std::iter::once("body".to_owned()).chain(path).collect();
    ApiError::Invalid(vec![Item { loc, msg, kind }])
}

/// The names in the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Context> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, context).await {
            Ok(axum::extract::Path(names)) => Ok(Self(names)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => match error.into_kind() {
                ErrorKind::InvalidUtf8InPathParam { key } => Err(ApiError::invalid("path", &key, "is not UTF-8")),
                other => Err(ApiError::internal(&other)),
            },
            Err(other) => Err(ApiError::internal(&other.into_response().status())),
        }
    }
}

/// The parameters after the question mark. Those that nobody asks for are ignored.
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<Context> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Context) -> Result<Self, ApiError> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl Params {
    /// From the text after the question mark, as it came.
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        // The parser below would replace what is not UTF-8 by another character.
        for pair in query.split('&') {
            let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
            if percent_decode_str(pair).decode_utf8().is_err() {
                let name = percent_decode_str(name).decode_utf8_lossy();
                return Err(ApiError::invalid("query", &name, "is not UTF-8"));
            }
        }
        Ok(Self::of(query))
    }

    /// From the text after the question mark.
    pub(crate) fn of(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter as it came.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must have a certain form.
    pub(crate) fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| ApiError::invalid("query", name, format!("must be {expected}")))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        Ok(self.parsed(name, "`true` or `false`", |text| text.parse().ok())?.unwrap_or(default))
    }

    /// The bound of a list, exclusive.
    pub(crate) fn before(&self) -> Result<Option<UnixMs>, ApiError> {
        self.parsed("before", "a time by RFC 3339", time::parse_before)
    }

    /// The bound of a list, exclusive.
    pub(crate) fn after(&self) -> Result<Option<UnixMs>, ApiError> {
        self.parsed("after", "a time by RFC 3339", time::parse_after)
    }

    /// Event types, the parameter repeated or separated by commas.
    pub(crate) fn event_types(&self) -> Result<Option<Vec<String>>, ApiError> {
        let given = self.0.iter().filter(|(key, _)| key == "event_types");
        let names: Vec<String> = given.flat_map(|(_, value)| value.split(',')).map(str::to_owned).collect();
        for name in &names {
            let problem = |problem| ApiError::invalid("query", "event_types", format!("`{name}` {problem}"));
            validate::event_type(name).map_err(problem)?;
        }
        Ok(Some(names).filter(|names| !names.is_empty()))
    }

    /// One event type.
    pub(crate) fn event_type(&self) -> Result<Option<String>, ApiError> {
        let Some(name) = self.text("event_type") else { return Ok(None) };
        let problem = |problem| ApiError::invalid("query", "event_type", format!("`{name}` {problem}"));
        validate::event_type(name).map_err(problem)?;
        Ok(Some(name.to_owned()))
    }

    /// A channel or a tag.
    pub(crate) fn label(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let one = std::iter::once(text.to_owned()).collect();
        validate::channels(Some(&one)).map_err(|problem| ApiError::invalid("query", name, problem))?;
        Ok(Some(text.to_owned()))
    }
}
