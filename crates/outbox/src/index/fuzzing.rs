//! What must hold of whatever stands in a partition.

use std::fmt::Debug;

use postrider_model::id::ID_BYTES;

use super::block::{MAX_BLOCK_BYTES, RunId, finish, pack, unpack};
use super::family::{Family, Listed, OfEndpoint, OfMessage, SettledOfEndpoint, SortKey};
use super::row::{Day, KeyRow, MessageRow, SettledRow};
use super::summary::Sealed;

/// The largest value that is looked at: sled gives what it finds.
const MAX_VALUE_BYTES: usize = 4 * MAX_BLOCK_BYTES;

/// A block: which list, how many rows, and the rows.
///
/// # Panics
/// The law is broken.
pub fn block(bytes: &[u8]) {
    let Some(([code, count], rows)) = bytes.split_first_chunk() else { return };
    let rows = rows.get(..MAX_VALUE_BYTES).unwrap_or(rows);
    let (foreign, count) = (code & 0x80 != 0, u16::from(*count));
    match code & 7 {
        1 => rows_of::<MessageRow>(foreign, count, rows),
        2 => rows_of::<OfMessage>(foreign, count, rows),
        3 => rows_of::<OfEndpoint>(foreign, count, rows),
        4 => rows_of::<SettledRow>(foreign, count, rows),
        5 => rows_of::<KeyRow>(foreign, count, rows),
        6 => rows_of::<SettledOfEndpoint>(foreign, count, rows),
        _ => {}
    }
}

fn rows_of<R: Listed + PartialEq + Debug>(foreign: bool, count: u16, payload: &[u8]) {
    let run = RunId { family: R::FAMILY, foreign, segment: 7 };
    assert!(unpack::<R>(run, payload).is_none(), "rows without their head are no block");
    let value = finish(run, 3, count, [&[0; 16], payload].concat());
    let other = RunId { segment: 8, ..run };
    assert!(unpack::<R>(other, &value).is_none(), "a block belongs to one segment");
    let Some(block) = unpack::<R>(run, &value) else { return };
    assert_eq!((block.number, block.rows.len()), (3, usize::from(count)));
    assert!(block.rows.len() <= payload.len(), "a row takes a byte at least");
    let mut rows = block.rows;
    rows.sort_by_key(Listed::sort_key);
    let mut again = Vec::new();
    for (key, value) in pack(run, &rows) {
        assert!(value.len() <= MAX_BLOCK_BYTES, "{} bytes", value.len());
        let block = unpack::<R>(run, &value).expect("we packed it ourselves");
        let first = block.rows.first().expect("no block is empty").sort_key();
        assert_eq!(key, run.block_key(&first, block.number));
        again.extend(block.rows);
    }
    assert_eq!(again, rows, "what was read is read again as the same");
}

/// The summary of a segment, without its check sum.
///
/// # Panics
/// The law is broken.
pub fn summary(bytes: &[u8]) {
    let checked = [bytes, &crc32c::crc32c(bytes).to_be_bytes()].concat();
    let Some(sealed) = Sealed::from_bytes(7, Day(1), &checked) else { return };
    assert!(sealed.runs.len() <= bytes.len());
    assert!(sealed.runs.iter().all(|run| run.id.segment == 7 && Family::ALL.contains(&run.id.family)));
    let written = sealed.to_bytes();
    assert_eq!(written.len(), checked.len(), "we write nothing longer than need be");
    let again = Sealed::from_bytes(7, Day(1), &written).expect("we wrote it ourselves");
    assert_eq!(again.to_bytes(), written, "what was read is read again as the same");
    for run in &sealed.runs {
        let key = |major| SortKey { owner: [7; ID_BYTES], major, minor: 0 };
        let asked = |low, high| run.may_hold::<MessageRow>(&key(low), &key(high));
        let (low, high) = (run.lowest_major, run.highest_major);
        assert!(low == 0 || !asked(0, low - 1), "what lies before it is not in it");
        assert!(high == u64::MAX || !asked(high + 1, u64::MAX), "nor is what lies behind it");
    }
}
