//! Keys and event ids: the newest row of each is the answer.

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::memory::MemoryPartitions;
use super::rows::plain_key;
use crate::index::{Day, Index, IndexOptions, KeyRow};

fn key(segment: u32, offset: u32) -> KeyRow {
    KeyRow { position: Position::new(segment, offset), ..plain_key(1, Position::ZERO) }
}

fn find(index: &Index) -> Option<KeyRow> {
    index.find_key(&key(0, 0).hash).expect("nothing is missing")
}

#[test]
fn of_all_rows_of_a_key_the_newest_is_found_wherever_it_lies() {
    let index = MemoryPartitions::default().fresh_index();
    assert_eq!(find(&index), None);
    let seal = |segment| index.seal(segment, Day(0)).expect("the store works");
    index.insert(2, key(2, 500));
    assert_eq!(find(&index), Some(key(2, 500)));
    // Within a segment, whichever comes first.
    index.insert(2, key(2, 400));
    index.insert(2, key(2, 600));
    assert_eq!(find(&index), Some(key(2, 600)));
    // A newer segment, in memory and on disk.
    index.insert(4, key(4, 100));
    assert_eq!(find(&index), Some(key(4, 100)));
    seal(4);
    assert_eq!(find(&index), Some(key(4, 100)), "newer on disk than in memory");
    seal(2);
    assert_eq!(find(&index), Some(key(4, 100)), "both on disk");
    index.insert(3, key(3, 100));
    assert_eq!(find(&index), Some(key(4, 100)), "older in memory than on disk");
    index.insert(4, key(4, 200));
    assert_eq!(find(&index), Some(key(4, 200)), "in memory what came behind the segment was sealed");
    index.insert(5, key(5, 100));
    assert_eq!(find(&index), Some(key(5, 100)));
}

#[test]
fn a_start_brings_back_the_keys_of_the_window_and_no_older_ones() {
    let at = plain_key(1, Position::ZERO).at;
    let last = at + IndexOptions::KEY_WINDOW;
    for (now, found) in [(at, true), (last, true), (UnixMs(last.as_u64() + 1), false)] {
        let store = MemoryPartitions::default();
        let before = store.fresh_index();
        before.insert(1, key(1, 64));
        before.seal(1, Day::of(at)).expect("the store works");
        let index = store.index();
        assert!(!index.keys_ready());
        assert!(index.find_key(&key(1, 64).hash).is_err(), "nothing is known before the partitions were looked at");
        let missing = index.unindexed(&[(1, Day::of(at))], now).expect("the store works");
        assert_eq!((missing, index.keys_ready()), (vec![], true));
        assert_eq!(find(&index), found.then_some(key(1, 64)), "{now}");
        assert_eq!(index.key_filter_bytes() > 0, found, "{now}");
    }
}

#[test]
fn the_memory_of_keys_goes_with_their_time_or_their_segment() {
    let at = plain_key(1, Position::ZERO).at;
    let filled = || {
        let index = MemoryPartitions::default().fresh_index();
        index.insert(1, key(1, 64));
        index.seal(1, Day(0)).expect("the store works");
        assert!(index.key_filter_bytes() > 0);
        index
    };
    let index = filled();
    index.expire_keys(at + IndexOptions::KEY_WINDOW);
    assert_eq!(find(&index), Some(key(1, 64)));
    index.expire_keys(UnixMs((at + IndexOptions::KEY_WINDOW).as_u64() + 1));
    assert_eq!((find(&index), index.key_filter_bytes()), (None, 0));
    let index = filled();
    index.drop_segment(1).expect("the store works");
    assert_eq!((find(&index), index.key_filter_bytes()), (None, 0));
    let index = filled();
    index.drop_partition(Day(0)).expect("the store works");
    assert_eq!((find(&index), index.key_filter_bytes()), (None, 0));
}
