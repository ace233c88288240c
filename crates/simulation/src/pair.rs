//! What the model knows of a delivery: a message and an endpoint.

use postrider_model::id::MessageId;

/// A message by its number, and an endpoint by its.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PairKey {
    pub(crate) endpoint: usize,
    pub(crate) message: usize,
}

#[derive(Default)]
pub(crate) struct Pair {
    /// Attempts that the dispatcher was given.
    pub(crate) assigned: u32,
    /// Requests that came to the receiver.
    pub(crate) arrived: u32,
    /// Those that the receiver has answered with success.
    pub(crate) confirmed: u32,
    /// The last attempt that the dispatcher told to be a success.
    pub(crate) success: Option<Told>,
    /// The last one that has ended.
    pub(crate) last: Option<Ended>,
    /// The attempt under way, in this life of the server.
    pub(crate) flies: Option<u16>,
    /// It goes in the request of another one.
    pub(crate) rides: bool,
    pub(crate) first_arrival_ms: Option<u64>,
    /// A person asked for it again.
    pub(crate) asked_again: bool,
    /// A person asked that it ends.
    pub(crate) asked_to_end: bool,
    /// Since when it is seen to be a dead letter.
    pub(crate) dead_since_ms: Option<u64>,
    pub(crate) id: Option<MessageId>,
}

#[derive(Clone, Copy)]
pub(crate) struct Told {
    pub(crate) at_ms: u64,
    pub(crate) life: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) attempt: u16,
    pub(crate) at_ms: u64,
    /// What the receiver asked for.
    pub(crate) retry_after_s: u64,
}
