//! Whether a start from a backup, or from what was restored, would work.

use std::path::Path;
use std::sync::Arc;

use postrider_model::time::Clock;

use super::error::BackupError;
use super::manifest::{Layout, Manifest};
use super::plan::{Point, plan};
use crate::checkpoint;
use crate::disk::{Disk, TrialDisk};
use crate::index::Index;
use crate::journal::segment_path;
use crate::open::{JOURNAL, OpenError, Opened, Report, open};
use crate::options::Options;

/// What a start found.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What it says itself.
    pub report: Report,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Deliveries and dead letters whose payload is in no segment that is there.
    pub without_payload: u64,
}

/// Tries a start in memory. `index` is an empty one.
///
/// # Errors
/// A start would be refused, for this reason.
pub fn try_start(
    options: &Options,
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    index: Index,
) -> Result<Tried, OpenError> {
    start(options, TrialDisk::new(Arc::clone(disk)), clock, index)
}

/// Tries a start from all that a backup holds. `options.dir` stands for a data directory that
/// is not there.
///
/// # Errors
/// The backup cannot be restored; within, a start would be refused.
pub fn try_backup(
    target: &Path,
    options: &Options,
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    index: Index,
) -> Result<Result<Tried, OpenError>, BackupError> {
    let (manifest, newest) = Manifest::existing(&**disk, target)?;
    let layout = Layout { disk, target };
    let plan = plan(&layout, &manifest, &newest, Point::End)?;
    let trial = TrialDisk::new(Arc::clone(disk));
    if let Some(checkpoint) = &plan.checkpoint {
        trial.link(&options.dir.join(checkpoint::NAME), &layout.checkpoint(checkpoint));
    }
    for segment in &plan.segments {
        trial.link(&segment_path(&options.dir.join(JOURNAL), segment.number), &layout.segment(segment));
    }
    // The room where it would be restored is not known.
    let options = Options { max_bytes: Some(u64::MAX), ..options.clone() };
    Ok(start(&options, trial, clock, index))
}

fn start(options: &Options, trial: TrialDisk, clock: Arc<dyn Clock>, index: Index) -> Result<Tried, OpenError> {
    let Opened { outbox, report, .. } = open(options.clone(), Arc::new(trial), clock, index)?;
    let stats = outbox.stats();
    let segments: std::collections::BTreeSet<u32> =
        outbox.shared.reader.segments().iter().map(|segment| segment.number).collect();
    let state = outbox.shared.state.lock();
    let without_payload = state.needed_segments().filter(|segment| !segments.contains(segment)).count() as u64;
    Ok(Tried { report, waiting: stats.pending, dead_letters: stats.dead_letters, without_payload })
}
