//! The segment that the journal was last written to, where its file is not whole.
//!
//! A segment has its full length before it has its name, and is cut only behind what was
//! synced, where its frames end. So no crash leaves one that is shorter and that frames do
//! not reach to the end of: something else has cut it, and its frames are gone. The scan
//! does not see that where none of them is left, and the journal seems to end before.

use std::collections::BTreeMap;

use postrider_model::position::Position;

use super::catalogue::{Found, walk};
use super::error::{Damage, DamageKind, OpenError};
use super::frame::FRAME_HEADER_BYTES;
use super::layout::SEGMENT_HEADER_BYTES;
use super::recover::{Context, failed};
use super::scanner::Scanned;

/// Adds what was cut off behind the last frame, if something was, and lets the journal end
/// behind all that can have stood there: so it is damage for the next start, too.
pub(super) fn note_cut(
    context: &Context<'_>,
    found: &BTreeMap<u32, Found>,
    scanned: &mut Scanned,
) -> Result<(), OpenError> {
    let end = scanned.end;
    // After a clean stop the checkpoint tells that nothing came behind it.
    let Some(last) = found.get(&end.segment()).filter(|_| !context.start.clean) else { return Ok(()) };
    let next = Position::new(end.segment().saturating_add(1), SEGMENT_HEADER_BYTES);
    let at = if last.len < end.offset_bytes().into() || (last.is_emptied && end.offset_bytes() <= SEGMENT_HEADER_BYTES)
    {
        end
    } else if was_written_to(context, found, end, next)? {
        next
    } else {
        return Ok(());
    };
    let header = found.get(&at.segment()).and_then(|found| found.header);
    let allocated_bytes = header.map_or(context.options.segment_bytes, |header| header.allocated_bytes);
    // There is always room for one more mark behind the frames.
    let to = allocated_bytes.saturating_sub(FRAME_HEADER_BYTES).max(at.offset_bytes());
    let (segment, from) = (at.segment(), at.offset_bytes());
    let path = context.path(segment);
    scanned.damage.push(Damage { segment, from, to, path, what: DamageKind::Frames });
    scanned.end = Position::new(segment, to);
    scanned.synced_through = scanned.end;
    Ok(())
}

/// Whether the segment behind the one with the last frame is not whole, and held frames: it is begun
/// when that one is full, and cut, or something of them is left. One that only stood ready has lost nothing, and a
/// header alone is what recovery leaves where there is no room and all frames behind it were torn.
fn was_written_to(
    context: &Context<'_>,
    found: &BTreeMap<u32, Found>,
    end: Position,
    next: Position,
) -> Result<bool, OpenError> {
    let number = next.segment();
    let Some(file) =
        found.get(&number).filter(|file| file.is_emptied || (file.is_cut() && file.len > SEGMENT_HEADER_BYTES.into()))
    else {
        return Ok(false);
    };
    if found.get(&end.segment()).is_some_and(|last| last.len <= end.offset_bytes().into()) {
        return Ok(true);
    }
    let used = walk(context, number, file)?.used_end(next.offset_bytes());
    Ok(used.map_err(failed("read journal segment", &context.path(number)))?.is_some())
}
