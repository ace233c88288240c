//! Blocks: sorted rows of one run, packed into values of at most 2 KiB.
//!
//! A *run* is what one segment holds of one family. Rows whose message was
//! first accepted in another segment (carried messages, late attempts) make a
//! *foreign* run of their own, so that the native one spans exactly its segment
//! and a query can leave out the segments that have nothing for it.
//!
//! A block spans owners, so a hundred thousand owners with a row each make some
//! two thousand blocks. Blocks are numbered: a block that the partition has lost leaves a gap.
//!
//! ```text
//!   key    run code u8 | segment u32 | sort key of the first row, 36 bytes | number u32
//!   value  version u8 | run code u8 | segment u32 | number u32 | rows u16 | CRC-32C u32 | rows
//! ```
//! All numbers are big-endian. The check sum covers everything but itself.

use super::codec::{MAX_ROW_BYTES, Packer, Unpacker};
use super::family::{Family, Listed, SORT_KEY_BYTES, SortKey};

/// A value has at most this many bytes. sled keeps up to 17 items in a leaf and
/// moves leaves of more than 131,052 bytes into files of their own, which it
/// never syncs; with this limit a leaf of blocks stays below 40,000, and one of
/// summaries below 70,000. It keeps some 256 leaves in memory, however little it
/// is told to, so they are to be small.
pub(super) const MAX_BLOCK_BYTES: usize = 2_048;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
const CHECKED_HEADER_BYTES: usize = 12;

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunId {
    pub(super) family: Family,
    pub(super) foreign: bool,
    pub(super) segment: u32,
}

impl RunId {
    pub(super) fn code(self) -> u8 {
        0x10 * self.family as u8 + u8::from(self.foreign)
    }

    pub(super) fn from_code(code: u8, segment: u32) -> Option<Self> {
        let family = *Family::ALL.iter().find(|family| **family as u8 == code >> 4)?;
        let foreign = match code & 0xf {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { family, foreign, segment })
    }

    /// What the keys of its blocks begin with.
    pub(super) fn prefix(self) -> Vec<u8> {
        let mut prefix = vec![self.code()];
        prefix.extend_from_slice(&self.segment.to_be_bytes());
        prefix
    }

    /// The key of its block that begins with `first`.
    pub(super) fn block_key(self, first: &SortKey, number: u32) -> Vec<u8> {
        let mut key = self.prefix();
        key.extend_from_slice(&first.to_bytes());
        key.extend_from_slice(&number.to_be_bytes());
        key
    }
}

/// Bytes of a block's key.
pub(super) const BLOCK_KEY_BYTES: usize = 5 + SORT_KEY_BYTES + 4;

/// A key and its value.
pub(super) type Item = (Vec<u8>, Vec<u8>);

/// Packs sorted rows into blocks.
pub(super) fn pack<R: Listed>(run: RunId, rows: &[R]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let mut packer = Packer::default();
        packer.raw(&[0; HEADER_BYTES]);
        let mut count = 0u16;
        for row in rest {
            if packer.bytes.len() + MAX_ROW_BYTES > MAX_BLOCK_BYTES {
                break;
            }
            row.pack(&mut packer);
            count += 1;
        }
        let number = u32::try_from(items.len()).unwrap_or(u32::MAX);
        items.push((run.block_key(&first.sort_key(), number), finish(run, number, count, packer.bytes)));
        rest = rest.get(usize::from(count)..).unwrap_or_default();
    }
    items
}

pub(super) fn finish(run: RunId, number: u32, count: u16, mut bytes: Vec<u8>) -> Vec<u8> {
    let header = header(run, number, count);
    let payload = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header), payload);
    let (head, tail) = bytes.split_at_mut(CHECKED_HEADER_BYTES);
    head.copy_from_slice(&header);
    tail.split_at_mut(4).0.copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn header(run: RunId, number: u32, count: u16) -> [u8; CHECKED_HEADER_BYTES] {
    let mut header = [0; CHECKED_HEADER_BYTES];
    let fields = [VERSION, run.code()].into_iter();
    let fields = fields.chain(run.segment.to_be_bytes()).chain(number.to_be_bytes()).chain(count.to_be_bytes());
    header.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    header
}

/// A block, read back.
pub(super) struct Block<R> {
    pub(super) number: u32,
    pub(super) rows: Vec<R>,
}

/// Reads a block of the run. `None` if it is damaged or another run's.
pub(super) fn unpack<R: Listed>(run: RunId, value: &[u8]) -> Option<Block<R>> {
    let (header_found, rest) = value.split_first_chunk::<CHECKED_HEADER_BYTES>()?;
    let (sum, payload) = rest.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*sum) != crc32c::crc32c_append(crc32c::crc32c(header_found), payload) {
        return None;
    }
    let number = u32::from_be_bytes(*header_found.get(6..10)?.first_chunk()?);
    let count = u16::from_be_bytes(*header_found.last_chunk()?);
    if *header_found != header(run, number, count) {
        return None;
    }
    let mut unpacker = Unpacker::new(payload);
    let rows: Vec<R> = (0..count).map(|_| R::unpack(&mut unpacker)).collect::<Option<_>>()?;
    (unpacker.is_empty() && !rows.is_empty()).then_some(Block { number, rows })
}

