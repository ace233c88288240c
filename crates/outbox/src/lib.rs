//! The write-ahead outbox: every accepted message is a record in the journal,
//! synced to disk before the sender hears "yes".
//!
//! The journal is the truth. Everything else here (configuration in memory,
//! live deliveries, dead letters, the sled index) is derived from it by one
//! pure `apply`.
//!
//! The write path: [`Outbox`]`::accept` (`ports/accept.rs`) -> `committer/mod.rs`
//! -> `journal`. The way back into memory: `state/mod.rs`. Where a start finds
//! everything again: `open.rs`. What happens while nobody waits: `keeper`.

pub mod disk;
pub mod index;
pub mod journal;

mod answers;
pub mod backup;
mod bodies;
mod checkpoint;
mod committer;
mod examine;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod held_back;
mod ids;
mod keeper;
mod key_use;
mod keys;
mod lock;
mod lookup;
mod master_key;
mod matching;
mod meters;
mod mismatches;
mod open;
mod options;
mod orders;
mod outbox;
mod outcomes;
mod ports;
mod read_ahead;
mod reads;
mod record;
mod rows;
mod salvage;
mod seal;
mod shared;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod simulation;
mod state;
mod stored_json;
#[cfg(test)]
mod tests;

pub use checkpoint::CheckpointError;
pub use committer::{CommitError, CommitterThread};
pub use examine::{Examined, examine};
pub use keeper::Keeper;
pub use key_use::{KeyUse, key_use, seal_anew};
pub use lock::{DirLock, LockError};
pub use master_key::{IDENTITY_BYTES, MasterKey, SealingKey};
pub use meters::describe_metrics;
pub use open::{OpenError, Opened, Report, open};
pub use options::{OperationalEvents, Options};
pub use outbox::{Outbox, Stats};
pub use salvage::{
    Checkpoint, LostDelivery, LostMessage, LostRecord, Missing, Salvaged, UnknownEndpoint, Unread, WhatIsKnown, salvage,
};
