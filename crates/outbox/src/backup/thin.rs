//! What a backup gives up.

use postrider_model::time::UnixMs;

use super::error::{BackupError, failed};
use super::manifest::{DIRECTORIES, Layout, Manifest};
use super::place::may_be_a_copy;

/// Forgets what no point from `oldest` on needs; what lies between that point and the snapshot
/// before it is kept, since points after it begin there. The newest snapshot always stays.
pub(super) fn forget_before(manifest: &mut Manifest, oldest: Option<UnixMs>) {
    let Some(oldest) = oldest else { return };
    let first_kept = manifest.snapshots.iter().rposition(|snapshot| snapshot.at_ms <= oldest).unwrap_or(0);
    manifest.snapshots.drain(..first_kept);
    let first_segment = manifest.snapshots.iter().map(|snapshot| snapshot.first_segment).min().unwrap_or(0);
    manifest.segments.retain(|segment| segment.number >= first_segment);
}

/// Removes files that are not in the manifest any more, and what was being made at a kill.
pub(super) fn remove_what_is_not_named(layout: &Layout<'_>, manifest: &Manifest) -> Result<(), BackupError> {
    for name in DIRECTORIES {
        let dir = layout.target.join(name);
        let mut names = layout.disk.list(&dir).map_err(failed("list", &dir))?;
        names.retain(|name| !manifest.names(name) && may_be_a_copy(name));
        for name in &names {
            let path = dir.join(name);
            layout.disk.remove_file(&path).map_err(failed("remove", &path))?;
        }
        if !names.is_empty() {
            layout.disk.sync_dir(&dir).map_err(failed("sync", &dir))?;
        }
    }
    Ok(())
}
