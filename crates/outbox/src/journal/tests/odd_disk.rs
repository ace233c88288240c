//! A disk that is watched, and on which a name may find no room.

use std::io;

use parking_lot::Mutex;

use super::*;
use crate::disk::DiskFile;
use crate::disk::below::disk_below;

/// Does what the disk below it does, but for that.
pub(super) struct OddDisk {
    disk: SimDisk,
    /// So many names find room before one does not.
    names_before: Mutex<Option<usize>>,
    opened: Mutex<Vec<PathBuf>>,
}

impl OddDisk {
    pub(super) fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), names_before: Mutex::new(None), opened: Mutex::default() }
    }

    /// So many files get another name, the next one does not, and all after that do.
    pub(super) fn without_room_for_name(disk: &SimDisk, names_before: usize) -> Self {
        Self { names_before: Mutex::new(Some(names_before)), ..Self::new(disk) }
    }

    /// How often a file was opened.
    pub(super) fn times_opened(&self, path: &Path) -> usize {
        self.opened.lock().iter().filter(|opened| *opened == path).count()
    }
}

impl Disk for OddDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.opened.lock().push(path.to_owned());
        self.disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut left = self.names_before.lock();
        let is_due = *left == Some(0);
        *left = left.and_then(|left| left.checked_sub(1));
        if is_due { Err(io::ErrorKind::StorageFull.into()) } else { self.disk.rename(from, to) }
    }

    disk_below!();
}
