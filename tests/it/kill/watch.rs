//! Looks at the store's files from outside, to hit the moment at which they change.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use super::load::{IsTime, Load};
use crate::support::Setup;

/// The files as they were when this was made.
pub(crate) struct Watch {
    files: Files,
    before: Seen,
}

#[derive(Clone)]
struct Files {
    journal: PathBuf,
    checkpoint: PathBuf,
}

#[derive(Clone, PartialEq, Eq)]
struct Seen {
    first: Option<String>,
    last: Option<String>,
    checkpoint: Option<u64>,
}

impl Files {
    fn look(&self) -> Seen {
        let entries = std::fs::read_dir(&self.journal).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let segments: BTreeSet<String> = names.filter(|name| name.ends_with(".journal")).collect();
        let inode = std::fs::metadata(&self.checkpoint).map(|metadata| metadata.ino());
        Seen { first: segments.first().cloned(), last: segments.last().cloned(), checkpoint: inode.ok() }
    }
}

impl Watch {
    pub(crate) fn new(setup: &Setup) -> Self {
        let at = |name: &str| Path::new(setup.data_dir()).join(name);
        let files = Files { journal: at("journal"), checkpoint: at("checkpoint") };
        let before = files.look();
        Self { files, before }
    }

    /// A segment has been made.
    pub(crate) fn has_rotated(&self) -> bool {
        self.files.look().last != self.before.last
    }

    /// A segment has gone.
    pub(crate) fn has_removed(&self) -> bool {
        self.files.look().first != self.before.first
    }

    /// A checkpoint was written.
    pub(crate) fn has_checkpoint(&self) -> bool {
        self.files.look().checkpoint != self.before.checkpoint
    }

    /// The first answer after a segment was made. Counted from the first time that
    /// it is asked: the load has made segments by then.
    pub(crate) fn rotation(&self) -> IsTime {
        let (files, base) = (self.files.clone(), OnceLock::new());
        Box::new(move |_| {
            let now = files.look();
            base.get_or_init(|| now.clone()).last != now.last
        })
    }

    /// The first answer after a checkpoint was written.
    pub(crate) fn checkpoint(&self) -> IsTime {
        self.change(|before, now| now.checkpoint != before.checkpoint)
    }

    /// The first answer after a segment has gone.
    pub(crate) fn removal(&self) -> IsTime {
        self.change(|before, now| now.first != before.first)
    }

    /// The first answer after what was there when this was made has changed so, or the wait has been long.
    fn change(&self, is_so: fn(&Seen, &Seen) -> bool) -> IsTime {
        let (files, before, began) = (self.files.clone(), self.before.clone(), Instant::now());
        Box::new(move |_| is_so(&before, &files.look()) || Load::is_over(began))
    }
}
