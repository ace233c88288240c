//! Opening a journal: what is there, what is torn, what is damaged.
//!
//! ```text
//!   list the segments -> scan the frames -> cut the torn tail -> write the tail anew -> make spare segments
//!   (catalogue.rs)       (here)             \------------ repair.rs ------------/      (writer.rs)
//! ```

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::behind;
use super::catalogue::{Found, catalogue};
use super::cut::note_cut;
use super::error::{AppendError, Damage, OpenError};
use super::layout::FIRST_SEGMENT;
use super::options::Options;
use super::reader::{JournalReader, RecordAt};
use super::repair::{Repair, Repaired};
use super::scanner::{Scanned, Scanner};
use super::shared::{Segment, SegmentState, Shared};
use super::writer::{Active, Journal, Resume};
use crate::disk::Disk;

/// Where and how recovery begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The time. Segments that are made bear it, and no later frame has an earlier one.
    pub now: UnixMs,
    /// The first frame to visit, from the checkpoint; [`Position::ZERO`] is the
    /// first that there is. All before it must have been synced.
    pub scan_from: Position,
    /// The last process stopped after a sync and a checkpoint at the journal's end.
    pub clean: bool,
}

/// An opened journal.
pub struct Opened {
    /// To append to it.
    pub journal: Journal,
    /// To read from it.
    pub reader: JournalReader,
    /// What was found.
    pub report: RecoveryReport,
}

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Frames visited.
    pub frames: u64,
    /// Records visited.
    pub records: u64,
    /// What was cut off, because it had not been synced.
    pub torn: Vec<TornTail>,
    /// The sum of their bytes.
    pub torn_bytes: u64,
    /// Synced parts that are not what was written; quarantined.
    pub damage: Vec<Damage>,
    /// The time of the last frame.
    pub last_frame_time: Option<UnixMs>,
    /// Everything before this was synced before the start, for all that is known.
    pub synced_through: Position,
    /// Where the journal ends now; all before it is synced.
    pub end: Position,
    /// The last segment was written anew.
    pub rewritten: bool,
    /// There was no room to write the last segment anew: it was synced and cut as
    /// it is, and appending goes on in the next one, as soon as there is room.
    pub sealed: bool,
}

/// A torn tail of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's number.
    pub segment: u32,
    /// Where it was cut.
    pub offset: u32,
    /// Bytes up to the last one that is not zero.
    pub bytes: u64,
    /// Where they are kept; `None` if there was no room for them.
    pub kept: Option<PathBuf>,
}

/// What opening needs at every step.
pub(super) struct Context<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) dir: &'a Path,
    pub(super) options: Options,
    pub(super) start: Start,
}

impl Context<'_> {
    pub(super) fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(super::layout::segment_name(segment))
    }
}

/// Gives an I/O error the name of what was being done, and to what.
pub(super) fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> OpenError + use<'a> {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}

impl Journal {
    /// Opens the journal in `dir`, which is made if it is missing, and visits the
    /// records from `start.scan_from` on, in order. Frames that a crash left behind
    /// un-synced may be visited too, but never one after a gap. What was visited is
    /// synced when this returns.
    ///
    /// A full disk does not stop it, but no room may be left to append then:
    /// [`Journal::provision`] finds it when there is some.
    ///
    /// # Errors
    /// The file system fails, a segment is another store's or of a newer format, or
    /// the start is not that of a frame. Damage is no error: look at the report.
    pub fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        start: Start,
        visit: &mut dyn FnMut(RecordAt<'_>),
    ) -> Result<Opened, OpenError> {
        let options = options.checked()?;
        disk.create_dir_all(dir).map_err(failed("make the journal directory", dir))?;
        let context = Context { disk, dir, options, start };
        let mut found = catalogue(&context)?;
        let missing = behind::missing(&context, &found)?;
        let mut scanned = Scanner::new(&context, &found).run(&mut |frame, payload| {
            let _ = super::reader::visit_records(frame, payload, Position::ZERO, Position::MAX, &mut |record| {
                visit(record);
                ControlFlow::Continue(())
            });
        })?;
        note_cut(&context, &found, &mut scanned)?;
        scanned.damage.extend(missing);
        let repaired = Repair { context: &context, found: &mut found, scanned: &scanned }.run()?;
        let (mut journal, report) = assemble(&context, &found, scanned, repaired)?;
        match journal.provision() {
            Ok(()) | Err(AppendError::Full | AppendError::Failed { .. }) => {}
            Err(AppendError::Poisoned { path, source }) => {
                let source = Arc::try_unwrap(source).unwrap_or_else(|shared| io::Error::from(shared.kind()));
                return Err(OpenError::Io { action: "make a journal segment", path, source });
            }
            Err(AppendError::TooLarge { .. } | AppendError::OutOfTurn { .. }) => {}
        }
        let reader = journal.reader();
        Ok(Opened { journal, reader, report })
    }
}