#[cfg(test)]
mod tests {
    use super::super::family::{OfEndpoint, OfMessage};
    use super::super::row::{AttemptRow, KeyRow, MessageRow, SettledRow};
    use super::super::tests::rows;
    use super::*;
    use proptest::prelude::*;

    fn round_trip<R: Listed + PartialEq + std::fmt::Debug>(mut rows: Vec<R>) -> Result<(), TestCaseError> {
        rows.sort_by_key(Listed::sort_key);
        let run = RunId { family: R::FAMILY, foreign: true, segment: 7 };
        let items = pack(run, &rows);
        let mut read = Vec::new();
        for (number, (key, value)) in items.iter().enumerate() {
            prop_assert!(value.len() <= MAX_BLOCK_BYTES, "{} bytes", value.len());
            prop_assert_eq!(key.len(), BLOCK_KEY_BYTES);
            let block = unpack::<R>(run, value).expect("it was packed by us");
            prop_assert_eq!(block.number as usize, number);
            let first = block.rows.first().expect("no block is empty").sort_key();
            prop_assert_eq!(key, &run.block_key(&first, block.number));
            read.extend(block.rows);
        }
        prop_assert_eq!(read, rows);
        prop_assert!(items.is_sorted_by(|a, b| a.0 < b.0));
        Ok(())
    }

    proptest! {
        #[test]
        fn rows_come_back_from_blocks(
            messages in proptest::collection::vec(rows::message(), 0..600),
            attempts in proptest::collection::vec(rows::attempt(), 0..600),
            settled in proptest::collection::vec(rows::settled(), 0..300),
            keys in proptest::collection::vec(rows::key(), 0..300),
        ) {
            round_trip::<MessageRow>(messages)?;
            round_trip(attempts.iter().map(|row: &AttemptRow| OfMessage(*row)).collect())?;
            round_trip(attempts.into_iter().map(OfEndpoint).collect())?;
            round_trip::<SettledRow>(settled)?;
            round_trip::<KeyRow>(keys)?;
        }

        #[test]
        fn a_changed_byte_is_noticed(rows in proptest::collection::vec(rows::attempt(), 1..50), at: prop::sample::Index, bit in 0u8..8) {
            let run = RunId { family: Family::AttemptsOfMessage, foreign: false, segment: 1 };
            let rows: Vec<_> = rows.into_iter().map(OfMessage).collect();
            for (_, mut value) in pack(run, &rows) {
                let byte = at.get(&value) as *const u8 as usize - value.as_ptr() as usize;
                if let Some(byte) = value.get_mut(byte) { *byte ^= 1 << bit; }
                prop_assert!(unpack::<OfMessage>(run, &value).is_none());
            }
        }
    }

    #[test]
    fn what_is_no_whole_block_is_refused_though_its_check_sum_is_right() {
        let run = RunId { family: Family::Messages, foreign: false, segment: 1 };
        let mut packer = Packer::default();
        packer.raw(&[0; HEADER_BYTES]);
        rows::plain_message(1, 1).pack(&mut packer);
        let read = |count, bytes: &[u8]| {
            let block = unpack::<MessageRow>(run, &finish(run, 5, count, bytes.to_vec()));
            block.map(|block| (block.number, block.rows.len()))
        };
        let whole = packer.bytes;
        assert_eq!(read(1, &whole), Some((5, 1)));
        assert_eq!(read(2, &whole), None, "a row is missing");
        assert_eq!(read(1, &[&whole[..], &[0]].concat()), None, "bytes are left");
        assert_eq!(read(0, &whole), None, "a row is left");
        assert_eq!(read(0, &[0; HEADER_BYTES]), None, "it has no row");
        assert!(unpack::<MessageRow>(run, &[]).is_none());
        let value = finish(run, 5, 1, whole);
        for other in
            [RunId { segment: 2, ..run }, RunId { foreign: true, ..run }, RunId { family: Family::Settled, ..run }]
        {
            assert!(unpack::<MessageRow>(other, &value).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_run_is_known_by_its_code_and_no_other_code_is_one() {
        let mut known = Vec::new();
        for code in 0..=255 {
            let Some(run) = RunId::from_code(code, 7) else { continue };
            assert_eq!((run.code(), run.segment), (code, 7));
            known.push((run.family, run.foreign));
        }
        assert_eq!(known, Family::ALL.map(|family| [(family, false), (family, true)]).concat());
    }

    #[test]
    fn a_hundred_thousand_owners_with_one_row_each_make_few_blocks() {
        let rows: Vec<MessageRow> = (0..100_000).map(|n| rows::plain_message(n, n)).collect();
        let run = RunId { family: Family::Messages, foreign: false, segment: 1 };
        let blocks = pack(run, &rows).len();
        assert!(blocks < 2_000, "{blocks} blocks");
    }

    #[test]
    fn the_rows_of_one_owner_are_small() {
        let rows: Vec<MessageRow> = (0..100_000).map(|n| rows::plain_message(1, n)).collect();
        let run = RunId { family: Family::Messages, foreign: false, segment: 1 };
        let bytes: usize = pack(run, &rows).iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes / 100_000 < 20, "{} bytes a row", bytes / 100_000);
    }
}
