//! Putting a segment that was written anew in the place of the old one, and
//! what has to happen before and after.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::AppendError;
use super::layout::is_torn_name;
use super::shared::SegmentState;
use super::writer::Journal;
use crate::disk::{remove_if_there, temporary_name};

impl Journal {
    /// Sees to it that nothing more is appended to a segment: if it is the open
    /// one, the journal goes on in the next.
    ///
    /// # Errors
    /// Only the reserved segment is left, a sync failed, or the journal was
    /// poisoned before.
    pub fn seal_segment(&mut self, number: u32) -> Result<(), AppendError> {
        self.check_poison()?;
        if self.end().segment() != number {
            return Ok(());
        }
        if self.spares.len() < 2 {
            return Err(AppendError::Full);
        }
        self.roll()
    }

    /// Puts what [`super::JournalReader::rewrite`] has made of a sealed segment in
    /// the place of the segment. It is durable when this returns.
    ///
    /// # Errors
    /// The segment is not sealed or was not written anew; the old one is in place
    /// then. A failed sync of the directory poisons the journal.
    pub fn replace_segment(&mut self, number: u32) -> Result<(), AppendError> {
        self.check_poison()?;
        let path = self.shared.path(number);
        let state = self.shared.segments.read().get(&number).map(|segment| segment.state);
        let renamed = match state {
            Some(SegmentState::Sealed) => self.shared.disk.rename(&temporary_name(&path), &path),
            _ => Err(io::Error::other("it is not sealed")),
        };
        if let Err(error) = renamed {
            return Err(AppendError::Failed { path, source: Arc::new(error) });
        }
        // From here on readers open the new file.
        self.shared.close(number);
        self.sync_dir(number)
    }

    /// Removes the torn tails that recovery has kept aside: nobody was promised
    /// anything in them, but they may hold copies of what was.
    ///
    /// # Errors
    /// The file system refused. A failed sync of the directory poisons the journal.
    pub fn remove_torn_tails(&mut self) -> Result<(), AppendError> {
        self.check_poison()?;
        let shared = Arc::clone(&self.shared);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| AppendError::Failed { path, source: Arc::new(error) }
        };
        let mut names = shared.disk.list(&shared.dir).map_err(failed(&shared.dir))?;
        names.retain(|name| is_torn_name(name));
        for name in &names {
            tracing::info!(name, "a torn tail is removed, since it may hold what was expunged");
            let path = shared.dir.join(name);
            remove_if_there(&*shared.disk, &path).map_err(failed(&path))?;
        }
        if names.is_empty() { Ok(()) } else { self.sync_dir(self.end().segment()) }
    }

    fn sync_dir(&mut self, segment: u32) -> Result<(), AppendError> {
        self.shared.disk.sync_dir(&self.shared.dir).map_err(|error| self.poison(segment, error))
    }
}
