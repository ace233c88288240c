//! What of a backup makes the store as it was at some point.

use std::io;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::error::{BackupError, failed, is_left_out, not_opened};
use super::lineage::is_a_beginning;
use super::manifest::{CheckpointCopy, Layout, Manifest, SegmentCopy, Snapshot};
use super::restore::Behind;
use crate::journal::{FrameInfo, Subject};

/// To which point a store is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// All that the backup holds.
    End,
    /// What was recorded up to this time; it counts itself.
    Time(UnixMs),
    /// The record at this position is the last, but for those of the same frame.
    Position(Position),
}

/// What is to be restored.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) checkpoint: Option<CheckpointCopy>,
    /// In their order.
    pub(super) segments: Vec<SegmentCopy>,
    /// Where the last of them is cut.
    pub(super) end: Position,
    /// The number and the time of the last frame that is restored.
    pub(super) last: (u64, UnixMs),
    pub(super) behind: Behind,
    /// Right behind the last frame: what was recorded there may belong to the point, and cannot be read.
    pub(super) left_out: Vec<String>,
    /// When the backup was taken.
    pub(super) backup_at: UnixMs,
    /// The highest number of a segment in the backup.
    pub(super) highest_segment: u32,
}

/// The first point that is surely reached, and all after it are.
pub(super) fn earliest(manifest: &Manifest) -> Option<UnixMs> {
    let newest = manifest.snapshots.last()?;
    let chain = chain(manifest, newest.end.segment());
    if let Some(first) = beginning(&chain) {
        return Some(first);
    }
    let checkpoints = manifest.snapshots.iter().filter_map(|snapshot| snapshot.checkpoint.as_ref());
    let mut reached = checkpoints.filter(|checkpoint| has(&chain, checkpoint.position));
    reached.next().map(|checkpoint| checkpoint.time_ms)
}

/// The time of the store's first frame, if nothing is missing from there on.
fn beginning(chain: &[&SegmentCopy]) -> Option<UnixMs> {
    // Before it there may be some to which nothing was written.
    let first = chain.iter().find(|segment| segment.frames > 0 || !segment.damage.is_empty())?;
    (first.first_frame == 0 && first.damage.is_empty()).then_some(first.first_time_ms)
}

/// Whether the segment of a position is there, or all that lies before it.
fn has(segments: &[&SegmentCopy], position: Position) -> bool {
    segments.iter().any(|segment| segment.number == position.segment())
        || (is_a_beginning(position) && segments.last().is_some_and(|last| last.number < position.segment()))
}

/// Whether no frame lies between one segment and a later position, and nothing that cannot be read.
fn is_reached(manifest: &Manifest, from: u32, position: Position) -> bool {
    let mut between = manifest.segments.iter().filter(|known| known.number > from && known.number < position.segment());
    is_a_beginning(position)
        && position.segment() > from
        && between.all(|known| known.frames == 0 && known.damage.is_empty())
}

/// The segments up to `last` between which nothing is missing.
fn chain(manifest: &Manifest, last: u32) -> Vec<&SegmentCopy> {
    let mut chain: Vec<&SegmentCopy> = Vec::new();
    for segment in manifest.segments.iter().rev().filter(|segment| segment.number <= last) {
        if chain.last().is_some_and(|next| !segment.is_followed_by(next)) {
            break;
        }
        chain.push(segment);
    }
    chain.reverse();
    chain
}

