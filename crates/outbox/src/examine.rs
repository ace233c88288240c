//! What a start would find, without changing anything.

use std::sync::Arc;

use postrider_model::time::Clock;

use crate::disk::{Disk, TrialDisk};
use crate::index::Index;
use crate::journal;
use crate::open::{JOURNAL, OpenError, Report, open, store_id};
use crate::options::Options;

/// What was found.
#[derive(Debug)]
pub struct Examined {
    /// What a start would say: what it read, or why it would be refused.
    pub start: Result<Report, OpenError>,
    /// Segment files of the journal.
    pub segments: usize,
    /// Records that can be read, in all of them.
    pub records: u64,
    /// What cannot be read in sealed segments, by file and position.
    pub damage: Vec<String>,
    /// Deliveries that wait; 0 if a start would be refused.
    pub waiting: u64,
    /// Dead letters; likewise.
    pub dead_letters: u64,
}

/// Reads a store as a start would, by the same code, on a disk that keeps in memory
/// what it writes; then reads every segment whole. `index` is an empty one of its own.
/// `progress` is told after each segment how many of how many were read.
///
/// A server may work on the directory meanwhile. What is found then is what a start
/// would find if the server had been killed.
///
/// # Errors
/// The journal's files cannot be read.
pub fn examine(
    options: &Options,
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    index: Index,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examined, OpenError> {
    let dir = options.dir.join(JOURNAL);
    let failed = |what| {
        let path = dir.clone();
        move |source| OpenError::Io { what, path, source }
    };
    let trial = Arc::new(TrialDisk::new(Arc::clone(disk)));
    let opened = open(options.clone(), trial, clock, index);
    let numbers = journal::segment_numbers(&**disk, &dir).map_err(failed("list"))?;
    let (start, waiting, dead_letters, sealed) = match opened {
        Ok(opened) => {
            let stats = opened.outbox.stats();
            let last = opened.outbox.shared.state.lock().applied.segment();
            (Ok(opened.report), stats.pending, stats.dead_letters, last)
        }
        // Nobody knows where it ends then.
        Err(error) => (Err(error), 0, 0, u32::MAX),
    };
    let mut examined = Examined { start, segments: numbers.len(), records: 0, damage: vec![], waiting, dead_letters };
    for (done, number) in numbers.iter().enumerate() {
        let (mut records, store_id) = (0, store_id(options));
        match journal::salvage_segment(&**disk, &dir, *number, store_id, &mut |_| records += 1) {
            // The tail of the open segment is what a start looks at itself.
            Ok(damage) if *number < sealed => examined.damage.extend(damage.iter().map(ToString::to_string)),
            Ok(_) => {}
            // A server has removed it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read")(error)),
        }
        examined.records += records;
        progress(done + 1, numbers.len());
    }
    Ok(examined)
}
