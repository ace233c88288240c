//! What the tests are played with: the real binary, its doors, and a receiver.

mod api;
mod cli;
mod ingest;
mod metrics;
mod receiver;
mod server;
mod shim;
mod wait;

pub(crate) use self::api::{Answer, Api, Endpoint};
pub(crate) use self::cli::{Ran, run};
pub(crate) use self::ingest::Ingest;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::receiver::{Arrival, Receiver, Reply};
pub(crate) use self::server::{Ended, Server, Setup};
pub(crate) use self::shim::build as build_shim;
pub(crate) use self::wait::{DEADLINE, LOOK_EVERY, in_time, say, until};

/// The binary under test.
pub(crate) const POSTRIDER: &str = env!("CARGO_BIN_EXE_postrider");
