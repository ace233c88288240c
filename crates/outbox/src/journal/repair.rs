//! After the scan: the torn tail is kept aside and cut, and the last segment is
//! written anew, so that what was read is really on disk. Where there is no room
//! for that, it is synced in its place and sealed.
//!
//! The steps are in an order in which a crash between any two leaves a journal
//! that recovers to the same frames.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use postrider_model::position::Position;

use super::catalogue::{Found, walk};
use super::error::OpenError;
use super::frame::{FRAME_HEADER_BYTES, FrameBuilder, FrameKind};
use super::layout::{SEGMENT_HEADER_BYTES, SegmentHeader, torn_name};
use super::make::{MakeError, make_segment};
use super::recover::{Context, TornTail, failed};
use super::scanner::Scanned;
use crate::disk::{DiskFile, is_full, remove_if_there, replace_file, temporary_name};

/// Bytes copied at once.
const COPY_BYTES: usize = 1024 * 1024;

pub(super) struct Repair<'a> {
    pub(super) context: &'a Context<'a>,
    /// Changed as files are changed.
    pub(super) found: &'a mut BTreeMap<u32, Found>,
    pub(super) scanned: &'a Scanned,
}

/// What was done.
pub(super) struct Repaired {
    pub(super) torn: Vec<TornTail>,
    pub(super) end: Position,
    pub(super) next_frame: u64,
    pub(super) rewritten: bool,
    /// The last segment was cut at its end, and nothing may be appended to it.
    pub(super) sealed: bool,
}

