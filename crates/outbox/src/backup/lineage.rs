//! Whether a store is still the one that was backed up, only further on.

use std::path::Path;

use postrider_model::position::Position;

use super::error::{BackupError, failed};
use super::manifest::{Layout, Manifest, SegmentCopy};
use crate::journal::{SEGMENT_HEADER_BYTES, Subject, Survey, segment_path};
use crate::open::JOURNAL;

/// A restored store has the id of the one that was lost, but not all that it had: it was cut at a
/// point, and goes on in a segment whose number is far above. A backup that went on with it would
/// hold the end of the one and the beginning of the other. `numbers` are the store's segments.
///
/// # Errors
/// The store was restored since, or a segment cannot be read.
pub(super) fn goes_on(
    layout: &Layout<'_>,
    manifest: &Manifest,
    dir: &Path,
    numbers: &[u32],
) -> Result<(), BackupError> {
    for pair in numbers.windows(2) {
        let &[before, after] = pair else { continue };
        // One step further, or a gap that the backup has as well.
        if before.checked_add(1) == Some(after) || manifest.segment(after).is_some() {
            continue;
        }
        let within = manifest.segments.iter().find(|known| known.number > before && known.number < after);
        if let Some(known) = within {
            return Err(restored(layout, dir, known.number));
        }
        if let Some(known) = manifest.segment(before) {
            let path = segment_path(&dir.join(JOURNAL), before);
            let file = layout.disk.open_to_read(&path).map_err(failed("open", &path))?;
            let subject =
                Subject { file: &file, path: &path, number: before, store_id: manifest.store_id, is_last: false };
            let survey = subject.survey(&mut |_, _| {}).map_err(failed("read", &path))?;
            if survey.last.is_none_or(|last| last.number < known.last_frame) {
                return Err(restored(layout, dir, before));
            }
        }
    }
    Ok(())
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
