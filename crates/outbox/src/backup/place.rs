//! Where a backup may be put.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::{BackupError, failed};
use super::manifest::{self, BESIDE, DIRECTORIES, Manifest};
use crate::disk::Disk;

/// Whether a backup may be taken to a directory: one that holds a backup, is empty or is not there.
///
/// # Errors
/// It may not, or the directory cannot be read.
pub fn is_free_for_a_backup(disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
    let names = match disk.list(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(failed("list", target))?,
    };
    // A server that was started there by mistake may have left something beside it.
    if is_backup(disk, target) {
        return Ok(());
    }
    let is_ours = |name: &&String| DIRECTORIES.iter().chain(&BESIDE).any(|ours| ours == name);
    let refused = |dir: &Path, name: &String| BackupError::NotABackup { dir: dir.to_owned(), name: name.clone() };
    if let Some(name) = names.iter().find(|name| !is_ours(name)) {
        return Err(refused(target, name));
    }
    if names.iter().any(|name| name == manifest::NAME) {
        return Ok(());
    }
    // Another's directory may have such a name as well, and a store's has.
    for dir in names.iter().filter(|name| DIRECTORIES.contains(&name.as_str())).map(|name| target.join(name)) {
        let names = disk.list(&dir).map_err(failed("list", &dir))?;
        if let Some(name) = names.iter().find(|name| !may_be_a_copy(name)) {
            return Err(refused(&dir, name));
        }
    }
    Ok(())
}

/// Whether a directory holds a backup. No store may be made in one.
#[must_use]
pub fn is_backup(disk: &dyn Disk, dir: &Path) -> bool {
    disk.open_to_read(&dir.join(manifest::NAME)).is_ok()
        && DIRECTORIES.iter().all(|name| disk.list(&dir.join(name)).is_ok())
}

/// Whether a file in one of the directories of a backup is one of a backup, by its name.
pub(super) fn may_be_a_copy(name: &str) -> bool {
    let stem = name.strip_prefix("segment-").or_else(|| name.strip_prefix("checkpoint-"));
    // A store's own segments end so.
    stem.is_some_and(|stem| !stem.ends_with(".journal"))
}

/// The manifest that was there, or an empty one. Makes the directories.
pub(super) fn prepare(disk: &Arc<dyn Disk>, target: &Path, store_id: u64) -> Result<Manifest, BackupError> {
    is_free_for_a_backup(&**disk, target)?;
    disk.create_dir_all(target).map_err(failed("make", target))?;
    let manifest = Manifest::read(&**disk, target)?.unwrap_or_else(|| Manifest::new(store_id));
    if manifest.store_id != store_id {
        return Err(BackupError::OtherStore { dir: target.to_owned() });
    }
    for name in DIRECTORIES {
        let dir = target.join(name);
        disk.create_dir_all(&dir).map_err(failed("make", &dir))?;
    }
    Ok(manifest)
}
