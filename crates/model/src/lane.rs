//! What passes between the outbox, which keeps deliveries, and the scheduler,
//! which knows when each is due.
//!
//! ```text
//!            LaneEvent: what waits, what has left, what is held
//!   outbox  ------------------------------------------------------>  scheduler
//!           <------------------------------------------------------
//!            jobs_at_once(keys), job(key): everything that an attempt needs
//!            settle(Settlements): how they ended and what follows
//! ```
//!
//! The scheduler keeps nothing that it could not learn again: after a start the
//! outbox tells it every endpoint and every live delivery anew.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{DeliveryKey, Next, Scheduled, Trigger};
use crate::endpoint::{DisabledBy, Hold};
use crate::id::{AppId, EndpointId, MessageId};
use crate::job::{Job, Outcome};
use crate::policy::Policy;
use crate::ports::Answer;
use crate::time::UnixMs;

/// What the scheduler is told. Events of one delivery come in the order in
/// which they happened. There are never more than `lane_window` live deliveries
/// of a lane, so what waits to be taken is bounded by lanes x window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneEvent {
    /// An endpoint is there, or has changed. Comes before its deliveries.
    Endpoint(Lane),
    /// An endpoint is gone, and its deliveries with it.
    EndpointGone(EndpointId),
    /// A delivery waits for an attempt: it is new, or was replayed or resent.
    /// Takes the place of what was known of it.
    Waiting {
        /// Which.
        key: DeliveryKey,
        /// When it is due.
        scheduled: Scheduled,
        /// A hash of its order key, or 0: deliveries of one lane with the same
        /// are attempted one after the other, in the order of their sequences.
        order_key: u64,
    },
    /// A delivery waits no longer and is no dead letter: cancelled, or a dead
    /// letter that is no more.
    Left(DeliveryKey),
    /// A delivery is a dead letter. After a start, and when an endpoint's order has
    /// changed, all are told of an endpoint whose policy lets others wait behind
    /// them: as many as the outbox has in memory, beside the bound above.
    Died {
        /// Which.
        key: DeliveryKey,
        /// As in [`LaneEvent::Waiting`].
        order_key: u64,
    },
    /// The attempt that was settled last is on record, even if it changed nothing.
    Recorded {
        /// Of which delivery.
        key: DeliveryKey,
        /// The attempt that the delivery waits for now, if it waits for one.
        waits: Option<Scheduled>,
        /// It is a dead letter.
        dead: bool,
        /// As in [`LaneEvent::Waiting`].
        order_key: u64,
    },
}

/// What the scheduler knows of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its application.
    pub app: AppId,
    /// Why it gets nothing at present, if so; all dispatch paused among the reasons.
    pub hold: Option<Hold>,
    /// Its own rules of delivery, if it has any.
    pub policy: Option<Arc<Policy>>,
    /// Since when it has had nothing but failures on record, if it has.
    pub failing_since: Option<UnixMs>,
    /// Attempts per second that all endpoints of its application get, if limited.
    pub app_throttle_per_second: Option<u32>,
}

/// An attempt that has ended, and what follows from it.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// How it ended.
    pub outcome: Outcome,
    /// What made it happen.
    pub trigger: Trigger,
    /// What follows.
    pub next: Next,
    /// Disable the endpoint in the same frame, for this reason.
    pub disable: Option<DisabledBy>,
    /// Others wait for this in order: they are told of it when it is synced, and it
    /// is synced at once.
    pub ordered: bool,
}

/// Why there is no job for a delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The delivery waits no longer; an event says so, or will.
    #[error("delivery is not live")]
    NotLive,
    /// Its payload cannot be had, now or later: it is damaged, was expunged, or is
    /// past its retention. The outbox makes it a dead letter.
    #[error("payload is gone: {0}")]
    NoPayload(String),
    /// Its element has no room in the batch that it was asked for.
    #[error("no room in the batch")]
    NoRoom,
    /// Reading failed; it may succeed later.
    #[error("failed to read payload: {0}")]
    Failed(String),
}

/// The outbox as the scheduler sees it.
pub trait DeliveryStore: Send + Sync {
    /// Ends when there is something to take. One waits at a time.
    fn changed(&self) -> Answer<()>;

    /// Takes what has happened since the last call. Does not wait.
    fn take(&self, into: &mut Vec<LaneEvent>);

    /// What the next attempts of some deliveries need, with the endpoints as they are
    /// configured at this moment. Does not wait. Adds an answer for each, in their
    /// order: `None` where [`Self::job`] has to read.
    fn jobs_at_once(&self, keys: &[DeliveryKey], into: &mut Vec<Option<Result<Job, JobError>>>);

    /// The same for one, reading the journal if need be.
    fn job(&self, key: DeliveryKey) -> Answer<Result<Job, JobError>> {
        self.job_within(key, usize::MAX)
    }

    /// The same, if it takes at most so many bytes as [`crate::batch::element_bytes`] has
    /// them; else [`JobError::NoRoom`], and the delivery is not in flight.
    fn job_within(&self, key: DeliveryKey, room_bytes: usize) -> Answer<Result<Job, JobError>>;

    /// Records attempts, in their order, and leaves the list empty. Does not wait: a
    /// [`LaneEvent::Recorded`] with its key says when each is recorded. What is not yet recorded is bounded by the
    /// attempts that the scheduler allows at once.
    fn settle(&self, settlements: &mut Vec<Settlement>);

    /// Takes back the jobs of attempts that were not made, and leaves the list empty: their
    /// deliveries wait as they did. Does not wait.
    fn hand_back(&self, keys: &mut Vec<DeliveryKey>);

    /// Deliveries of a lane that wait behind its window, and so were not told, in number.
    fn behind_window(&self, endpoint: EndpointId) -> u64;

    /// Whether a delivery is one of them.
    fn is_behind_window(&self, key: DeliveryKey) -> bool;

    /// The message of a delivery that waits or is a dead letter, if it is in memory.
    fn message_of(&self, key: DeliveryKey) -> Option<MessageId>;
}

/// Whether an endpoint that has failed since then has done so for long at `now`: when
/// it works again, what waits for its first attempt is old, and what comes is new.
#[must_use]
pub fn is_long(failing_since: Option<UnixMs>, now: UnixMs) -> bool {
    const LONG: Duration = Duration::from_secs(60);
    failing_since.is_some_and(|since| now.since(since) >= LONG)
}
