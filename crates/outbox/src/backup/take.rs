//! Taking a backup, beside a server or without one: the store is only read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::position::Position;
use postrider_model::time::{Clock, UnixMs};

use super::ahead::Ahead;
use super::copy::{Counter, Making};
use super::error::{BackupError, failed};
use super::lost::Lost;
use super::manifest::{CheckpointCopy, FileCopy, Layout, Manifest, SegmentCopy, Snapshot};
use super::{BackedUp, Progress, erase, lineage, place, thin};
use crate::checkpoint::{self, CheckpointError};
use crate::disk::{self, Disk, DiskFile};
use crate::journal::{self, Subject, Survey, segment_path};
use crate::open::JOURNAL;
use crate::record::{Record, decode};

/// The manifest is written again after so much was copied: what a kill costs at most.
const UNSAVED_BYTES: u64 = 64 << 20;
/// Retention may pass by so often.
const PASSES: usize = 8;

/// What is to be backed up, and where to.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// The data directory.
    pub dir: PathBuf,
    /// The backup's directory, which the caller has locked.
    pub target: PathBuf,
    /// Points that lie further back need not be reached any more.
    pub keep: Option<Duration>,
}

/// Brings a backup up to date, or begins one. What was copied before and has not changed is
/// not copied again, unless the backup has lost it; what the store has given up meanwhile is kept.
///
/// # Errors
/// There is no store, something else lies in `target`, the file system fails, or the backup has lost
/// what the store does not have any more. What the backup held before can still be restored then.
pub fn backup(
    request: &BackupRequest,
    disk: &Arc<dyn Disk>,
    clock: &dyn Clock,
    progress: &mut Progress<'_>,
) -> Result<BackedUp, BackupError> {
    let journal_dir = request.dir.join(JOURNAL);
    let no_store = || BackupError::NoStore { dir: request.dir.clone() };
    let store_id = match journal::store_id(&**disk, &journal_dir) {
        Ok(found) => found.ok_or_else(no_store)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_store()),
        Err(error) => return Err(failed("read", &journal_dir)(error)),
    };
    let manifest = place::prepare(disk, &request.target, store_id)?;
    let layout = Layout { disk, target: &request.target };
    let lost = Lost::find(&layout, &manifest)?;
    let counter = Counter::new(progress);
    let (copied, copied_again, damage) = ((0, 0), vec![], vec![]);
    let mut taking = Taking {
        dir: &request.dir,
        layout,
        manifest,
        lost,
        counter,
        unsaved: 0,
        sealed_by: None,
        copied,
        copied_again,
        damage,
    };
    let mut snapshot = None;
    for _ in 0..PASSES {
        taking.damage.clear();
        snapshot = taking.pass(clock.now())?;
        if snapshot.is_some() {
            break;
        }
    }
    let Some(snapshot) = snapshot else {
        return Err(BackupError::Overtaken { dir: request.dir.clone() });
    };
    taking.add(snapshot.clone());
    thin::forget_before(&mut taking.manifest, request.keep.map(|keep| clock.now() - keep));
    taking.lost.forget_what_is_not_named(&taking.manifest);
    taking.copied.0 += erase::erase(&taking.layout, &mut taking.manifest, &taking.lost)?;
    taking.manifest.write(&**disk, &request.target)?;
    thin::remove_what_is_not_named(&taking.layout, &taking.manifest)?;
    // Only now: what could be copied is.
    taking.lost.refuse()?;
    let told = (taking.copied_again, taking.damage);
    Ok(BackedUp::of(&taking.manifest, &snapshot, taking.sealed_by, taking.copied, told))
}

struct Taking<'a, 'p> {
    dir: &'a Path,
    layout: Layout<'a>,
    manifest: Manifest,
    lost: Lost,
    counter: Counter<'a, 'p>,
    /// Bytes that were copied since the manifest was written.
    unsaved: u64,
    /// The number of the key with which the checkpoint is sealed.
    sealed_by: Option<u32>,
    /// Files and bytes that were copied.
    copied: (u64, u64),
    /// What the backup had lost.
    copied_again: Vec<String>,
    damage: Vec<String>,
}

