//! The request of one attempt.

use std::fmt::{Display, Write as _};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use postrider_model::format::Format;
use postrider_model::job::Job;
use postrider_model::message;
use postrider_model::signature::Signature;
use postrider_model::target::Target;
use postrider_model::time::UnixMs;

use crate::batch::Batch;
use crate::envelope::{CLOUDEVENT, CLOUDEVENTS, Event};
use crate::failure::Failure;
use crate::sign::{github, http_message, signatures, stripe};
use crate::signature_headers::SignatureHeaders;
use crate::tokens::Token;

/// The names of id, timestamp and signature by Standard Webhooks 1.0.0.
static WEBHOOK: [HeaderName; 3] = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];
/// The same, as Svix named them before.
static SVIX: [HeaderName; 3] = [
    HeaderName::from_static("svix-id"),
    HeaderName::from_static("svix-timestamp"),
    HeaderName::from_static("svix-signature"),
];
pub(crate) const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("postrider/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const JSON: HeaderValue = HeaderValue::from_static(message::JSON);
/// Characters of a message's id.
const ID_CHARS: usize = 31;
/// Characters of a time in seconds, until the year 2286.
const TIMESTAMP_CHARS: usize = 10;
const NO_SECRET: &str = "the endpoint has no active secret to sign with";
/// The headers that we set ourselves, in number.
const OWN_HEADERS: usize = 11;

/// A request on its way to a connection that can send it. It is handed on by
/// reference, because it is large: what awaits it would hold a copy at each step.
pub(crate) struct Unsent(Option<Request<Full<Bytes>>>);

impl Unsent {
    pub(crate) const fn new(request: Request<Full<Bytes>>) -> Self {
        Self(Some(request))
    }

    /// The request, to be sent. It is taken once, and again after [`Unsent::put_back`].
    pub(crate) fn take(&mut self) -> Request<Full<Bytes>> {
        self.0.take().expect("the request is there until it is sent")
    }

    /// Takes back what was not sent, if that is what the error says.
    pub(crate) fn put_back(&mut self, mut error: TrySendError<Request<Full<Bytes>>>) -> hyper::Error {
        self.0 = error.take_message();
        error.into_error()
    }

    /// Whether it is still to be sent.
    pub(crate) const fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

/// Puts the request together and signs it as of `at` (W7: same id and body in
/// every attempt, timestamp and signature made anew). The body is shared, not
/// copied, unless the endpoint wants it in an envelope or in a batch. Where it goes is
/// written on it when its connection is known.
pub(crate) fn build(
    job: &Job,
    token: Option<&Token>,
    names: SignatureHeaders,
    at: UnixMs,
) -> Result<Request<Full<Bytes>>, Failure> {
    let batch = Batch::of(job);
    let body = batch.as_ref().map_or_else(|| body(job), Batch::body);
    let headers = headers(job, batch.as_ref(), &body, names, at)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    request.headers_mut().extend(token.map(|token| (header::AUTHORIZATION, token.value.clone())));
    Ok(request)
}

fn body(job: &Job) -> Bytes {
    let source = &job.target.source;
    match job.target.format {
        Format::Payload | Format::CloudEventsBinary => job.body.clone(),
        Format::Standard => enveloped(job, |event, into| event.write_standard(into)),
        Format::CloudEventsStructured => enveloped(job, |event, into| event.write_cloudevent(source, into)),
    }
}

fn enveloped(job: &Job, write: impl FnOnce(Event<'_>, &mut Vec<u8>)) -> Bytes {
    let event = event(job);
    let mut envelope = Vec::with_capacity(event.room(&job.target.source));
    write(event, &mut envelope);
    envelope.into()
}

/// A job's message as envelopes show it.
pub(crate) fn event(job: &Job) -> Event<'_> {
    let content_type = job.content_type.as_deref().unwrap_or(message::JSON);
    Event { id: job.message, event_type: &job.event_type, content_type, payload: &job.body }
}

/// Nothing is sent unsigned.
pub(crate) fn can_be_signed(target: &Target) -> Result<(), Failure> {
    if target.secrets.is_empty() {
        return Err(Failure::internal(NO_SECRET));
    }
    Ok(())
}

fn headers(
    job: &Job,
    batch: Option<&Batch<'_>>,
    body: &[u8],
    names: SignatureHeaders,
    at: UnixMs,
) -> Result<HeaderMap, Failure> {
    let target = &*job.target;
    let id = batch.map_or_else(|| written(ID_CHARS, job.message), Batch::id);
    let mut headers = signed_headers(target, id, (body, content_type(job)?), names, at)?;
    if target.format == Format::CloudEventsBinary && batch.is_none() {
        event(job).add_attributes(&target.source, &mut headers)?;
    }
    Ok(headers)
}

/// The headers of a request that is signed: those of the endpoint, and ours.
pub(crate) fn signed_headers(
    target: &Target,
    id: String,
    (body, media_type): (&[u8], HeaderValue),
    names: SignatureHeaders,
    at: UnixMs,
) -> Result<HeaderMap, Failure> {
    can_be_signed(target)?;
    let mut headers = HeaderMap::with_capacity(OWN_HEADERS + target.headers.len());
    // Before ours, which win.
    headers.extend(target.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers.insert(header::CONTENT_TYPE, media_type);

    let timestamp_s = written(TIMESTAMP_CHARS, at.as_secs());
    match target.signature {
        Signature::Standard => {
            let signature = signatures(&target.secrets, &id, &timestamp_s, body);
            let values = [value("message id", id)?, value("timestamp", timestamp_s)?, value("signature", signature)?];
            match names {
                SignatureHeaders::Webhook => insert(&mut headers, &WEBHOOK, values),
                SignatureHeaders::Svix => insert(&mut headers, &SVIX, values),
                SignatureHeaders::Both => {
                    insert(&mut headers, &WEBHOOK, values.clone());
                    insert(&mut headers, &SVIX, values);
                }
            }
        }
        _ => sign_otherwise(target, &mut headers, [id, timestamp_s], body)?,
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    headers.insert(header::USER_AGENT, USER_AGENT);
    Ok(headers)
}

/// Signs by a scheme that is not the standard's. Id and timestamp go along under
/// the standard's names: by the id receivers know what they have already.
fn sign_otherwise(target: &Target, headers: &mut HeaderMap, values: [String; 2], body: &[u8]) -> Result<(), Failure> {
    let Target { secrets, uri, .. } = target;
    let [id, timestamp_s] = values;
    let [id_name, timestamp_name, _] = &WEBHOOK;
    headers.insert(id_name, value("message id", id)?);
    headers.insert(timestamp_name, value("timestamp", timestamp_s.clone())?);
    let (name, signature) = match target.signature {
        Signature::Standard => return Ok(()),
        Signature::Github => (&github::HEADER, github::signature(secrets, body)),
        Signature::Stripe => (&stripe::HEADER, stripe::signature(secrets, &timestamp_s, body)),
        Signature::HttpMessageSignatures => return http_message::add(headers, secrets, uri, &timestamp_s, body),
    };
    let signature = signature.ok_or_else(|| Failure::internal(NO_SECRET))?;
    headers.insert(name, value("signature", signature)?);
    Ok(())
}

fn insert(headers: &mut HeaderMap, names: &'static [HeaderName; 3], values: [HeaderValue; 3]) {
    for (name, value) in names.iter().zip(values) {
        headers.insert(name, value);
    }
}

/// As text. If it has just so many characters, it becomes the value of a header
/// as it lies there.
fn written(chars: usize, what: impl Display) -> String {
    let mut text = String::with_capacity(chars);
    // A string takes whatever is written to it.
    let _ = write!(text, "{what}");
    text
}

fn content_type(job: &Job) -> Result<HeaderValue, Failure> {
    match (job.target.format, &job.content_type) {
        (Format::CloudEventsBinary | Format::CloudEventsStructured, _) if job.others.is_some() => Ok(CLOUDEVENTS),
        (Format::CloudEventsStructured, _) => Ok(CLOUDEVENT),
        (Format::Standard, _) | (_, None) => Ok(JSON),
        (Format::Payload, _) if job.others.is_some() => Ok(JSON),
        (Format::Payload | Format::CloudEventsBinary, Some(text)) => {
            HeaderValue::from_str(text).map_err(|_| Failure::internal("the message's content type cannot be sent"))
        }
    }
}

fn value(what: &str, text: String) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|_| Failure::internal(format!("the {what} cannot be sent")))
}
