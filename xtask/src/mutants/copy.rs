//! A copy of the workspace, in which code is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tool;

/// What git knows, and what it would take, as it lies in the checkout.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) root: PathBuf,
    pub(crate) to: PathBuf,
    /// Below either.
    files: BTreeSet<PathBuf>,
}

impl Copy {
    /// Nothing is copied yet.
    ///
    /// # Errors
    /// Git says nothing of this directory.
    pub(crate) fn of(root: &Path, to: PathBuf) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = tool::run(&mut git)?;
        let files = listed.split('\0').map(PathBuf::from).filter(|file| root.join(file).is_file()).collect();
        Ok(Self { root: root.to_owned(), to, files })
    }

    /// A number of all that a crate is built from.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn sources(&self) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        let is_source =
            |file: &&PathBuf| ["crates", ".cargo", "Cargo.toml", "Cargo.lock"].iter().any(|of| file.starts_with(of));
        for file in self.files.iter().filter(is_source) {
            (file, read(&self.root.join(file))?).hash(&mut hasher);
        }
        Ok(format!("{:016x}", hasher.finish()))
    }

    /// # Errors
    /// It cannot be read, or is no text.
    pub(crate) fn original(&self, file: &Path) -> Result<String> {
        let path = self.root.join(file);
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }

    /// Makes the copy what the checkout is, but for what is changed. What stays the same is
    /// not written, so that cargo does not build it again.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn lay(&self, changed: &BTreeMap<PathBuf, String>) -> Result<()> {
        let mut wanted: BTreeSet<_> = changed.keys().cloned().collect();
        wanted.extend(self.files.iter().cloned());
        remove_others(&self.to, Path::new(""), &wanted)?;
        for file in &wanted {
            let path = self.to.join(file);
            let text = match changed.get(file) {
                Some(text) => text.as_bytes().to_vec(),
                None => read(&self.root.join(file))?,
            };
            if fs::read(&path).is_ok_and(|there| there == text) {
                continue;
            }
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
            }
            fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        }
        Ok(())
    }
}

/// What is no longer in the checkout may be found all the same, as a crate or a test.
fn remove_others(to: &Path, below: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(to.join(below)).into_iter().flatten() {
        let entry = entry.with_context(|| format!("failed to read {}", to.join(below).display()))?;
        let file = below.join(entry.file_name());
        if entry.path().is_dir() {
            remove_others(to, &file, wanted)?;
        } else if !wanted.contains(&file) {
            fs::remove_file(entry.path()).with_context(|| format!("failed to remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_checkout_but_for_what_is_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, to) = (dir.path().join("root"), dir.path().join("to"));
        for (file, text) in [("root/crates/a.rs", "a"), ("root/b.rs", "b"), ("to/crates/old/c.rs", "c")] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        let files = ["crates/a.rs", "b.rs"].map(PathBuf::from).into();
        let copy = Copy { root: root.clone(), to: to.clone(), files };
        let before = copy.sources().expect("they can be read");
        let changed = [("crates/a.rs", "A"), ("crates/new.rs", "new")].map(|(file, text)| (file.into(), text.into()));
        copy.lay(&changed.into()).expect("it can be written");
        for (file, text) in [("crates/a.rs", "A"), ("crates/new.rs", "new"), ("b.rs", "b")] {
            assert_eq!(fs::read_to_string(to.join(file)).expect("it is there"), text);
        }
        assert!(!to.join("crates/old/c.rs").exists());
        assert_eq!(copy.sources().expect("they can be read"), before);
        fs::write(root.join("crates/a.rs"), "other").expect("it can be written");
        assert_ne!(copy.sources().expect("they can be read"), before);
    }
}
