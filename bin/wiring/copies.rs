//! Backups, and stores made of them.

use std::path::Path;
use std::sync::Arc;

use postrider_model::time::Clock;
use postrider_outbox::backup::{
    self, BackedUp, BackupError, BackupRequest, Progress, RestoreRequest, RestoredStore, Tried, Verified,
};
use postrider_outbox::disk::{Disk, RealDisk};
use postrider_outbox::index::{Index, IndexOptions};
use postrider_outbox::{CheckpointError, DirLock, LockError, OpenError, Options};

use super::{options, store};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::secrets::{self, StoreKey};

/// Whether a start would work.
pub(crate) enum Trial {
    /// It was tried.
    Fine(Tried),
    /// It was tried and refused.
    Refused(Failure),
    /// It was not tried: the key is another one, from there.
    OtherKey(String),
    /// It was not tried: there is no key.
    NoKey,
    /// It was tried and refused, since a key that has sealed something is not among those that are there.
    LacksKey(Failure),
}

/// Whether the data directory holds a restore that was not finished.
pub(crate) fn is_half_restored(config: &Config) -> bool {
    backup::is_half_restored(&*disk(), &config.data_dir)
}

/// Brings a backup up to date.
///
/// # Errors
/// Another run works on it, or as [`backup::backup`].
pub(crate) fn take(request: &BackupRequest, progress: &mut Progress<'_>) -> Result<BackedUp, Failure> {
    let (target, disk) = (&request.target, disk());
    if is_within(target, &request.dir) {
        let error = format!("{} lies in the data directory", target.display());
        return Err(Failure::usage(error).hint("a backup belongs on another disk"));
    }
    // It would be taken for the newest point, and has little of what there was.
    store::whole(&request.dir)?;
    // Before the backup's directory is made and locked.
    store::is_there(&request.dir)?;
    backup::is_free_for_a_backup(&*disk, target).map_err(failure)?;
    let _lock = DirLock::acquire(target).map_err(|error| match error {
        LockError::InUse { pid, .. } => {
            Failure::new(Exit::InUse, format!("process {pid} works on the backup in {}", target.display()))
                .hint("one run at a time brings a backup up to date")
        }
        error @ LockError::Io { .. } => Failure::from(error),
    })?;
    backup::backup(request, &disk, &SystemClock::new(), progress).map_err(failure)
}

/// Reads all of a backup.
///
/// # Errors
/// As [`backup::verify`].
pub(crate) fn verify(target: &Path, progress: &mut Progress<'_>) -> Result<Verified, Failure> {
    backup::verify(target, &disk(), progress).map_err(failure)
}

/// Makes a store of a backup.
///
/// # Errors
/// A server works on the directory, or as [`backup::restore`].
pub(crate) fn restore(request: &RestoreRequest, progress: &mut Progress<'_>) -> Result<RestoredStore, Failure> {
    let disk = disk();
    // Before the directory is made and locked.
    backup::is_free_for_a_store(&*disk, &request.dir).map_err(failure)?;
    backup::reaches(request, &disk).map_err(failure)?;
    if is_within(&request.dir, &request.backup) {
        let error = format!("{} lies in the backup", request.dir.display());
        return Err(Failure::usage(error).hint("name a directory outside of it"));
    }
    let _lock = store::lock(&request.dir)?;
    backup::restore(request, &disk, &SystemClock::new(), progress).map_err(failure)
}

/// Tries a start from a backup, with the key that the configuration leads to.
///
/// # Errors
/// The key cannot be read, or there is no room for an index.
pub(crate) fn try_backup(config: &Config, target: &Path, key_name: &str) -> Result<Trial, Failure> {
    tried(config, key_name, |options, clock, index, home| {
        // Not the data directory: what the server has written there since would be seen as well.
        let options = Options { dir: home.join("data"), ..options };
        let tried = backup::try_backup(target, &options, &disk(), clock, index);
        tried.map_err(failure)
    })
}

/// Tries a start from what was restored.
///
/// # Errors
/// The key cannot be read, or there is no room for an index.
pub(crate) fn try_restored(config: &Config, key_name: &str) -> Result<Trial, Failure> {
    tried(config, key_name, |options, clock, index, _| Ok(backup::try_start(&options, &disk(), clock, index)))
}

