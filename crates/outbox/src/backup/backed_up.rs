//! What a backup says at its end.

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::manifest::{Manifest, Snapshot};

/// What was backed up.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// Files that were copied this time, in number.
    pub copied_files: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Segments in the backup now, in number.
    pub segments: usize,
    /// Bytes of all files in it.
    pub bytes: u64,
    /// Where the store's journal ended.
    pub end: Position,
    /// When that was.
    pub at: UnixMs,
    /// The time of the last record.
    pub last: UnixMs,
    /// Any point from here on can be restored.
    pub earliest: Option<UnixMs>,
    /// Which key the store needs, see [`super::key_name`].
    pub key: String,
    /// The number of the key with which its checkpoint is sealed, if there is one.
    pub sealed_by: Option<u32>,
    /// What the backup had lost and has again, by file.
    pub copied_again: Vec<String>,
    /// What cannot be read in the store, by file and position.
    pub damage: Vec<String>,
}

impl BackedUp {
    pub(super) fn of(
        manifest: &Manifest,
        snapshot: &Snapshot,
        sealed_by: Option<u32>,
        (copied_files, copied_bytes): (u64, u64),
        (copied_again, damage): (Vec<String>, Vec<String>),
    ) -> Self {
        let Manifest { segments, snapshots, store_id, .. } = manifest;
        let checkpoints = snapshots.iter().filter_map(|snapshot| snapshot.checkpoint.as_ref());
        let bytes = segments.iter().map(|segment| &segment.file).chain(checkpoints.map(|checkpoint| &checkpoint.file));
        Self {
            copied_files,
            copied_bytes,
            segments: segments.len(),
            bytes: bytes.map(|file| file.bytes).sum(),
            end: snapshot.end,
            at: snapshot.at_ms,
            last: segments.last().map(|segment| segment.last_time_ms).unwrap_or_default(),
            earliest: super::plan::earliest(manifest),
            key: super::key_name(*store_id),
            sealed_by,
            copied_again,
            damage,
        }
    }
}
