//! What the keeper asks of the committer and needs no record.

use tokio::sync::oneshot;

use super::Committer;
use super::request::Errand;
use crate::checkpoint;
use crate::journal::{AppendError, RemoveError};

impl Committer {
    /// Does what needs no record.
    pub(super) fn run(&mut self, errand: Errand) -> Result<(), AppendError> {
        match errand {
            Errand::Checkpoint(reply) => {
                // What the checkpoint covers must be on disk before it is.
                self.sync()?;
                let state = self.shared.state.lock();
                let config = self.shared.config.read();
                let position = self.journal.end();
                let _ = reply.send((position, checkpoint::encode(&state, &config, &self.shared.sealer, position)));
            }
            Errand::RemoveSegment(number, reply) => {
                // If the outcomes by which nothing needs it were lost, it would be needed again.
                self.sync()?;
                if let Some(left) = self.shared.state.lock().still_in(number) {
                    tracing::error!(segment = number, left, "a segment stays: live deliveries need it");
                    return Ok(());
                }
                match self.journal.remove_segment(number) {
                    Ok(()) => drop(reply.send(())),
                    Err(RemoveError::Poisoned(error)) => return Err(error),
                    Err(error) => tracing::error!(segment = number, %error, "failed to remove a journal segment"),
                }
            }
            Errand::SealSegment(number, reply) => return answer(self.journal.seal_segment(number), reply),
            Errand::ReplaceSegment(number, reply) => return answer(self.journal.replace_segment(number), reply),
            Errand::RemoveTornTails(reply) => return answer(self.journal.remove_torn_tails(), reply),
            Errand::Stop => self.stop = true,
        }
        Ok(())
    }
}

/// Whoever asked tries again later if it was not done.
fn answer(done: Result<(), AppendError>, reply: oneshot::Sender<()>) -> Result<(), AppendError> {
    match done {
        Ok(()) => drop(reply.send(())),
        Err(error @ AppendError::Poisoned { .. }) => return Err(error),
        Err(error) => tracing::warn!(%error, "housekeeping in the journal has to wait"),
    }
    Ok(())
}
