//! The committer as a body of work for a thread, and how it ends.

use std::sync::Arc;

use super::Committer;
use crate::checkpoint;
use crate::disk::Disk;
use crate::journal::{AppendError, Journal};
use crate::open::CLEAN_MARKER;
use crate::shared::Shared;

/// How the committer ended.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A write or a sync failed; what is on disk is not known (W8).
    #[error(transparent)]
    Poisoned(AppendError),
}

/// The committer's work, until it is told to stop. The binary gives it a thread.
pub struct CommitterThread {
    committer: Committer,
    disk: Arc<dyn Disk>,
}

impl CommitterThread {
    pub(crate) fn new(committer: Committer, disk: Arc<dyn Disk>) -> Self {
        Self { committer, disk }
    }

    /// The committer itself, for a test that lets it work step by step.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn into_committer(self) -> Committer {
        self.committer
    }

    /// Works until [`crate::Outbox::stop`], then leaves a checkpoint that says
    /// that the stop was clean.
    ///
    /// # Errors
    /// The journal is poisoned: nothing more was answered, and the process has
    /// to end (W8).
    pub fn run(self) -> Result<(), CommitError> {
        let shared = Arc::clone(&self.committer.shared);
        let journal = self.committer.run_until_stopped()?;
        leave_clean_stop(&shared, &*self.disk, &journal);
        Ok(())
    }
}

/// Leaves a checkpoint at the journal's end, which is synced, and the word that it is there.
pub(crate) fn leave_clean_stop(shared: &Shared, disk: &dyn Disk, journal: &Journal) {
    // The keeper's last one is written, and it begins no other, since the stop is known.
    let _alone = shared.checkpointing.lock();
    let bytes = checkpoint::encode(&shared.state.lock(), &shared.config.read(), &shared.sealer, journal.end());
    let dir = &shared.options.dir;
    let left = checkpoint::write(disk, dir, &bytes).and_then(|()| {
        let path = dir.join(CLEAN_MARKER);
        let marked = disk.create(&path).and_then(|_| disk.sync_dir(dir));
        marked.map_err(|source| checkpoint::CheckpointError::Io { what: "write", path, source })
    });
    if let Err(error) = left {
        // The journal holds it all; the next start reads more of it.
        tracing::warn!(%error, "the stop is not marked as clean");
    }
}
