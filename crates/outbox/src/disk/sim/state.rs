//! All that a simulated file system remembers.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Survival;
use super::file::Inode;

/// The size of every simulated file system.
pub(super) const TOTAL_BYTES: u64 = 1 << 40;

/// What a name stands for.
#[derive(Clone, Copy)]
pub(super) enum Node {
    /// A file, by its place in `State::inodes`.
    File(usize),
    /// A directory.
    Directory,
}

/// A change of names that is not synced.
#[derive(Clone)]
enum NameChange {
    Link(PathBuf, Node),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

pub(super) struct State {
    pub(super) operations: u64,
    /// From this number of operations on everything fails.
    pub(super) dead_at: Option<u64>,
    pub(super) fail_write: Option<u64>,
    pub(super) fail_sync: Option<u64>,
    pub(super) lie_from: Option<u64>,
    /// A failure that was asked for has come.
    pub(super) failed: bool,
    pub(super) free_bytes: u64,
    pub(super) out_of_files: bool,
    inodes: Vec<Inode>,
    /// As the process sees them.
    pub(super) names: BTreeMap<PathBuf, Node>,
    /// Surely on disk, before `changes` and `limbo`.
    durable: BTreeMap<PathBuf, Node>,
    changes: Vec<NameChange>,
    /// Changes that a failed sync covered.
    limbo: Vec<NameChange>,
}

impl State {
    pub(super) fn new() -> Self {
        let root: BTreeMap<PathBuf, Node> =
            [("/", Node::Directory), ("", Node::Directory)].map(|(name, node)| (PathBuf::from(name), node)).into();
        Self {
            operations: 0,
            dead_at: None,
            fail_write: None,
            fail_sync: None,
            lie_from: None,
            failed: false,
            free_bytes: TOTAL_BYTES,
            out_of_files: false,
            inodes: Vec::new(),
            names: root.clone(),
            durable: root,
            changes: Vec::new(),
            limbo: Vec::new(),
        }
    }

    pub(super) fn check_alive(&self) -> io::Result<()> {
        if self.dead_at.is_some_and(|dead_at| self.operations >= dead_at) {
            return Err(io::Error::other("the simulated process is dead"));
        }
        Ok(())
    }

    /// Counts an operation, if the process is alive.
    pub(super) fn operation(&mut self) -> io::Result<()> {
        self.check_alive()?;
        self.operations += 1;
        Ok(())
    }

    /// Whether the injected failure is due now.
    pub(super) fn countdown(counter: &mut Option<u64>) -> bool {
        let due = *counter == Some(0);
        *counter = counter.and_then(|count| count.checked_sub(1));
        due
    }

    /// A sync: does `synced`, or `failed` if a failure was injected.
    pub(super) fn sync_operation(
        &mut self,
        synced: impl FnOnce(&mut Self),
        failed: impl FnOnce(&mut Self),
    ) -> io::Result<()> {
        self.operation()?;
        if Self::countdown(&mut self.fail_sync) {
            self.failed = true;
            failed(self);
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        match &mut self.lie_from {
            Some(0) => {}
            Some(honest) => {
                *honest -= 1;
                synced(self);
            }
            None => synced(self),
        }
        Ok(())
    }

    pub(super) fn inode_of(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn inode_mut(&mut self, inode: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes room so that the file may have `len` bytes.
    pub(super) fn reserve(&mut self, inode: usize, len: u64) -> io::Result<()> {
        let more = len.saturating_sub(self.inode_mut(inode)?.room_bytes);
        let Some(left) = self.free_bytes.checked_sub(more) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.free_bytes = left;
        self.inode_mut(inode)?.room_bytes += more;
        Ok(())
    }

    /// Gives back what the file has above `len` bytes.
    pub(super) fn give_back(&mut self, inode: usize, len: u64) -> io::Result<()> {
        let file = self.inode_mut(inode)?;
        let less = file.room_bytes.saturating_sub(len);
        file.room_bytes -= less;
        self.free_bytes += less;
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.children(path.parent().unwrap_or_else(|| Path::new("")))?;
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.change(NameChange::Link(path.to_owned(), Node::File(inode)));
        Ok(inode)
    }

    pub(super) fn make_dir(&mut self, dir: &Path) {
        self.change(NameChange::Link(dir.to_owned(), Node::Directory));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.inode_of(from)?;
        self.children(to.parent().unwrap_or_else(|| Path::new("")))?;
        if let Some(Node::File(replaced)) = self.names.get(to).copied() {
            self.give_back(replaced, 0)?;
        }
        self.change(NameChange::Rename(from.to_owned(), to.to_owned(), Node::File(inode)));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) {
        if let Some(Node::File(inode)) = self.names.get(path).copied() {
            // The place in the table stays, so this does not fail.
            let _ = self.give_back(inode, 0);
        }
        self.change(NameChange::Unlink(path.to_owned()));
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    /// The names in a directory.
    pub(super) fn children(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self.names.get(dir) {
            Some(Node::Directory) => {}
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let children = self.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(children.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_names(&mut self, dir: &Path) {
        let (synced, rest) = std::mem::take(&mut self.changes).into_iter().partition(|change| change.touches(dir));
        self.changes = rest;
        for change in Vec::<NameChange>::from_iter(synced) {
            // What is on disk now is newer than what was in doubt.
            self.limbo.retain(|doubtful| doubtful.names().iter().all(|name| !change.names().contains(name)));
            change.apply(&mut self.durable);
        }
    }

    /// A sync of the directory failed.
    pub(super) fn lose_names(&mut self, dir: &Path) {
        let (lost, rest): (Vec<_>, _) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| change.touches(dir));
        self.changes = rest;
        self.limbo.extend(lost);
    }

    pub(super) fn flip(&mut self, path: &Path, offset: usize, mask: u8) -> io::Result<()> {
        let inode = self.inode_of(path)?;
        let file = self.inode_mut(inode)?;
        for bytes in [&mut file.base, &mut file.content] {
            let byte = bytes.get_mut(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
            *byte ^= mask;
        }
        Ok(())
    }

    pub(super) fn content(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let inode = self.inode_of(path)?;
        Ok(self.inode_mut(inode)?.content.clone())
    }

    /// The file system after a crash.
    pub(super) fn survivors(&self, survival: Survival) -> Self {
        let (keep, seed) = match survival {
            Survival::Nothing => (Some(false), 0),
            Survival::Everything => (Some(true), 0),
            Survival::Mixed { seed } => (None, seed),
        };
        let mut random = Random(seed);
        let mut names = self.durable.clone();
        for change in self.limbo.iter().chain(&self.changes) {
            if keep.unwrap_or_else(|| random.below(2) == 0) {
                change.apply(&mut names);
            }
        }
        let present = names.clone();
        names.retain(|path, _| path.ancestors().skip(1).all(|above| present.contains_key(above)));
        let inodes = self.inodes.iter().map(|inode| inode.survivor(keep, &mut random)).collect();
        Self { free_bytes: self.free_bytes, inodes, durable: names.clone(), names, ..Self::new() }
    }
}

impl NameChange {
    fn names(&self) -> Vec<&Path> {
        match self {
            Self::Link(path, _) | Self::Unlink(path) => vec![path],
            Self::Rename(from, to, _) => vec![from, to],
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        let inside = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Self::Link(path, _) | Self::Unlink(path) => inside(path),
            Self::Rename(from, to, _) => inside(from) || inside(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Link(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

/// Numbers that look random and follow from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Random {
    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
