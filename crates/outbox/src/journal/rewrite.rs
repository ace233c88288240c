//! Writing a sealed segment anew, with the bytes of some records changed in
//! their place: all positions and lengths stay.
//!
//! The new file is made beside the old one, and synced; the owner of the journal
//! puts it in place ([`super::Journal::replace_segment`]). A crash before that
//! leaves a temporary file, which the next start removes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;

use super::error::ReadError;
use super::frame::{ENVELOPE_BYTES, Envelope, FRAME_HEADER_BYTES, edit_records, record_bytes};
use super::layout::SEGMENT_HEADER_BYTES;
use super::reader::JournalReader;
use super::walk::Walk;
use crate::disk::{Disk, DiskFile, remove_if_there, temporary_name};

/// Changes the bytes of a record, not their number; says whether it did.
pub type Edit<'a> = dyn FnMut(Position, &mut [u8]) -> bool + 'a;

impl JournalReader {
    /// Writes a sealed segment anew beside the old one, each record as `edit`
    /// leaves it. What cannot be read any more is left out: the new file has zeros
    /// in its place, and is damaged there as the old one was. Blocks for as long
    /// as the disk takes for the size of a segment.
    ///
    /// # Errors
    /// There is no such segment, or the file system fails; nothing is left behind.
    pub fn rewrite(&self, segment: u32, edit: &mut Edit<'_>) -> Result<(), ReadError> {
        let old = self.shared.path(segment);
        let new = temporary_name(&old);
        let written = self.open(segment).and_then(|(file, len)| {
            let walk = Walk::new(file, segment, self.shared.store_id, len);
            write_new(&*self.shared.disk, &new, walk, edit)
        });
        written.map_err(|source| {
            // A file that stays behind is removed by the next try or the next start.
            let _ = remove_if_there(&*self.shared.disk, &new);
            self.io(segment, source)
        })
    }

    /// Opens the file itself, and not one that was opened before.
    fn open(&self, segment: u32) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let file = self.shared.disk.open(&self.shared.path(segment))?;
        let len = file.len()?;
        Ok((file, len))
    }
}

/// The same of a segment file that no journal works on, from one path to another.
///
/// # Errors
/// The file system fails.
pub fn rewrite_file(
    disk: &dyn Disk,
    (old, new): (&Path, &PathBuf),
    (segment, store_id): (u32, u64),
    edit: &mut Edit<'_>,
) -> io::Result<()> {
    let file = disk.open_to_read(old)?;
    let len = file.len()?;
    write_new(disk, new, Walk::new(file, segment, store_id, len), edit)
}

/// The new file is as long as the old one: that a segment was cut says how far
/// it was synced.
fn write_new(disk: &dyn Disk, path: &PathBuf, walk: Walk, edit: &mut Edit<'_>) -> io::Result<()> {
    remove_if_there(disk, path)?;
    let file = disk.create(Path::new(path))?;
    file.set_len(walk.limit().into())?;
    Rewrite { walk, file: &*file, edit }.run()?;
    file.sync_data()
}

struct Rewrite<'a, 'e> {
    walk: Walk,
    file: &'a dyn DiskFile,
    edit: &'a mut Edit<'e>,
}

impl Rewrite<'_, '_> {
    fn run(mut self) -> io::Result<()> {
        let header = self.walk.bytes(0, SEGMENT_HEADER_BYTES as usize)?;
        self.file.write_all_at(header, 0)?;
        let mut at = SEGMENT_HEADER_BYTES;
        while at < self.walk.limit() {
            at = match self.walk.frame(at)? {
                Some(frame) => {
                    let mut payload = self.walk.payload(&frame)?.to_vec();
                    let edited = edit_records(&mut payload, &frame, self.edit);
                    let header = if edited { frame.sealed(&payload) } else { frame };
                    self.file.write_all_vectored_at(&[&header.encode(), &payload], at.into())?;
                    frame.end_offset()
                }
                None => {
                    let next = self.walk.find(at + 1)?;
                    let end = next.map_or_else(|| self.walk.limit(), |frame| frame.position.offset_bytes());
                    self.broken(at, end)?;
                    end
                }
            };
        }
        Ok(())
    }

    /// Between `from`, where a frame began, and `to` nothing is a whole frame. What
    /// leads to whole records is kept, and these, as they are edited; all other
    /// bytes may be anything, also what is to go.
    fn broken(&mut self, from: u32, to: u32) -> io::Result<()> {
        self.keep_header(from)?;
        let mut at = from.saturating_add(FRAME_HEADER_BYTES);
        while at < to {
            if self.keep_header(at)? {
                at = at.saturating_add(FRAME_HEADER_BYTES);
                continue;
            }
            let Some(envelope) = Envelope::decode(self.walk.bytes(at, ENVELOPE_BYTES)?) else { break };
            if ENVELOPE_BYTES.saturating_add(envelope.len) > (to - at) as usize {
                break;
            }
            let mut record = self.walk.bytes(at + ENVELOPE_BYTES as u32, envelope.len)?.to_vec();
            let envelope = if !envelope.is_of(&record) {
                record.fill(0);
                envelope
            } else if (self.edit)(Position::new(self.walk.segment(), at), &mut record) {
                Envelope::of(&record)
            } else {
                envelope
            };
            self.file.write_all_vectored_at(&[&envelope.encode(), &record], at.into())?;
            at += record_bytes(envelope.len) as u32;
        }
        Ok(())
    }

    fn keep_header(&mut self, at: u32) -> io::Result<bool> {
        let Some(header) = self.walk.header(at)? else { return Ok(false) };
        self.file.write_all_at(&header.encode(), at.into())?;
        Ok(true)
    }
}
