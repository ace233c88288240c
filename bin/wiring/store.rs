//! The store: the directory's lock, its key, the outbox, and the two threads
//! that work for it.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use postrider_model::time::Clock;
use postrider_outbox::disk::{Disk, RealDisk};
use postrider_outbox::index::{Index, IndexOptions};
use postrider_outbox::{CheckpointError, CommitError, DirLock, Examined, KeyUse, LockError, OpenError, Opened, Outbox};
use postrider_outbox::{backup, journal};
use tokio::sync::oneshot;

use super::options;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::secrets::{self, StoreKey};

/// Takes the data directory for this process.
pub(super) fn lock(data_dir: &Path) -> Result<DirLock, Failure> {
    DirLock::acquire(data_dir).map_err(|error| match error {
        LockError::InUse { .. } => Failure::new(Exit::InUse, error)
            .hint("one server at a time works on a data directory; `--data-dir DIR` names another"),
        LockError::Io { .. } => Failure::from(error),
    })
}

/// Reads the store back; gives the key that has opened it, too. Takes as long as the journal after the last checkpoint is.
pub(super) fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<(Opened, StoreKey), Failure> {
    // Before a key is made for a store that is not there yet.
    whole(&config.data_dir)?;
    let is_new = !config.data_dir.join("journal").exists();
    let store_key = secrets::find_or_make_store_key(config, is_new).map_err(|failure| name_key(config, failure))?;
    let options = options::outbox(config, store_key.master());
    let index = Index::open(&IndexOptions::new(config.data_dir.join("index")))?;
    let opened = postrider_outbox::open(options, Arc::new(RealDisk), clock, index);
    let opened = opened.map_err(|error| not_opened(error, &config.data_dir, &store_key.origin))?;
    let report = &opened.report;
    tracing::info!(records = report.records, torn_bytes = report.torn_bytes, clean = report.clean, "store opened");
    if let Some(restoration) = opened.outbox.restoration() {
        tracing::warn!("{}", super::restored_text(restoration));
    }
    Ok((opened, store_key))
}

/// What a start would find. Nothing is locked and nothing changed.
pub(super) fn examine(
    config: &Config,
    clock: Arc<dyn Clock>,
    live: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examined, Failure> {
    let store_key = existing_key(config)?;
    let options = options::outbox(config, store_key.master());
    let home = tempfile::tempdir().map_err(|error| Failure::system("failed to make a temporary directory", &error))?;
    let mut tries = 0;
    let mut make_index = || {
        tries += 1;
        let path = home.path().join(format!("index-{tries}"));
        Index::open(&IndexOptions::new(path.clone())).map_err(|error| OpenError::Io {
            what: "make an index in",
            path,
            source: std::io::Error::other(error),
        })
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    postrider_outbox::examine(&options, &disk, clock, &mut make_index, live, progress)
        .map_err(|error| not_opened(error, &config.data_dir, &store_key.origin))
}

/// Which keys something on disk needs. Nothing is locked and nothing changed.
pub(super) fn key_use(
    config: &Config,
    store_key: &StoreKey,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<KeyUse, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    postrider_outbox::key_use(&options::outbox(config, store_key.master()), &disk, progress)
        .map_err(|error| not_opened(error, &config.data_dir, &store_key.origin))
}

/// Seals all with the key that seals now. The caller has locked the store.
pub(super) fn seal_anew(config: &Config, store_key: &StoreKey, clock: &dyn Clock) -> Result<(), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    postrider_outbox::seal_anew(&options::outbox(config, store_key.master()), &disk, clock)
        .map_err(|error| not_opened(error, &config.data_dir, &store_key.origin))
}

/// Refuses a directory with a restore that was not finished, and a backup.
pub(super) fn whole(data_dir: &Path) -> Result<(), Failure> {
    if backup::is_backup(&RealDisk, data_dir) {
        let error = format!("{} is a backup, and no data directory", data_dir.display());
        let hint = format!("`postrider restore {} NEW_DATA_DIR` makes one of it", data_dir.display());
        return Err(Failure::runtime(error).hint(hint));
    }
    if backup::is_half_restored(&RealDisk, data_dir) {
        return Err(not_opened(OpenError::HalfRestored { dir: data_dir.to_owned() }, data_dir, ""));
    }
    Ok(())
}

/// Says which key the store needs, if it may be that.
fn name_key(config: &Config, failure: Failure) -> Failure {
    match backup::key_name_needed(&RealDisk, &config.data_dir) {
        Some(name) => {
            failure.hint(format!("the store needs the key {name}, as `postrider backup` and `restore` name it"))
        }
        None => failure,
    }
}

/// The key of a store that must be there.
pub(super) fn existing_key(config: &Config) -> Result<StoreKey, Failure> {
    whole(&config.data_dir)?;
    is_there(&config.data_dir)?;
    secrets::find_or_make_store_key(config, false).map_err(|failure| name_key(config, failure))
}

/// Refuses a directory without a store.
///
/// # Errors
/// There is none, or it cannot be looked at.
pub(crate) fn is_there(data_dir: &Path) -> Result<(), Failure> {
    let journal = data_dir.join("journal");
    match journal.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::runtime(format!("{} holds no store", data_dir.display()))
            .hint("name the data directory with `--data-dir DIR`")),
        Err(error) => Err(Failure::system(format_args!("failed to look at {}", journal.display()), &error)),
    }
}

