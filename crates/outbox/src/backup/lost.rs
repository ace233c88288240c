//! Files of a backup that are not there any more, or not as long as they were.
//!
//! Each run looks for them, by names and lengths: it takes what the manifest names for copied, and would go on
//! with a backup that nothing can be restored from. Whether files hold what they held only `verify` reads.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{BackupError, failed, has_other_length, is_missing};
use super::manifest::{FileCopy, Layout, Manifest};

/// What has become of each, by its name.
pub(super) struct Lost(BTreeMap<String, String>);

impl Lost {
    /// Looks for each file that the manifest names.
    pub(super) fn find(layout: &Layout<'_>, manifest: &Manifest) -> Result<Self, BackupError> {
        let mut lost = Self(BTreeMap::new());
        let segments = manifest.segments.iter().map(|segment| &segment.file);
        lost.look_in(layout, &layout.journal(), segments)?;
        let checkpoints = manifest.snapshots.iter().filter_map(|snapshot| snapshot.checkpoint.as_ref());
        lost.look_in(layout, &layout.checkpoints(), checkpoints.map(|checkpoint| &checkpoint.file))?;
        Ok(lost)
    }

    fn look_in<'f>(
        &mut self,
        layout: &Layout<'_>,
        dir: &Path,
        files: impl Iterator<Item = &'f FileCopy>,
    ) -> Result<(), BackupError> {
        let there = layout.disk.list(dir).map_err(failed("list", dir))?;
        for file in files {
            let path = dir.join(&file.name);
            if there.binary_search(&file.name).is_err() {
                self.0.insert(file.name.clone(), is_missing(&path));
                continue;
            }
            let opened = layout.disk.open_to_read(&path).map_err(failed("open", &path))?;
            let len = opened.len().map_err(failed("look at", &path))?;
            if len != file.bytes {
                self.0.insert(file.name.clone(), has_other_length(&path, len, file.bytes));
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, file: &FileCopy) -> bool {
        self.0.contains_key(&file.name)
    }

    /// One that was copied again, or that another one has taken the place of. Gives what had become of it.
    pub(super) fn found(&mut self, file: &FileCopy) -> Option<String> {
        self.0.remove(&file.name)
    }

    /// Those that the manifest does not name any more are nobody's loss.
    pub(super) fn forget_what_is_not_named(&mut self, manifest: &Manifest) {
        self.0.retain(|name, _| manifest.names(name));
    }

    /// # Errors
    /// There are some.
    pub(super) fn refuse(self) -> Result<(), BackupError> {
        let more = self.0.len().saturating_sub(1);
        match self.0.into_values().next() {
            Some(what) => Err(BackupError::Lost { what, more }),
            None => Ok(()),
        }
    }
}
