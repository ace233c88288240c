//! Partitions in sled, one directory for each day.
//!
//! sled 0.34.7 is kept at arm's length:
//! - It is opened and asked only where a panic is caught: on a damaged log it
//!   panics. Whatever is wrong with a partition, it is moved aside.
//! - A file `snap.*.generating`, left by a kill while it opened, would make
//!   every later open fail; it is deleted before.
//! - It releases the lock of a closed database late, so opening is tried again
//!   for a while.
//! - Its `flush` does not sync the file, so that is done here. The rows could be
//!   rebuilt, but a power cut would cost every partition that was written.
//! - Blocks are written one by one and in order: its batches hold a lock over
//!   all databases, and leaves are split by number, so small sorted values fill
//!   them well and never become files of their own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::row::Day;
use super::store::{KeyRange, PartitionStore, SegmentWrite, StoreError, Visit};

/// Partitions that were moved aside and are kept, for whoever wants to look at them.
const ASIDE_KEPT: usize = 2;
const ASIDE_PREFIX: &str = "aside-";
/// The newest partitions stay open: look-ups of keys go there.
const NEWEST_KEPT_OPEN: usize = 2;
/// How often, and after which waits, opening is tried while the lock of the
/// same partition, closed before, is not yet free: two seconds in all.
const LOCK_TRIES: u32 = 200;
const LOCK_WAIT: Duration = Duration::from_millis(10);

const VERSION_KEY: [u8; 1] = [0];
const VERSION: &[u8] = b"postrider index 1";
const MARKER: u8 = 1;

/// The key that says that a segment is wholly written.
pub(super) fn marker_key(segment: u32) -> Vec<u8> {
    std::iter::once(MARKER).chain(segment.to_be_bytes()).collect()
}

/// The segment that a marker's key names.
pub(super) fn segment_of_marker(key: &[u8]) -> Option<u32> {
    let (&MARKER, segment) = key.split_first()? else { return None };
    Some(u32::from_be_bytes(*segment.first_chunk()?))
}

/// The partitions in one directory.
pub(super) struct SledPartitions {
    directory: PathBuf,
    open_max: usize,
    cache_bytes_each: u64,
    slots: Mutex<HashMap<Day, Arc<Slot>>>,
    /// Counts uses, to know which was used last.
    uses: AtomicU64,
}

/// A partition that may be open. Whoever uses it holds its lock for reading.
struct Slot {
    day: Day,
    path: PathBuf,
    db: RwLock<Option<sled::Db>>,
    last_use: AtomicU64,
}

impl Drop for Slot {
    /// At the end of the process, too, so that a disk that fails does not change how it ends.
    fn drop(&mut self) {
        close(self.db.get_mut());
    }
}

type OpenDb<'a> = MappedRwLockReadGuard<'a, sled::Db>;

impl SledPartitions {
    pub(super) fn new(directory: &Path, open_max: usize, cache_bytes: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(|source| failed(directory, "make", source))?;
        let open_max = open_max.max(1);
        Ok(Self {
            directory: directory.to_path_buf(),
            open_max,
            cache_bytes_each: cache_bytes / open_max as u64,
            slots: Mutex::default(),
            uses: AtomicU64::new(0),
        })
    }

