//! The file system of the machine.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags};

use super::{AllocateError, Disk, DiskFile, Space, is_full, slices_from};

/// `IOV_MAX` of Linux: slices that one `pwritev` takes.
const MAX_SLICES: usize = 1024;

/// Zeros written at once where `fallocate` is not supported.
const ZEROS_BYTES: usize = 256 * 1024;

/// What the system keeps of a file in memory comes in pieces of this size, or larger ones.
const PAGE_BYTES: u64 = 4096;

/// The file system of the machine, through plain system calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(File::open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|dir| !is_present(dir)).collect();
        for dir in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(dir) {
                // Somebody else may have made it meanwhile.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => return Err(error),
                _ => self.sync_dir(&parent_of(dir)).inspect_err(|_| {
                    // Else the next start would find it, and build on a name that a power cut may take.
                    let _ = fs::remove_dir(dir);
                })?,
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        rustix::fs::fsync(File::open(dir)?).map_err(io::Error::from)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

/// The empty path is the working directory, which is there.
fn is_present(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.is_dir()
}

fn parent_of(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) => PathBuf::from("."),
        None => dir.to_owned(),
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn version(&self) -> io::Result<Option<String>> {
        let is = self.0.metadata()?;
        let [modified, changed] = [(is.mtime(), is.mtime_nsec()), (is.ctime(), is.ctime_nsec())]
            .map(|(seconds, nanoseconds)| format!("{seconds}.{nanoseconds:09}"));
        Ok(Some(format!("{}-{}-{modified}-{changed}", is.ino(), is.len())))
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        // Room that was made and never written counts as data where it is in memory because
        // somebody has read it. So that goes first, and no more than is asked for comes in
        // from now on; what was not written yet stays. It is advice: what it fails to do costs time.
        let page = offset - offset % PAGE_BYTES;
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::Random);
        let _ = rustix::fs::fadvise(&self.0, page, None, Advice::DontNeed);
        // Nothing here goes by the place that this leaves in the file.
        match rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => Ok(data),
            Err(rustix::io::Errno::NXIO) => Ok(u64::MAX),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(offset),
            Err(error) => Err(error.into()),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut done = 0;
        while done < total {
            let slices = slices_from(parts, done, MAX_SLICES);
            match rustix::io::pwritev(&self.0, &slices, offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<(), AllocateError> {
        let allocated = match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP) => self.fill_with_zeros(len),
            other => other.map_err(io::Error::from),
        };
        match allocated {
            Err(error) if is_full(&error) => Err(AllocateError::Full),
            other => Ok(other?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // One call, whatever it gives: the standard library would try again.
        rustix::fs::fdatasync(&self.0).map_err(io::Error::from)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

impl RealFile {
    /// For file systems without `fallocate`: room is only sure once it is written.
    fn fill_with_zeros(&self, len: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES];
        let mut at = self.len()?;
        while at < len {
            let part = usize::try_from(len - at).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
            self.0.write_all_at(zeros.get(..part).unwrap_or(&zeros), at)?;
            at += part as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
