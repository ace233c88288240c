//! What a backup holds, in a file beside it (`docs/format.md`, "Backup").

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{BackupError, failed};
use crate::disk::{self, Disk};
use crate::state::Expunging;

pub(super) const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;

/// All that a backup holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) format: u32,
    #[serde(with = "hex")]
    pub(super) store_id: u64,
    /// Oldest first.
    pub(super) snapshots: Vec<Snapshot>,
    /// By their numbers.
    pub(super) segments: Vec<SegmentCopy>,
    /// What was expunged in the store, and perhaps not yet in the backup.
    #[serde(default)]
    pub(super) expunging: Expunging,
}

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileCopy {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A segment, or the beginning of the one that was open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SegmentCopy {
    pub(super) number: u32,
    #[serde(flatten)]
    pub(super) file: FileCopy,
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) first_frame: u64,
    pub(super) last_frame: u64,
    pub(super) first_time_ms: UnixMs,
    pub(super) last_time_ms: UnixMs,
    /// Nothing is appended to it in the store any more.
    pub(super) sealed: bool,
    /// Of the store's file that it was copied from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) version: Option<String>,
    /// Parts that could not be read in the store either: from, to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) damage: Vec<(u32, u32)>,
}

impl SegmentCopy {
    /// Where its frames end.
    pub(super) fn end(&self) -> Position {
        Position::new(self.number, u32::try_from(self.file.bytes).unwrap_or(u32::MAX))
    }

    /// Whether nothing is missing between this one and the one after. Numbers alone do not tell it:
    /// both may be of different courses of events. Where frames are damaged there is nothing else.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        let tells = |segment: &Self| segment.frames > 0 && segment.damage.is_empty();
        let frames_go_on = self.last_frame.checked_add(1) == Some(next.first_frame);
        let numbers_go_on = self.number.checked_add(1) == Some(next.number);
        frames_go_on || (numbers_go_on && !(tells(self) && tells(next)))
    }
}

/// The checkpoint that the store had at a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckpointCopy {
    #[serde(flatten)]
    pub(super) file: FileCopy,
    /// The journal before this is in it.
    #[serde(with = "place")]
    pub(super) position: Position,
    /// The time of the last frame in it.
    pub(super) time_ms: UnixMs,
}

/// What there was at a backup, or at several with the same checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    /// When it was taken.
    pub(super) at_ms: UnixMs,
    pub(super) checkpoint: Option<CheckpointCopy>,
    /// The oldest segment that the store had.
    pub(super) first_segment: u32,
    /// Where the journal ended.
    #[serde(with = "place")]
    pub(super) end: Position,
}

#[derive(Serialize, Deserialize)]
struct Checked<'a> {
    #[serde(borrow)]
    manifest: &'a RawValue,
    /// Of the manifest's text.
    crc32c: String,
}

impl Manifest {
    pub(super) const fn new(store_id: u64) -> Self {
        Self { format: FORMAT, store_id, snapshots: vec![], segments: vec![], expunging: Expunging::new() }
    }

    /// The manifest of a backup, if there is one.
    pub(super) fn read(disk: &dyn Disk, target: &Path) -> Result<Option<Self>, BackupError> {
        let path = target.join(NAME);
        let Some(bytes) = disk::read_file(disk, &path).map_err(failed("read", &path))? else { return Ok(None) };
        let damaged = |detail: String| BackupError::Manifest { path: path.clone(), detail };
        let checked: Checked<'_> = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if checked.crc32c != crc(checked.manifest.get()) {
            return Err(damaged("its checksum does not match".into()));
        }
        let manifest: Self =
            serde_json::from_str(checked.manifest.get()).map_err(|error| damaged(error.to_string()))?;
        match manifest.format {
            FORMAT => Ok(Some(manifest)),
            format => Err(BackupError::Newer { path, format }),
        }
    }

    /// The manifest of a backup that must be there.
    pub(super) fn existing(disk: &dyn Disk, target: &Path) -> Result<(Self, Snapshot), BackupError> {
        let manifest = Self::read(disk, target)?;
        let newest = manifest.as_ref().and_then(|manifest| manifest.snapshots.last().cloned());
        manifest.zip(newest).ok_or_else(|| BackupError::NoBackup { dir: target.to_owned() })
    }

    /// Puts this manifest in the place of the one before.
    pub(super) fn write(&self, disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
        let path = target.join(NAME);
        let text = serde_json::to_string_pretty(self).and_then(|text| {
            let manifest = RawValue::from_string(text)?;
            let crc32c = crc(manifest.get());
            serde_json::to_string(&Checked { manifest: &manifest, crc32c })
        });
        let text = text.expect("its keys are strings and numbers");
        disk::replace_file(disk, &path, text.as_bytes()).map_err(failed("write", &path))
    }

    pub(super) fn segment(&self, number: u32) -> Option<&SegmentCopy> {
        self.segments.iter().find(|segment| segment.number == number)
    }

    pub(super) fn put(&mut self, segment: SegmentCopy) {
        match self.segments.binary_search_by_key(&segment.number, |known| known.number) {
            Ok(at) => self.segments.splice(at..=at, [segment]).for_each(drop),
            Err(at) => self.segments.insert(at, segment),
        }
    }

    /// Whether a file in the backup's directory is one of the backup.
    pub(super) fn names(&self, name: &str) -> bool {
        let checkpoints = self.snapshots.iter().filter_map(|snapshot| snapshot.checkpoint.as_ref());
        let files = checkpoints.map(|checkpoint| &checkpoint.file);
        files.chain(self.segments.iter().map(|segment| &segment.file)).any(|file| file.name == name)
    }
}

fn crc(text: &str) -> String {
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

/// The places in a backup.
pub(super) struct Layout<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) target: &'a Path,
}

/// The directories in a backup.
pub(super) const DIRECTORIES: [&str; 2] = ["journal", "checkpoints"];
/// What may lie in a backup beside its directories.
pub(super) const BESIDE: [&str; 3] = ["lock", NAME, "manifest.json.new"];

impl Layout<'_> {
    pub(super) fn journal(&self) -> PathBuf {
        self.target.join("journal")
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.target.join("checkpoints")
    }

    pub(super) fn segment(&self, segment: &SegmentCopy) -> PathBuf {
        self.journal().join(&segment.file.name)
    }

    pub(super) fn checkpoint(&self, checkpoint: &CheckpointCopy) -> PathBuf {
        self.checkpoints().join(&checkpoint.file.name)
    }
}

/// Numbers that other readers of JSON would round.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// A position as it is shown, `7:64`.
mod place {
    use postrider_model::position::Position;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&position.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
