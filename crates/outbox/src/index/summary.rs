//! What the index keeps in memory of every sealed segment: which runs it has,
//! what they span, and a small filter that says whose rows they hold.
//!
//! It is also the marker that a segment is wholly written: it is put into the
//! partition after everything else is flushed.
//!
//! ```text
//!   value  version u8 | run*  | CRC-32C u32
//!   run    code u8 | blocks u32 | lowest and highest major u64 | newest time u64 | filter length u16 | filter
//! ```

use postrider_model::time::UnixMs;

use super::block::RunId;
use super::bloom::{Bloom, Hash};
use super::codec::Unpacker;
use super::family::{Family, Listed, SortKey};
use super::row::Day;

const VERSION: u8 = 1;
/// Bits of a run's filter for each owner.
const FILTER_BITS_PER_ITEM: usize = 10;
/// Bytes of a run's filter at most. With more than a thousand owners in one
/// segment it says "perhaps" too often, which costs a look-up and nothing else.
const FILTER_MAX_BYTES: usize = 512;

/// A segment whose rows are on disk.
pub(super) struct Sealed {
    pub(super) segment: u32,
    pub(super) day: Day,
    pub(super) runs: Vec<Run>,
}

/// What a sealed segment holds of one family.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) blocks: u32,
    pub(super) lowest_major: u64,
    pub(super) highest_major: u64,
    /// The newest time in it; only for keys, whose time is limited.
    pub(super) newest: UnixMs,
    filter: Option<Bloom>,
}

impl Run {
    /// Of sorted rows that are not empty.
    pub(super) fn new<R: Listed>(id: RunId, rows: &[R], blocks: u32, newest: UnixMs) -> Self {
        let majors = || rows.iter().map(|row| row.sort_key().major);
        Self {
            id,
            blocks,
            lowest_major: majors().min().unwrap_or(0),
            highest_major: majors().max().unwrap_or(0),
            newest,
            filter: has_filter(id).then(|| filter(rows)),
        }
    }

    /// Whether it may hold rows of a list between two keys.
    pub(super) fn may_hold<R: Listed>(&self, low: &SortKey, high: &SortKey) -> bool {
        let filter = self.filter.as_ref();
        self.lowest_major <= high.major
            && self.highest_major >= low.major
            && filter.is_none_or(|filter| filter.contains(Hash::of_item(&R::filter_item(low))))
    }
}

/// A native run of a message's attempts is found by its segment alone, keys have
/// filters of their own, and few segments hold deliveries that ended without an
/// attempt.
fn has_filter(id: RunId) -> bool {
    match id.family {
        Family::Messages | Family::AttemptsOfEndpoint => true,
        Family::AttemptsOfMessage | Family::Settled => id.foreign,
        Family::Keys | Family::SettledOfEndpoint => false,
    }
}

fn filter<R: Listed>(rows: &[R]) -> Bloom {
    let items = || rows.iter().map(|row| R::filter_item(&row.sort_key()));
    let mut distinct: Vec<_> = items().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let bloom = Bloom::new(distinct.len(), FILTER_BITS_PER_ITEM, FILTER_MAX_BYTES);
    distinct.iter().for_each(|item| bloom.insert(Hash::of_item(item)));
    bloom
}

