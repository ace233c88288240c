//! The file system of the machine, on a disk of which some parts fail to be read.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;

use crate::disk::below::{disk_below, file_below};
use crate::disk::{Disk, DiskFile, RealDisk};

/// Nothing below its directory may be opened to be written.
pub(crate) struct BadDisk {
    disk: RealDisk,
    dir: PathBuf,
    bad: Vec<Bad>,
}

/// Something that fails.
#[derive(Clone)]
pub(crate) struct Bad {
    path: PathBuf,
    /// What of it cannot be read; `None` if it is not even opened.
    part: Option<Range<u64>>,
    error: Errno,
    /// How often it goes well before, where it is not opened.
    spared: Arc<AtomicU32>,
}

impl Bad {
    /// A file that is not opened.
    pub(crate) fn file(path: PathBuf, error: Errno) -> Self {
        Self::file_after(path, 0, error)
    }

    /// A file that is opened so often, and then no more.
    pub(crate) fn file_after(path: PathBuf, opened: u32, error: Errno) -> Self {
        Self { path, part: None, error, spared: Arc::new(AtomicU32::new(opened)) }
    }

    /// A part of a file that is not read.
    pub(crate) fn part(path: PathBuf, part: Range<u64>, error: Errno) -> Self {
        Self { path, part: Some(part), error, spared: Arc::default() }
    }
}

impl BadDisk {
    pub(crate) fn new(dir: &Path, bad: Vec<Bad>) -> Self {
        Self { disk: RealDisk, dir: dir.to_owned(), bad }
    }
}

struct BadFile {
    file: Arc<dyn DiskFile>,
    bad: Vec<Bad>,
}

impl Disk for BadDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if path.starts_with(&self.dir) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.disk.open(path)
    }
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let bad: Vec<_> = self.bad.iter().filter(|bad| bad.path == path).cloned().collect();
        let is_spared = |bad: &Bad| bad.spared.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        match bad.iter().find(|bad| bad.part.is_none() && !is_spared(bad)) {
            Some(whole) => Err(whole.error.into()),
            None => Ok(Arc::new(BadFile { file: self.disk.open_to_read(path)?, bad })),
        }
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    disk_below!();
}

impl DiskFile for BadFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset + buffer.len() as u64;
        let is_in = |bad: &&Bad| bad.part.as_ref().is_some_and(|part| offset < part.end && part.start < end);
        match self.bad.iter().find(is_in) {
            Some(bad) => Err(bad.error.into()),
            None => self.file.read_at(buffer, offset),
        }
    }

    file_below!();
}
