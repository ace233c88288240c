//! A start: checkpoint, then the journal after it, through the same `apply`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use postrider_model::batch;
use postrider_model::config::Config;
use postrider_model::position::Position;
use postrider_model::time::Clock;
use tokio::sync::Semaphore;

use crate::backup;
use crate::bodies::Bodies;
use crate::checkpoint::{self, CheckpointError, Restored};
use crate::committer::{Committer, CommitterThread};
use crate::disk::Disk;
use crate::feed::Feed;
use crate::held_back::HeldBack;
use crate::ids::SequenceMask;
use crate::index::Index;
use crate::journal::{self, Journal, JournalReader, ReadError};
use crate::keeper::{Keeper, KeeperSignal};
use crate::mismatches::Mismatches;
use crate::options::Options;
use crate::outbox::Outbox;
use crate::outcomes::Outcomes;
use crate::ports::MESSAGE_ROOM_BYTES;
use crate::read_ahead::Turns;
use crate::reads::Reads;
use crate::record::{DecodeError, decode};
use crate::seal::{Sealer, UnsealError};
use crate::shared::Shared;
use crate::state::State;

mod needed;

use needed::{check_backlog, check_segments, index_open_segment};

/// The journal's directory in the data directory.
pub(crate) const JOURNAL: &str = "journal";
/// A file that is there only between a clean stop and the next start.
pub(crate) const CLEAN_MARKER: &str = "clean-stop";
/// Requests that are no outcomes and may wait for the committer at once.
const REQUESTS: usize = 1_024;
/// Messages whose payload takes long to look into, and that are looked into at once (W9).
const LOOKING: usize = 4;
/// Errands of the keeper, and a stop.
const ERRANDS: usize = 16;
/// Room in the committer's channel for the keeper's requests.
const KEEPER_REQUESTS: usize = 1_024;

/// An outbox that is ready: the handle, and two bodies of work that the binary
/// gives a thread each.
pub struct Opened {
    /// The handle.
    pub outbox: Outbox,
    /// Writes the journal.
    pub committer: CommitterThread,
    /// Does the housekeeping.
    pub keeper: Keeper,
    /// What the start found.
    pub report: Report,
}

/// What a start found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Records read after the checkpoint.
    pub records: u64,
    /// Bytes of a torn tail that were cut and kept aside.
    pub torn_bytes: u64,
    /// Damaged parts that nothing live needs; they are quarantined.
    pub quarantined: Vec<String>,
    /// The last process stopped cleanly.
    pub clean: bool,
}

/// Why the outbox could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal could not be opened.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A newer version of postrider has written to the store.
    #[error("journal record at {position}: {detail}")]
    Newer {
        /// Where the first such record is.
        position: Position,
        /// What it is.
        detail: String,
    },
    /// A sealing key that the store needs was not given.
    #[error("{what} was sealed with key {number}, which was not given")]
    NoKey {
        /// What cannot be opened.
        what: String,
        /// The key's number.
        number: u32,
    },
    /// Something that is damaged is needed: live deliveries or configuration.
    #[error("{what}, and {why}")]
    Damaged {
        /// What is damaged, and where.
        what: String,
        /// Who needs it.
        why: &'static str,
    },
    /// A restore into the directory was not finished.
    #[error("{} holds a restore that was not finished", dir.display())]
    HalfRestored {
        /// The data directory.
        dir: std::path::PathBuf,
    },
    /// The file system failed.
    #[error("failed to {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: std::path::PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// For who has no use for what is not there, or is damaged: it has happened since it was looked for.
impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        let (path, source) = match error {
            ReadError::Io { path, source } => (path, source),
            error => (JOURNAL.into(), std::io::Error::other(error)),
        };
        Self::Io { what: "read", path, source }
    }
}

impl OpenError {
    /// Whether the store is damaged, so that only a salvage helps.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Checkpoint(CheckpointError::Damaged { .. }))
    }
}

/// Opens the outbox in its data directory, which the caller has locked.
///
/// # Errors
/// What is needed is damaged, or the file system fails.
pub fn open(options: Options, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, index: Index) -> Result<Opened, OpenError> {
    open_for(options, disk, clock, index, Reads::default())
}