impl Sealed {
    pub(super) fn runs_of(&self, family: Family) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.id.family == family)
    }

    /// The time of its newest key, if it has any.
    pub(super) fn newest_key(&self) -> Option<UnixMs> {
        self.runs_of(Family::Keys).map(|run| run.newest).max()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for run in &self.runs {
            let filter = run.filter.as_ref().map(Bloom::to_bytes).unwrap_or_default();
            bytes.push(run.id.code());
            bytes.extend(run.blocks.to_be_bytes());
            bytes.extend(run.lowest_major.to_be_bytes());
            bytes.extend(run.highest_major.to_be_bytes());
            bytes.extend(run.newest.as_u64().to_be_bytes());
            bytes.extend(u16::try_from(filter.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(filter);
        }
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// `None` if the bytes are damaged or of another version.
    pub(super) fn from_bytes(segment: u32, day: Day, bytes: &[u8]) -> Option<Self> {
        let (checked, sum) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*sum) != crc32c::crc32c(checked) {
            return None;
        }
        let mut from = Unpacker::new(checked);
        if from.byte()? != VERSION {
            return None;
        }
        let mut runs = Vec::new();
        while !from.is_empty() {
            runs.push(read_run(segment, &mut from)?);
        }
        Some(Self { segment, day, runs })
    }
}

fn read_run(segment: u32, from: &mut Unpacker<'_>) -> Option<Run> {
    let id = RunId::from_code(from.byte()?, segment)?;
    let blocks = u32::from_be_bytes(from.array()?);
    let lowest_major = u64::from_be_bytes(from.array()?);
    let highest_major = u64::from_be_bytes(from.array()?);
    let newest = UnixMs(u64::from_be_bytes(from.array()?));
    let length = usize::from(u16::from_be_bytes(from.array()?));
    let filter = from.slice(length)?;
    let filter = if filter.is_empty() { None } else { Some(Bloom::from_bytes(filter)?) };
    Some(Run { id, blocks, lowest_major, highest_major, newest, filter })
}

#[cfg(test)]
mod tests {
    use super::super::row::MessageRow;
    use super::super::tests::rows;
    use super::*;

    fn sealed() -> Sealed {
        let rows: Vec<MessageRow> = (0..10_000).map(|n| rows::plain_message(n, n)).collect();
        let ids = Family::ALL
            .iter()
            .flat_map(|family| [false, true].map(|foreign| RunId { family: *family, foreign, segment: 3 }));
        let runs = ids.map(|id| Run::new(id, &rows, 9, UnixMs(5))).collect();
        Sealed { segment: 3, day: Day(1), runs }
    }

    #[test]
    fn the_largest_summary_fits_into_a_leaf_and_comes_back() {
        let bytes = sealed().to_bytes();
        // 17 of them and their keys are far from what sled makes a file of its own of.
        assert!(bytes.len() <= 4_096, "{} bytes", bytes.len());
        let again = Sealed::from_bytes(3, Day(1), &bytes).expect("it was written by us");
        assert_eq!(again.to_bytes(), bytes);
        assert_eq!(again.runs.len(), 12);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = sealed().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            if let Some(byte) = damaged.get_mut(at) {
                *byte ^= 4;
            }
            assert!(Sealed::from_bytes(3, Day(1), &damaged).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_run_knows_whose_rows_it_holds() {
        let rows: Vec<MessageRow> = (0..50).map(|n| rows::plain_message(n, n)).collect();
        let run = Run::new(RunId { family: Family::Messages, foreign: false, segment: 1 }, &rows, 1, UnixMs(0));
        let key = |owner| rows::plain_message(owner, 20).sort_key();
        assert!((0..50).all(|owner| run.may_hold::<MessageRow>(&key(owner), &key(owner))));
        let others = (1_000..2_000).filter(|owner| run.may_hold::<MessageRow>(&key(*owner), &key(*owner))).count();
        assert!(others < 50, "{others}");
        let beyond = rows::plain_message(7, 60).sort_key();
        assert!(!run.may_hold::<MessageRow>(&beyond, &beyond));
    }

    #[test]
    fn a_run_holds_what_lies_between_its_ends_and_nothing_beside_them() {
        let rows: Vec<MessageRow> = (10..20).map(|n| rows::plain_message(1, n)).collect();
        let id = RunId { family: Family::Messages, foreign: false, segment: 1 };
        let run = Run::new(id, &rows, 1, UnixMs(0));
        let key = |n| rows::plain_message(1, n).sort_key();
        let asked = |low, high| run.may_hold::<MessageRow>(&key(low), &key(high));
        let cases = [(0, 9, false), (0, 10, true), (10, 10, true), (12, 14, true), (19, 19, true), (19, 30, true)];
        for (low, high, held) in cases.into_iter().chain([(20, 30, false), (0, 30, true)]) {
            assert_eq!(asked(low, high), held, "{low} to {high}");
        }
    }

    #[test]
    fn the_newest_key_of_a_segment_is_known() {
        let at = |family, newest| {
            let id = RunId { family, foreign: false, segment: 3 };
            Run::new(id, &[rows::plain_message(1, 1)], 1, UnixMs(newest))
        };
        let newest = |runs| Sealed { segment: 3, day: Day(1), runs }.newest_key();
        assert_eq!(newest(vec![at(Family::Messages, 9)]), None);
        let runs = vec![at(Family::Keys, 4), at(Family::Messages, 9), at(Family::Keys, 6), at(Family::Keys, 5)];
        assert_eq!(newest(runs), Some(UnixMs(6)));
    }
}
