//! Scheduler, dispatcher and outbox, the real ones, on a simulated clock, network
//! and disk. For tests only.
//!
//! ```text
//!   plan (all that chance decides, from one seed)
//!     |
//!     v                 one thread, simulated time (turmoil)
//!   run --crash, bounce, partition, hold, loss------------------------------+
//!     |                                                                     |
//!     |   host "server"                                                     |
//!     |   script: messages, commands --> outbox <-- step -- committer       |
//!     |                                    |  ^       on a SimDisk that     |
//!     |                                scheduler      dies and is torn      |
//!     |                                    |  ^                             |
//!     |                              [ tap: sees each attempt begin, end ]  |
//!     |                                    v  |                             |
//!     |                                dispatcher ---- simulated TCP ----> hosts "r0", "r1", ...: receivers
//!     v                                                                     that fail, hang, reset
//!   ledger: what was asked, answered, attempted, received, and the laws over it
//!     |
//!     +-- follow: what each delivery may have come to, and what is set. A look at what the
//!         outbox tells is compared with it: now and then, in the middle of writes and
//!         syncs, right before the process dies and after it has started.
//! ```
//!
//! A run has a time of faults and then one without, in which everything must come
//! to its end. Equal seeds give equal runs: `run(seed)` is how a failure is repeated.

mod clock;
mod counted;
mod endpoint;
mod follow;
mod late;
mod laws;
mod ledger;
mod look;
mod network;
mod overtake;
mod pair;
mod plan;
mod receiver;
mod run;
mod script;
mod server;
mod settings;
mod standing;
mod succession;
mod tap;
#[cfg(test)]
mod tests;
mod trace;
mod watched;
mod world;

pub use plan::Plant;
pub use run::{Broken, Found, run, run_with};