/// `key_origin` is where the store's key came from.
pub(super) fn not_opened(error: OpenError, data_dir: &Path, key_origin: &str) -> Failure {
    let (exit, hint) = match &error {
        // Salvaging would drop what this program only does not know.
        OpenError::Newer { .. }
        | OpenError::Journal(journal::OpenError::Version { .. })
        | OpenError::Checkpoint(CheckpointError::Newer { .. }) => (
            Exit::Failure,
            "a newer postrider has written to this store: start that version again; nothing is damaged".to_owned(),
        ),
        OpenError::Journal(journal::OpenError::ForeignStore { .. })
        | OpenError::Checkpoint(CheckpointError::OtherKey { .. }) => (
            Exit::Damaged,
            format!(
                "the key from {key_origin} and the store in {} do not belong together: bring back the key that this store \
                 was made with; backups do not hold it; nothing was changed",
                data_dir.display()
            ),
        ),
        // A torn tail may have been cut before the journal was read, so that it is not said that nothing was changed.
        OpenError::NoKey { .. } => (Exit::Damaged, lacks_key(key_origin, data_dir)),
        OpenError::Checkpoint(CheckpointError::NoKey { .. }) => {
            (Exit::Damaged, format!("{}; nothing was changed", lacks_key(key_origin, data_dir)))
        }
        OpenError::HalfRestored { .. } => {
            (Exit::Damaged, format!("repeat the `postrider restore` that was begun, or delete {}", data_dir.display()))
        }
        error if error.is_damage() => (
            Exit::Damaged,
            format!(
                "`postrider doctor --data-dir {} --salvage NEW_DIR` makes a new directory out of what can be read, and \
                 says what is missing",
                data_dir.display()
            ),
        ),
        _ => return Failure::from(error),
    };
    Failure { exit, ..Failure::from(error) }.hint(hint)
}

fn lacks_key(key_origin: &str, data_dir: &Path) -> String {
    let dir = data_dir.display();
    format!("{key_origin} lacks a key that the store in {dir} needs: give the whole text that `key rotate` has written")
}

/// The threads that work for the outbox.
pub(super) struct Threads {
    outbox: Outbox,
    /// `None` once it has ended.
    committer: Option<oneshot::Receiver<Result<(), CommitError>>>,
    /// `None` once it has ended.
    keeper: Option<oneshot::Receiver<()>>,
}

impl Threads {
    /// Starts them.
    pub(super) fn start(opened: Opened) -> Result<Self, Failure> {
        let Opened { outbox, committer, keeper, .. } = opened;
        let committer = thread("committer", move || committer.run())?;
        let keeper = thread("keeper", move || keeper.run())?;
        Ok(Self { outbox, committer: Some(committer), keeper: Some(keeper) })
    }

    /// Waits until a thread ends by itself, which it never should.
    pub(super) async fn broken(&mut self) -> Failure {
        tokio::select! {
            ended = end(&mut self.committer) => commit_failed(ended),
            _ = end(&mut self.keeper) => {
                Failure::runtime("the store's housekeeping has ended").hint("the log above says more")
            }
        }
    }

