//! That a store was restored from a backup.

use serde::{Deserialize, Serialize};

use crate::time::UnixMs;

/// The store was restored from a backup. Nothing is delivered since then, until a
/// person lets dispatch go on, which also ends this: what was delivered after the
/// point that was restored would be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoration {
    /// When that was.
    pub at: UnixMs,
    /// When the backup was taken.
    pub backup_at: UnixMs,
    /// The time of the last thing that was restored.
    pub to: UnixMs,
}
