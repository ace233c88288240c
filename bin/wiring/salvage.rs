//! A new data directory out of a damaged one.
//!
//! It is made under another name and renamed when it is whole, so that nobody starts a
//! server on half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::time::Clock;
use postrider_outbox::disk::{Disk, RealDisk};
use postrider_outbox::{LockError, Salvaged};

use super::{options, store};
use crate::config::Config;
use crate::exit::{Exit, Failure, is_disk_full};

/// The list of what is missing, in the new directory.
pub(crate) const LIST: &str = "salvage.ndjson";
/// What else of the old directory the new one needs.
const BESIDE: [&str; 3] = ["store.key", "jwt-secret", "default-org"];

/// Salvages into `to`, which must not be there or be empty; the old directory stays as it
/// is. `list` makes the lines of the list.
pub(super) fn salvage(
    config: &Config,
    to: &Path,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(usize, usize),
    list: &dyn Fn(&Salvaged) -> String,
) -> Result<Salvaged, Failure> {
    let store_key = store::existing_key(config)?;
    // Held to the end, so that no server changes it meanwhile. Nothing is written for it.
    let _lock = postrider_outbox::DirLock::hold(&config.data_dir).map_err(|error| match error {
        LockError::InUse { .. } => {
            Failure::new(Exit::InUse, format!("a server works on {}", config.data_dir.display())).hint("stop it first")
        }
        error => error.into(),
    })?;
    check_target(&config.data_dir, to)?;
    let draft = Draft::make(to)?;
    let options = options::outbox(config, store_key.master());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let salvaged = postrider_outbox::salvage(&options, &draft.path, &disk, clock, progress)
        // Only into the new directory is anything written.
        .map_err(|error| match is_disk_full(&error) {
            true => Failure::elsewhere(&error),
            false => store::not_opened(error, &config.data_dir, &store_key.origin),
        })?;
    for name in BESIDE {
        copy_beside(&config.data_dir.join(name), &draft.path.join(name))?;
    }
    let path = draft.path.join(LIST);
    write_new(&path, list(&salvaged).as_bytes()).map_err(|error| failed("write", &path, &error))?;
    draft.finish(to)?;
    Ok(salvaged)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("failed to {what} {}", path.display()), error)
}

/// It is free, and is no part of the old one.
fn check_target(from: &Path, to: &Path) -> Result<(), Failure> {
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(Failure::usage(format!("{} is not empty", to.display())).hint("name a new directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read", to, &error)),
    }
    let parent = parent(to);
    let parent = parent.canonicalize().map_err(|error| failed("find", &parent, &error))?;
    let from = from.canonicalize().map_err(|error| failed("find", from, &error))?;
    if parent.starts_with(&from) {
        let error = format!("{} lies in the damaged directory, which stays as it is", to.display());
        return Err(Failure::usage(error).hint("name a directory beside it"));
    }
    Ok(())
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The new directory while it is made; gone again if it does not become whole.
struct Draft {
    path: PathBuf,
    is_finished: bool,
}

impl Draft {
    fn make(to: &Path) -> Result<Self, Failure> {
        let Some(name) = to.file_name() else {
            return Err(Failure::usage(format!("{} is no name of a directory", to.display())));
        };
        let mut name = name.to_owned();
        name.push(".incomplete");
        let path = parent(to).join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path, is_finished: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::runtime(format!("{} is there already", path.display()))
                    .hint("a salvage that was interrupted has left it: remove it"))
            }
            Err(error) => Err(failed("make", &path, &error)),
        }
    }

    fn finish(mut self, to: &Path) -> Result<(), Failure> {
        let synced = File::open(&self.path).and_then(|dir| dir.sync_all());
        synced.map_err(|error| failed("sync", &self.path, &error))?;
        // An empty directory of that name is replaced.
        fs::rename(&self.path, to).map_err(|error| failed("rename", &self.path, &error))?;
        self.is_finished = true;
        let parent = parent(to);
        File::open(&parent).and_then(|dir| dir.sync_all()).map_err(|error| failed("sync", &parent, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_finished {
            // What went wrong is said; this is of no use to anybody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn copy_beside(from: &Path, to: &Path) -> Result<(), Failure> {
    match fs::read(from).map(zeroize::Zeroizing::new) {
        Ok(bytes) => write_new(to, &bytes).map_err(|error| failed("write", to, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("read", from, &error)),
    }
}

/// For its owner alone.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
