//! Appending to the journal. One thread owns the [`Journal`].

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_model::check_invariant;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::error::{AppendError, RemoveError};
use super::frame::{FRAME_HEADER_BYTES, FrameBuilder, FrameKind};
use super::layout::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::make::{MakeError, make_segment};
use super::options::Options;
use super::reader::JournalReader;
use super::shared::{Segment, SegmentState, Shared};
use crate::disk::{DiskFile, is_out_of_files};

/// Segments that stand ready behind the open one; the last is reserved.
const SPARE_SEGMENTS: usize = 2;

/// A frame's buffer is kept for the next frame up to this size.
const KEPT_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Who appends, and so which room may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameClass {
    /// New messages: refused while only the reserved segment is left.
    Ingest,
    /// Outcomes, configuration and carried records: may use all there is.
    Reserved,
}

/// A frame that was appended. It is durable after [`Journal::sync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedFrame {
    /// Where the frame begins.
    pub first: Position,
    /// Where it ends, and the next one begins.
    pub end: Position,
    /// What was written, in bytes.
    pub bytes: u32,
}

/// The segment that is being written.
pub(super) struct Active {
    pub(super) number: u32,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) end: u32,
    pub(super) allocated_bytes: u32,
}

struct Poison {
    path: PathBuf,
    source: Arc<io::Error>,
}

/// The end of the journal. Made by [`Journal::open`].
pub struct Journal {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    /// `None` until the first frame of a new store, or after recovery without room.
    pub(super) active: Option<Active>,
    /// Numbers of segments that stand ready, ascending.
    pub(super) spares: VecDeque<u32>,
    /// The number of the next segment that is made.
    pub(super) next_segment: u32,
    pub(super) next_frame: u64,
    pub(super) synced_through: Position,
    pub(super) last_time: UnixMs,
    buffer: Vec<u8>,
    poison: Option<Poison>,
}

/// Where recovery leaves off.
pub(super) struct Resume {
    pub(super) active: Option<Active>,
    pub(super) spares: VecDeque<u32>,
    pub(super) next_segment: u32,
    pub(super) next_frame: u64,
    pub(super) end: Position,
    pub(super) last_time: UnixMs,
}

impl Journal {
    pub(super) fn resume(shared: Arc<Shared>, options: Options, resume: Resume) -> Self {
        Self {
            shared,
            options,
            active: resume.active,
            spares: resume.spares,
            next_segment: resume.next_segment,
            next_frame: resume.next_frame,
            synced_through: resume.end,
            last_time: resume.last_time,
            buffer: Vec::new(),
            poison: None,
        }
    }

    /// Begins a frame of at most `upper_bound_bytes` of records, counted with
    /// [`super::record_bytes`]. Rolls to the next segment if they do not fit into
    /// the open one; that syncs the old one. The frame's time is `now`, but never
    /// before that of the last frame.
    ///
    /// # Errors
    /// There is no room for this class, the bound is too large, a sync failed, or
    /// the journal was poisoned before.
    pub fn begin_frame(
        &mut self,
        kind: FrameKind,
        class: FrameClass,
        upper_bound_bytes: usize,
        now: UnixMs,
    ) -> Result<FrameBuilder, AppendError> {
        self.check_poison()?;
        let limit_bytes = self.options.frame_limit_bytes();
        if upper_bound_bytes > limit_bytes {
            return Err(AppendError::TooLarge { bytes: upper_bound_bytes, limit_bytes });
        }
        let needed = upper_bound_bytes + FRAME_HEADER_BYTES as usize;
        let stay = self.active.as_ref().is_some_and(|active| room_bytes(active) >= needed);
        let spares_after = if stay { Some(self.spares.len()) } else { self.spares.len().checked_sub(1) };
        let least = match class {
            FrameClass::Ingest => 1,
            FrameClass::Reserved => 0,
        };
        if spares_after.is_none_or(|after| after < least) {
            return Err(AppendError::Full);
        }
        if !stay {
            self.roll()?;
        }
        let room = self.active.as_ref().map_or(0, room_bytes);
        self.last_time = self.last_time.max(now);
        let buffer = std::mem::take(&mut self.buffer);
        Ok(FrameBuilder::new(buffer, self.end(), room, kind, self.last_time))
    }

