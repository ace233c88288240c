//! One process at a time works on a data directory.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::disk::{Disk as _, RealDisk};

const NAME: &str = "lock";

/// Holds the data directory for this process until it is dropped. The kernel
/// lets go of it when the process ends in whatever way.
#[derive(Debug)]
pub struct DirLock {
    /// `None` if the directory has no lock file.
    _file: Option<File>,
}

/// Why the data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("data directory {} is in use by process {pid}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other process, as it wrote itself down.
        pid: String,
    },
    /// The directory or its lock file cannot be made.
    #[error("failed to lock data directory {}: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl DirLock {
    /// Takes a data directory, which is made, for its owner alone, if it is not there.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { dir: dir.to_owned(), source };
        // All that is accepted lies behind its name, which is durable before anything is written.
        RealDisk.create_dir_all(dir).map_err(io)?;
        let mut options = OpenOptions::new();
        // Whoever may open it may lock it, and keep a server from starting.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(dir.join(NAME)).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = file.take(20).read_to_string(&mut pid);
                return Err(LockError::InUse { dir: dir.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(error) => return Err(io(error.into())),
        }
        // For people only: the lock itself is the kernel's. On a full disk it stays empty.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: Some(file) })
    }

    /// Keeps servers away from a directory for as long as this is held, and changes
    /// nothing in it. One that never had a server has no lock, and stays without.
    ///
    /// # Errors
    /// A process has it, or the lock cannot be read.
    pub fn hold(dir: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { dir: dir.to_owned(), source };
        let file = match File::open(dir.join(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self { _file: None }),
            Err(error) => return Err(io(error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::InUse { dir: dir.to_owned(), pid: String::new() }),
            Err(error) => Err(io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().join("deep/data");
        let first = DirLock::acquire(&dir).expect("nobody has it");
        let refused = DirLock::acquire(&dir).expect_err("it is taken");
        assert!(matches!(&refused, LockError::InUse { pid, .. } if *pid == std::process::id().to_string()));
        drop(first);
        assert!(DirLock::acquire(&dir).is_ok());
    }

    #[test]
    fn what_is_held_keeps_servers_away_and_is_not_changed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        drop(DirLock::acquire(dir.path()).expect("nobody has it"));
        let before = std::fs::read(dir.path().join(NAME)).expect("it is there");
        let held = DirLock::hold(dir.path()).expect("nobody has it");
        assert!(matches!(DirLock::acquire(dir.path()), Err(LockError::InUse { .. })));
        assert!(matches!(DirLock::hold(dir.path()), Err(LockError::InUse { .. })));
        assert_eq!(std::fs::read(dir.path().join(NAME)).expect("it is there"), before);
        drop(held);
        let served = DirLock::acquire(dir.path()).expect("nobody has it");
        assert!(matches!(DirLock::hold(dir.path()), Err(LockError::InUse { .. })));
        drop(served);
    }

    #[test]
    fn what_never_had_a_server_is_held_without_a_lock_and_stays_so() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let held = DirLock::hold(dir.path()).expect("nobody has it");
        assert!(!dir.path().join(NAME).exists());
        drop(held);
        std::fs::write(dir.path().join("file"), "").expect("it can be written");
        let refused = DirLock::hold(&dir.path().join("file"));
        assert!(matches!(refused, Err(LockError::Io { .. })), "nobody can tell: {refused:?}");
    }

    #[test]
    fn only_the_owner_may_lock_a_directory() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().join("deep/data");
        let _lock = DirLock::acquire(&dir).expect("nobody has it");
        for path in [dir.clone(), dir.join(NAME)] {
            let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
    }
}
