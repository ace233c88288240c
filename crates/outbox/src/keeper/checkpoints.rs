//! Writes a checkpoint when the journal has grown enough since the last one.

use postrider_model::position::Position;

use super::Keeper;
use crate::checkpoint;
use crate::committer::request::Errand;
use crate::open::LastCheckpoint;

/// The journal grows by this many times the last checkpoint's size before the
/// next is written, so that checkpoints cost a tenth of what is written at most.
const GROWTH: u64 = 10;
/// But at least by this much.
const MIN_GROWTH_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy)]
pub(super) struct Checkpoints {
    /// The size of the last one.
    checkpoint_bytes: u64,
    /// Everything in the journal before this is in one that will be found after a power cut.
    covered: Position,
    /// The same of the one that was found at the start. Its name may be lost yet, if the
    /// process before failed to sync it; not if that left the word of a clean stop, which it
    /// does after it.
    found: Position,
    /// Where the journal ended when one was last written or tried.
    tried_at: Position,
}

impl Checkpoints {
    pub(super) const fn new(last: LastCheckpoint) -> Self {
        let LastCheckpoint { position, bytes, clean } = last;
        let covered = if clean { position } else { Position::ZERO };
        Self { checkpoint_bytes: bytes, covered, found: position, tried_at: position }
    }

    /// Whether a checkpoint that stays holds what the segment did.
    pub(super) fn covers(&self, segment: u32) -> bool {
        self.covered.segment() > segment
    }

    fn is_due(&self, applied: Position, segment_bytes: u32) -> bool {
        let segments = u64::from(applied.segment().saturating_sub(self.tried_at.segment()));
        let grown = (segments * u64::from(segment_bytes) + u64::from(applied.offset_bytes()))
            .saturating_sub(u64::from(self.tried_at.offset_bytes()));
        grown >= (self.checkpoint_bytes * GROWTH).max(MIN_GROWTH_BYTES)
    }
}

impl Keeper {
    pub(super) fn write_checkpoint_if_due(&mut self) {
        let applied = self.shared.state.lock().applied;
        if self.checkpoints.is_due(applied, self.shared.options.segment_bytes) {
            self.write_checkpoint();
        }
    }

    /// Makes sure that a checkpoint covers a segment.
    pub(super) fn cover(&mut self, segment: u32) -> bool {
        if !self.checkpoints.covers(segment) {
            self.write_checkpoint();
        }
        self.checkpoints.covers(segment)
    }

    /// Gives whether there is a new checkpoint.
    pub(crate) fn write_checkpoint(&mut self) -> bool {
        let shared = std::sync::Arc::clone(&self.shared);
        let _alone = shared.checkpointing.lock();
        if shared.is_stopping() {
            return false;
        }
        let Some((position, bytes)) = self.ask(Errand::Checkpoint) else { return false };
        match checkpoint::write(&*self.disk, &self.shared.options.dir, &bytes) {
            Ok(()) => {
                let checkpoint_bytes = bytes.len() as u64;
                self.checkpoints =
                    Checkpoints { checkpoint_bytes, covered: position, tried_at: position, ..self.checkpoints };
                true
            }
            Err(error) => {
                // The old one is still whole; the next try comes with more growth.
                tracing::warn!(%error, "a checkpoint could not be written");
                self.checkpoints.tried_at = position;
                if error.is_no_room() {
                    // Then what is full could never be made room in: the one that was found has to do.
                    self.checkpoints.covered = self.checkpoints.covered.max(self.checkpoints.found);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
