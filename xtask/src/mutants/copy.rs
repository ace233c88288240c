//! A copy of the workspace, in which code is changed.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tool;

/// What the verdict on a mutant may depend on: the crates, what their tests read, and the way
/// in which it is tried.
const SOURCES: [&str; 10] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "crates",
    "docs/api-compatibility.md",
    "docs/openapi.json",
    "fuzz/corpus",
    "rust-toolchain.toml",
    "xtask/src/mutants",
    "xtask/src/mutants.rs",
];

/// What git knows, and what it would take, as it lay in the checkout when it was read: what is
/// written there while the program is built belongs to another list of mutants.
#[derive(Debug)]
pub(crate) struct Copy {
    root: PathBuf,
    pub(crate) to: PathBuf,
    /// Below either.
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Copy {
    /// Nothing is written yet. What lies below `without` is not of it.
    ///
    /// # Errors
    /// Git says nothing of this directory, or a file cannot be read.
    pub(crate) fn of(root: &Path, to: PathBuf, without: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = tool::run(&mut git)?;
        let files = listed.split('\0').map(|file| (PathBuf::from(file), root.join(file)));
        let files = files.filter(|(_, path)| path.is_file() && !path.starts_with(without));
        let files = files.map(|(file, path)| Ok((file, read(&path)?))).collect::<Result<_>>()?;
        Ok(Self { root: root.to_owned(), to, files })
    }

    /// A number of all that a verdict may depend on.
    pub(crate) fn sources(&self) -> String {
        let mut hasher = DefaultHasher::new();
        let is_source = |(file, _): &(&PathBuf, _)| SOURCES.iter().any(|of| file.starts_with(of));
        for file in self.files.iter().filter(is_source) {
            file.hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// Whether the checkout still has what was read.
    pub(crate) fn is_as_the_checkout(&self) -> bool {
        self.files.iter().all(|(file, text)| fs::read(self.root.join(file)).is_ok_and(|there| there == *text))
    }

    /// # Errors
    /// It is not there, or is no text.
    pub(crate) fn original(&self, file: &Path) -> Result<String> {
        let bytes = self.files.get(file).with_context(|| format!("{} is not of the checkout", file.display()))?;
        String::from_utf8(bytes.clone()).with_context(|| format!("{} is no text", file.display()))
    }

    /// Makes the copy what the checkout was, but for what is changed. What stays the same is
    /// not written, so that cargo does not build it again.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn lay(&self, changed: &BTreeMap<PathBuf, String>) -> Result<()> {
        let changed = changed.iter().map(|(file, text)| (file.as_path(), text.as_bytes()));
        let mut wanted: BTreeMap<_, _> =
            self.files.iter().map(|(file, text)| (file.as_path(), text.as_slice())).collect();
        wanted.extend(changed);
        remove_others(&self.to, Path::new(""), &wanted)?;
        for (file, text) in wanted {
            let path = self.to.join(file);
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
fn remove_others(to: &Path, below: &Path, wanted: &BTreeMap<&Path, &[u8]>) -> Result<()> {
    for entry in fs::read_dir(to.join(below)).into_iter().flatten() {
        let entry = entry.with_context(|| format!("failed to read {}", to.join(below).display()))?;
        let file = below.join(entry.file_name());
        // A link is removed, and what it leads to is left alone.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_others(to, &file, wanted)?;
        } else if !wanted.contains_key(file.as_path()) {
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
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_copy_is_the_checkout_but_for_what_is_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, to) = (dir.path().join("root"), dir.path().join("to"));
        let files = [("root/crates/a.rs", "a"), ("root/b.rs", "b"), ("to/crates/old/c.rs", "c"), ("other/d.rs", "d")];
        for (file, text) in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        symlink(dir.path().join("other"), to.join("link")).expect("it can be made");
        let files = [("crates/a.rs", "a"), ("b.rs", "b")].map(|(file, text)| (file.into(), text.into())).into();
        let copy = Copy { root: root.clone(), to: to.clone(), files };
        let changed = [("crates/a.rs", "A"), ("crates/new.rs", "new")].map(|(file, text)| (file.into(), text.into()));
        copy.lay(&changed.into()).expect("it can be written");
        for (file, text) in [("crates/a.rs", "A"), ("crates/new.rs", "new"), ("b.rs", "b")] {
            assert_eq!(fs::read_to_string(to.join(file)).expect("it is there"), text);
        }
        assert!(!to.join("crates/old/c.rs").exists() && !to.join("link").exists());
        assert!(dir.path().join("other/d.rs").exists(), "it lies behind a link");
        assert!(copy.is_as_the_checkout());
        fs::write(root.join("b.rs"), "other").expect("it can be written");
        assert!(!copy.is_as_the_checkout());
    }

    #[test]
    fn a_verdict_depends_on_what_is_built_and_on_what_its_tests_read() {
        let of = |file: &str, text: &str| {
            let files = [(file.into(), text.into())].into();
            Copy { root: PathBuf::new(), to: PathBuf::new(), files }.sources()
        };
        for source in ["crates/a.rs", "fuzz/corpus/token/1", "Cargo.lock", "xtask/src/mutants/plant.rs"] {
            assert_ne!(of(source, "a"), of(source, "b"), "{source}");
        }
        assert_eq!(of("docs/operations.md", "a"), of("docs/operations.md", "b"));
    }
}