    /// Appends a frame with one write. A frame without records writes nothing.
    ///
    /// # Errors
    /// The write fails, which poisons the journal; the journal was poisoned before;
    /// or another frame was appended since this one was begun.
    pub fn append(&mut self, builder: FrameBuilder) -> Result<AppendedFrame, AppendError> {
        self.check_poison()?;
        let end = self.end();
        let in_turn = builder.start() == end;
        let Some(active) = self.active.as_mut().filter(|_| in_turn) else {
            return Err(AppendError::OutOfTurn { begun: builder.start(), end });
        };
        if builder.records() == 0 {
            return Ok(AppendedFrame { first: end, end, bytes: 0 });
        }
        let (header, bytes) = builder.finish(self.shared.store_id, self.next_frame, self.synced_through);
        let written = active.file.write_all_at(&bytes, end.offset_bytes().into());
        if let Err(error) = written {
            let number = active.number;
            return Err(self.poison(number, error));
        }
        active.end = header.end_offset();
        self.next_frame += 1;
        self.shared.update(active.number, |segment| {
            segment.used = header.end_offset();
            segment.first_frame_time.get_or_insert(header.time);
            segment.mark(end.offset_bytes());
        });
        self.shared.appended_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let appended = AppendedFrame { first: end, end: self.end(), bytes: bytes.len() as u32 };
        if bytes.capacity() <= KEPT_BUFFER_BYTES {
            self.buffer = bytes;
        }
        Ok(appended)
    }

    /// Makes all that was appended durable, with one `fdatasync` if anything was.
    ///
    /// # Errors
    /// It fails, which poisons the journal; it is never tried again (W8).
    pub fn sync(&mut self) -> Result<Position, AppendError> {
        self.check_poison()?;
        let end = self.end();
        if let Some(active) = self.active.as_ref().filter(|_| self.synced_through < end) {
            if let Err(error) = active.file.sync_data() {
                let number = active.number;
                return Err(self.poison(number, error));
            }
            self.synced_through = end;
        }
        Ok(end)
    }

    /// Everything before this is durable.
    #[must_use]
    pub const fn synced_through(&self) -> Position {
        self.synced_through
    }

    /// Where the next frame goes, unless it goes to the next segment.
    #[must_use]
    pub fn end(&self) -> Position {
        self.active.as_ref().map_or(self.synced_through, |active| Position::new(active.number, active.end))
    }

    /// The time of the last frame; later frames never have an earlier one.
    #[must_use]
    pub const fn last_time(&self) -> UnixMs {
        self.last_time
    }

    /// Sets what all segments together may take on disk.
    pub const fn set_max_bytes(&mut self, max_bytes: u64) {
        self.options.max_bytes = max_bytes;
    }

    /// Whether [`Journal::provision`] has something to do.
    #[must_use]
    pub fn wants_provision(&self) -> bool {
        self.poison.is_none() && self.spares.len() < self.spares_wanted()
    }

    /// Whether a frame of `class` that fits into a segment finds room.
    #[must_use]
    pub fn has_room(&self, class: FrameClass) -> bool {
        let least = match class {
            FrameClass::Ingest => 2,
            FrameClass::Reserved => 1,
        };
        self.poison.is_none() && self.spares.len() >= least
    }