/// The same, where async code reads as it is told.
pub(crate) fn open_for(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    index: Index,
    reads: Reads,
) -> Result<Opened, OpenError> {
    let recovered = recover(&options, &disk, &*clock)?;
    // What lies after the checkpoint may be anything, configuration among it.
    if let Some(what) = recovered.lost.into_iter().next() {
        let why = "it may hold live deliveries or configuration, since no checkpoint covers it";
        return Err(OpenError::Damaged { what, why });
    }
    forget_clean_stop(&*disk, &options.dir)?;
    let Recovered { state, config, journal, reader, checkpoint, mut report, damage, .. } = recovered;
    let shared = Arc::new(Shared {
        mask: SequenceMask::new(&options.master_key.mask()),
        sealer: Sealer::new(&options.master_key),
        bodies: Bodies::new(options.fresh_body_bytes),
        turns: Turns::default(),
        config: RwLock::new(config),
        in_flight: Mutex::default(),
        rewrites: AtomicU64::new(0),
        checkpointing: Mutex::default(),
        targets: Mutex::default(),
        held_back: HeldBack::default(),
        mismatches: Mismatches::default(),
        feed: Feed::default(),
        // Those of endpoints that are gone are waited for no longer, and may still be there.
        // Each attempt may be a batch with an outcome for each member, beside those unrecorded.
        outcomes: Outcomes::new(options.max_in_flight.saturating_mul(batch::MAX_MESSAGES as usize + 1)),
        reader,
        index: Arc::new(index),
        options,
        last_record_ms: AtomicU64::new(state.last_record.as_u64()),
        last_record_noted_ms: AtomicU64::new(u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX)),
        wants_room: AtomicBool::new(false),
        full: AtomicBool::new(false),
        configured: tokio::sync::Notify::new(),
        stopping: AtomicBool::new(false),
        ended: RwLock::new(false),
        state: Mutex::new(state),
        clock,
        reads,
    });
    check_segments(&shared, &damage, &mut report)?;
    // Both read much, and neither writes a file.
    let (indexed, checked) = std::thread::scope(|scope| {
        let checking = scope.spawn(|| check_backlog(&shared, &*disk));
        (index_open_segment(&shared, &mut report), checking.join())
    });
    indexed?;
    checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    if !shared.reader.segments().iter().any(|segment| segment.sealed) {
        // There is nothing to compare, so lists need not wait for the keeper to do it.
        if let Err(error) = shared.index.unindexed(&[], shared.now()) {
            tracing::warn!(%error, "the index cannot be compared with the journal yet");
        }
    }
    let mut events = Vec::new();
    shared.state.lock().introduce(&shared.config.read(), &mut events);
    shared.feed.push(&mut events);
    Ok(assemble(shared, disk, journal, checkpoint, report))
}

fn assemble(
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    journal: Journal,
    checkpoint: LastCheckpoint,
    report: Report,
) -> Opened {
    let options = &shared.options;
    let messages = options.waiting_bytes / MESSAGE_ROOM_BYTES;
    let (ingest, waiting_messages) = crossbeam_channel::bounded(messages as usize);
    let (urgent, waiting_requests) = crossbeam_channel::bounded(options.max_in_flight + REQUESTS + KEEPER_REQUESTS);
    let (errands, waiting_errands) = crossbeam_channel::bounded(ERRANDS);
    let (signal, woken) = KeeperSignal::new();
    let outbox = Outbox {
        shared: Arc::clone(&shared),
        ingest,
        urgent: urgent.clone(),
        errands: errands.clone(),
        keeper: signal.clone(),
        room: Arc::new(Semaphore::new(options.waiting_bytes as usize)),
        requests: Arc::new(Semaphore::new(REQUESTS)),
        looking: Arc::new(Semaphore::new(LOOKING)),
        bound: None,
        call: None,
    };
    let keeper =
        Keeper::new(Arc::clone(&shared), Arc::clone(&disk), (urgent, errands), (signal.clone(), woken), checkpoint);
    let waiting = (waiting_errands, waiting_requests, waiting_messages);
    let committer = Committer::new(journal, Arc::clone(&shared), signal, waiting);
    Opened { outbox, committer: CommitterThread::new(committer, disk), keeper, report }
}

/// Where the journal was at the last checkpoint, and the size of that.
#[derive(Clone, Copy)]
pub(crate) struct LastCheckpoint {
    pub(crate) position: Position,
    pub(crate) bytes: u64,
    /// The process that wrote it left the word of a clean stop.
    pub(crate) clean: bool,
}

/// What checkpoint and journal give.
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) config: Config,
    pub(crate) journal: Journal,
    pub(crate) reader: JournalReader,
    pub(crate) report: Report,
    pub(crate) checkpoint: LastCheckpoint,
    /// What could not be read after the checkpoint.
    pub(crate) lost: Vec<String>,
    /// All damage that was found on the way, after the checkpoint as a rule.
    pub(crate) damage: Vec<journal::Damage>,
}