    fn slot(&self, day: Day) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        let slot = slots.entry(day).or_insert_with(|| {
            let path = self.directory.join(day.0.to_string());
            Arc::new(Slot { day, path, db: RwLock::new(None), last_use: AtomicU64::new(0) })
        });
        slot.last_use.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Arc::clone(slot)
    }

    /// Does something with a partition. Gives `None` if there is none and
    /// `make` does not ask for one. A partition with which anything goes wrong is
    /// closed: sled refuses everything after its first error.
    fn with<T>(
        &self,
        day: Day,
        make: bool,
        action: &'static str,
        work: impl FnOnce(&sled::Db) -> Result<T, sled::Error>,
    ) -> Result<Option<T>, StoreError> {
        let slot = self.slot(day);
        let Some(db) = self.opened(&slot, make)? else { return Ok(None) };
        let result = guarded(|| work(&db));
        drop(db);
        result.map(Some).map_err(|trouble| {
            close(&mut slot.db.write());
            trouble.at(&slot.path, action)
        })
    }

    fn opened<'a>(&self, slot: &'a Slot, make: bool) -> Result<Option<OpenDb<'a>>, StoreError> {
        let open = slot.db.read();
        if open.is_some() {
            return Ok(RwLockReadGuard::try_map(open, Option::as_ref).ok());
        }
        drop(open);
        let mut slot_db = slot.db.write();
        if slot_db.is_none() {
            if !make && !slot.path.exists() {
                return Ok(None);
            }
            *slot_db = Some(open_db(&slot.path, self.cache_bytes_each)?);
            self.close_some_except(slot.day);
        }
        Ok(RwLockReadGuard::try_map(RwLockWriteGuard::downgrade(slot_db), Option::as_ref).ok())
    }

    /// Closes partitions above the limit, those first that were not used for
    /// longest, but none that is in use.
    fn close_some_except(&self, day: Day) {
        let mut open: Vec<Arc<Slot>> = {
            let slots = self.slots.lock();
            let others = slots.values().filter(|slot| slot.day != day);
            others.filter(|slot| slot.db.try_read().is_none_or(|db| db.is_some())).map(Arc::clone).collect()
        };
        let mut surplus = (open.len() + 1).saturating_sub(self.open_max);
        open.sort_by_key(|slot| slot.day);
        open.truncate(open.len().saturating_sub(NEWEST_KEPT_OPEN.min(self.open_max - 1)));
        open.sort_by_key(|slot| slot.last_use.load(Ordering::Relaxed));
        for slot in open {
            if surplus == 0 {
                break;
            }
            if let Some(mut db) = slot.db.try_write() {
                close(&mut db);
                surplus -= 1;
            }
        }
    }

    /// The directories that were moved aside, oldest first, by their numbers.
    fn aside(&self) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let number = |path: &Path| {
            let name = path.file_name()?.to_str()?.strip_prefix(ASIDE_PREFIX)?;
            name.split('-').next()?.parse::<u64>().ok()
        };
        let paths = list(&self.directory)?;
        let mut aside: Vec<_> = paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
        aside.sort();
        Ok(aside)
    }
}

impl PartitionStore for SledPartitions {
    fn days(&self) -> Result<Vec<Day>, StoreError> {
        let day = |path: PathBuf| path.file_name()?.to_str()?.parse().ok().map(Day);
        let mut days: Vec<Day> = list(&self.directory)?.into_iter().filter_map(day).collect();
        days.sort_unstable();
        Ok(days)
    }

    fn read(&self, day: Day, range: &KeyRange<'_>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let work = |db: &sled::Db| {
            let mut items = db.range::<&[u8], _>((range.low, range.high));
            while let Some(item) = if range.descending { items.next_back() } else { items.next() } {
                let (key, value) = item?;
                if !visit(&key, &value) {
                    break;
                }
            }
            Ok(())
        };
        self.with(day, false, "read index partition", work).map(|_| ())
    }

    fn write(&self, day: Day, segment: &SegmentWrite) -> Result<(), StoreError> {
        let path = self.slot(day).path.clone();
        let work = |db: &sled::Db| {
            for prefix in &segment.clear {
                for key in db.scan_prefix(prefix).keys() {
                    db.remove(key?)?;
                }
            }
            for (key, value) in &segment.blocks {
                db.insert(key, value.as_slice())?;
            }
            flush(db, &path)?;
            db.insert(&segment.marker.0, segment.marker.1.as_slice())?;
            flush(db, &path)
        };
        self.with(day, true, "write index partition", work).map(|_| ())
    }

    fn set_aside(&self, day: Day) -> Result<(), StoreError> {
        let slot = self.slot(day);
        let mut db = slot.db.write();
        close(&mut db);
        let mut aside = self.aside()?;
        let number = aside.last().map_or(1, |(number, _)| number + 1);
        let to = self.directory.join(format!("{ASIDE_PREFIX}{number}-{}", day.0));
        match fs::rename(&slot.path, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(|source| failed(&slot.path, "move aside index partition", source))?,
        }
        aside.push((number, to));
        let surplus = aside.len().saturating_sub(ASIDE_KEPT);
        aside.iter().take(surplus).try_for_each(|(_, path)| remove(path))
    }

    fn drop_partition(&self, day: Day) -> Result<(), StoreError> {
        let slot = self.slot(day);
        let mut db = slot.db.write();
        close(&mut db);
        self.slots.lock().remove(&day);
        remove(&slot.path)
    }

    fn size_bytes(&self) -> u64 {
        let mut bytes = 0;
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            for path in list(&directory).unwrap_or_default() {
                match fs::symlink_metadata(&path) {
                    Ok(found) if found.is_dir() => directories.push(path),
                    Ok(found) => bytes += found.len(),
                    Err(_) => {}
                }
            }
        }
        bytes
    }
}