impl Taking<'_, '_> {
    /// Copies what there is at present. `None` if the store has removed something before it was
    /// copied; what was copied stays.
    fn pass(&mut self, now: UnixMs) -> Result<Option<Snapshot>, BackupError> {
        let checkpoint = self.read_checkpoint()?;
        let journal = self.dir.join(JOURNAL);
        let numbers = journal::segment_numbers(&**self.layout.disk, &journal).map_err(failed("list", &journal))?;
        let Some(first_segment) = numbers.first().copied() else {
            return Err(BackupError::NoStore { dir: self.dir.to_owned() });
        };
        lineage::goes_on(&self.layout, &self.manifest, self.dir, &numbers)?;
        let mut ahead = Ahead::new(self.layout.disk, &journal, numbers);
        self.expect(&mut ahead)?;
        let mut end = None;
        loop {
            let next = ahead.next().map_err(failed("open a segment in", &journal))?;
            if ahead.overtaken {
                return Ok(None);
            }
            let Some((number, file)) = next else { break };
            let sealed = ahead.hold_frames(self.manifest.store_id).map_err(failed("read", &journal))?;
            let path = segment_path(&journal, number);
            let subject = self.subject(&file, &path, number, !sealed);
            if !sealed && !subject.holds_frames().map_err(failed("read", &path))? {
                // It stands ready and was never written to.
                break;
            }
            end = Some(self.segment(&file, &path, number, sealed)?);
            self.damage.extend(lineage::note_missing_frames(&mut self.manifest, number, &path));
            if !sealed {
                break;
            }
        }
        let Some(end) = end else { return Err(BackupError::NoStore { dir: self.dir.to_owned() }) };
        if let Some((_, position)) = &checkpoint
            && (first_segment > position.segment() || !lineage::is_reached(*position, end))
        {
            return Ok(None);
        }
        self.sealed_by = checkpoint.as_ref().and_then(|(bytes, _)| checkpoint::sealed_by(bytes));
        let checkpoint = checkpoint.map(|checkpoint| self.checkpoint(&checkpoint)).transpose()?;
        Ok(Some(Snapshot { at_ms: now, checkpoint, first_segment, end }))
    }