fn tried(
    config: &Config,
    key_name: &str,
    start: impl FnOnce(Options, Arc<dyn Clock>, Index, &Path) -> Result<Result<Tried, OpenError>, Failure>,
) -> Result<Trial, Failure> {
    let Some(found) = secrets::find_store_key(config)? else { return Ok(Trial::NoKey) };
    let options = options::outbox(config, found.master());
    if backup::key_name_of(&options) != key_name {
        return Ok(Trial::OtherKey(found.origin));
    }
    let home = tempfile::tempdir().map_err(|error| Failure::system("failed to make a temporary directory", &error))?;
    let index = Index::open(&IndexOptions::new(home.path().join("index")));
    let index = index.map_err(|error| Failure::elsewhere(&error))?;
    Ok(match start(options, Arc::new(SystemClock::new()), index, home.path())? {
        Ok(tried) => Trial::Fine(tried),
        Err(error @ (OpenError::NoKey { .. } | OpenError::Checkpoint(CheckpointError::NoKey { .. }))) => {
            Trial::LacksKey(store::not_opened(error, &config.data_dir, &found.origin))
        }
        Err(error) => Trial::Refused(store::not_opened(error, &config.data_dir, &found.origin)),
    })
}

/// The key that the configuration leads to, if it is the store's.
pub(crate) fn key_of(config: &Config, key_name: &str) -> Option<StoreKey> {
    let found = secrets::find_store_key(config).ok().flatten();
    found.filter(|found| backup::key_name_of(&options::outbox(config, found.master())) == key_name)
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Whether one directory lies in another, or is it.
fn is_within(inner: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else { return false };
    let there = inner.ancestors().find_map(|path| path.canonicalize().ok());
    there.or_else(|| std::env::current_dir().ok()).is_some_and(|inner| inner.starts_with(&outer))
}

/// The error with what the person may do about it.
fn failure(error: BackupError) -> Failure {
    let hint = match &error {
        BackupError::NoStore { .. } => "name the data directory with `--data-dir DIR`".to_owned(),
        BackupError::NoBackup { .. } => "`postrider backup DIR` takes one".to_owned(),
        BackupError::NotABackup { .. } | BackupError::NotEmpty { .. } | BackupError::OtherStore { .. } => {
            "name a directory that is not there yet, or that is empty".to_owned()
        }
        BackupError::Restored { .. } => {
            "a backup is that of one store, and one restored from it is another: name a new directory, and keep this one"
                .to_owned()
        }
        BackupError::OtherRestore { dir } => {
            format!("repeat the restore that was begun, or delete {} and begin anew", dir.display())
        }
        BackupError::Overtaken { .. } => "try again, or raise `retention.max_bytes`".to_owned(),
        BackupError::TooEarly { earliest: Some(earliest) } => {
            format!("every point from {} on can be restored", super::time_text(*earliest))
        }
        BackupError::TooLate { latest } => {
            format!("it was taken at {}; without `--to` all of it is restored", super::time_text(*latest))
        }
        BackupError::Io { path, source, .. } if postrider_outbox::disk::is_full(source) => {
            format!("free room on the disk of {}; the next run goes on where this one ended", path.display())
        }
        BackupError::Newer { .. } => "use that version of postrider".to_owned(),
        BackupError::Lost { .. } => {
            "what could be copied is; put the file back from another copy of the backup, or take a new backup into a \
             new directory and keep this one for the points that it can restore, or give up with `--keep-days DAYS` \
             those that may need the file; `--verify` names all that is lost"
                .to_owned()
        }
        BackupError::Damaged { .. } => {
            "`postrider backup --verify DIR` names all that is damaged; `--accept-damage` restores it as it is"
                .to_owned()
        }
        _ => return Failure { exit: exit(&error), ..Failure::from(error) },
    };
    Failure::new(exit(&error), error).hint(hint)
}

fn exit(error: &BackupError) -> Exit {
    if error.is_damage() { Exit::Damaged } else { Exit::Failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_does_not_lie_in_the_store() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let data = home.path().join("data");
        std::fs::create_dir(&data).expect("it can be made");
        for (inner, expected) in [("data", true), ("data/x/y", true), ("other", false), ("data-2", false)] {
            assert_eq!(is_within(&home.path().join(inner), &data), expected, "{inner}");
        }
    }

    #[test]
    fn a_file_that_is_lost_for_good_is_damage_and_has_a_way_out() {
        let lost = |more| failure(BackupError::Lost { what: "/mnt/b/x is missing".into(), more });
        assert_eq!(lost(0).error, "/mnt/b/x is missing, and the store does not have it any more");
        assert!(lost(2).error.ends_with(", nor 2 other files that the backup has lost"), "{:?}", lost(2));
        assert!(lost(0).exit == Exit::Damaged && lost(0).report().contains("--keep-days"), "{:?}", lost(0));
    }

    #[test]
    fn a_full_disk_is_that_of_the_backup() {
        let source = rustix::io::Errno::NOSPC.into();
        let error = BackupError::Io { what: "write", path: "/mnt/b/x".into(), source };
        let failure = failure(error);
        assert!(failure.exit == Exit::Failure && failure.hints.len() == 1, "{failure:?}");
        assert!(failure.report().contains("disk of /mnt/b/x"), "{failure:?}");
    }
}