/// Opens a partition, and makes it if it is not there.
fn open_db(path: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
    fs::create_dir_all(path).map_err(|source| failed(path, "make", source))?;
    for left in list(path)? {
        let name = left.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            remove(&left)?;
        }
    }
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
    let mut tries = 1;
    let db = loop {
        match guarded(|| config.open()) {
            Err(trouble) if trouble.is_lock() && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_WAIT);
            }
            result => break result.map_err(|trouble| trouble.at(path, "open index partition"))?,
        }
    };
    let checked = guarded(|| match db.get(VERSION_KEY)? {
        Some(version) => Ok(version == VERSION),
        None if db.is_empty() => db.insert(VERSION_KEY, VERSION).map(|_| true),
        None => Ok(false),
    });
    match checked.map_err(|trouble| trouble.at(path, "open index partition"))? {
        true => Ok(db),
        false => Err(StoreError::Damaged { path: path.into(), detail: "it has another version".into() }),
    }
}

fn flush(db: &sled::Db, path: &Path) -> Result<(), sled::Error> {
    db.flush()?;
    Ok(File::open(path.join("db"))?.sync_data()?)
}

/// Closing flushes, which may panic as everything else may.
fn close(db: &mut Option<sled::Db>) {
    let db = db.take();
    if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
        tracing::warn!("closing an index partition panicked");
    }
}

/// What went wrong inside sled.
enum Trouble {
    Error(sled::Error),
    Panic(String),
}

fn guarded<T>(work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Trouble::Error),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Trouble::Panic(text.unwrap_or_else(|| "unknown".to_owned())))
        }
    }
}

impl Trouble {
    /// sled tells this in words only.
    fn is_lock(&self) -> bool {
        matches!(self, Self::Error(sled::Error::Io(error))
            if error.kind() == io::ErrorKind::Other && error.to_string().starts_with("could not acquire lock"))
    }

    fn at(self, path: &Path, action: &'static str) -> StoreError {
        let detail = match self {
            Self::Error(sled::Error::Io(source)) if self_healing(&source) => return failed(path, action, source),
            Self::Error(error) => error.to_string(),
            Self::Panic(text) => format!("panic: {text}"),
        };
        StoreError::Damaged { path: path.into(), detail }
    }
}

/// Errors that say nothing about what is in the files.
fn self_healing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let too_many_files = matches!(error.raw_os_error(), Some(23 | 24));
    let lock = error.to_string().starts_with("could not acquire lock");
    let passing = [StorageFull, QuotaExceeded, PermissionDenied, ReadOnlyFilesystem, OutOfMemory, Interrupted];
    too_many_files || lock || passing.contains(&error.kind())
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| failed(directory, "list", source))?,
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(|source| failed(directory, "list", source))
}

/// Removes a file or a directory with everything in it.
fn remove(path: &Path) -> Result<(), StoreError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| failed(path, "remove", source)),
    }
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { path: path.into(), action, source }
}

#[cfg(test)]
mod tests;
