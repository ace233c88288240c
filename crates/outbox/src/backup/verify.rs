//! Whether a backup is what was copied.

use std::io;
use std::path::Path;
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::Progress;
use super::copy::{Counter, read_hashed};
use super::error::{BackupError, failed, has_other_length, is_missing};
use super::manifest::{FileCopy, Layout, Manifest, SegmentCopy};
use super::plan::{self, Point};
use crate::checkpoint;
use crate::disk::{self, Disk};
use crate::journal::{Damage, Subject};

/// What was found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Files that were read, in number.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that are as they were written.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// When the backup was taken.
    pub at: UnixMs,
    /// Where it ends.
    pub end: Position,
    /// Any point from here on can be restored.
    pub earliest: Option<UnixMs>,
    /// Which key the store needs, see [`super::key_name`].
    pub key: String,
    /// What is wrong, by file and position.
    pub problems: Vec<String>,
    /// What could not be read in the store either, and so is not in the backup.
    pub lost_before: Vec<String>,
}

/// Reads all of a backup: each file is compared with the manifest, and each frame with its
/// checksum. Changes nothing.
///
/// # Errors
/// There is no backup, its manifest is damaged, or the file system fails.
pub fn verify(target: &Path, disk: &Arc<dyn Disk>, progress: &mut Progress<'_>) -> Result<Verified, BackupError> {
    let (manifest, newest) = Manifest::existing(&**disk, target)?;
    let layout = Layout { disk, target };
    let mut counter = Counter::new(progress);
    counter.expect(manifest.segments.iter().map(|segment| segment.file.bytes).sum());
    let mut verified = Verified {
        files: 0,
        bytes: 0,
        frames: 0,
        records: 0,
        at: newest.at_ms,
        end: newest.end,
        earliest: plan::earliest(&manifest),
        key: super::key_name(manifest.store_id),
        problems: vec![],
        lost_before: vec![],
    };
    for segment in &manifest.segments {
        let path = layout.segment(segment);
        verified.look_at(&**disk, &path, &segment.file)?;
        let found = surveyed(&layout, manifest.store_id, &path, segment)?;
        verified.frames += found.frames;
        verified.records += found.records;
        verified.lost_before.extend(found.known);
        verified.problems.extend(found.new);
        counter.add(segment.file.bytes);
    }
    for checkpoint in manifest.snapshots.iter().filter_map(|snapshot| snapshot.checkpoint.as_ref()) {
        let path = layout.checkpoint(checkpoint);
        verified.look_at(&**disk, &path, &checkpoint.file)?;
    }
    verified.problems.dedup();
    if verified.problems.is_empty()
        && let Err(error) = plan::plan(&layout, &manifest, &newest, Point::End)
    {
        verified.problems.push(format!("the newest state cannot be restored: {error}"));
    }
    Ok(verified)
}

impl Verified {
    /// Compares a file with what the manifest says of it.
    fn look_at(&mut self, disk: &dyn Disk, path: &Path, file: &FileCopy) -> Result<(), BackupError> {
        let opened = match disk.open_to_read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.problems.push(is_missing(path));
                return Ok(());
            }
            opened => opened.map_err(failed("open", path))?,
        };
        let len = opened.len().map_err(failed("look at", path))?;
        self.files += 1;
        self.bytes += len;
        if len != file.bytes {
            self.problems.push(has_other_length(path, len, file.bytes));
        } else if read_hashed(&*opened, len, &mut |_, _| Ok(())).map_err(failed("read", path))? != file.sha256 {
            self.problems.push(changed(path));
        }
        Ok(())
    }
}

fn changed(path: &Path) -> String {
    format!("{} is not what was copied: its SHA-256 differs", path.display())
}

/// What a segment of a backup holds.
#[derive(Default)]
struct Found {
    frames: u64,
    records: u64,
    /// What could not be read in the store either.
    known: Vec<String>,
    new: Vec<String>,
}

fn surveyed(layout: &Layout<'_>, store_id: u64, path: &Path, segment: &SegmentCopy) -> Result<Found, BackupError> {
    let file = match layout.disk.open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        file => file.map_err(failed("open", path))?,
    };
    let subject = Subject { file: &file, path, number: segment.number, store_id, is_last: false };
    let survey = subject.survey(&mut |_, _| {}).map_err(failed("read", path))?;
    let is_known = |damage: &Damage| segment.damage.contains(&(damage.from, damage.to));
    let (known, new): (Vec<_>, Vec<_>) = survey.damage.iter().partition(|damage| is_known(damage));
    let told = |damage: Vec<&Damage>| damage.iter().map(ToString::to_string).collect();
    Ok(Found { frames: survey.frames, records: survey.records, known: told(known), new: told(new) })
}

/// What is wrong with a file of the backup that is not what was copied; places first.
pub(super) fn what_is_wrong(
    layout: &Layout<'_>,
    store_id: u64,
    path: &Path,
    segment: Option<&SegmentCopy>,
) -> Result<Vec<String>, BackupError> {
    let mut wrong = match segment {
        Some(segment) => surveyed(layout, store_id, path, segment)?.new,
        None => {
            let bytes = disk::read_file(&**layout.disk, path).map_err(failed("read", path))?.unwrap_or_default();
            let reach = checkpoint::reach(&bytes);
            reach.err().map(|_| format!("checkpoint {} is damaged", path.display())).into_iter().collect()
        }
    };
    wrong.push(changed(path));
    Ok(wrong)
}
