//! The traits by which the doors (`api`, `ingest`) speak to the rest. The
//! outbox and the scheduler implement them; `bin/wiring.rs` injects them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::command::{Command, CommandError, Reply};
use crate::config::Config;
use crate::delivery::{DeliveryKey, DeliveryState, TransitionError};
use crate::endpoint::{Endpoint, Hold};
use crate::expunge::Expunge;
use crate::id::{AppId, AttemptId, EndpointId, MessageId, OrgId, TaskId};
use crate::message::{Accepted, Message, NewMessage};
use crate::once::{Answered, Once};
use crate::secret::Secret;
use crate::status::MessageStatus;
use crate::task::{Task, TaskWork};
use crate::time::UnixMs;
use crate::validate::FieldErrors;

/// An answer that comes later. Dropping it does not take back what was asked.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Takes in messages.
pub trait Accept: Send + Sync {
    /// Answers once the message is synced to disk (W1). Futures that are first
    /// polled in some order accept in that order.
    fn accept(&self, message: NewMessage) -> Answer<Result<Accepted, AcceptError>>;

    /// Takes in several messages, in their order, and answers for each. A store
    /// that can syncs them together; here they go one after the other.
    fn accept_all(&self, messages: Vec<NewMessage>) -> Answer<Vec<Result<Accepted, AcceptError>>> {
        let accepting: Vec<_> = messages.into_iter().map(|message| self.accept(message)).collect();
        Box::pin(async move {
            let mut answers = Vec::with_capacity(accepting.len());
            for answer in accepting {
                answers.push(answer.await);
            }
            answers
        })
    }
}

/// Why a message was not accepted. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The tenant has no such application.
    #[error("application not found")]
    UnknownApplication,
    /// The application does not have the one endpoint that the message is for.
    #[error("endpoint not found")]
    UnknownEndpoint,
    /// Fields with values that are not allowed.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// The body is too large.
    #[error("payload has {bytes} bytes, at most {limit_bytes} are allowed")]
    TooLarge {
        /// The body's size.
        bytes: usize,
        /// The limit, `limits.body_bytes`.
        limit_bytes: usize,
    },
    /// Another message of the application has this event id.
    #[error("event id is already in use by {existing}")]
    EventIdTaken {
        /// That message.
        existing: MessageId,
    },
    /// The idempotency key was used for another message.
    #[error("idempotency key was used with other content")]
    KeyReused,
    /// The service cannot take it in at present.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why the service cannot do something at present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// More comes in than the disk takes.
    #[error("overloaded")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// This application has too many pending deliveries.
    #[error("application has {limit} pending deliveries")]
    TooManyPending {
        /// The limit, `limits.pending_per_application`.
        limit: u64,
    },
    /// There is no room on the disk.
    #[error("disk is full")]
    DiskFull,
    /// The index that the request needs is being built anew.
    #[error("index is being rebuilt, {percent} % done")]
    IndexRebuilding {
        /// How much of it is done.
        percent: u8,
    },
    /// The process is stopping, or the store is poisoned.
    #[error("stopping")]
    Stopping,
}

impl Unavailable {
    /// When it makes sense to try again.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Overloaded { retry_after } => *retry_after,
            Self::TooManyPending { .. } => Duration::from_secs(30),
            Self::DiskFull => Duration::from_secs(10),
            Self::IndexRebuilding { .. } | Self::Stopping => Duration::from_secs(5),
        }
    }

    /// The error's code in the API and on the socket.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Overloaded { .. } => "overloaded",
            Self::TooManyPending { .. } => "too_many_pending",
            Self::DiskFull => "disk_full",
            Self::IndexRebuilding { .. } => "index_rebuilding",
            Self::Stopping => "stopping",
        }
    }
}

/// Changes and shows the configuration.
pub trait Configure: Send + Sync {
    /// Executes a command; answers once its record is synced to disk.
    fn execute(&self, command: Command) -> Answer<Result<Reply, ControlError>>;

    /// Shows the present configuration to `look`, under a lock: no I/O in there.
    fn with_config(&self, look: &mut dyn FnMut(&Config));

    /// Decrypts the secrets of an endpoint that sign at present, newest first.
    ///
    /// # Errors
    /// The store's key does not open one of them.
    fn secrets(&self, endpoint: &Endpoint) -> Result<Vec<Secret>, QueryError>;
}

/// Why a person's request was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The command is not legal.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The delivery is not in a state in which this can happen.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// There is no such thing.
    #[error("{kind} not found")]
    NotFound {
        /// `message`, `attempt`, `delivery` or `task`.
        kind: &'static str,
    },
    /// The idempotency key was used for another request.
    #[error("idempotency key was used with other content")]
    KeyReused,
    /// The request was answered before: see [`Once`].
    #[error("the request was answered before")]
    Answered(Answered),
    /// Looking it up failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The service cannot do it at present.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

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

