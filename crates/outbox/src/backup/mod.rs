//! Copies of a store that are taken while it runs, and stores made of them.
//!
//! ```text
//!   data directory                    backup                          new data directory
//!   checkpoint  ----(1)-------->  checkpoints/checkpoint-...   ---->  checkpoint
//!   journal/segment-* --(2)---->  journal/segment-...          ---->  journal/segment-* up to a point,
//!                      (3)----->  manifest.json                       then one more that says: restored, paused
//! ```
//!
//! The checkpoint is read first, then segments, the oldest first: whatever it needs was there
//! when they were listed, or was carried to where it is read later. The manifest names each file
//! with its size and SHA-256. It is replaced as a whole, and no file that it names is ever written
//! to, so that a kill at any moment leaves the backup as it was before or as it is after.

mod ahead;
mod backed_up;
mod copy;
mod erase;
mod error;
mod lineage;
mod lost;
mod manifest;
mod place;
mod plan;
mod restore;
mod take;
#[cfg(test)]
mod tests;
mod thin;
mod trial;
mod verify;

pub use backed_up::BackedUp;
pub use error::BackupError;
pub use place::{is_backup, is_free_for_a_backup};
pub use plan::Point;
pub use restore::{Behind, RestoreRequest, RestoredStore, is_free_for_a_store, is_half_restored, reaches, restore};
pub use take::{BackupRequest, backup};
pub use trial::{Tried, try_backup, try_start};
pub use verify::{Verified, verify};

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::disk::Disk;
use crate::journal;
use crate::open::{JOURNAL, store_id};
use crate::options::Options;

/// How far long work is: bytes that are done, and bytes in all.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// The name of the key that options have.
#[must_use]
pub fn key_name_of(options: &Options) -> String {
    key_name(store_id(options))
}

/// The name of the key that the store in a data directory needs, if there is one.
#[must_use]
pub fn key_name_needed(disk: &dyn Disk, dir: &Path) -> Option<String> {
    journal::store_id(disk, &dir.join(JOURNAL)).ok().flatten().map(key_name)
}

/// A short name for the key that a store was made with, which tells nothing of the key.
#[must_use]
pub fn key_name(store_id: u64) -> String {
    let digest = Sha256::new().chain_update(b"postrider key name").chain_update(store_id.to_be_bytes()).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
