//! The rows: what is known of a record without reading it. Pure data.

use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

/// A UTC day, counted from 1970-01-01. Each has a partition of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The day that a moment lies in.
    #[must_use]
    pub fn of(at: UnixMs) -> Self {
        Self(u32::try_from(at.as_u64() / MS_PER_DAY).unwrap_or(u32::MAX))
    }
}

/// Which endpoints a message may go to: a bit for each, so that two of them may
/// share one. It lets a list skip rows; a match has to be confirmed against the
/// record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointMask(pub u32);

impl EndpointMask {
    /// The mask of these endpoints.
    #[must_use]
    pub fn of(endpoints: &[EndpointId]) -> Self {
        Self(endpoints.iter().fold(0, |mask, endpoint| mask | Self::bit(*endpoint)))
    }

    /// Whether the endpoint may be among them; if not, it is not.
    #[must_use]
    pub fn may_hold(self, endpoint: EndpointId) -> bool {
        self.0 & Self::bit(endpoint) != 0
    }

    /// There is no endpoint in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The last bytes of an id are random.
    fn bit(endpoint: EndpointId) -> u32 {
        1 << (endpoint.as_bytes().last().copied().unwrap_or_default() % 32)
    }
}

/// A message. Listed by application and sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its application.
    pub app: AppId,
    /// Where it was first accepted; unique.
    pub sequence: Position,
    /// Where its record lies now. Of two rows with one sequence the one with
    /// the later position counts.
    pub position: Position,
    /// When it was accepted.
    pub accepted: UnixMs,
    /// The endpoints that it goes to.
    pub endpoints: EndpointMask,
    /// A hash of its event type, made by the caller. It lets a filter skip
    /// rows; a match has to be confirmed against the record.
    pub event_type: u64,
}

/// An attempt that has ended. Listed by application and message, and by endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The message's application.
    pub app: AppId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The message's sequence.
    pub message: Position,
    /// Where the outcome's record lies; unique.
    pub position: Position,
    /// When it ended.
    pub ended: UnixMs,
    /// The status code; 0 if there was no answer.
    pub status: u16,
    /// The endpoint confirmed.
    pub succeeded: bool,
    /// This attempt is what ended its delivery as confirmed.
    pub delivered: bool,
}

/// A delivery whose state was changed by a record that is no attempt: it was
/// cancelled, expired, or carried to another place. Listed by application and
/// message, and by endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledRow {
    /// The message's application.
    pub app: AppId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The message's sequence.
    pub message: Position,
    /// Where the record lies. Of all attempts and settled rows of a delivery the
    /// one with the latest position tells its state.
    pub position: Position,
    /// The state, in the caller's own coding.
    pub state: u8,
    /// When it was reached.
    pub at: UnixMs,
    /// The number of the last attempt made, 0 if none was.
    pub attempt: u16,
}

/// An idempotency key or an event id, as a hash over its kind, tenant,
/// application or route, and text. Looked up, never listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The hash. It must be spread evenly: the filters take their bits from it.
    pub hash: [u8; 16],
    /// Where the record of the message or the answer lies.
    pub position: Position,
    /// When the message was accepted, or the answer given.
    pub at: UnixMs,
}

/// A row of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A message.
    Message(MessageRow),
    /// An attempt.
    Attempt(AttemptRow),
    /// A delivery that ended without an attempt.
    Settled(SettledRow),
    /// A key or event id.
    Key(KeyRow),
}

impl From<MessageRow> for Row {
    fn from(row: MessageRow) -> Self {
        Self::Message(row)
    }
}

impl From<AttemptRow> for Row {
    fn from(row: AttemptRow) -> Self {
        Self::Attempt(row)
    }
}

impl From<SettledRow> for Row {
    fn from(row: SettledRow) -> Self {
        Self::Settled(row)
    }
}

impl From<KeyRow> for Row {
    fn from(row: KeyRow) -> Self {
        Self::Key(row)
    }
}
