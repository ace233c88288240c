//! The file system of the machine, on a disk of which some parts fail to be read.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;

use crate::disk::{AllocateError, Disk, DiskFile, RealDisk, Space};

/// Nothing below its directory may be opened to be written.
pub(crate) struct BadDisk {
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
        Self { dir: dir.to_owned(), bad }
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
        RealDisk.open(path)
    }
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let bad: Vec<_> = self.bad.iter().filter(|bad| bad.path == path).cloned().collect();
        let is_spared = |bad: &Bad| bad.spared.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        match bad.iter().find(|bad| bad.part.is_none() && !is_spared(bad)) {
            Some(whole) => Err(whole.error.into()),
            None => Ok(Arc::new(BadFile { file: RealDisk.open_to_read(path)?, bad })),
        }
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.create(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }
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
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.file.write_all_vectored_at(parts, offset)
    }
    fn allocate(&self, len: u64) -> Result<(), AllocateError> {
        self.file.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
