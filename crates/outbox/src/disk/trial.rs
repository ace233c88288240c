//! A disk on which something is tried: what is there is read, and what is
//! written stays in memory and is gone afterwards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{AllocateError, Disk, DiskFile, Space};

/// A layer in memory over another disk, which is never written to.
pub struct TrialDisk {
    below: Arc<dyn Disk>,
    /// What was opened, made or, where there is `None`, removed.
    names: Mutex<BTreeMap<PathBuf, Option<Arc<Content>>>>,
}

/// What a name stands for, shared by all who have it open.
struct Content {
    /// Where it lies below, as long as nothing was written to it.
    below: PathBuf,
    /// Its bytes, once something was.
    bytes: Mutex<Option<Vec<u8>>>,
}

struct TrialFile {
    content: Arc<Content>,
    /// `None` if there is nothing below.
    below: Option<Arc<dyn DiskFile>>,
}

impl TrialDisk {
    /// Over this disk.
    #[must_use]
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, names: Mutex::default() }
    }

    /// Lets a name stand for a file that lies below under another one.
    pub fn link(&self, from: &Path, to: &Path) {
        let content = Content { below: to.to_owned(), bytes: Mutex::new(None) };
        self.names.lock().insert(from.to_owned(), Some(Arc::new(content)));
    }

    /// What a name stands for.
    fn content(&self, path: &Path) -> io::Result<Arc<Content>> {
        if let Some(known) = self.names.lock().get(path) {
            return known.clone().ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        self.below.open_to_read(path)?;
        Ok(Arc::new(Content { below: path.to_owned(), bytes: Mutex::new(None) }))
    }
}

impl Disk for TrialDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.content(path)?;
        let below = match *content.bytes.lock() {
            Some(_) => None,
            None => Some(self.below.open_to_read(&content.below)?),
        };
        self.names.lock().insert(path.to_owned(), Some(Arc::clone(&content)));
        Ok(Arc::new(TrialFile { content, below }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        match self.content(path) {
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let content = Arc::new(Content { below: path.to_owned(), bytes: Mutex::new(Some(Vec::new())) });
        self.names.lock().insert(path.to_owned(), Some(Arc::clone(&content)));
        Ok(Arc::new(TrialFile { content, below: None }))
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let content = self.content(from)?;
        let mut names = self.names.lock();
        names.insert(from.to_owned(), None);
        names.insert(to.to_owned(), Some(content));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.content(path)?;
        self.names.lock().insert(path.to_owned(), None);
        Ok(())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names.lock();
        let is_there = names.iter().any(|(path, content)| content.is_some() && path.parent() == Some(dir));
        let mut listed = match self.below.list(dir) {
            // A directory of names that stand for others is not there below.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_there => Vec::new(),
            listed => listed?,
        };
        listed.retain(|name| !matches!(names.get(&dir.join(name)), Some(None)));
        let made = names.iter().filter(|(path, content)| content.is_some() && path.parent() == Some(dir));
        listed.extend(made.filter_map(|(path, _)| path.file_name()?.to_str().map(str::to_owned)));
        listed.sort_unstable();
        listed.dedup();
        Ok(listed)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.below.space(path)
    }
}

impl TrialFile {
    /// Changes the bytes, which come up from below if they are there.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        let mut bytes = self.content.bytes.lock();
        if bytes.is_none() {
            *bytes = Some(whole(self.below.as_deref())?);
        }
        Ok(change(bytes.get_or_insert_with(Vec::new)))
    }
}

fn whole(file: Option<&dyn DiskFile>) -> io::Result<Vec<u8>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// A place in memory.
fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn lengthen(bytes: &mut Vec<u8>, len: usize) {
    if bytes.is_empty() {
        // Zeros that nobody writes over take no memory.
        *bytes = vec![0; len];
    } else if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

impl DiskFile for TrialFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match (&*self.content.bytes.lock(), &self.below) {
            (Some(bytes), _) => {
                let rest = bytes.get(place(offset)..).unwrap_or_default();
                let read = rest.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..read), rest.get(..read)) {
                    to.copy_from_slice(from);
                }
                Ok(read)
            }
            (None, Some(below)) => below.read_at(buffer, offset),
            (None, None) => Ok(0),
        }
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        match (&*self.content.bytes.lock(), &self.below) {
            (None, Some(below)) => below.next_data(offset),
            _ => Ok(offset),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_vectored_at(&[bytes], offset)
    }

    fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.change(|bytes| {
            let mut at = place(offset);
            for part in parts {
                let end = at.saturating_add(part.len());
                lengthen(bytes, end);
                if let Some(room) = bytes.get_mut(at..end) {
                    room.copy_from_slice(part);
                }
                at = end;
            }
        })
    }

    fn allocate(&self, len: u64) -> Result<(), AllocateError> {
        Ok(self.change(|bytes| lengthen(bytes, place(len)))?)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        match (&*self.content.bytes.lock(), &self.below) {
            (Some(bytes), _) => Ok(bytes.len() as u64),
            (None, Some(below)) => below.len(),
            (None, None) => Ok(0),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|bytes| bytes.resize(place(len), 0))
    }
}

#[cfg(test)]
mod tests;
