//! A store made of a backup, as it was at some point. It starts paused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::config::ConfigChange;
use postrider_model::position::Position;
use postrider_model::restoration::Restoration;
use postrider_model::time::{Clock, UnixMs};
use serde::{Deserialize, Serialize};

use super::Progress;
use super::copy::{Counter, Making};
use super::error::{BackupError, failed, is_missing, not_opened};
use super::manifest::{FileCopy, Layout, Manifest, SegmentCopy};
use super::plan::{Plan, Point, plan};
use super::verify::what_is_wrong;
use crate::checkpoint;
use crate::disk::{self, Disk};
use crate::journal::{segment_numbers, segment_of_one_frame, segment_path};
use crate::open::JOURNAL;
use crate::record::{Encoder, Record};

/// A file that is there as long as a restore is not finished.
const MARKER: &str = "restoring";
/// What may lie in a directory before a store is restored to it: keys, and what marks it as in use.
const MAY_BE_THERE: [&str; 4] = ["lock", "store.key", "jwt-secret", "restoring.new"];

/// Numbers of segments that are passed over at least. The lost store may have gone on after
/// the backup, and positions that it gave out must not be given out again.
pub(super) const PASSED_OVER: u32 = 1 << 16;
/// 2025-01-01. Nor are numbers below the seconds since then used, so that of two stores that are
/// restored from one backup the second does not give out the positions of the first.
const EPOCH_SECONDS: u64 = 1_735_689_600;

/// What is to be restored, and where to.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The backup's directory.
    pub backup: PathBuf,
    /// The new data directory, which the caller has locked.
    pub dir: PathBuf,
    /// To which point.
    pub point: Point,
    /// Files that are damaged are restored as they are.
    pub accept_damage: bool,
}

/// What lies behind the point and was not restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Behind {
    pub(super) const fn add(&mut self, frames: u64, records: u64, bytes: u64) {
        self.frames += frames;
        self.records += records;
        self.bytes += bytes;
    }
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct RestoredStore {
    /// Segments, in number.
    pub segments: usize,
    /// Bytes of all that was copied.
    pub bytes: u64,
    /// What the store now says of itself.
    pub restoration: Restoration,
    /// Where what was restored ends.
    pub end: Position,
    /// The segment in which the store goes on.
    pub next_segment: u32,
    /// What was not restored.
    pub behind: Behind,
    /// Which key the store needs, see [`super::key_name`].
    pub key: String,
    /// Damaged files that were restored all the same, and segments right behind the end of which nothing can be read.
    pub damage: Vec<String>,
}

/// Where the word lies that a directory holds a restore that was not finished.
pub(super) fn marker(dir: &Path) -> PathBuf {
    dir.join(MARKER)
}

/// Whether a directory holds a restore that was not finished.
#[must_use]
pub fn is_half_restored(disk: &dyn Disk, dir: &Path) -> bool {
    disk.open_to_read(&marker(dir)).is_ok()
}

/// Makes a store of a backup. One that was begun and not finished is continued; until it is
/// finished no server starts on it.
///
/// # Errors
/// The directory is not empty, the backup does not reach the point or is damaged, or the file
/// system fails.
pub fn restore(
    request: &RestoreRequest,
    disk: &Arc<dyn Disk>,
    clock: &dyn Clock,
    progress: &mut Progress<'_>,
) -> Result<RestoredStore, BackupError> {
    let (manifest, newest) = Manifest::existing(&**disk, &request.backup)?;
    let layout = Layout { disk, target: &request.backup };
    let plan = plan(&layout, &manifest, &newest, request.point)?;
    begin(&**disk, &request.dir, &plan, &manifest)?;
    let mut restoring = Restoring {
        request,
        layout,
        manifest: &manifest,
        counter: Counter::new(progress),
        damage: plan.left_out.clone(),
    };
    let bytes = restoring.copy_all(&plan)?;
    let damage = restoring.damage;
    let now = clock.now();
    let restoration = Restoration { at: now.max(plan.last.1), backup_at: plan.backup_at, to: plan.last.1 };
    let next_segment = next_segment(plan.highest_segment, now);
    remove_what_was_said(&**disk, &request.dir, plan.end)?;
    say_so(&**disk, &request.dir, (next_segment, manifest.store_id), plan.last.0, restoration)?;
    let marker = marker(&request.dir);
    disk.remove_file(&marker).map_err(failed("remove", &marker))?;
    disk.sync_dir(&request.dir).map_err(failed("sync", &request.dir))?;
    Ok(RestoredStore {
        segments: plan.segments.len(),
        bytes,
        restoration,
        end: plan.end,
        next_segment,
        behind: plan.behind,
        key: super::key_name(manifest.store_id),
        damage,
    })
}

/// Whether a backup reaches the point to which it is to be restored. Changes nothing.
///
/// # Errors
/// It does not, or it cannot be read.
pub fn reaches(request: &RestoreRequest, disk: &Arc<dyn Disk>) -> Result<(), BackupError> {
    let (manifest, newest) = Manifest::existing(&**disk, &request.backup)?;
    plan(&Layout { disk, target: &request.backup }, &manifest, &newest, request.point).map(drop)
}

/// What a restore that is continued must be like the one that was begun in.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    store: String,
    end: String,
}

/// Whether a store may be restored to a directory: one that is empty but for keys, is not
/// there, or holds a restore that was begun.
///
/// # Errors
/// It may not, or the directory cannot be read.
pub fn is_free_for_a_store(disk: &dyn Disk, dir: &Path) -> Result<(), BackupError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(failed("list", dir))?,
    };
    let foreign = names.into_iter().find(|name| !MAY_BE_THERE.contains(&name.as_str()));
    match foreign.filter(|_| !is_half_restored(disk, dir)) {
        Some(name) => Err(BackupError::NotEmpty { dir: dir.to_owned(), name }),
        None => Ok(()),
    }
}

