//! What all parts of a run share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use postrider_outbox::Outbox;
use postrider_outbox::disk::sim::SimDisk;
use tempfile::TempDir;
use turmoil::net::TcpStream;

use crate::ledger::Ledger;
use crate::plan::{Plan, Plant};

/// What all parts of a run share.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) plant: Option<Plant>,
    pub(crate) ledger: Mutex<Ledger>,
    /// Of the present life of the server.
    pub(crate) disk: Mutex<SimDisk>,
    pub(crate) index_dir: TempDir,
    pub(crate) addresses: Mutex<Vec<(String, IpAddr)>>,
    /// The server is being killed.
    pub(crate) is_killed: AtomicBool,
    /// What it had open then.
    pub(crate) left_open: Mutex<Vec<TcpStream>>,
    /// What the server answers questions by, while it is there.
    pub(crate) outbox: Mutex<Option<Outbox>>,
    /// Outcomes that the server has counted as too late, in all of its lives.
    pub(crate) counted_late: Arc<AtomicU64>,
}