/// What a person does to deliveries. Each is a record.
pub trait Control: Send + Sync {
    /// Cancels one pending delivery.
    fn cancel(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>>;

    /// Cancels the pending deliveries that match at this moment; answers how many.
    fn cancel_where(&self, filter: DeliveryFilter) -> Answer<Result<u64, ControlError>>;

    /// Schedules a dead, cancelled or delivered delivery again, with a fresh schedule.
    fn replay(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>>;

    /// Asks for one attempt more, beside the schedule, whatever the delivery is:
    /// if it fails, nothing changes. Two at once are one. Where the message never
    /// went to the endpoint, it is a replay.
    fn resend(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>>;

    /// Gives up a dead letter for good (W10): it is none any more, but cancelled.
    /// Its message and attempts stay as long as others.
    fn purge(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>>;

    /// Begins a task, which survives a restart; answers it once it is recorded.
    fn start_task(&self, work: TaskWork) -> Answer<Result<Task, ControlError>>;

    /// How far a task is.
    fn task(&self, id: TaskId) -> Option<Task>;

    /// All tasks that are known, oldest first: those that run, and the newest
    /// that have ended.
    fn tasks(&self) -> Vec<Task>;
}

/// Why a pending delivery is not in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is in flight.
    InFlight,
    /// Its next attempt is due then.
    NotDue {
        /// The time.
        due: UnixMs,
    },
    /// Its endpoint, or all dispatch, is held.
    Held(Hold),
    /// Its endpoint asked for a pause, by `Retry-After`.
    LanePaused {
        /// Until then.
        until: UnixMs,
    },
    /// Its endpoint's rate allows the next attempt later.
    RateLimited {
        /// Until then.
        until: UnixMs,
    },
    /// Its endpoint has failed too often in a row.
    BreakerOpen {
        /// Until then, when one attempt probes the endpoint.
        until: UnixMs,
    },
    /// One attempt probes its endpoint, which had failed too often.
    BreakerHalfOpen,
    /// Its endpoint has as many requests in flight as it may have.
    LaneBusy {
        /// Requests in flight.
        in_flight: u32,
        /// Allowed at present.
        limit: u32,
    },
    /// Its application's rate allows the next attempt later.
    ApplicationRateLimited {
        /// Until then.
        until: UnixMs,
    },
    /// Its application has as many requests in flight as it may have.
    ApplicationBusy {
        /// Requests in flight.
        in_flight: u32,
        /// Allowed.
        limit: u32,
    },
    /// Nothing but the others whose turn comes first.
    Turn,
    /// An earlier delivery with the same order goes first.
    Behind,
    /// An earlier one with the same order is a dead letter, and the endpoint's
    /// policy lets what follows wait.
    BehindDeadLetter,
    /// It lies behind the window of its lane: earlier deliveries go first.
    BehindWindow,
}

impl Wait {
    /// What a lane as a whole can wait for, as [`Self::reason`] spells it.
    pub const OF_LANES: [&'static str; 14] = [
        "not_due",
        "rate_limited",
        "lane_paused",
        "breaker_open",
        "breaker_half_open",
        "lane_busy",
        "behind",
        "behind_dead_letter",
        "turn",
        "endpoint_disabled",
        "endpoint_disabled_by_410",
        "endpoint_disabled_by_failures",
        "endpoint_paused",
        "dispatch_paused",
    ];

    /// The reason as the API, the command line and the metrics spell it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::NotDue { .. } => "not_due",
            Self::Held(hold) => hold.as_str(),
            Self::LanePaused { .. } => "lane_paused",
            Self::RateLimited { .. } => "rate_limited",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::BreakerHalfOpen => "breaker_half_open",
            Self::LaneBusy { .. } => "lane_busy",
            Self::ApplicationRateLimited { .. } => "application_rate_limited",
            Self::ApplicationBusy { .. } => "application_busy",
            Self::Turn => "turn",
            Self::Behind => "behind",
            Self::BehindDeadLetter => "behind_dead_letter",
            Self::BehindWindow => "behind_window",
        }
    }

    /// Until when it waits, if that is known.
    #[must_use]
    pub const fn until(&self) -> Option<UnixMs> {
        match self {
            Self::NotDue { due: until }
            | Self::LanePaused { until }
            | Self::RateLimited { until }
            | Self::BreakerOpen { until }
            | Self::ApplicationRateLimited { until } => Some(*until),
            _ => None,
        }
    }
}

/// Says why something waits; implemented by the scheduler.
pub trait Explain: Send + Sync {
    /// Why this pending delivery is not in flight, if that is known.
    fn why(&self, key: DeliveryKey) -> Option<Wait>;

    /// How it stands with an endpoint's deliveries as a whole, if it is known.
    fn flow(&self, endpoint: EndpointId) -> Option<Flow>;
}

/// How it stands with the deliveries to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Why it gets nothing at present, if so.
    pub hold: Option<Hold>,
    /// Where its circuit breaker is.
    pub breaker: BreakerState,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Attempts that may be in flight at present.
    pub allowed_in_flight: u32,
    /// Deliveries that wait for an attempt and are not in flight.
    pub waiting: u64,
    /// What they wait for, as a whole.
    pub waits: Option<Wait>,
    /// Since when it has had nothing but failures, if it has.
    pub failing_since: Option<UnixMs>,
}

/// The states of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts are made.
    Closed,
    /// None is made: it has failed too often in a row.
    Open {
        /// Until then, when one attempt probes it.
        until: UnixMs,
    },
    /// One attempt probes it.
    HalfOpen,
}

/// Whether the service can do its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Sentences that say what is wrong; empty if nothing is.
    pub problems: Vec<String>,
}

/// Answers `/health/ready`.
pub trait Health: Send + Sync {
    /// What keeps the service from accepting or delivering, if anything.
    fn readiness(&self) -> Readiness;
}

/// All that a door needs, bundled for injection.
#[derive(Clone)]
pub struct Ports {
    /// Takes in messages.
    pub accept: Arc<dyn Accept>,
    /// Changes and shows the configuration.
    pub configure: Arc<dyn Configure>,
    /// Reads.
    pub query: Arc<dyn Query>,
    /// Cancels and replays.
    pub control: Arc<dyn Control>,
    /// Removes payloads and answers.
    pub expunge: Arc<dyn Expunge>,
    /// Keeps answers for those who ask twice.
    pub once: Arc<dyn Once>,
    /// Says why something waits.
    pub explain: Arc<dyn Explain>,
    /// Says whether the service is well.
    pub health: Arc<dyn Health>,
}