/// Takes the directory.
fn begin(disk: &dyn Disk, dir: &Path, plan: &Plan, manifest: &Manifest) -> Result<(), BackupError> {
    let begun = Begun { store: super::key_name(manifest.store_id), end: plan.end.to_string() };
    let text = serde_json::to_vec(&begun).expect("its keys are strings");
    disk.create_dir_all(dir).map_err(failed("make", dir))?;
    let marker = marker(dir);
    match disk::read_file(disk, &marker).map_err(failed("read", &marker))? {
        Some(other) if serde_json::from_slice(&other).ok() != Some(begun) => {
            return Err(BackupError::OtherRestore { dir: dir.to_owned() });
        }
        Some(_) => {}
        None => {
            let temporary = disk::temporary_name(&marker);
            disk::remove_if_there(disk, &temporary).map_err(failed("remove", &temporary))?;
            is_free_for_a_store(disk, dir)?;
            disk::replace_file(disk, &marker, &text).map_err(failed("write", &marker))?;
        }
    }
    let journal = dir.join(JOURNAL);
    disk.create_dir_all(&journal).map_err(failed("make", &journal))
}

struct Restoring<'a, 'p> {
    request: &'a RestoreRequest,
    layout: Layout<'a>,
    manifest: &'a Manifest,
    counter: Counter<'a, 'p>,
    damage: Vec<String>,
}

impl Restoring<'_, '_> {
    /// Copies the checkpoint and the segments; gives their bytes.
    fn copy_all(&mut self, plan: &Plan) -> Result<u64, BackupError> {
        self.counter.expect(plan.segments.iter().map(|segment| segment.file.bytes).sum());
        let journal = self.request.dir.join(JOURNAL);
        let mut bytes = 0;
        for segment in &plan.segments {
            let to = segment_path(&journal, segment.number);
            let kept =
                if segment.number == plan.end.segment() { plan.end.offset_bytes().into() } else { segment.file.bytes };
            self.copy(&self.layout.segment(segment), &segment.file, kept, &to, Some(segment))?;
            bytes += kept;
        }
        if let Some(checkpoint) = &plan.checkpoint {
            let to = self.request.dir.join(checkpoint::NAME);
            self.copy(&self.layout.checkpoint(checkpoint), &checkpoint.file, checkpoint.file.bytes, &to, None)?;
            bytes += checkpoint.file.bytes;
        }
        Ok(bytes)
    }

    /// Copies the first `kept` bytes of a file of the backup, and looks whether it is what it was.
    fn copy(
        &mut self,
        from: &Path,
        file: &FileCopy,
        kept: u64,
        to: &Path,
        segment: Option<&SegmentCopy>,
    ) -> Result<(), BackupError> {
        let disk = &**self.layout.disk;
        if kept == file.bytes
            && let Ok(there) = disk.open_to_read(to)
            && file.is_in(&*there).map_err(failed("read", to))?
        {
            // An earlier run has done it.
            self.counter.add(kept);
            return Ok(());
        }
        let source = match disk.open_to_read(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.request.accept_damage => {
                self.damage.push(is_missing(from));
                return Ok(());
            }
            source => source.map_err(not_opened(from))?,
        };
        let len = source.len().map_err(failed("look at", from))?;
        let making = Making::beside(disk, to)?;
        let sha256 = making.copy((&*source, from), (len, kept), &mut self.counter)?;
        if len != file.bytes || sha256 != file.sha256 {
            let wrong = what_is_wrong(&self.layout, self.manifest.store_id, from, segment)?;
            match wrong.into_iter().next() {
                what if self.request.accept_damage => self.damage.extend(what),
                what => return Err(BackupError::Damaged { what: what.unwrap_or_default() }),
            }
        }
        making.name(to)
    }
}

/// The number of the first segment that the restored store writes to.
fn next_segment(highest: u32, now: UnixMs) -> u32 {
    let seconds = u32::try_from(now.as_secs().saturating_sub(EPOCH_SECONDS)).unwrap_or(0);
    // Ids have no room for a number of 32 bits.
    highest.saturating_add(PASSED_OVER).max(seconds).min(u32::MAX >> 1)
}

/// An earlier run may have come as far as this, at another time: it is said in one segment only. What
/// is removed stays away once the next one has its name, and until then the restore is not finished.
fn remove_what_was_said(disk: &dyn Disk, dir: &Path, end: Position) -> Result<(), BackupError> {
    let journal = dir.join(JOURNAL);
    let numbers = segment_numbers(disk, &journal).map_err(failed("list", &journal))?;
    for number in numbers.into_iter().filter(|number| *number > end.segment()) {
        let path = segment_path(&journal, number);
        disk.remove_file(&path).map_err(failed("remove", &path))?;
    }
    Ok(())
}

/// Leaves a record behind what was restored that says so, and that pauses all dispatch.
fn say_so(
    disk: &dyn Disk,
    dir: &Path,
    (segment, store_id): (u32, u64),
    last_frame: u64,
    restoration: Restoration,
) -> Result<(), BackupError> {
    let path = segment_path(&dir.join(JOURNAL), segment);
    let mut encoder = Encoder::default();
    let record = encoder.encode(&Record::Config(ConfigChange::Restored(restoration)));
    let bytes = segment_of_one_frame((segment, store_id), last_frame.saturating_add(1), restoration.at, &[record])
        .expect("there is room for a small record");
    disk::replace_file(disk, &path, &bytes).map_err(failed("write", &path))
}