impl Repair<'_> {
    pub(super) fn run(mut self) -> Result<Repaired, OpenError> {
        let end = self.scanned.end;
        let torn = self.keep_torn_tails()?;
        self.remove_unfit(&torn)?;
        if !self.context.start.clean {
            self.name_last_anew()?;
        }
        let mut repaired = Repaired { torn, end, next_frame: self.scanned.next_frame, rewritten: false, sealed: false };
        let Some(active) = self.found.get(&end.segment()) else {
            return Ok(repaired);
        };
        // Damage that ends where a segment begins must be known for damage by the next start, too.
        let ends_something = end.offset_bytes() > SEGMENT_HEADER_BYTES || !self.scanned.damage.is_empty();
        let unclean = !self.context.start.clean || self.scanned.frames > 0;
        let is_torn = repaired.torn.iter().any(|torn| torn.segment == end.segment());
        if is_torn || active.header.is_none() || (ends_something && unclean) || active.is_cut() {
            self.rewrite(&mut repaired, ends_something && unclean)?;
        }
        Ok(repaired)
    }

    /// Copies what lies behind the end into files of their own.
    fn keep_torn_tails(&mut self) -> Result<Vec<TornTail>, OpenError> {
        let end = self.scanned.end;
        let mut torn = Vec::new();
        for (number, found) in self.found.range(end.segment()..) {
            let path = self.context.path(*number);
            let offset = if *number == end.segment() { end.offset_bytes() } else { SEGMENT_HEADER_BYTES };
            let mut walk = walk(self.context, *number, found)?;
            let read = failed("read journal segment", &path);
            let Some(to) = walk.used_end(offset).map_err(&read)? else {
                continue;
            };
            let bytes = walk.bytes(offset, (to - offset) as usize).map_err(&read)?;
            let aside = self.context.dir.join(torn_name(*number, offset));
            // It was never promised to anybody, so a full disk does not stop the start.
            let kept = match replace_file(&**self.context.disk, &aside, bytes) {
                Ok(()) => Some(aside),
                Err(error) if is_full(&error) => {
                    // What was written of it takes room that the rewrite may need.
                    remove_if_there(&**self.context.disk, &temporary_name(&aside)).map_err(failed("remove", &aside))?;
                    None
                }
                Err(error) => return Err(failed("keep the torn tail in", &aside)(error)),
            };
            torn.push(TornTail { segment: *number, offset, bytes: (to - offset).into(), kept });
        }
        Ok(torn)
    }

    /// Removes segments behind the end that cannot serve as spare ones: not empty,
    /// half made, of another size, or behind one that is missing. The last goes
    /// first, and each is gone before the next one goes: so there is never a gap.
    fn remove_unfit(&mut self, torn: &[TornTail]) -> Result<(), OpenError> {
        let mut expected = self.scanned.end.segment();
        let mut fit = true;
        let mut unfit = Vec::new();
        for (number, found) in self.found.range(expected.saturating_add(1)..) {
            expected = expected.saturating_add(1);
            fit &= *number == expected
                && found.header.is_some_and(|header| header.allocated_bytes == self.context.options.segment_bytes)
                && found.len == u64::from(self.context.options.segment_bytes)
                && torn.iter().all(|torn| torn.segment != *number);
            if !fit {
                unfit.push(*number);
            }
        }
        for number in unfit.into_iter().rev() {
            self.remove(number)?;
        }
        Ok(())
    }

    /// The process before may have ended because the sync of the last segment's name failed. What
    /// is written into that would be gone with its name after a power cut, whatever is synced
    /// until then. To name it anew takes no room, unlike a new one. Only the last can be in doubt:
    /// each was synced before the next was made. One with frames is written anew anyway.
    fn name_last_anew(&mut self) -> Result<(), OpenError> {
        let end = self.scanned.end;
        let is_empty = |number: u32| number > end.segment() || end.offset_bytes() <= SEGMENT_HEADER_BYTES;
        let Some(number) = self.found.keys().next_back().copied().filter(|number| is_empty(*number)) else {
            return Ok(());
        };
        let path = self.context.path(number);
        let aside = temporary_name(&path);
        let renamed = self.rename(&path, &aside).and_then(|()| self.rename(&aside, &path));
        match renamed {
            // It has no frames: it is made anew when there is room.
            Err(error) if is_full(&error) => {
                self.found.remove(&number);
                let disk = &**self.context.disk;
                let removed = remove_if_there(disk, &path).and_then(|_| remove_if_there(disk, &aside));
                removed.and_then(|_| disk.sync_dir(self.context.dir)).map_err(failed("remove journal segment", &path))
            }
            renamed => renamed.map_err(failed("rename journal segment", &path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.context.disk.rename(from, to)?;
        self.context.disk.sync_dir(self.context.dir)
    }

    fn remove(&mut self, number: u32) -> Result<(), OpenError> {
        let path = self.context.path(number);
        self.context.disk.remove_file(&path).map_err(failed("remove journal segment", &path))?;
        self.context.disk.sync_dir(self.context.dir).map_err(failed("sync", self.context.dir))?;
        self.found.remove(&number);
        Ok(())
    }

    /// Puts a new file with the frames that count in place of the last segment.
    /// Where room is short, spare segments are given up for it; where that does
    /// not help, the old file stays.
    fn rewrite(&mut self, repaired: &mut Repaired, unclean: bool) -> Result<(), OpenError> {
        let end = self.scanned.end;
        let number = end.segment();
        let path = self.context.path(number);
        let mark = (unclean && self.scanned.mark_end != Some(end)).then(|| self.mark());
        let mark_bytes = mark.as_ref().map_or(0, Vec::len) as u32;
        let allocated_bytes = self.context.options.segment_bytes.max(end.offset_bytes() + mark_bytes);
        let old = self.context.disk.open(&path).map_err(failed("open journal segment", &path))?;
        let header = SegmentHeader {
            number,
            store_id: self.context.options.store_id,
            created: self
                .found
                .get(&number)
                .and_then(|found| found.header)
                .map_or(self.context.start.now, |h| h.created),
            allocated_bytes,
        };
        loop {
            let made = make_segment(&**self.context.disk, self.context.dir, &header, &mut |file| {
                copy(&*old, file, SEGMENT_HEADER_BYTES..end.offset_bytes())?;
                file.write_all_at(mark.as_deref().unwrap_or_default(), end.offset_bytes().into())
            });
            match made {
                Ok(_) => break,
                Err(MakeError::Full) => match self.found.keys().next_back().copied().filter(|last| *last > number) {
                    Some(spare) => self.remove(spare)?,
                    None => return self.seal(repaired, &*old),
                },
                Err(MakeError::Failed(source) | MakeError::Unsafe(source)) => {
                    return Err(failed("write the recovered journal segment", &path)(source));
                }
            }
        }
        if let Some(found) = self.found.get_mut(&number) {
            found.len = allocated_bytes.into();
            found.header = Some(header);
        }
        repaired.end = Position::new(number, end.offset_bytes() + mark_bytes);
        repaired.next_frame = self.scanned.next_frame + u64::from(mark.is_some());
        repaired.rewritten = true;
        Ok(())
    }

    /// Makes the frames that count durable in the old file, and cuts it behind
    /// them, which frees what was allocated. Its length is the evidence then that
    /// a mark is otherwise, so nothing may be appended to it.
    fn seal(&mut self, repaired: &mut Repaired, file: &dyn DiskFile) -> Result<(), OpenError> {
        let end = self.scanned.end;
        let number = end.segment();
        let path = self.context.path(number);
        self.write_again(file)
            .or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
            .and_then(|()| file.sync_data())
            .map_err(failed("sync journal segment", &path))?;
        // Only after the sync, so that a length on disk says what was synced; and
        // synced itself, before a later segment makes a torn tail look like damage.
        // One that something else has cut says so by its length, and to make it longer takes room.
        let is_longer = self.found.get(&number).is_none_or(|found| found.len > end.offset_bytes().into());
        if is_longer { file.set_len(end.offset_bytes().into()) } else { Ok(()) }
            .and_then(|()| file.sync_data())
            .map_err(failed("cut journal segment", &path))?;
        if let Some(found) = self.found.get_mut(&number) {
            found.len = end.offset_bytes().into();
        }
        repaired.sealed = true;
        Ok(())
    }

    /// Writes what is not known to be synced once more over itself: after a sync
    /// that failed, the system may hold it in memory and take it for written.
    fn write_again(&self, file: &dyn DiskFile) -> io::Result<()> {
        let end = self.scanned.end;
        let first = Position::new(end.segment(), SEGMENT_HEADER_BYTES);
        let Some(found) = self.found.get(&end.segment()) else {
            return Ok(());
        };
        // One that was emptied says so by having no header.
        if found.header.is_none() && !found.is_emptied {
            // Not longer than the file, or the file would look like one that was cut after a sync.
            let len = u32::try_from(found.len).unwrap_or(u32::MAX);
            let allocated_bytes = if len > end.offset_bytes() { len } else { end.offset_bytes() + FRAME_HEADER_BYTES };
            let store_id = self.context.options.store_id;
            let created = self.context.start.now;
            let header = SegmentHeader { number: end.segment(), store_id, created, allocated_bytes };
            file.write_all_at(&header.encode(), 0)?;
        }
        let from = self.scanned.synced_through.clamp(first, end.max(first));
        copy(file, file, from.offset_bytes()..end.offset_bytes())
    }

    /// A frame without records that says: everything before me is synced. Without
    /// it, the next start could take damage in what was recovered for a torn tail.
    fn mark(&self) -> Vec<u8> {
        let end = self.scanned.end;
        let time = self.scanned.last_frame_time.unwrap_or_default().max(self.context.start.now);
        let frame = FrameBuilder::new(Vec::new(), end, FRAME_HEADER_BYTES as usize, FrameKind::Lazy, time);
        frame.finish(self.context.options.store_id, self.scanned.next_frame, end).1
    }
}

/// Copies a range. What is missing of a short file stays zero.
fn copy(old: &dyn DiskFile, new: &dyn DiskFile, range: Range<u32>) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(range.len())];
    let mut at = u64::from(range.start);
    while at < range.end.into() {
        let wanted = usize::try_from(u64::from(range.end) - at).unwrap_or(COPY_BYTES).min(buffer.len());
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let read = old.read_at(part, at)?;
        if read == 0 {
            break;
        }
        new.write_all_at(part.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
    Ok(())
}
