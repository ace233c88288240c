//! What can go wrong with a backup or a restore, by name.

use std::io;
use std::path::{Path, PathBuf};

use postrider_model::time::UnixMs;

use crate::checkpoint::CheckpointError;

/// Why a backup was not taken, or a store not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system failed.
    #[error("failed to {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no store in the data directory.
    #[error("{} holds no store", dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no backup in the directory.
    #[error("{} holds no backup", dir.display())]
    NoBackup {
        /// The directory.
        dir: PathBuf,
    },
    /// Something else lies where a backup is to go.
    #[error("{} is not empty and holds no backup: there is {name} in it", dir.display())]
    NotABackup {
        /// The directory.
        dir: PathBuf,
        /// What lies there.
        name: String,
    },
    /// It is the backup of another store.
    #[error("{} is the backup of another store", dir.display())]
    OtherStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The backup holds what the store does not have: it is that of another course of events.
    #[error(
        "the store in {} lacks frames of segment {segment} that the backup in {} has: it was restored since, or has \
         lost a part, or another store that was restored from that backup goes on there",
        dir.display(),
        target.display()
    )]
    Restored {
        /// The data directory.
        dir: PathBuf,
        /// The backup's directory.
        target: PathBuf,
        /// A segment of which the store has less, or nothing.
        segment: u32,
    },
    /// The manifest cannot be read.
    #[error("backup manifest {} is damaged: {detail}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A newer version of postrider has written it.
    #[error("backup manifest {} is of format {format}, which this version does not know", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The store's checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The store has removed segments before they could be copied, again and again.
    #[error("the store in {} removes old segments faster than they are copied", dir.display())]
    Overtaken {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file of the backup is not what was copied.
    #[error("{what}")]
    Damaged {
        /// Which, and where.
        what: String,
    },
    /// The backup has lost files that the store does not have any more.
    #[error("{what}, and the store does not have it any more{}", nor_others(*more))]
    Lost {
        /// The first of them, and what has become of it.
        what: String,
        /// How many more there are.
        more: usize,
    },
    /// A store is to be restored to where something lies already.
    #[error("{} is not empty: there is {name} in it", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// What lies there.
        name: String,
    },
    /// Another restore was begun there.
    #[error("{} holds a restore of another backup or to another point that was not finished", dir.display())]
    OtherRestore {
        /// The directory.
        dir: PathBuf,
    },
    /// The backup does not reach back so far.
    #[error("the backup does not reach back to that point")]
    TooEarly {
        /// The first point that it surely reaches, if there is one.
        earliest: Option<UnixMs>,
    },
    /// The backup was taken before that point.
    #[error("the backup ends before that point")]
    TooLate {
        /// When it was taken.
        latest: UnixMs,
    },
}

impl BackupError {
    /// Whether the backup is damaged.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Lost { .. }
                | Self::Manifest { .. }
                | Self::Checkpoint(CheckpointError::Damaged { .. })
        )
    }
}

/// Gives an I/O error the name of what was being done, and to what.
pub(super) fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BackupError + use<'a> {
    move |source| BackupError::Io { what, path: path.to_owned(), source }
}

/// A file of a backup that cannot be opened: one that is not there is damage.
pub(super) fn not_opened<'a>(path: &'a Path) -> impl Fn(io::Error) -> BackupError + use<'a> {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => BackupError::Damaged { what: is_missing(path) },
        _ => failed("open", path)(error),
    }
}

pub(super) fn is_left_out(path: &Path) -> String {
    format!("{}: nothing of it can be read, and it is left out", path.display())
}

pub(super) fn is_missing(path: &Path) -> String {
    format!("{} is missing", path.display())
}

pub(super) fn has_other_length(path: &Path, len: u64, expected: u64) -> String {
    format!("{} has {len} bytes, not {expected}", path.display())
}

fn nor_others(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ", nor 1 other file that the backup has lost".to_owned(),
        more => format!(", nor {more} other files that the backup has lost"),
    }
}
