//! Frames are numbered through all segments, so that what is missing between two segments shows
//! where nothing in either of them is damaged: a file that was cut where a frame ended, or emptied.

use std::path::Path;

use super::behind::MISSING_NAMED;
use super::error::{Damage, DamageKind};
use super::layout::{SEGMENT_HEADER_BYTES, segment_name};
use super::salvage::{FrameSeen, Reading};

/// Segments that are read one after the other.
#[derive(Debug, Default)]
pub struct Sequence {
    last: Option<FrameSeen>,
    /// Segments since that have no frame.
    empty: Vec<u32>,
    /// Frames after the last one are damaged.
    broken: bool,
}

impl Sequence {
    /// What is missing between the frames that came before and those of the next segment of the journal in `dir`.
    /// Nothing where whole segments are missing: a start names them.
    pub fn next(&mut self, dir: &Path, segment: u32, read: &Reading) -> Vec<Damage> {
        let mut broken = read.damage.iter().filter(|damage| damage.what == DamageKind::Frames);
        let Some((first, last)) = read.ends else {
            self.empty.push(segment);
            self.broken |= broken.next().is_some();
            return vec![];
        };
        let told = self.broken || broken.clone().any(|damage| damage.to <= first.position.offset_bytes());
        self.broken = broken.any(|damage| damage.from >= last.end);
        let empty = std::mem::take(&mut self.empty);
        let Some(before) = self.last.replace(last).filter(|before| !before.goes_on_with(&first)) else { return vec![] };
        let is_whole = before.position.segment() as usize + 1 + empty.len() == segment as usize;
        if told || !is_whole { vec![] } else { between(dir, &before, empty.into_iter()) }
    }
}

/// Where the frames were that are missing after one: in segments that hold none any more, else at the end of its own.
pub(crate) fn between(dir: &Path, before: &FrameSeen, empty: impl Iterator<Item = u32>) -> Vec<Damage> {
    let missing = |segment, from| Damage {
        segment,
        from,
        to: u32::MAX,
        path: dir.join(segment_name(segment)),
        what: DamageKind::MissingFrames,
    };
    let all: Vec<_> = empty.take(MISSING_NAMED).map(|segment| missing(segment, SEGMENT_HEADER_BYTES)).collect();
    if all.is_empty() { vec![missing(before.position.segment(), before.end)] } else { all }
}
