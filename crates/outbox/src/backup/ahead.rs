//! Segments that are to be copied, held open so that retention cannot take them meanwhile.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{self, Disk, DiskFile};
use crate::journal::{Subject, segment_path};

/// Files that are held open at once.
const AHEAD: usize = 256;

/// Segments in their order, opened some time before their turn.
pub(super) struct Ahead<'a> {
    disk: &'a Arc<dyn Disk>,
    pub(super) dir: &'a Path,
    pub(super) numbers: VecDeque<u32>,
    pub(super) open: VecDeque<(u32, Arc<dyn DiskFile>)>,
    /// The store has removed one before it was opened.
    pub(super) overtaken: bool,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(disk: &'a Arc<dyn Disk>, dir: &'a Path, numbers: Vec<u32>) -> Self {
        Self { disk, dir, numbers: numbers.into(), open: VecDeque::new(), overtaken: false }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<(u32, Arc<dyn DiskFile>)>> {
        self.fill()?;
        Ok(self.open.pop_front())
    }

    pub(super) fn fill(&mut self) -> io::Result<()> {
        while self.open.len() < AHEAD {
            let Some(number) = self.numbers.front().copied() else { break };
            let file = match self.disk.open_to_read(&segment_path(self.dir, number)) {
                Err(error) if disk::is_out_of_files(&error) && !self.open.is_empty() => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.overtaken = true;
                    break;
                }
                file => file?,
            };
            self.open.push_back((number, file));
            self.numbers.pop_front();
        }
        Ok(())
    }

    /// Whether a segment that is still to come holds frames. Behind the open one there are two
    /// that do not.
    pub(super) fn hold_frames(&mut self, store_id: u64) -> io::Result<bool> {
        self.fill()?;
        for (number, file) in &self.open {
            let path = segment_path(self.dir, *number);
            if (Subject { file, path: &path, number: *number, store_id, is_last: false }).holds_frames()? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
