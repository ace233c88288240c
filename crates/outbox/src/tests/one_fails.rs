//! A simulated disk on which one look at some files fails, and all others go well.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use rustix::io::Errno;

use crate::disk::below::{disk_below, file_below};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskFile};

/// How many go well before one fails, and the error.
struct Fails {
    before: AtomicU32,
    error: Errno,
}

impl Fails {
    fn look(&self) -> io::Result<()> {
        // After the one it begins anew, with more than there ever are.
        if self.before.fetch_sub(1, SeqCst) == 0 { Err(self.error.into()) } else { Ok(()) }
    }
}

pub(crate) struct OneFails {
    disk: SimDisk,
    /// A file, or a directory and all that is in it.
    path: PathBuf,
    fails: Arc<Fails>,
}

impl OneFails {
    /// So many times a file is opened or read from, and then one more, which fails.
    pub(crate) fn after(before: u32, disk: &SimDisk, path: &Path, error: Errno) -> Arc<Self> {
        let fails = Arc::new(Fails { before: AtomicU32::new(before), error });
        Arc::new(Self { disk: disk.clone(), path: path.to_owned(), fails })
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.fails.before.load(SeqCst) > u32::MAX / 2
    }
}

impl Disk for OneFails {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if !path.starts_with(&self.path) {
            return self.disk.open(path);
        }
        self.fails.look()?;
        Ok(Arc::new(OneFailsFile { file: self.disk.open(path)?, fails: Arc::clone(&self.fails) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    disk_below!();
}

struct OneFailsFile {
    file: Arc<dyn DiskFile>,
    fails: Arc<Fails>,
}

impl DiskFile for OneFailsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fails.look()?;
        self.file.read_at(buffer, offset)
    }

    file_below!();
}
