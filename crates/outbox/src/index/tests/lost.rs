//! What is gone or damaged is never taken for what is not there.

use postrider_model::id::AppId;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::memory::MemoryPartitions;
use super::rows::{id, plain_key, plain_message};
use super::world::shown;
use crate::index::{Day, Index, IndexError, MessageRow, Row, Seen, SegmentRows};

const ROWS: u64 = 400;

fn app() -> AppId {
    AppId(id(1))
}

fn rows() -> impl Iterator<Item = Row> {
    (0..ROWS).map(|n| plain_message(1, n).into())
}

/// Some blocks of messages of one application. The first item is their marker.
fn sealed() -> (MemoryPartitions, Index) {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    index.insert_all(1, rows());
    index.seal(1, Day(0)).expect("the store works");
    assert!(store.len() >= 4, "{} items are too few to mean anything", store.len());
    (store, index)
}

fn is_rebuilding<T>(result: &Result<T, IndexError>) -> bool {
    matches!(result, Err(IndexError::Rebuilding { percent: 0..100 }))
}

#[test]
fn a_list_that_lost_a_block_is_not_answered_without_it() {
    for at in 1..sealed().0.len() {
        for (descending, remove) in [(false, true), (true, true), (false, false), (true, false)] {
            let (store, index) = sealed();
            store.harm(at, remove);
            let seen = index.messages(app(), None, descending, usize::MAX, &mut |_| true);
            assert!(is_rebuilding(&seen), "block {at}, descending: {descending}, gone: {remove}: {seen:?}");
            assert_eq!((index.partitions_set_aside(), index.progress()), (1, Some(0)));
            assert!(!index.holds(1) && store.len() == 0);
            let rows: SegmentRows = rows().collect();
            index.load(1, Day(0), &rows).expect("the store works");
            let (found, seen) = shown(|each: &mut dyn FnMut(&MessageRow) -> bool| {
                index.messages(app(), None, descending, usize::MAX, each)
            });
            assert_eq!((found.len() as u64, seen, index.progress()), (ROWS, Seen::All, None));
        }
    }
}

#[test]
fn a_message_whose_block_is_gone_is_not_said_to_be_unknown() {
    for at in 1..sealed().0.len() {
        let (store, index) = sealed();
        store.harm(at, true);
        let noticed = (0..ROWS).any(|n| {
            let row = plain_message(1, n);
            let found = index.message(app(), row.sequence);
            assert!(is_rebuilding(&found) || matches!(found, Ok(Some(found)) if found == row), "{n}: {found:?}");
            found.is_err()
        });
        assert!(noticed, "block {at}");
    }
}

#[test]
fn of_those_who_find_the_same_damage_the_first_moves_the_partition_aside() {
    let (store, index) = sealed();
    let last = store.len() - 1;
    let mut count = 0;
    // A list that began before the damage was found comes to it afterwards.
    let seen = index.messages(app(), None, false, usize::MAX, &mut |_| {
        count += 1;
        if count == 1 {
            store.harm(last, true);
            assert!(is_rebuilding(&index.messages(app(), None, true, 10, &mut |_| true)));
            assert_eq!(index.partitions_set_aside(), 1);
        }
        true
    });
    assert!(is_rebuilding(&seen) && count < ROWS, "{seen:?} after {count} rows");
    assert_eq!(index.partitions_set_aside(), 1);
}

#[test]
fn a_segment_that_is_dropped_while_it_is_read_has_nothing_more_to_give() {
    let (_store, index) = sealed();
    let mut count = 0;
    let seen = index.messages(app(), None, false, usize::MAX, &mut |_| {
        count += 1;
        if count == 1 {
            index.drop_segment(1).expect("the store works");
        }
        true
    });
    assert_eq!(seen.expect("nothing is missing"), Seen::All);
    assert!(count < ROWS, "{count} rows");
    assert_eq!((index.partitions_set_aside(), index.progress()), (0, None));
}

#[test]
fn a_key_whose_block_is_gone_is_not_said_to_be_unknown() {
    let key = |n: u64| plain_key(n, Position::new(1, n as u32));
    let filled = || {
        let store = MemoryPartitions::default();
        let index = store.fresh_index();
        index.insert_all(1, (0..ROWS).map(|n| Row::from(key(n))));
        index.seal(1, Day(0)).expect("the store works");
        (store, index)
    };
    for at in 1..filled().0.len() {
        let (store, index) = filled();
        store.harm(at, true);
        let noticed = (0..ROWS).any(|n| {
            let found = index.find_key(&key(n).hash);
            assert!(is_rebuilding(&found) || matches!(found, Ok(Some(found)) if found == key(n)), "{n}: {found:?}");
            found.is_err()
        });
        assert!(noticed && !index.keys_ready(), "block {at}");

        // A start reads all keys of the window, and finds it by itself.
        let (store, _) = filled();
        store.harm(at, true);
        let index = store.index();
        let missing = index.unindexed(&[(1, Day(0))], key(0).at).expect("the store works");
        assert_eq!((missing, index.partitions_set_aside()), (vec![1], 1), "block {at}");
        assert!(!index.keys_ready());
    }
}

#[test]
fn keys_are_looked_up_while_a_partition_without_any_is_built_anew() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    let key = plain_key(1, Position::new(2, 64));
    index.insert_all(1, rows());
    index.insert(2, key);
    for segment in [1, 2] {
        index.seal(segment, Day(segment)).expect("the store works");
    }
    // The marker of the first day, then its blocks.
    store.harm(1, true);
    assert!(is_rebuilding(&index.messages(app(), None, false, 10, &mut |_| true)));
    assert_eq!(index.progress(), Some(50));
    assert!(index.keys_ready() && !index.holds(1) && index.holds(2));
    assert_eq!(index.find_key(&key.hash).expect("its segment is there"), Some(key));
}

#[test]
fn a_marker_that_is_damaged_costs_its_partition_and_no_row() {
    let (store, _) = sealed();
    store.harm(0, false);
    let index = store.index();
    assert_eq!(index.unindexed(&[(1, Day(0))], UnixMs(0)).expect("the store works"), [1]);
    assert_eq!((index.partitions_set_aside(), store.len()), (1, 0));
}

#[test]
fn what_cannot_be_read_at_the_moment_is_told_and_not_given_up() {
    let (store, index) = sealed();
    let key = plain_key(1, Position::new(2, 64));
    index.insert(2, key);
    index.seal(2, Day(0)).expect("the store works");
    store.set_readable(false);
    let is_told =
        |error: Option<IndexError>| matches!(error, Some(IndexError::Io { action: "read index partition", .. }));
    assert!(is_told(index.messages(app(), None, false, 10, &mut |_| true).err()));
    assert!(is_told(index.find_key(&key.hash).err()));
    let after_a_start = store.index();
    let segments = [(1, Day(0)), (2, Day(0))];
    assert!(is_told(after_a_start.unindexed(&segments, key.at).err()));
    assert_eq!(after_a_start.progress(), Some(0), "it is not known what is missing");
    store.set_readable(true);
    assert!(after_a_start.unindexed(&segments, key.at).is_ok_and(|missing| missing.is_empty()));
    for index in [index, after_a_start] {
        assert_eq!((index.partitions_set_aside(), index.progress()), (0, None));
        assert_eq!(index.find_key(&key.hash).expect("it can be read again"), Some(key));
        let (found, _) =
            shown(|each: &mut dyn FnMut(&MessageRow) -> bool| index.messages(app(), None, false, usize::MAX, each));
        assert_eq!(found.len() as u64, ROWS);
    }
}