    fn read_checkpoint(&self) -> Result<Option<(Vec<u8>, Position)>, BackupError> {
        let path = self.dir.join(checkpoint::NAME);
        let file = match self.layout.disk.open_to_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed("open", &path))?,
        };
        let bytes = disk::read_whole(&*file).map_err(failed("read", &path))?;
        match checkpoint::reach(&bytes) {
            Ok(position) => Ok(Some((bytes, position))),
            Err(unfit) => Err(CheckpointError::from_unfit(unfit, path).into()),
        }
    }

    /// About how much there is to copy.
    fn expect(&mut self, ahead: &mut Ahead<'_>) -> Result<(), BackupError> {
        ahead.fill().map_err(failed("open a segment in", ahead.dir))?;
        let is_there = |segment: &SegmentCopy| segment.sealed && !self.lost.contains(&segment.file);
        let known = |number: &u32| self.manifest.segment(*number).is_some_and(is_there);
        let (mut bytes, mut open) = (0, 0);
        for (number, file) in &ahead.open {
            let len = file.len().map_err(failed("look at", &segment_path(ahead.dir, *number)))?;
            open += len;
            bytes += if known(number) { 0 } else { len };
        }
        let more = ahead.numbers.iter().filter(|number| !known(number)).count() as u64;
        let each = open.checked_div(ahead.open.len() as u64).unwrap_or(0);
        self.counter.expect(bytes + more * each);
        Ok(())
    }

    fn subject<'f>(&self, file: &'f Arc<dyn DiskFile>, path: &'f Path, number: u32, is_last: bool) -> Subject<'f> {
        Subject { file, path, number, store_id: self.manifest.store_id, is_last }
    }

    /// Sees to it that the backup has a segment as it is now. Gives where its frames end.
    fn segment(
        &mut self,
        file: &Arc<dyn DiskFile>,
        path: &Path,
        number: u32,
        sealed: bool,
    ) -> Result<Position, BackupError> {
        let read = failed("read", path);
        if let Some(behind) = lineage::is_set_back(&self.manifest, number).filter(|_| !sealed) {
            return Err(lineage::restored(&self.layout, self.dir, behind));
        }
        // Before anything is read, so that what changes meanwhile is another version.
        let version = file.version().map_err(&read)?;
        let known = self.manifest.segment(number).cloned();
        let there = known.as_ref().filter(|known| !self.lost.contains(&known.file));
        if let Some(known) =
            there.filter(|known| sealed && known.sealed && version.is_some() && known.version == version)
        {
            return Ok(known.end());
        }
        let mut expunged = Vec::new();
        let survey = self
            .subject(file, path, number, !sealed)
            .survey(&mut |_, records| expunged.extend(records.filter_map(|record| expunge_in(&record))))
            .map_err(&read)?;
        for (position, record) in expunged {
            if let Record::Expunged(expunged) = record {
                self.manifest.expunging.add(position, &expunged);
            }
        }
        self.damage.extend(survey.damage.iter().map(ToString::to_string));
        // The store wrote behind it, and does not any more.
        let is_torn_off = known.as_ref().is_some_and(|known| !sealed && lineage::has_more(known, &survey));
        let other = is_torn_off.then_some(number).or_else(|| lineage::another(&self.manifest, number, &survey));
        if let Some(other) = other {
            return Err(lineage::restored(&self.layout, self.dir, other));
        }
        if let Some(known) = there.filter(|known| lineage::has_more(known, &survey)) {
            // Its version stays as it was, so that it is told again the next time.
            self.damage.push(format!(
                "{} has {} frames, and the copy of it {}: it is shorter than the copy, which stays",
                path.display(),
                survey.frames,
                known.frames
            ));
            return Ok(known.end());
        }
        let bytes = u64::from(survey.end);
        let same = there.filter(|known| known.file.bytes == bytes);
        let keeps = match same {
            // What has rotted in the store has not in the backup.
            Some(known) if !survey.damage.is_empty() && known.damage.is_empty() => true,
            Some(known) => hash(&**file, bytes).map_err(&read)? == known.file.sha256,
            None => false,
        };
        let copied = match same.filter(|_| keeps) {
            // Damage is told again the next time.
            Some(known) if !survey.damage.is_empty() => SegmentCopy { sealed, ..known.clone() },
            Some(known) => SegmentCopy { sealed, version, ..known.clone() },
            None => {
                let copied = self.copy(&**file, path, number, bytes)?;
                self.copied_again.extend(known.as_ref().and_then(|known| self.lost.found(&known.file)));
                described(number, copied, &survey, (sealed, version))
            }
        };
        self.manifest.put(copied);
        self.save_if_much()?;
        Ok(Position::new(number, survey.end))
    }

    fn copy(&mut self, file: &dyn DiskFile, path: &Path, number: u32, bytes: u64) -> Result<FileCopy, BackupError> {
        let stem = format!("segment-{number:010}");
        let making = Making::beside(&**self.layout.disk, &self.layout.journal().join(&stem))?;
        let sha256 = making.copy((file, path), (bytes, bytes), &mut self.counter)?;
        let copied = FileCopy::new(&stem, bytes, sha256);
        making.name(&self.layout.journal().join(&copied.name))?;
        self.note_copied(bytes);
        Ok(copied)
    }

    fn checkpoint(&mut self, (bytes, position): &(Vec<u8>, Position)) -> Result<CheckpointCopy, BackupError> {
        let stem = format!("checkpoint-{:010}-{:010}", position.segment(), position.offset_bytes());
        let file = FileCopy::of(&stem, bytes);
        let known = self.manifest.snapshots.iter().filter_map(|snapshot| snapshot.checkpoint.as_ref());
        let known = known.into_iter().find(|known| known.file == file).cloned();
        if let Some(known) = known.as_ref().filter(|known| !self.lost.contains(&known.file)) {
            return Ok(known.clone());
        }
        let path = self.layout.checkpoints().join(&file.name);
        let making = Making::beside(&**self.layout.disk, &path)?;
        making.write(bytes)?;
        making.name(&path)?;
        self.note_copied(file.bytes);
        if let Some(known) = known {
            self.copied_again.extend(self.lost.found(&file));
            return Ok(known);
        }
        Ok(CheckpointCopy { file, position: *position, time_ms: self.time_before(*position)? })
    }

    /// The time of the last frame before a position.
    fn time_before(&self, position: Position) -> Result<UnixMs, BackupError> {
        let is_before = |known: &&SegmentCopy| known.number <= position.segment() && known.frames > 0;
        let mut at_or_before = self.manifest.segments.iter().rev().filter(is_before);
        let Some(segment) = at_or_before.next() else { return Ok(UnixMs(0)) };
        let path = self.layout.segment(segment);
        let file = self.layout.disk.open_to_read(&path).map_err(failed("open", &path))?;
        let mut time = None;
        let survey = self.subject(&file, &path, segment.number, false).survey(&mut |frame, _| {
            time = Some(frame.time).filter(|_| frame.end <= position).or(time);
        });
        survey.map_err(failed("read", &path))?;
        let time = time.or_else(|| at_or_before.next().map(|before| before.last_time_ms));
        // The store had given that frame up: no earlier time is reached than that of the first that is there.
        Ok(time.unwrap_or(segment.first_time_ms))
    }

    fn note_copied(&mut self, bytes: u64) {
        self.unsaved += bytes;
        self.copied.0 += 1;
        self.copied.1 += bytes;
    }

    fn save_if_much(&mut self) -> Result<(), BackupError> {
        if self.unsaved >= UNSAVED_BYTES {
            self.manifest.write(&**self.layout.disk, self.layout.target)?;
            self.unsaved = 0;
        }
        Ok(())
    }

    /// One with the checkpoint of the one before takes its place, since the same points can be
    /// restored by it; what the store had then, the backup has.
    fn add(&mut self, snapshot: Snapshot) {
        let snapshots = &mut self.manifest.snapshots;
        match snapshots.last_mut().filter(|last| last.checkpoint == snapshot.checkpoint) {
            Some(last) => *last = Snapshot { first_segment: last.first_segment, ..snapshot },
            None => snapshots.push(snapshot),
        }
    }
}

fn hash(file: &dyn DiskFile, bytes: u64) -> io::Result<String> {
    super::copy::read_hashed(file, bytes, &mut |_, _| Ok(()))
}

fn expunge_in(record: &journal::RecordAt<'_>) -> Option<(Position, Record)> {
    let decoded = decode(&Bytes::copy_from_slice(record.bytes)).ok()?;
    matches!(decoded, Record::Expunged(_)).then_some((record.position, decoded))
}

pub(super) fn described(
    number: u32,
    file: FileCopy,
    survey: &Survey,
    (sealed, version): (bool, Option<String>),
) -> SegmentCopy {
    SegmentCopy {
        number,
        file,
        frames: survey.frames,
        records: survey.records,
        first_frame: survey.first.map_or(0, |frame| frame.number),
        last_frame: survey.last.map_or(0, |frame| frame.number),
        first_time_ms: survey.first.map(|frame| frame.time).unwrap_or_default(),
        last_time_ms: survey.last.map(|frame| frame.time).unwrap_or_default(),
        sealed,
        version,
        damage: survey.damage.iter().map(|damage| (damage.from, damage.to)).collect(),
    }
}

#[cfg(test)]
mod tests;
