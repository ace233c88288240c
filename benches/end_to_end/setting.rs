//! What is the same for all scenarios.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::common::Failure;
use crate::common::protocol::Identity;
use crate::options::Options;

pub(crate) struct Setting {
    pub(crate) dir: PathBuf,
    pub(crate) body_bytes: usize,
    pub(crate) window: usize,
    pub(crate) connections: usize,
    /// The receiver's where it speaks TLS.
    pub(crate) identity: Identity,
    /// When the whole run is given up.
    deadline: Instant,
    limit: Duration,
}

impl Setting {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let (body_bytes, window, connections) = (options.body_bytes, options.window, options.connections);
        let (dir, identity, limit) = (options.shared.dir(), Identity::new()?, options.limit());
        Ok(Self { dir, body_bytes, window, connections, identity, deadline: Instant::now() + limit, limit })
    }

    /// Does `work`, if it ends before the deadline.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("the run took longer than {} s", self.limit.as_secs()).into()),
        }
    }
}
