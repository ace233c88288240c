//! Segments behind the place where a start begins to read: their frames are not read
//! then, but their files must be there.

use std::collections::BTreeMap;

use super::catalogue::{Found, walk};
use super::error::{Damage, DamageKind, OpenError};
use super::layout::SEGMENT_HEADER_BYTES;
use super::recover::{Context, failed};

/// Segments that are missing in a row and are named, in number.
pub(crate) const MISSING_NAMED: usize = 1_024;

/// The segments that are missing between others, up to the one in which the scan begins.
/// The oldest ones go when they are not needed any more, so none is missed before the
/// first. Numbers that a restore passed over are told by the frames, whose numbers go on:
/// where there is such a place, the segment before it is read.
pub(super) fn missing(context: &Context<'_>, found: &BTreeMap<u32, Found>) -> Result<Vec<Damage>, OpenError> {
    let numbers: Vec<u32> = found.range(..=context.start.scan_from.segment()).map(|(number, _)| *number).collect();
    let mut missing = Vec::new();
    for pair in numbers.windows(2) {
        let [before, after] = *pair else { continue };
        if before + 1 == after || goes_on(context, found, before, after)? {
            continue;
        }
        missing.extend((before + 1..after).take(MISSING_NAMED).map(|segment| Damage {
            segment,
            from: SEGMENT_HEADER_BYTES,
            to: u32::MAX,
            path: context.path(segment),
            what: DamageKind::MissingSegment,
        }));
    }
    Ok(missing)
}

/// Whether the first frame of one segment is the next one after the last of the other.
fn goes_on(context: &Context<'_>, found: &BTreeMap<u32, Found>, before: u32, after: u32) -> Result<bool, OpenError> {
    let (Some(first), Some(file)) = (found.get(&after).and_then(|found| found.first_frame), found.get(&before)) else {
        return Ok(false);
    };
    let path = context.path(before);
    let mut walk = walk(context, before, file)?;
    let (mut last, mut at) = (None, SEGMENT_HEADER_BYTES);
    while let Some(frame) = walk.find(at).map_err(failed("read journal segment", &path))? {
        at = frame.end_offset();
        last = Some(frame.number);
    }
    Ok(last.is_some_and(|last| last.checked_add(1) == Some(first)))
}
