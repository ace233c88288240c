//! The file system, injected. The product runs on [`RealDisk`]; proofs run on
//! [`sim::SimDisk`], which knows what a power cut leaves.
//!
//! Durability here is explicit, as it is on Linux: bytes are durable after
//! [`DiskFile::sync_data`], a name is durable after [`Disk::sync_dir`] of its
//! directory. A sync that failed is never tried again (W8): the kernel may
//! have dropped the very pages that it could not write.

#[cfg(test)]
pub(crate) mod below;
mod real;
pub mod sim;
mod trial;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use real::RealDisk;
pub use trial::TrialDisk;

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens a file that is there, to read and write.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none; others as they come.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there, to read only: also where it may not be written.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none; others as they come.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    /// Makes a new, empty file that only its owner may read. Its name is durable
    /// after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one; others as they come.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a directory and those above it, as far as they are missing. Their
    /// names are durable when this returns.
    ///
    /// # Errors
    /// As they come from the file system.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name; a file that has that name is replaced at once.
    /// Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As they come from the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As they come from the file system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. Durable after [`Disk::sync_dir`] of its parent.
    ///
    /// # Errors
    /// As they come from the file system.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted; names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// As they come from the file system.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes the names in a directory durable. Never call it again after an error.
    ///
    /// # Errors
    /// As they come from the file system.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The room on the file system that holds `path`.
    ///
    /// # Errors
    /// As they come from the file system.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file. Closed when dropped.
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `offset` on; gives fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// As they come from the file system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// A text that is another one after the content has changed, or after another file
    /// was put in its place, as far as the file system tells; `None` if it does not.
    ///
    /// # Errors
    /// As they come from the file system.
    fn version(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// The first place from `offset` on where something may have been written. All before
    /// it reads as zero. The end of the file, or more, if nothing was; `offset` itself if
    /// that cannot be told. The system may forget what it has of the file in memory, and reads
    /// nothing ahead through this handle any more.
    ///
    /// # Errors
    /// As they come from the file system.
    fn next_data(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }

    /// Writes all of `bytes` at `offset`, with one `pwrite` if the system takes
    /// them whole. After an error any part of them may have been written.
    ///
    /// # Errors
    /// As they come from the file system.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all `parts` one after the other at `offset`, with one `pwritev` for
    /// each 1,024 parts. After an error any part of them may have been written.
    ///
    /// # Errors
    /// As they come from the file system.
    fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Reserves room for the first `len` bytes and makes the file that long; what
    /// was not written reads as zero.
    ///
    /// # Errors
    /// [`AllocateError::Full`] if there is no room (nothing was promised then).
    fn allocate(&self, len: u64) -> Result<(), AllocateError>;

    /// Makes what was written durable (`fdatasync`: bytes, length and place, not
    /// times). Never call it again after an error.
    ///
    /// # Errors
    /// As they come from the file system.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// As they come from the file system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds nothing.
    ///
    /// # Errors
    /// As they come from the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or makes it longer with zeros.
    ///
    /// # Errors
    /// As they come from the file system.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// The room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub available_bytes: u64,
    /// The size of the file system.
    pub total_bytes: u64,
}

/// Why room could not be reserved.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// There is no room: the disk or the user's quota is full.
    #[error("no space left")]
    Full,
    /// Something else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether an error says that the disk or the user's quota is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that the process or the system may open no more files at
/// present. Nothing is wrong with the disk then.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Where [`replace_file`] writes before it renames.
#[must_use]
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Puts `bytes` in place of a file so that a crash leaves the old or the new
/// content whole: temporary name, sync, rename, sync of the directory. Durable
/// when it returns.
///
/// # Errors
/// As they come from the file system. The old content is still in place unless
/// it was the last sync that failed.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    remove_if_there(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or_else(|| Path::new(".")))
}

/// A file's whole content; `None` if there is no such file.
///
/// # Errors
/// As they come from the file system.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open_to_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    read_whole(&*file).map(Some)
}

/// The whole content of a file that is open.
///
/// # Errors
/// As they come from the file system.
pub fn read_whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Removes a file; says whether there was one. Durable after [`Disk::sync_dir`].
///
/// # Errors
/// As they come from the file system.
pub fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `parts` from byte `skip` on, at most `limit` of them, for a vectored write.
fn slices_from<'a>(parts: &[&'a [u8]], skip: usize, limit: usize) -> Vec<IoSlice<'a>> {
    let mut skip = skip;
    let mut slices = Vec::with_capacity(parts.len().min(limit));
    for part in parts {
        match part.get(skip..) {
            Some(rest) if !rest.is_empty() => slices.push(IoSlice::new(rest)),
            _ => {}
        }
        skip = skip.saturating_sub(part.len());
        if slices.len() == limit {
            break;
        }
    }
    slices
}

#[cfg(test)]
mod tests;
