//! Whether a store is still the one that was backed up, only further on.

use std::path::Path;

use postrider_model::position::Position;

use super::error::{BackupError, failed};
use super::manifest::{Layout, Manifest, SegmentCopy};
use super::restore::PASSED_OVER;
use crate::journal::{SEGMENT_HEADER_BYTES, Subject, Survey, segment_path};
use crate::open::JOURNAL;

/// A restored store has the id of the one that was lost, and goes on in a segment whose number is far
/// above. A backup goes on with one of them: with the restored one as long as that has all that the
/// backup has, and from then on not with the lost one, which lacks what the restored one has written.
/// Otherwise it would hold the end of the one and the beginning of the other. `numbers` are the store's
/// segments, in their order.
///
/// # Errors
/// It is another course of events, or a segment cannot be read.
pub(super) fn goes_on(
    layout: &Layout<'_>,
    manifest: &Manifest,
    dir: &Path,
    numbers: &[u32],
) -> Result<(), BackupError> {
    let Some(&last) = numbers.last() else { return Ok(()) };
    // One that had just been begun may be made again after a crash.
    let has_more = |known: &&SegmentCopy| known.number > last && (known.frames > 0 || !known.damage.is_empty());
    if let Some(lacking) = manifest.segments.iter().find(has_more) {
        return Err(restored(layout, dir, lacking.number));
    }
    let survey = |number| {
        let path = segment_path(&dir.join(JOURNAL), number);
        let file = layout.disk.open_to_read(&path).map_err(failed("open", &path))?;
        let subject = Subject { file: &file, path: &path, number, store_id: manifest.store_id, is_last: false };
        subject.survey(&mut |_, _| {}).map_err(failed("read", &path))
    };
    for pair in numbers.windows(2) {
        let &[before, after] = pair else { continue };
        if before.checked_add(1) == Some(after) {
            continue;
        }
        let has_more = if let Some(after) = manifest.segment(after) {
            // The backup has that gap as well, or the store has lost a part.
            last_before(manifest, after.number)
                .filter(|known| after.frames > 0 && known.last_frame >= after.first_frame)
        } else {
            let mut within = manifest.segments.iter().filter(|known| known.number >= before && known.number < after);
            match within.next_back() {
                Some(known) if known.number == before => {
                    let found = survey(before)?.last;
                    found.is_none_or(|found| found.number < known.last_frame).then_some(known)
                }
                _ => manifest.segments.iter().find(|known| known.number > before && known.number < after),
            }
        };
        if let Some(known) = has_more {
            return Err(restored(layout, dir, known.number));
        }
    }
    Ok(())
}

/// A segment of another course of events in the backup, if the store's segment shows it by its first
/// frame. One that nothing is behind may have been torn, and be another one since; but not that of a
/// restored store, which was there before the store.
pub(super) fn another(manifest: &Manifest, number: u32, survey: &Survey) -> Option<u32> {
    let first = survey.first?;
    let Some(known) = manifest.segment(number) else {
        return last_before(manifest, number).filter(|before| first.number <= before.last_frame).map(|it| it.number);
    };
    let is_restored = || last_before(manifest, number).is_some_and(|before| number - before.number >= PASSED_OVER);
    let stays = known.sealed || is_restored();
    let is_whole = known.frames > 0 && known.damage.is_empty() && survey.damage.is_empty();
    let is_same = (first.number, first.time) == (known.first_frame, known.first_time_ms);
    (stays && is_whole && !is_same).then_some(number)
}

fn last_before(manifest: &Manifest, number: u32) -> Option<&SegmentCopy> {
    manifest.segments.iter().rev().find(|known| known.number < number && known.frames > 0)
}

/// A segment behind the one that the store writes to, behind which it has written already.
pub(super) fn is_set_back(manifest: &Manifest, open: u32) -> Option<u32> {
    manifest.segments.iter().find(|known| known.number > open && known.sealed).map(|known| known.number)
}

pub(super) fn restored(layout: &Layout<'_>, dir: &Path, segment: u32) -> BackupError {
    BackupError::Restored { dir: dir.to_owned(), target: layout.target.to_owned(), segment }
}

/// Whether all before a position was copied if frames end at `end`.
pub(super) fn is_reached(position: Position, end: Position) -> bool {
    position <= end || is_a_beginning(position)
}

/// Whether a position is the first one of its segment. A checkpoint may stand there, behind the
/// end of the last frame, while the segment holds none yet.
pub(super) const fn is_a_beginning(position: Position) -> bool {
    position.offset_bytes() <= SEGMENT_HEADER_BYTES
}

/// Whether the copy of a segment that nothing is appended to has frames that the store's file has lost.
pub(super) const fn has_more(known: &SegmentCopy, survey: &Survey) -> bool {
    known.sealed && known.damage.is_empty() && survey.frames < known.frames
}

/// A segment whose end is gone looks whole, until the one after it goes on with another frame. That
/// is written down as damage of the copy. Gives what there is to tell.
pub(super) fn note_missing_frames(manifest: &mut Manifest, next: u32, path: &Path) -> Option<String> {
    let first_frame = manifest.segment(next).filter(|next| next.frames > 0)?.first_frame;
    let before = next.checked_sub(1)?;
    let before = manifest.segments.iter_mut().find(|segment| segment.number == before)?;
    let gap = before.frames > 0 && before.damage.is_empty() && before.last_frame.saturating_add(1) < first_frame;
    if !gap {
        return None;
    }
    let (number, end) = (before.number, before.end());
    before.damage.push((end.offset_bytes(), end.offset_bytes()));
    let last = before.last_frame;
    Some(format!("frames {} to {first_frame} are missing between segment {number} and {}", last + 1, path.display()))
}
