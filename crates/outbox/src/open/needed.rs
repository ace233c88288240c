//! Whether what live deliveries need is there: a start is refused where it is not.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use postrider_model::position::Position;

use super::{JOURNAL, OpenError, Report, store_id};
use crate::disk::Disk;
use crate::journal::{self, Damage, DamageKind, SegmentInfo, Sequence};
use crate::lookup::scan;
use crate::rows::Rows;
use crate::shared::Shared;

/// Segments behind the checkpoint are not read at a start; here those are noticed of which the
/// file is gone.
pub(super) fn check_segments(shared: &Shared, damage: &[Damage], report: &mut Report) -> Result<(), OpenError> {
    let missing = damage.iter().filter(|damage| damage.what == DamageKind::MissingSegment);
    for damage in missing {
        let (from, to) = (Position::new(damage.segment, damage.from), Position::new(damage.segment, damage.to));
        if shared.misses(from, to) {
            let why = "live deliveries need what it held";
            return Err(OpenError::Damaged { what: damage.to_string(), why });
        }
        tracing::error!(%damage, "a segment of the journal is missing; nothing live needs it");
        report.quarantined.push(damage.to_string());
    }
    let segments = shared.reader.segments();
    if let Some(damage) = first_cut_off(shared, &segments) {
        return Err(OpenError::Damaged { what: damage.to_string(), why: "live deliveries need what it held" });
    }
    // The oldest may go, but not before the last that is needed.
    let needed = shared.state.lock().first_needed();
    let first = segments.first().map(|segment| segment.number);
    if let Some(needed) = needed.filter(|needed| first.is_none_or(|first| *needed < first)) {
        let path = shared.options.dir.join(JOURNAL).join(journal::segment_name(needed));
        let what = format!("{}: the segment is missing", path.display());
        return Err(OpenError::Damaged { what, why: "live deliveries need what it held" });
    }
    Ok(())
}

/// The end of a segment file that is gone, though a live delivery or a dead letter needs it: the file was
/// cut, or emptied.
fn first_cut_off(shared: &Shared, segments: &[SegmentInfo]) -> Option<Damage> {
    let ends: HashMap<u32, u64> = segments.iter().map(|segment| (segment.number, segment.bytes_used)).collect();
    let state = shared.state.lock();
    let is_cut_off = |position: &Position| {
        ends.get(&position.segment()).is_some_and(|end| u64::from(position.offset_bytes()) >= *end)
    };
    let segment = state.needed_positions().filter(is_cut_off).map(Position::segment).min()?;
    let from = ends.get(&segment).and_then(|end| u32::try_from(*end).ok()).unwrap_or(0);
    let path = shared.options.dir.join(JOURNAL).join(journal::segment_name(segment));
    Some(Damage { segment, from, to: u32::MAX, path, what: DamageKind::MissingFrames })
}

/// What lies behind a lane's window is known by the journal alone: damage there
/// would lose it unseen. Reads as much as the backlog is large.
pub(super) fn check_backlog(shared: &Shared, disk: &dyn Disk) -> Result<(), OpenError> {
    let dir = shared.options.dir.join(JOURNAL);
    let first = {
        let state = shared.state.lock();
        state.lanes.values().filter_map(|lane| lane.backlog.cursor()).min().map(|first| (first, state.applied))
    };
    let Some((first, end)) = first else { return Ok(()) };
    let mut sequence = Sequence::default();
    let segments = shared.reader.segments().into_iter();
    for segment in segments.filter(|segment| (first.segment()..=end.segment()).contains(&segment.number)) {
        // Not through the reader, which would keep the files open.
        let store = store_id(&shared.options);
        let read = journal::read_up_to(segment.bytes_used, disk, &dir, segment.number, store, &mut |_| {});
        let path = || dir.join(journal::segment_name(segment.number));
        let read = read.map_err(|source| OpenError::Io { what: "read", path: path(), source })?;
        let missing = sequence.next(&dir, segment.number, &read);
        // Of the open one the scan after the checkpoint has told, and a header holds no deliveries.
        let damage =
            read.damage.into_iter().filter(|damage| segment.sealed && damage.what != DamageKind::SegmentHeader);
        let needed = damage.chain(missing).find(|damage| {
            let (from, to) = (Position::new(damage.segment, damage.from), Position::new(damage.segment, damage.to));
            shared.misses(from, to)
        });
        if let Some(damage) = needed {
            let why = "deliveries that were never attempted may be in it";
            return Err(OpenError::Damaged { what: damage.to_string(), why });
        }
    }
    Ok(())
}

/// The rows of the newest segment are in memory only: it is read whole. So
/// damage in it shows here.
pub(super) fn index_open_segment(shared: &Arc<Shared>, report: &mut Report) -> Result<(), OpenError> {
    let applied = shared.state.lock().applied;
    let from = Position::new(applied.segment(), 0);
    let (mut made, mut rows) = (Rows::default(), Vec::new());
    let (_, unreadable) = scan(&shared.reader, from, applied, &mut |position, record| {
        made.each(position, &record, &mut |row| rows.push(row));
        ControlFlow::Continue(())
    });
    shared.index.insert_all(applied.segment(), rows);
    for part in unreadable {
        if let Some(error) = part.failed {
            return Err(error.into());
        }
        if shared.misses(part.from, part.to) {
            let why = "live deliveries need what it held";
            return Err(OpenError::Damaged { what: part.detail, why });
        }
        tracing::error!(detail = part.detail, "a part of the journal is damaged; nothing live needs it");
        report.quarantined.push(part.detail);
    }
    Ok(())
}
