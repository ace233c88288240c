//! Copying files, and telling whether they are what they were.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Progress;
use super::error::{BackupError, failed};
use super::manifest::FileCopy;
use crate::disk::{Disk, DiskFile, remove_if_there, temporary_name};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Counts bytes for whoever watches.
pub(super) struct Counter<'a, 'p> {
    progress: &'a mut Progress<'p>,
    done: u64,
    of: u64,
}

impl<'a, 'p> Counter<'a, 'p> {
    pub(super) const fn new(progress: &'a mut Progress<'p>) -> Self {
        Self { progress, done: 0, of: 0 }
    }

    /// So many bytes are to come from now on.
    pub(super) const fn expect(&mut self, bytes: u64) {
        self.of = self.done + bytes;
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(self.done, self.of.max(self.done));
    }
}

/// Reads the first `len` bytes of a file in pieces; gives their SHA-256.
pub(super) fn read_hashed(
    file: &dyn DiskFile,
    len: u64,
    each: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<String> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut hasher, mut at) = (Sha256::new(), 0);
    while at < len {
        let wanted = usize::try_from(len - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), at)?;
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(part);
        each(part, at)?;
        at += read as u64;
    }
    Ok(spelled(&hasher.finalize()))
}

fn spelled(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file in the making, under a name that nobody looks for.
pub(super) struct Making<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
}

impl<'a> Making<'a> {
    /// `path` is one like that which it will have.
    pub(super) fn beside(disk: &'a dyn Disk, path: &Path) -> Result<Self, BackupError> {
        let path = temporary_name(path);
        remove_if_there(disk, &path).map_err(failed("remove", &path))?;
        Ok(Self { disk, path })
    }

    pub(super) const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Copies the first `kept` of the first `len` bytes of a file, and gives the SHA-256 of all
    /// of these. What was copied is durable then, but for its name.
    pub(super) fn copy(
        &self,
        (from, source): (&dyn DiskFile, &Path),
        (len, kept): (u64, u64),
        counter: &mut Counter<'_, '_>,
    ) -> Result<String, BackupError> {
        let file = self.disk.create(&self.path).map_err(failed("make", &self.path))?;
        let mut written = Ok(());
        let sha256 = read_hashed(from, len, &mut |part, at| {
            let wanted = usize::try_from(kept.saturating_sub(at)).unwrap_or(usize::MAX).min(part.len());
            written = file.write_all_at(part.get(..wanted).unwrap_or_default(), at);
            counter.add(part.len() as u64);
            if written.is_err() { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        });
        written.map_err(failed("write", &self.path))?;
        let sha256 = sha256.map_err(failed("read", source))?;
        file.sync_data().map_err(failed("sync", &self.path))?;
        Ok(sha256)
    }

    /// Writes what is in memory.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), BackupError> {
        let file = self.disk.create(&self.path).map_err(failed("make", &self.path))?;
        file.write_all_at(bytes, 0).and_then(|()| file.sync_data()).map_err(failed("write", &self.path))
    }

    /// Gives it its name, which is durable when this returns.
    pub(super) fn name(self, path: &Path) -> Result<(), BackupError> {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        self.disk.rename(&self.path, path).map_err(failed("name", path))?;
        self.disk.sync_dir(dir).map_err(failed("sync", dir))
    }
}

impl FileCopy {
    /// The name goes by the content, so that another content never takes the place of
    /// one that a manifest names.
    pub(super) fn new(stem: &str, bytes: u64, sha256: String) -> Self {
        let name = format!("{stem}-{}", sha256.get(..12).unwrap_or_default());
        Self { name, bytes, sha256 }
    }

    /// What is in memory.
    pub(super) fn of(stem: &str, bytes: &[u8]) -> Self {
        Self::new(stem, bytes.len() as u64, spelled(&Sha256::digest(bytes)))
    }

    /// Whether a file has this content.
    pub(super) fn is_in(&self, file: &dyn DiskFile) -> io::Result<bool> {
        Ok(file.len()? == self.bytes && read_hashed(file, self.bytes, &mut |_, _| Ok(()))? == self.sha256)
    }
}