/// The writer and the report, from what was found and done.
fn assemble(
    context: &Context<'_>,
    found: &BTreeMap<u32, Found>,
    scanned: Scanned,
    repaired: Repaired,
) -> Result<(Journal, RecoveryReport), OpenError> {
    let end = repaired.end;
    let segments = found.iter().map(|(number, found)| (*number, known(*number, found, &scanned, end))).collect();
    let shared =
        Arc::new(Shared::new(Arc::clone(context.disk), context.dir.to_owned(), context.options.store_id, segments));
    let active = match found.get(&end.segment()).filter(|_| !repaired.sealed) {
        None => None,
        Some(segment) => {
            let path = context.path(end.segment());
            let file = shared.file(end.segment()).map_err(failed("open journal segment", &path))?;
            let allocated_bytes = u32::try_from(segment.len).unwrap_or(u32::MAX);
            Some(Active { number: end.segment(), file, end: end.offset_bytes(), allocated_bytes })
        }
    };
    let last = found.keys().next_back().copied().unwrap_or(FIRST_SEGMENT - 1).max(end.segment());
    let resume = Resume {
        active,
        spares: found.range(end.segment().saturating_add(1)..).map(|(number, _)| *number).collect(),
        next_segment: last.saturating_add(1),
        next_frame: repaired.next_frame,
        end,
        last_time: scanned.last_frame_time.unwrap_or_default().max(context.start.now),
    };
    let report = RecoveryReport {
        frames: scanned.frames,
        records: scanned.records,
        torn_bytes: repaired.torn.iter().map(|torn| torn.bytes).sum(),
        torn: repaired.torn,
        damage: scanned.damage,
        last_frame_time: scanned.last_frame_time,
        synced_through: scanned.synced_through,
        end,
        rewritten: repaired.rewritten,
        sealed: repaired.sealed,
    };
    Ok((Journal::resume(shared, context.options, resume), report))
}

/// What readers are to know of a segment.
fn known(number: u32, found: &Found, scanned: &Scanned, end: Position) -> Segment {
    let len = u32::try_from(found.len).unwrap_or(u32::MAX);
    let (state, used) = match number.cmp(&end.segment()) {
        std::cmp::Ordering::Less => (SegmentState::Sealed, len),
        std::cmp::Ordering::Equal => (SegmentState::Open, end.offset_bytes()),
        std::cmp::Ordering::Greater => (SegmentState::Spare, super::layout::SEGMENT_HEADER_BYTES),
    };
    let mut segment = Segment::new(state, used, found.len);
    segment.first_frame_time = found.first_frame_time.filter(|_| used > super::layout::SEGMENT_HEADER_BYTES);
    let mine = scanned.damage.iter().filter(|damage| damage.segment == number);
    segment.quarantine = mine.map(|damage| damage.from..damage.to).filter(|range| !range.is_empty()).collect();
    segment
}
