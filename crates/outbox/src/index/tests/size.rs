//! What many rows cost.

use std::fs;
use std::path::Path;

use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::rows::{id, plain_message};
use crate::index::{AttemptRow, Day, Index, IndexOptions, KeyRow, Row};

fn blobs(partition: &Path) -> usize {
    let entries = fs::read_dir(partition.join("blobs")).expect("sled makes the directory");
    entries.count()
}

/// The rows of a segment: a message with a key each, and an attempt.
fn segment(number: u32, owners: u64, count: u64) -> impl Iterator<Item = Row> {
    (0..count).flat_map(move |n| {
        let mut message = plain_message(n % owners, n);
        message.sequence = Position::new(number, n as u32 * 300 + 1);
        message.position = message.sequence;
        let hash = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
        let attempt = AttemptRow {
            app: message.app,
            endpoint: EndpointId(id(n % owners)),
            message: message.sequence,
            position: Position::new(number, n as u32 * 300 + 151),
            ended: message.accepted,
            status: 200,
            succeeded: true,
            delivered: true,
        };
        [
            Row::Message(message),
            Row::Attempt(attempt),
            Row::Key(KeyRow { hash, position: message.position, at: UnixMs(0) }),
        ]
    })
}

#[test]
fn many_rows_make_small_values_and_no_blobs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let index = Index::open(&IndexOptions::new(directory.path())).expect("the directory is new");
    index.unindexed(&[], UnixMs(0)).expect("there is nothing");
    const ROWS: u64 = 30_000;
    for (number, owners) in [(1, 1), (2, 100), (3, ROWS)] {
        index.insert_all(number, segment(number, owners, ROWS));
        index.seal(number, Day(0)).expect("there is room");
        assert!(!index.is_live(number));
    }
    assert_eq!(blobs(&directory.path().join("0")), 0);
    let mut found = 0;
    for owner in 0..100 {
        let mut count = |_: &_| {
            found += 1;
            true
        };
        index.messages(AppId(id(owner)), None, owner % 2 == 0, 1_000_000, &mut count).expect("all is there");
    }
    assert_eq!(found, ROWS + ROWS + 100);
    let bytes_per_event = index.size_bytes() / (3 * ROWS);
    assert!(bytes_per_event < 400, "{bytes_per_event} bytes an event on disk");
}
