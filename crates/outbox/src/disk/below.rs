//! For disks of tests, which do most as the one below them does.

/// The calls of [`Disk`](super::Disk), but for `open` and `rename`, as `self.disk` does them.
macro_rules! disk_below {
    () => {
        fn create(&self, path: &std::path::Path) -> std::io::Result<std::sync::Arc<dyn $crate::disk::DiskFile>> {
            self.disk.create(path)
        }

        fn create_dir_all(&self, path: &std::path::Path) -> std::io::Result<()> {
            self.disk.create_dir_all(path)
        }

        fn remove_file(&self, path: &std::path::Path) -> std::io::Result<()> {
            self.disk.remove_file(path)
        }

        fn remove_dir(&self, path: &std::path::Path) -> std::io::Result<()> {
            self.disk.remove_dir(path)
        }

        fn list(&self, dir: &std::path::Path) -> std::io::Result<Vec<String>> {
            self.disk.list(dir)
        }

        fn sync_dir(&self, dir: &std::path::Path) -> std::io::Result<()> {
            self.disk.sync_dir(dir)
        }

        fn space(&self, path: &std::path::Path) -> std::io::Result<$crate::disk::Space> {
            self.disk.space(path)
        }
    };
}

/// The calls of [`DiskFile`](super::DiskFile), but for `read_at`, as `self.file` does them.
macro_rules! file_below {
    () => {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
            self.file.write_all_at(bytes, offset)
        }

        fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> std::io::Result<()> {
            self.file.write_all_vectored_at(parts, offset)
        }

        fn allocate(&self, len: u64) -> Result<(), $crate::disk::AllocateError> {
            self.file.allocate(len)
        }

        fn sync_data(&self) -> std::io::Result<()> {
            self.file.sync_data()
        }

        fn len(&self) -> std::io::Result<u64> {
            self.file.len()
        }

        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.file.set_len(len)
        }
    };
}

pub(crate) use {disk_below, file_below};