    /// A reader of this journal.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader { shared: Arc::clone(&self.shared) }
    }

    /// Makes segments ready until there are two behind the open one. Blocks while
    /// the file system allocates; call it when idle, and after a roll.
    ///
    /// # Errors
    /// There is no room, or `max_bytes` would be passed: nothing has changed, call
    /// it again later. A failed write or sync poisons the journal.
    pub fn provision(&mut self) -> Result<(), AppendError> {
        self.check_poison()?;
        let mut made = Ok(());
        while made.is_ok() && self.spares.len() < self.spares_wanted() {
            made = self.make_spare();
        }
        self.shared.wants_room.store(matches!(made, Err(AppendError::Full)), Ordering::Relaxed);
        made
    }

    fn spares_wanted(&self) -> usize {
        SPARE_SEGMENTS + usize::from(self.active.is_none())
    }

    fn make_spare(&mut self) -> Result<(), AppendError> {
        let number = self.next_segment;
        let after = self.reader().total_bytes().saturating_add(self.options.segment_bytes.into());
        // The last number is never used, so that a position after it can be told.
        if after > self.options.max_bytes || number == u32::MAX {
            return Err(AppendError::Full);
        }
        let header = SegmentHeader {
            number,
            store_id: self.shared.store_id,
            created: self.last_time,
            allocated_bytes: self.options.segment_bytes,
        };
        match make_segment(&*self.shared.disk, &self.shared.dir, &header, &mut |_| Ok(())) {
            Ok(_) => {}
            Err(MakeError::Full) => return Err(AppendError::Full),
            Err(MakeError::Failed(error)) => {
                return Err(AppendError::Failed { path: self.shared.path(number), source: Arc::new(error) });
            }
            Err(MakeError::Unsafe(error)) => return Err(self.poison(number, error)),
        }
        let spare = Segment::new(SegmentState::Spare, SEGMENT_HEADER_BYTES, header.allocated_bytes.into());
        self.shared.segments.write().insert(number, spare);
        self.spares.push_back(number);
        self.next_segment += 1;
        Ok(())
    }

    /// Seals the open segment and opens the first spare one.
    pub(super) fn roll(&mut self) -> Result<(), AppendError> {
        let Some(number) = self.spares.front().copied() else {
            return Err(AppendError::Full);
        };
        let file = self.shared.file(number).map_err(|error| {
            let path = self.shared.path(number);
            if is_out_of_files(&error) {
                // It is opened as soon as one may be.
                tracing::warn!(%error, path = %path.display(), "a journal segment cannot be opened at present");
                return AppendError::Full;
            }
            AppendError::Failed { path, source: Arc::new(error) }
        })?;
        self.seal()?;
        self.spares.pop_front();
        self.active =
            Some(Active { number, file, end: SEGMENT_HEADER_BYTES, allocated_bytes: self.options.segment_bytes });
        self.synced_through = Position::new(number, SEGMENT_HEADER_BYTES);
        self.shared.update(number, |segment| segment.state = SegmentState::Open);
        Ok(())
    }

    /// Syncs the open segment, and gives back the room behind its last frame.
    fn seal(&mut self) -> Result<(), AppendError> {
        let end = self.sync()?;
        let Some(active) = self.active.as_ref() else {
            // Recovery has cut the last segment, if there is one. It counts as open
            // until the next one begins, so that it is not removed before.
            self.shared.update(end.segment(), |segment| segment.state = SegmentState::Sealed);
            return Ok(());
        };
        let _ = check_invariant!("W8", self.synced_through == end, "a segment is synced before the next one begins");
        // Only after the sync, so that a length on disk says what was synced.
        // Keeping the room would do no harm, so a failure is not one of the journal.
        let cut = active.file.set_len(active.end.into()).is_ok();
        self.shared.update(active.number, |segment| {
            segment.state = SegmentState::Sealed;
            if cut {
                segment.allocated_bytes = segment.used.into();
            }
        });
        Ok(())
    }

    /// Drops a sealed segment whole. The name is gone from disk when this returns.
    ///
    /// # Errors
    /// The segment is still needed by the writer, or removing it fails. A failed
    /// sync of the directory poisons the journal.
    pub fn remove_segment(&mut self, number: u32) -> Result<(), RemoveError> {
        self.check_poison().map_err(RemoveError::Poisoned)?;
        let path = self.shared.path(number);
        match self.shared.segments.read().get(&number).map(|segment| segment.state) {
            Some(SegmentState::Sealed) => {}
            Some(SegmentState::Open | SegmentState::Spare) => return Err(RemoveError::NotSealed { segment: number }),
            None => return Ok(()),
        }
        if let Err(error) = self.shared.disk.remove_file(&path) {
            return Err(RemoveError::Failed { path, source: Arc::new(error) });
        }
        self.shared.segments.write().remove(&number);
        self.shared.close(number);
        self.shared.wants_room.store(false, Ordering::Relaxed);
        self.shared.disk.sync_dir(&self.shared.dir).map_err(|error| RemoveError::Poisoned(self.poison(number, error)))
    }

    pub(super) fn check_poison(&self) -> Result<(), AppendError> {
        match &self.poison {
            None => Ok(()),
            Some(poison) => {
                Err(AppendError::Poisoned { path: poison.path.clone(), source: Arc::clone(&poison.source) })
            }
        }
    }

    /// From now on every call fails with this error.
    pub(super) fn poison(&mut self, segment: u32, error: io::Error) -> AppendError {
        let poison = Poison { path: self.shared.path(segment), source: Arc::new(error) };
        let error = AppendError::Poisoned { path: poison.path.clone(), source: Arc::clone(&poison.source) };
        self.poison = Some(poison);
        error
    }
}

/// What a frame may take in the segment. A header's room stays free at the end
/// for the mark that recovery leaves.
const fn room_bytes(active: &Active) -> usize {
    active.allocated_bytes.saturating_sub(active.end).saturating_sub(FRAME_HEADER_BYTES) as usize
}

#[cfg(test)]
mod tests;
