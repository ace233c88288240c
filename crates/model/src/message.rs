//! A message: one event, sent to one application.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::id::{AppId, EndpointId, MessageId, OrgId};
use crate::position::Position;
use crate::time::UnixMs;
use crate::validate::{self, FieldErrors};

/// The content type of a body for which none was named.
pub const JSON: &str = "application/json";
/// Bytes of a content type.
pub const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// An event that somebody wants to be delivered.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The tenant.
    pub org: OrgId,
    /// The application, by id or uid.
    pub app: String,
    /// Makes the application, with this name, if there is none with the uid [`Self::app`].
    pub create_app: Option<String>,
    /// What kind of thing happened.
    pub event_type: String,
    /// The body, forwarded byte for byte.
    pub body: Bytes,
    /// The body's media type; `None` means [`JSON`].
    pub content_type: Option<String>,
    /// The sender's own id for the event, unique in the application.
    pub event_id: Option<String>,
    /// Goes to endpoints of these channels, and to those that named none.
    pub channels: BTreeSet<String>,
    /// A second message with the same key gets the answer of the first.
    pub idempotency_key: Option<String>,
    /// Deliveries of one endpoint with the same order key are attempted one
    /// after the other, in the order of acceptance.
    pub order_key: Option<String>,
    /// Labels, kept and shown.
    pub tags: BTreeSet<String>,
    /// Goes to this endpoint of the application and to no other, whatever its filters.
    pub only: Option<EndpointId>,
    /// For how long from acceptance the body is shown and sent; `None`: as long
    /// as there is the message.
    pub payload_retention: Option<Duration>,
    /// Its place among the messages of its request, from 0 on and counting those
    /// that are refused. The key of the request and this name it.
    pub place: u32,
}

impl NewMessage {
    /// A message with nothing but what every message has.
    #[must_use]
    pub fn new(org: OrgId, app: impl Into<String>, event_type: impl Into<String>, body: Bytes) -> Self {
        Self {
            org,
            app: app.into(),
            create_app: None,
            event_type: event_type.into(),
            body,
            content_type: None,
            event_id: None,
            channels: BTreeSet::new(),
            idempotency_key: None,
            order_key: None,
            tags: BTreeSet::new(),
            only: None,
            payload_retention: None,
            place: 0,
        }
    }

    /// Checks every field but the body's size.
    ///
    /// # Errors
    /// Some field has a value that is not allowed.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let optional_key = |key: &Option<String>| key.as_deref().map_or(Ok(()), validate::key);
        let mut errors = FieldErrors::default();
        errors.check("app", validate::key(&self.app));
        errors.check("create_app", self.create_app.as_deref().map_or(Ok(()), validate::name));
        errors.check("eventType", validate::event_type(&self.event_type));
        errors.check("eventId", optional_key(&self.event_id));
        errors.check("idempotency_key", optional_key(&self.idempotency_key));
        errors.check("order_key", optional_key(&self.order_key));
        errors.check("content_type", self.content_type.as_deref().map_or(Ok(()), content_type));
        for (field, texts) in [("channels", &self.channels), ("tags", &self.tags)] {
            errors.check(field, validate::channels(Some(texts).filter(|texts| !texts.is_empty())));
        }
        errors.finish()
    }
}

fn content_type(text: &str) -> Result<(), validate::Problem> {
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let (kind, rest) = text.split_once('/').unwrap_or_default();
    if text.len() > MAX_CONTENT_TYPE_BYTES || !printable || kind.is_empty() || rest.is_empty() {
        return Err("is no media type such as `application/json`".into());
    }
    Ok(())
}

/// The answer to a message that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The message's id.
    pub id: MessageId,
    /// When it was accepted.
    pub at: UnixMs,
    /// The endpoints that it goes to, in number.
    pub deliveries: u32,
    /// An earlier message with the same idempotency key is meant.
    pub duplicate: bool,
}

/// A message as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it was first accepted; identifies it in a [`crate::delivery::DeliveryKey`].
    pub sequence: Position,
    /// The application.
    pub app: AppId,
    /// What kind of thing happened.
    pub event_type: String,
    /// The sender's own id.
    pub event_id: Option<String>,
    /// The channels.
    pub channels: BTreeSet<String>,
    /// Labels.
    pub tags: BTreeSet<String>,
    /// When it was accepted.
    pub at: UnixMs,
    /// The body's media type.
    pub content_type: String,
    /// The body; `None` when it was expunged or is past its retention.
    pub body: Option<Bytes>,
    /// The endpoints that it goes to, fixed at acceptance (W2).
    pub endpoints: Vec<EndpointId>,
}
