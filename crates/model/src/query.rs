//! Reading what was recorded: lists, their pages and filters, and single members.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::delivery::{DeliveryKey, DeliveryState};
use crate::endpoint::{Endpoint, Hold};
use crate::id::{AppId, AttemptId, EndpointId, MessageId, OrgId};
use crate::message::Message;
use crate::ports::Unavailable;
use crate::status::MessageStatus;
use crate::time::UnixMs;

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The part of the journal that holds it is damaged and quarantined.
    #[error("the record is damaged: {detail}")]
    Damaged {
        /// Which file and position.
        detail: String,
    },
    /// Not at present.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Reading failed.
    #[error("{0}")]
    Failed(String),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The members, in the order asked for.
    pub items: Vec<T>,
    /// Where the next page begins, as [`PageRequest::after`]; there is always one
    /// if `done` is false.
    pub next: Option<PageKey>,
    /// There is nothing after this page.
    pub done: bool,
}

/// The place of a list's member, compared as bytes: an id, a name, or an id and
/// a position.
pub type PageKey = Vec<u8>;

/// Bytes of a [`PageKey`] that only the store understands, at most: an id and a position.
pub const MAX_PAGE_KEY_BYTES: usize = 28;

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Members at most.
    pub limit: usize,
    /// Begin after the member with this key; from the start if there is none.
    pub after: Option<PageKey>,
    /// Newest first, else oldest first.
    pub descending: bool,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: 50, after: None, descending: true }
    }
}

/// Which messages. What is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Accepted before this, exclusive.
    pub before: Option<UnixMs>,
    /// Accepted after this, exclusive.
    pub after: Option<UnixMs>,
    /// One of these event types.
    pub event_types: Option<Vec<String>>,
    /// Sent to this channel.
    pub channel: Option<String>,
    /// Bearing this label.
    pub tag: Option<String>,
    /// Matched no endpoint.
    pub unmatched: bool,
    /// This endpoint's filters, as they are now, let it through.
    pub wanted_by: Option<Arc<Endpoint>>,
}

/// Whose attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptsOf {
    /// A message's.
    Message(MessageId),
    /// An endpoint's.
    Endpoint(EndpointId),
}

/// Which attempts. What is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Ended before this, exclusive.
    pub before: Option<UnixMs>,
    /// Ended after this, exclusive.
    pub after: Option<UnixMs>,
    /// Of this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Succeeded or not.
    pub succeeded: Option<bool>,
    /// Status codes from this hundred: 2 for 2xx.
    pub status_class: Option<u16>,
    /// Of messages with one of these event types.
    pub event_types: Option<Vec<String>>,
}

/// Which deliveries. What is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFilter {
    /// Of applications of this tenant. Not recorded: a task is of one application.
    #[serde(skip)]
    pub org: Option<OrgId>,
    /// Of this application.
    pub app: Option<AppId>,
    /// To this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Of this message.
    pub message: Option<MessageId>,
    /// Of one of these event types.
    pub event_types: Option<Vec<String>>,
    /// Accepted, or for dead letters died, after this, exclusive.
    pub after: Option<UnixMs>,
    /// Accepted, or for dead letters died, before this, exclusive.
    pub before: Option<UnixMs>,
    /// Due after this, exclusive; a dead letter never is. Not recorded: tasks are
    /// of dead letters.
    #[serde(skip)]
    pub due_after: Option<UnixMs>,
    /// Due before this, exclusive; the same holds.
    #[serde(skip)]
    pub due_before: Option<UnixMs>,
}

/// A message with where it stands with one of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointMessage {
    /// The message.
    pub message: Message,
    /// The state of its delivery.
    pub state: DeliveryState,
    /// An attempt is being made at this moment.
    pub in_flight: bool,
}

impl EndpointMessage {
    /// Where it stands, in Svix's words.
    #[must_use]
    pub fn status(&self) -> MessageStatus {
        MessageStatus::of(&self.state, self.in_flight)
    }
}

/// How many deliveries of an endpoint are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Were confirmed within the time asked for.
    pub success: u64,
    /// Wait for an attempt now, whatever the time asked for.
    pub pending: u64,
    /// Are being attempted now, whatever the time asked for.
    pub sending: u64,
    /// Are dead letters that died within the time asked for.
    pub fail: u64,
    /// Were cancelled within the time asked for.
    pub canceled: u64,
    /// Messages that its filter held back since the start of the server, whatever the time asked for.
    pub filtered: u64,
    /// From when on `success` and `canceled` are complete: later than the time
    /// asked for where there is more to count than one answer may cost.
    pub since: UnixMs,
}

