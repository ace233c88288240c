//! The disk of the server, at whose writes and syncs somebody reads.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use postrider_outbox::disk::sim::SimDisk;
use postrider_outbox::disk::{AllocateError, Disk, DiskFile, Space};

use crate::look;
use crate::world::World;

pub(crate) struct Watched {
    pub(crate) disk: SimDisk,
    pub(crate) world: Weak<World>,
}

struct WatchedFile {
    file: Arc<dyn DiskFile>,
    world: Weak<World>,
}

impl Watched {
    fn watch(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile { file, world: Weak::clone(&self.world) })
    }
}

impl WatchedFile {
    fn look(&self) {
        if let Some(world) = self.world.upgrade() {
            look::before_change(&world);
        }
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.watch(file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.watch(file))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.look();
        self.file.write_all_at(bytes, offset)
    }

    fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.look();
        self.file.write_all_vectored_at(parts, offset)
    }

    fn allocate(&self, len: u64) -> Result<(), AllocateError> {
        self.file.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.look();
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
