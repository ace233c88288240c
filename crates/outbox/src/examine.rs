//! What a start would find, without changing anything.

use std::sync::Arc;

use postrider_model::restoration::Restoration;
use postrider_model::time::Clock;

use crate::disk::{Disk, TrialDisk};
use crate::index::Index;
use crate::journal::{self, Sequence};
use crate::open::{JOURNAL, OpenError, Opened, Report, open, store_id};
use crate::options::Options;

/// How often more a start is tried on a directory that a server works on.
const LIVE_TRIES: usize = 4;

/// What was found.
#[derive(Debug)]
pub struct Examined {
    /// What a start would say: what it read, or why it would be refused.
    pub start: Result<Report, OpenError>,
    /// Segment files of the journal that were read: none where a start would be refused for
    /// another reason than damage.
    pub segments: usize,
    /// Records that can be read, in all of them.
    pub records: u64,
    /// What cannot be read in sealed segments, by file and position.
    pub damage: Vec<String>,
    /// Deliveries that wait; 0 if a start would be refused.
    pub waiting: u64,
    /// Dead letters; likewise.
    pub dead_letters: u64,
    /// The store was restored from a backup, and is paused by that.
    pub restoration: Option<Restoration>,
}

/// Reads a store as a start would, by the same code, on a disk that keeps in memory
/// what it writes; then reads every segment whole. `make_index` gives an empty one.
/// `progress` is told after each segment how many of how many were read.
///
/// If a server works on the directory meanwhile (`live`), what is found is what a start
/// would find if the server had been killed. It writes while this reads: so nothing is
/// said of the journal's end, and a start that is refused is tried again some times.
///
/// # Errors
/// The journal's files cannot be read.
pub fn examine(
    options: &Options,
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    make_index: &mut dyn FnMut() -> Result<Index, OpenError>,
    live: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examined, OpenError> {
    let mut start = try_to_open(options, disk, &clock, make_index);
    for _ in 0..if live { LIVE_TRIES } else { 0 } {
        if start.is_ok() {
            break;
        }
        start = try_to_open(options, disk, &clock, make_index);
    }
    let mut examined = Examined {
        start: Ok(Report::default()),
        segments: 0,
        records: 0,
        damage: vec![],
        waiting: 0,
        dead_letters: 0,
        restoration: None,
    };
    // Nobody knows where it ends if a start is refused.
    let mut end = u32::MAX;
    match start {
        Ok(opened) => {
            let stats = opened.outbox.stats();
            (examined.waiting, examined.dead_letters) = (stats.pending, stats.dead_letters);
            examined.restoration = opened.outbox.restoration();
            end = opened.outbox.shared.state.lock().applied.segment();
            let torn_bytes = if live { 0 } else { opened.report.torn_bytes };
            examined.start = Ok(Report { torn_bytes, ..opened.report });
        }
        Err(error) => {
            let is_damage = error.is_damage();
            examined.start = Err(error);
            if !is_damage {
                // With another key, or in another format, nothing else can be said.
                return Ok(examined);
            }
        }
    }
    read_segments(options, &**disk, end, &mut examined, progress)?;
    Ok(examined)
}

fn try_to_open(
    options: &Options,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    make_index: &mut dyn FnMut() -> Result<Index, OpenError>,
) -> Result<Opened, OpenError> {
    let trial = Arc::new(TrialDisk::new(Arc::clone(disk)));
    open(options.clone(), trial, Arc::clone(clock), make_index()?)
}

/// Reads all segments. What is damaged from segment `end` on is for a start to say: the
/// tail of the open segment is there.
fn read_segments(
    options: &Options,
    disk: &dyn Disk,
    end: u32,
    examined: &mut Examined,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), OpenError> {
    let dir = options.dir.join(JOURNAL);
    let failed = |what| {
        let path = dir.clone();
        move |source| OpenError::Io { what, path, source }
    };
    let numbers = journal::segment_numbers(disk, &dir).map_err(failed("list"))?;
    examined.segments = numbers.len();
    let mut sequence = Sequence::default();
    for (done, number) in numbers.iter().enumerate() {
        let store = store_id(options);
        match journal::read_up_to(u64::MAX, disk, &dir, *number, store, &mut |_| examined.records += 1) {
            Ok(read) if *number <= end => {
                let missing = sequence.next(&dir, *number, &read);
                let damage = read.damage.iter().filter(|_| *number < end);
                examined.damage.extend(missing.iter().chain(damage).map(ToString::to_string));
            }
            Ok(_) => {}
            // A server has removed it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read")(error)),
        }
        progress(done + 1, numbers.len());
    }
    Ok(())
}
