//! Why the index has no answer.

use std::io;
use std::path::PathBuf;

use super::store::StoreError;

/// Why the index has no answer. Nothing is lost: the journal has it all.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Rows that the answer needs are being read from the journal again.
    #[error("index is being rebuilt, {percent} % done")]
    Rebuilding {
        /// How much of it is done.
        percent: u8,
    },
    /// Reading or writing failed; it may work another time.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// The partition's directory, or a file in it.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A partition is of no use and could not be put right by making it anew.
    #[error("index partition {} is damaged: {detail}", path.display())]
    Damaged {
        /// The partition's directory.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
}

impl From<StoreError> for IndexError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged { path, detail } => Self::Damaged { path, detail },
            StoreError::Io { path, action, source } => Self::Io { path, action, source },
        }
    }
}