/// Reads the checkpoint and the journal after it.
pub(crate) fn recover(options: &Options, disk: &Arc<dyn Disk>, clock: &dyn Clock) -> Result<Recovered, OpenError> {
    let dir = options.dir.as_path();
    if backup::is_half_restored(&**disk, dir) {
        return Err(OpenError::HalfRestored { dir: dir.to_owned() });
    }
    let restored = checkpoint::read(&**disk, options)?;
    let mut lost = match &restored {
        None => missing_checkpoint(options, &**disk)?.into_iter().collect(),
        Some(_) => Vec::new(),
    };
    let Restored { mut state, mut config, position, bytes, .. } = restored.unwrap_or_else(|| Restored {
        state: State::new(options),
        config: Config::default(),
        position: Position::ZERO,
        bytes: 0,
        sealed_by: None,
    });
    let clean = disk.open(&dir.join(CLEAN_MARKER)).is_ok();
    let checkpoint = LastCheckpoint { position, bytes, clean };
    let journal_options = journal::Options {
        segment_bytes: options.segment_bytes,
        max_bytes: max_bytes(options, &**disk)?,
        store_id: store_id(options),
    };
    let start = journal::Start { now: clock.now(), scan_from: position, clean };
    let mut report = Report { clean, ..Report::default() };
    let mut newer: Option<(Position, DecodeError)> = None;
    let mut no_key: Option<(Position, u32)> = None;
    // The scheduler is told everything at once, when all is read.
    let mut unheard = Vec::new();
    let sealer = Sealer::new(&options.master_key);
    let opened = Journal::open(disk, &dir.join(JOURNAL), journal_options, start, &mut |record| match decode(
        &bytes::Bytes::copy_from_slice(record.bytes),
    )
    .and_then(|decoded| sealer.unsealed(decoded))
    {
        Ok(decoded) => {
            report.records += 1;
            state.apply(&mut config, record.position, &decoded, &mut unheard);
            unheard.clear();
        }
        Err(DecodeError::Sealed(UnsealError::NoKey { number })) => {
            no_key = no_key.take().or(Some((record.position, number)));
        }
        Err(error @ DecodeError::Unknown { .. }) => newer = newer.take().or(Some((record.position, error))),
        Err(error) => lost.push(format!("journal record at {}: {error}", record.position)),
    })?;
    if let Some((position, source)) = newer {
        return Err(OpenError::Newer { position, detail: source.to_string() });
    }
    if let Some((position, number)) = no_key {
        return Err(OpenError::NoKey { what: format!("journal record at {position}"), number });
    }
    // What damage before the checkpoint said is in the checkpoint. Who needs the bytes themselves shows later.
    let after = opened.report.damage.iter().filter(|damage| Position::new(damage.segment, damage.to) > position);
    lost.extend(after.map(ToString::to_string));
    report.torn_bytes = opened.report.torn_bytes;
    if opened.report.sealed {
        tracing::warn!("the disk is full: the journal goes on in a new segment when there is room");
    }
    for torn in opened.report.torn.iter().filter(|torn| torn.kept.is_none()) {
        tracing::warn!(
            segment = torn.segment,
            offset = torn.offset,
            bytes = torn.bytes,
            "a torn tail was cut; there was no room to keep it aside"
        );
    }
    state.applied = opened.journal.end();
    let damage = opened.report.damage;
    Ok(Recovered { state, config, journal: opened.journal, reader: opened.reader, report, checkpoint, lost, damage })
}

/// What is wrong where there is no checkpoint: the first segments go only once one covers them, and then it alone
/// has the configuration and the deliveries of then.
pub(crate) fn missing_checkpoint(options: &Options, disk: &dyn Disk) -> Result<Option<String>, OpenError> {
    let dir = options.dir.join(JOURNAL);
    let first = match journal::segment_numbers(disk, &dir) {
        Ok(numbers) => numbers.first().copied().filter(|first| *first > journal::FIRST_SEGMENT),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenError::Io { what: "list", path: dir, source }),
    };
    let path = options.dir.join(checkpoint::NAME);
    Ok(first.map(|first| format!("{}: it is missing, and so are the segments before number {first}", path.display())))
}

/// From here on a stop is unclean until it is seen to be clean. The process before may have died
/// before it synced the names in the directory; what is built on them now must find them after a power cut.
fn forget_clean_stop(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    match disk.remove_file(&dir.join(CLEAN_MARKER)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
    .and_then(|()| disk.sync_dir(dir))
    .map_err(|source| OpenError::Io { what: "remove", path: dir.join(CLEAN_MARKER), source })
}

/// The share of the file system that the journal takes if nothing else is said, in percent.
const MAX_SHARE_PERCENT: u64 = 80;

fn max_bytes(options: &Options, disk: &dyn Disk) -> Result<u64, OpenError> {
    if let Some(max_bytes) = options.max_bytes {
        return Ok(max_bytes);
    }
    let space = disk.space(&options.dir);
    let space = space.map_err(|source| OpenError::Io { what: "look at", path: options.dir.clone(), source })?;
    Ok(space.total_bytes / 100 * MAX_SHARE_PERCENT)
}

/// A store's journal and its key belong together.
pub(crate) fn store_id(options: &Options) -> u64 {
    options.master_key.store_id()
}

#[cfg(test)]
mod tests;
