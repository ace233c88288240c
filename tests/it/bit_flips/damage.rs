//! Which bit is flipped.

use std::fmt;
use std::path::{Path, PathBuf};

use postrider_proof::Dice;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Journal,
    Checkpoint,
    Index,
    /// Keys and notes.
    Small,
}

/// A bit of a file.
#[derive(Debug)]
pub(super) struct Flip {
    path: PathBuf,
    kind: Kind,
    offset: usize,
    mask: u8,
    bytes: usize,
}

impl Flip {
    /// Mostly where something is written.
    pub(super) fn draw(dice: &mut Dice, data_dir: &Path) -> Self {
        let kind = match dice.below(100) {
            0..=54 => Kind::Journal,
            55..=69 => Kind::Checkpoint,
            70..=89 => Kind::Index,
            _ => Kind::Small,
        };
        let place = match kind {
            Kind::Journal => data_dir.join("journal"),
            Kind::Checkpoint => data_dir.join("checkpoint"),
            Kind::Index => data_dir.join("index"),
            Kind::Small => data_dir.join(dice.one_of(&["store.key", "jwt-secret", "default-org"])),
        };
        let mut files = vec![];
        collect(&place, &mut files);
        if files.is_empty() {
            // A killed server has left no checkpoint.
            return Self::draw(dice, data_dir);
        }
        let path = dice.one_of(&files).clone();
        let content = std::fs::read(&path).expect("it can be read");
        let written = content.iter().rposition(|byte| *byte != 0).map_or(content.len(), |last| last + 1);
        let bytes = if dice.below(10) == 0 { content.len() } else { written };
        let (offset, mask) = (dice.below(bytes as u64) as usize, 1 << dice.below(8));
        Self { path, kind, offset, mask, bytes: content.len() }
    }

    /// Flips it; done twice it is as before.
    pub(super) fn apply(&self) {
        let mut content = std::fs::read(&self.path).expect("it can be read");
        *content.get_mut(self.offset).expect("the offset is within the file") ^= self.mask;
        std::fs::write(&self.path, content).expect("it can be written");
    }

    /// Flips it back.
    pub(super) fn undo(&self) {
        self.apply();
    }

    /// Whether the start has cut it off and kept it aside, as what nobody was promised:
    /// no later frame says that the last one was synced.
    pub(super) fn is_in_a_torn_tail(&self) -> bool {
        let journal = self.path.parent().expect("a file lies in a directory");
        let segment = self.file_name().trim_start_matches("segment-").trim_end_matches(".journal").parse::<u32>();
        let entries = std::fs::read_dir(journal).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let torn = names.filter_map(|name| {
            let (segment, offset) = name.strip_prefix("torn-")?.split_once('-')?;
            Some((segment.parse::<u32>().ok()?, offset.parse::<usize>().ok()?))
        });
        segment.is_ok_and(|segment| torn.into_iter().any(|(of, from)| of == segment && from <= self.offset))
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn file_name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("it has a name in ASCII")
    }
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, kind, offset, mask, bytes } = self;
        write!(f, "{kind:?} {}: byte {offset} of {bytes}, mask {mask:#04x}", path.display())
    }
}

/// All files here and below that are not empty, in a fixed order.
fn collect(place: &Path, files: &mut Vec<PathBuf>) {
    if place.is_dir() {
        let entries = std::fs::read_dir(place).expect("it can be read");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
        paths.sort();
        for path in paths {
            collect(&path, files);
        }
    } else if std::fs::metadata(place).is_ok_and(|metadata| metadata.len() > 0) {
        files.push(place.to_owned());
    }
}