    /// Lets them record what waits, leave a checkpoint and end.
    pub(super) async fn stop(mut self, within: Duration) -> Result<(), Failure> {
        self.outbox.stop();
        let ended = async {
            if self.keeper.is_some() {
                // It leaves nothing behind that matters.
                let _ = end(&mut self.keeper).await;
            }
            match self.committer {
                // How it ended was told already.
                None => Ok(()),
                Some(_) => match end(&mut self.committer).await {
                    Ok(Ok(())) => Ok(()),
                    ended => Err(commit_failed(ended)),
                },
            }
        };
        match tokio::time::timeout(within, ended).await {
            Ok(committed) => committed,
            Err(_) => Err(Failure::runtime(format!("the store did not end within {} s", within.as_secs()))),
        }
    }
}

/// Waits for the end of a thread; for ever if that was told already.
async fn end<T>(thread: &mut Option<oneshot::Receiver<T>>) -> Result<T, oneshot::error::RecvError> {
    let Some(running) = thread else { return std::future::pending().await };
    let ended = running.await;
    *thread = None;
    ended
}

/// A failed write or sync (W8), or a panic: what is on disk is not known.
fn commit_failed(ended: Result<Result<(), CommitError>, oneshot::error::RecvError>) -> Failure {
    let failure = match ended {
        Ok(Err(error)) => Failure::from(error),
        Ok(Ok(())) => Failure::runtime("the committer has ended by itself"),
        Err(_) => Failure::runtime("the committer has panicked"),
    };
    Failure { exit: Exit::Damaged, ..failure }
        .hint("what was answered is kept; check the disk and its file system, then start again")
}

/// Starts a thread; the receiver gives its result, or an error if it panics.
fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, Failure> {
    let (ended, result) = oneshot::channel();
    let body = move || {
        // If nobody waits for the result the process is ending.
        let _ = ended.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(body)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use postrider_model::position::Position;

    use super::*;
    use crate::exit::DISK_FULL_HINT;

    fn refused(error: OpenError) -> (Exit, String) {
        let failure = not_opened(error, Path::new("/srv/p"), "/etc/p/store.key");
        (failure.exit, failure.hints.join("; "))
    }

    #[test]
    fn only_damage_is_to_be_salvaged() {
        let detail = "unknown kind 99".to_owned();
        let (exit, hint) = refused(OpenError::Newer { position: Position::ZERO, detail });
        assert_eq!(exit, Exit::Failure);
        assert!(hint.contains("newer postrider") && !hint.contains("salvage"), "{hint}");
        let (exit, hint) = refused(OpenError::Damaged { what: "segment 3".into(), why: "it is needed" });
        assert_eq!(exit, Exit::Damaged);
        assert!(hint.contains("postrider doctor --data-dir /srv/p --salvage NEW_DIR"), "{hint}");
    }

    #[test]
    fn a_store_that_was_put_together_wrongly_says_what_belongs_together() {
        let (exit, hint) = refused(OpenError::Journal(journal::OpenError::ForeignStore { path: "/srv/p/x".into() }));
        assert_eq!(exit, Exit::Damaged);
        assert!(hint.contains("/etc/p/store.key") && hint.contains("/srv/p") && !hint.contains("salvage"), "{hint}");
    }

    #[test]
    fn a_missing_key_says_what_to_give_and_claims_no_more_than_is_so() {
        let (exit, hint) = refused(OpenError::NoKey { what: "journal record at 1:64".into(), number: 0 });
        assert_eq!(exit, Exit::Damaged);
        assert!(hint.contains("/etc/p/store.key lacks a key") && !hint.contains("nothing was changed"), "{hint}");
    }

    #[test]
    fn a_full_disk_at_start_says_what_helps() {
        let source = rustix::io::Errno::NOSPC.into();
        let failed = journal::OpenError::Io { action: "write", path: "/srv/p/journal/x".into(), source };
        assert_eq!(refused(OpenError::Journal(failed)), (Exit::Failure, DISK_FULL_HINT.to_owned()));
    }
}
