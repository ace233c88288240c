//! A file system in memory that knows what a power cut leaves. For tests only:
//! the product never makes one.
//!
//! ```text
//!   script --- operations ---> SimDisk          crash_after(n): the process dies there
//!                                | crash(survival)
//!                                v
//!                              a new SimDisk    what the next process finds
//! ```
//!
//! What was written is on disk after `sync_data`, a name after `sync_dir`; all
//! else is *dirty*, and at a crash each dirty change survives or not, by itself.
//! A write may survive in part, in sectors of 512 bytes. What a failed write or
//! sync covered is in *limbo*: no later sync makes it durable.

mod file;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile, Space};
use file::SimFile;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use state::Random;
use state::{Node, State};

/// What survives a crash of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing: only what was synced.
    Nothing,
    /// Everything, as when only the process dies.
    Everything,
    /// Each change is lost, kept or torn, by a seed.
    Mixed {
        /// Equal seeds give equal disks.
        seed: u64,
    },
}

/// A file system in memory, for tests. Clones are the same file system.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty file system with a root directory and 1 TiB of room.
    #[must_use]
    pub fn new() -> Self {
        Self::of(State::new())
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Operations so far. Each call that changes or syncs something is one, also
    /// if it fails; reads are none.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Lets `count` more operations happen; the process is dead then, and
    /// everything fails, reads too.
    pub fn crash_after(&self, count: u64) {
        let mut state = self.state.lock();
        state.dead_at = Some(state.operations + count);
    }

    /// What the next process finds after a power cut at this moment. This disk
    /// is as before.
    #[must_use]
    pub fn crash(&self, survival: Survival) -> Self {
        Self::of(self.state.lock().survivors(survival))
    }

    /// From now on no file that is there can be opened, as if too many were open; or
    /// each can again.
    pub fn set_out_of_files(&self, out_of_files: bool) {
        self.state.lock().out_of_files = out_of_files;
    }

    /// Sets the room that is left, in bytes. What needs more gets ENOSPC.
    pub fn set_free_bytes(&self, free_bytes: u64) {
        self.state.lock().free_bytes = free_bytes;
    }

    /// Lets `count` more writes succeed, then one fails with EIO. Any part of it
    /// may have been written.
    pub fn fail_write_after(&self, count: u64) {
        self.state.lock().fail_write = Some(count);
    }

    /// Lets `count` more syncs (of files and directories) succeed, then one fails
    /// with EIO. What it covered may be gone or kept, whatever is synced later.
    pub fn fail_sync_after(&self, count: u64) {
        self.state.lock().fail_sync = Some(count);
    }

    /// Lets `count` more syncs do their work; those after say that they did and
    /// do nothing. For tests of tests: what is left out must be noticed.
    pub fn lie_after(&self, count: u64) {
        self.state.lock().lie_from = Some(count);
    }

    /// Whether a failure that was asked for has not come yet.
    #[must_use]
    pub fn failure_is_due(&self) -> bool {
        let state = self.state.lock();
        state.fail_write.is_some() || state.fail_sync.is_some()
    }

    /// Whether the process is dead, or a failure that was asked for has come.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let state = self.state.lock();
        state.failed || state.check_alive().is_err()
    }

    /// Changes one byte of a file, on the disk itself, by exclusive or.
    ///
    /// # Errors
    /// There is no such file or byte.
    pub fn flip(&self, path: &Path, offset: usize, mask: u8) -> io::Result<()> {
        self.state.lock().flip(path, offset, mask)
    }

    /// A file's content as a reader sees it.
    ///
    /// # Errors
    /// There is no such file.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.state.lock().content(path)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        state.check_alive()?;
        if state.out_of_files {
            return Err(rustix::io::Errno::MFILE.into());
        }
        let inode = state.inode_of(path)?;
        Ok(Arc::new(SimFile { state: Arc::clone(&self.state), inode }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.operation()?;
        let inode = state.create(path)?;
        Ok(Arc::new(SimFile { state: Arc::clone(&self.state), inode }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        for dir in above {
            match state.names.get(dir) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    state.operation()?;
                    state.make_dir(dir);
                    let parent = dir.parent().unwrap_or(dir);
                    let synced =
                        state.sync_operation(|state| state.sync_names(parent), |state| state.lose_names(parent));
                    // As the real one does.
                    synced.inspect_err(|_| state.remove(dir))?;
                }
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operation()?;
        state.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operation()?;
        state.inode_of(path)?;
        state.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operation()?;
        if !state.children(path)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.remove(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.check_alive()?;
        state.children(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.children(dir)?;
        state.sync_operation(|state| state.sync_names(dir), |state| state.lose_names(dir))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.state.lock();
        state.check_alive()?;
        Ok(Space { available_bytes: state.free_bytes, total_bytes: state::TOTAL_BYTES })
    }
}
