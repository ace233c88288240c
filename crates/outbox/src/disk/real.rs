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
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_short_at_the_end() {
        let dir = directory();
        let path = dir.path().join("a/b/file");
        RealDisk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = RealDisk.create(&path).unwrap();
        assert_eq!(RealDisk.create(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        let many: Vec<Vec<u8>> = (0..3000usize).map(|n| vec![n as u8; n % 5]).collect();
        let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        file.write_all_vectored_at(&parts, 7).unwrap();
        let expected = many.concat();
        let mut buffer = vec![1; expected.len() + 100];
        assert_eq!(file.read_at(&mut buffer, 7).unwrap(), expected.len());
        assert_eq!(buffer.get(..expected.len()).unwrap(), expected);
        file.sync_data().unwrap();
        RealDisk.sync_dir(path.parent().unwrap()).unwrap();
        assert_eq!(RealDisk.list(path.parent().unwrap()).unwrap(), ["file"]);
    }

    #[test]
    fn allocated_room_reads_as_zero_and_can_be_cut() {
        let dir = directory();
        let file = RealDisk.create(&dir.path().join("file")).unwrap();
        file.allocate(10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        let mut buffer = [1; 10];
        assert_eq!(file.read_at(&mut buffer, 9_990).unwrap(), 10);
        assert_eq!(buffer, [0; 10]);
        file.set_len(5).unwrap();
        assert_eq!(file.len().unwrap(), 5);
        assert!(RealDisk.space(dir.path()).unwrap().total_bytes > 0);
    }

    #[test]
    fn what_was_written_is_never_in_a_hole() {
        let dir = directory();
        let file = RealDisk.create(&dir.path().join("file")).unwrap();
        file.allocate(1 << 20).unwrap();
        for (written, synced) in [(700_000, false), (300_001, true)] {
            file.write_all_at(b"x", written).unwrap();
            if synced {
                file.sync_data().unwrap();
            }
            for offset in [0, written - 1, written] {
                let data = file.next_data(offset).unwrap();
                assert!((offset..=written).contains(&data), "{data} from {offset} on");
            }
        }
        assert!(file.next_data(700_001).unwrap() >= 700_001);
    }

    #[test]
    fn room_that_was_read_and_never_written_is_still_a_hole() {
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        let dir = directory();
        let file = RealDisk.create(&dir.path().join("file")).unwrap();
        file.allocate(1 << 20).unwrap();
        file.write_all_at(b"x", 100_000).unwrap();
        // In none of the pages of what was written.
        let beyond = 204_800;
        let before = file.next_data(beyond).unwrap();
        let mut buffer = vec![1; 1 << 20];
        file.read_at(&mut buffer, 0).unwrap();
        // There everything is in memory and stays there.
        if rustix::fs::statfs(dir.path()).unwrap().f_type != TMPFS_MAGIC {
            assert!(before > beyond, "{before}");
            assert_eq!(file.next_data(beyond).unwrap(), before);
        }
        let mut byte = [0];
        file.read_at(&mut byte, 100_000).unwrap();
        assert_eq!(byte, *b"x");
    }

    #[test]
    fn zeros_stand_in_for_fallocate() {
        let dir = directory();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join("file")).unwrap();
        let file = RealFile(file);
        file.write_all_at(b"keep", 0).unwrap();
        file.fill_with_zeros(ZEROS_BYTES as u64 * 2 + 3).unwrap();
        assert_eq!(file.len().unwrap(), ZEROS_BYTES as u64 * 2 + 3);
        let mut buffer = [1; 5];
        file.read_at(&mut buffer, 0).unwrap();
        assert_eq!(&buffer, b"keep\0");
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = directory();
        let path = dir.path().join("checkpoint");
        assert_eq!(super::super::read_file(&RealDisk, &path).unwrap(), None);
        for content in [b"one".as_slice(), b"three"] {
            super::super::replace_file(&RealDisk, &path, content).unwrap();
            assert_eq!(super::super::read_file(&RealDisk, &path).unwrap().unwrap(), content);
        }
        assert_eq!(RealDisk.list(dir.path()).unwrap(), ["checkpoint"]);
    }
}