/// A delivery as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which.
    pub key: DeliveryKey,
    /// Its application.
    pub app: AppId,
    /// Its message.
    pub message: MessageId,
    /// Its message's event type.
    pub event_type: String,
    /// When its message was accepted.
    pub accepted: UnixMs,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it waits although it is due, if something holds it.
    pub held: Option<Hold>,
}

impl Delivery {
    /// Its place in a list of deliveries: lists go by endpoint, and for each by
    /// the order in which the messages were accepted.
    #[must_use]
    pub fn page_key(&self) -> PageKey {
        delivery_page_key(&self.key)
    }
}

/// The [`Delivery::page_key`] of the delivery with this key.
#[must_use]
pub fn delivery_page_key(key: &DeliveryKey) -> PageKey {
    let mut bytes = key.endpoint.as_bytes().to_vec();
    bytes.extend_from_slice(&key.message.as_u64().to_be_bytes());
    bytes
}

/// Reads messages, attempts and deliveries. The methods read from disk: call
/// them on a thread that may block.
pub trait Query: Send + Sync {
    /// A message of an application. `None` if it never was or is past retention.
    ///
    /// # Errors
    /// It cannot be read.
    fn message(&self, app: AppId, id: MessageId) -> Result<Option<Message>, QueryError>;

    /// A message of an application by its event id.
    ///
    /// # Errors
    /// It cannot be read.
    fn message_by_event_id(&self, app: AppId, event_id: &str) -> Result<Option<Message>, QueryError>;

    /// An application's messages; page keys are message ids' bytes.
    ///
    /// # Errors
    /// They cannot be read.
    fn messages(&self, app: AppId, filter: &MessageFilter, page: &PageRequest) -> Result<Page<Message>, QueryError>;

    /// The messages of an application that went to one of its endpoints, each once,
    /// with where it stands, in one of `statuses` if there are any. Page keys are
    /// message ids' bytes.
    ///
    /// # Errors
    /// They cannot be read.
    fn messages_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: &MessageFilter,
        statuses: Option<&[MessageStatus]>,
        page: &PageRequest,
    ) -> Result<Page<EndpointMessage>, QueryError>;

    /// How many deliveries of an endpoint are in which state; those that have
    /// ended between two times, `until` being exclusive.
    ///
    /// # Errors
    /// They cannot be read.
    fn endpoint_stats(&self, endpoint: EndpointId, since: UnixMs, until: UnixMs) -> Result<EndpointStats, QueryError>;

    /// An attempt of an application.
    ///
    /// # Errors
    /// It cannot be read.
    fn attempt(&self, app: AppId, id: AttemptId) -> Result<Option<Attempt>, QueryError>;

    /// Attempts of a message or an endpoint; page keys are attempt ids' bytes.
    ///
    /// # Errors
    /// They cannot be read.
    fn attempts(
        &self,
        app: AppId,
        of: AttemptsOf,
        filter: &AttemptFilter,
        page: &PageRequest,
    ) -> Result<Page<Attempt>, QueryError>;

    /// The deliveries of one message, each with its present state.
    ///
    /// # Errors
    /// They cannot be read.
    fn deliveries_of(&self, app: AppId, message: MessageId) -> Result<Vec<Delivery>, QueryError>;

    /// Deliveries that wait or are in flight. Page keys are [`Delivery::page_key`].
    ///
    /// # Errors
    /// They cannot be read.
    fn pending(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, QueryError>;

    /// One dead letter; `None` if the delivery is none.
    ///
    /// # Errors
    /// It cannot be read.
    fn dead_letter(&self, app: AppId, message: MessageId, endpoint: EndpointId)
    -> Result<Option<Delivery>, QueryError>;

    /// Of those the ones that are in flight.
    ///
    /// # Errors
    /// They cannot be read.
    fn in_flight(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, QueryError>;

    /// Dead letters. Page keys are [`Delivery::page_key`].
    ///
    /// # Errors
    /// They cannot be read.
    fn dead_letters(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, QueryError>;
}