/// # Errors
/// The backup does not reach that point, or a segment cannot be read.
pub(super) fn plan(
    layout: &Layout<'_>,
    manifest: &Manifest,
    newest: &Snapshot,
    point: Point,
) -> Result<Plan, BackupError> {
    let too_early = || BackupError::TooEarly { earliest: earliest(manifest) };
    let is_too_late = match point {
        Point::End => false,
        Point::Time(time) => time > newest.at_ms,
        Point::Position(position) => position >= newest.end,
    };
    if is_too_late {
        return Err(BackupError::TooLate { latest: newest.at_ms });
    }
    let is_within = |segment: &SegmentCopy| match point {
        Point::End => true,
        Point::Time(time) => segment.first_time_ms <= time,
        Point::Position(position) => segment.number <= position.segment(),
    };
    let all = manifest.segments.iter().filter(|segment| segment.number <= newest.end.segment());
    // One of which no frame can be read has no time, and no frame that could be the last.
    let mut with_frames = all.clone().rev().filter(|segment| segment.frames > 0);
    let cut = with_frames.find(|segment| is_within(segment)).ok_or_else(too_early)?;
    let (last, mut behind) = cut_within(layout, manifest, cut, newest, point)?;
    let last = end_as_copied(cut, newest, point, last).ok_or_else(too_early)?;
    let is_whole = behind.frames == 0;
    let after = all.filter(|segment| segment.number > cut.number);
    let unread = after.clone().take_while(|segment| segment.frames == 0).filter(|segment| !segment.damage.is_empty());
    // Where the last frame is not the segment's last, what comes after that one is later, too.
    let left_out = unread.filter(|_| is_whole).map(|segment| is_left_out(&layout.segment(segment))).collect();
    for segment in after {
        behind.add(segment.frames, segment.records, segment.file.bytes);
    }
    let chain = chain(manifest, cut.number);
    let mut checkpoints = manifest.snapshots.iter().rev().filter_map(|snapshot| snapshot.checkpoint.as_ref());
    let is_within = |position| position <= last.end || (is_whole && is_reached(manifest, cut.number, position));
    let checkpoint = checkpoints.find(|known| is_within(known.position) && has(&chain, known.position));
    if checkpoint.is_none() && beginning(&chain).is_none() {
        return Err(too_early());
    }
    // What the store had given up before that point, it did not need there.
    let mut before = manifest.snapshots.iter().rev().filter(|snapshot| snapshot.end <= last.end);
    let first = before.next().map_or(0, |snapshot| snapshot.first_segment);
    let first = checkpoint.map_or(0, |checkpoint| first.min(checkpoint.position.segment()));
    Ok(Plan {
        checkpoint: checkpoint.cloned(),
        segments: chain.into_iter().filter(|segment| segment.number >= first).cloned().collect(),
        end: last.end,
        last: (last.number, last.time),
        behind,
        left_out,
        backup_at: newest.at_ms,
        highest_segment: manifest.segments.last().map_or(0, |segment| segment.number),
    })
}

/// The last frame, where all is restored: if the copy has lost it, as the manifest has it. The file is damaged then,
/// which is told by what copies it, and is no reason to look for a point further back.
fn end_as_copied(cut: &SegmentCopy, newest: &Snapshot, point: Point, found: Option<FrameInfo>) -> Option<FrameInfo> {
    let end = cut.end().min(newest.end);
    let is_last = |frame: &FrameInfo| frame.number == cut.last_frame || frame.end == end;
    if point != Point::End || found.as_ref().is_some_and(is_last) {
        return found;
    }
    Some(FrameInfo { position: end, end, number: cut.last_frame, time: cut.last_time_ms, records: 0 })
}

/// The last frame of a segment that is restored, and what lies behind it there.
fn cut_within(
    layout: &Layout<'_>,
    manifest: &Manifest,
    segment: &SegmentCopy,
    newest: &Snapshot,
    point: Point,
) -> Result<(Option<FrameInfo>, Behind), BackupError> {
    let path = layout.segment(segment);
    let file = match layout.disk.open_to_read(&path) {
        // As one of which nothing is left.
        Err(error) if error.kind() == io::ErrorKind::NotFound && point == Point::End => return Ok(Default::default()),
        file => file.map_err(not_opened(&path))?,
    };
    let subject =
        Subject { file: &file, path: &path, number: segment.number, store_id: manifest.store_id, is_last: false };
    let (mut last, mut behind) = (None, Behind::default());
    let survey = subject.survey(&mut |frame, _| {
        let is_within = frame.end <= newest.end
            && match point {
                Point::End => true,
                Point::Time(time) => frame.time <= time,
                Point::Position(position) => frame.position <= position,
            };
        if is_within {
            last = Some(*frame);
        } else if frame.end <= newest.end {
            let bytes = frame.end.offset_bytes() - frame.position.offset_bytes();
            behind.add(1, u64::from(frame.records), bytes.into());
        }
    });
    survey.map_err(failed("read", &path))?;
    Ok((last, behind))
}
