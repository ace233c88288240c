//! The traits by which the doors (`api`, `ingest`) speak to the rest. The
//! outbox and the scheduler implement them; `bin/wiring.rs` injects them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::Audit;
use crate::command::{Command, CommandError, Reply};
use crate::config::Config;
use crate::delivery::TransitionError;
use crate::endpoint::Endpoint;
use crate::explain::Explain;
use crate::expunge::Expunge;
use crate::id::{AppId, EndpointId, MessageId, TaskId};
use crate::message::{Accepted, NewMessage};
use crate::once::{Answered, Once};
use crate::query::{DeliveryFilter, Query, QueryError};
use crate::schema::Mismatch;
use crate::secret::Secret;
use crate::task::{Task, TaskWork};
use crate::validate::FieldErrors;
use crate::verification::Verify;

/// An answer that comes later. Dropping it does not take back what was asked.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers once a message is synced to disk (W1).
pub type Receipt = Answer<Result<Accepted, AcceptError>>;

/// Takes in messages.
pub trait Accept: Send + Sync {
    /// Waits until there is room for the message on its way to the disk. Messages that
    /// were queued one after the other are accepted in that order.
    fn queue(&self, message: NewMessage) -> Answer<Result<Receipt, AcceptError>>;

    /// The same, and waits for the receipt.
    fn accept(&self, message: NewMessage) -> Receipt {
        let queued = self.queue(message);
        Box::pin(async move { queued.await?.await })
    }

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
    /// The payload is not what its event type's schema says.
    #[error("payload is not valid: {0}")]
    Mismatch(Mismatch),
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
    /// Tells who changed what.
    pub audit: Arc<dyn Audit>,
    /// Says why something waits.
    pub explain: Arc<dyn Explain>,
    /// Says whether the service is well.
    pub health: Arc<dyn Health>,
    /// Verifies endpoints.
    pub verify: Arc<dyn Verify>,
}
