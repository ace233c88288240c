//! What a start finds on disk, and what goes with its segments.

use postrider_model::id::AppId;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::memory::MemoryPartitions;
use super::rows::{id, message_at};
use super::world::shown;
use crate::index::store::PartitionStore;
use crate::index::{Day, Index, IndexError, MessageRow, Row, SegmentRows};

const NOW: UnixMs = UnixMs(1_700_000_000_000);

fn message(segment: u32) -> MessageRow {
    message_at(1, Position::new(segment, 64))
}

/// These segments, sealed into these days, and the index gone.
fn written(segments: &[(u32, Day)]) -> MemoryPartitions {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    for (segment, day) in segments {
        index.insert(*segment, message(*segment));
        index.seal(*segment, *day).expect("the store works");
    }
    store
}

fn missing(index: &Index, segments: &[(u32, Day)]) -> Vec<u32> {
    index.unindexed(segments, NOW).expect("the store works")
}

fn listed(index: &Index) -> Vec<u32> {
    let (rows, _) = shown(|each| index.messages(AppId(id(1)), None, false, 100, each));
    rows.iter().map(|row: &MessageRow| row.position.segment()).collect()
}

fn days(store: &MemoryPartitions) -> Vec<u32> {
    store.days().expect("the store works").into_iter().map(|day| day.0).collect()
}

#[test]
fn what_is_on_disk_is_not_read_from_the_journal_again() {
    let segments = [(1, Day(1)), (2, Day(1)), (3, Day(2))];
    let store = written(&segments);
    let before = store.items(Day(1));
    let index = store.index();
    assert_eq!(index.progress(), Some(0), "nothing is known before the partitions were looked at");
    let asked = index.messages(AppId(id(1)), None, false, 1, &mut |_| true);
    assert!(matches!(asked, Err(IndexError::Rebuilding { percent: 0 })));
    assert!(missing(&index, &segments).is_empty());
    assert_eq!((index.progress(), index.keys_ready(), index.partitions_set_aside()), (None, true, 0));
    assert!([1, 2, 3].iter().all(|segment| index.holds(*segment) && !index.is_live(*segment)));
    assert_eq!(listed(&index), [1, 2, 3]);
    assert_eq!(store.items(Day(1)), before);
}

#[test]
fn what_is_not_on_disk_is_named_the_newest_first_until_it_is_loaded() {
    let store = written(&[(2, Day(1))]);
    let index = store.index();
    let all = [(1, Day(1)), (2, Day(1)), (3, Day(2)), (4, Day(2))];
    for (expected, percent) in [(vec![4, 3, 1], 25), (vec![3, 1], 50), (vec![1], 75)] {
        assert_eq!(missing(&index, &all), expected);
        assert_eq!(index.progress(), Some(percent));
        let newest = expected.first().copied().unwrap_or_default();
        let rows: SegmentRows = [Row::from(message(newest))].into_iter().collect();
        let (_, day) = all.into_iter().find(|(segment, _)| *segment == newest).expect("it is one of ours");
        index.load(newest, day, &rows).expect("the store works");
        assert!(index.holds(newest));
    }
    assert_eq!(index.progress(), None);
    assert_eq!(listed(&index), [1, 2, 3, 4]);
}

#[test]
fn a_segment_whose_rows_are_in_memory_is_not_missing() {
    let index = MemoryPartitions::default().index();
    index.insert(3, message(3));
    assert!(index.is_live(3) && !index.holds(3) && !index.is_live(2));
    assert_eq!(missing(&index, &[(2, Day(1)), (3, Day(1))]), [2]);
}

#[test]
fn what_is_on_disk_already_is_not_written_again() {
    let store = written(&[(1, Day(1))]);
    let index = store.index();
    assert!(missing(&index, &[(1, Day(1))]).is_empty());
    let other: SegmentRows = [Row::from(message(7))].into_iter().collect();
    index.load(1, Day(1), &other).expect("the store works");
    index.insert(1, message(1));
    index.seal(1, Day(1)).expect("the store works");
    assert!(!index.is_live(1));
    assert_eq!(listed(&index), [1]);
}

#[test]
fn partitions_that_belong_to_no_segment_are_deleted() {
    let store = written(&[(1, Day(1)), (2, Day(2)), (3, Day(3))]);
    let index = store.index();
    assert!(missing(&index, &[(2, Day(2))]).is_empty());
    assert_eq!((days(&store), listed(&index)), (vec![2], vec![2]));
}

#[test]
fn a_partition_stays_while_a_segment_of_its_day_is_to_be_read() {
    // The write of segment 2 was interrupted: there is a partition, and no segment in it.
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    index.insert(2, message(2));
    store.fail_after(Some(1));
    index.seal(2, Day(2)).expect_err("the disk is full");
    assert!(index.is_live(2) && !index.holds(2), "rows that were not written stay in memory");
    assert_eq!(listed(&index), [2]);
    let index = store.index();
    assert_eq!(missing(&index, &[(1, Day(1)), (2, Day(2))]), [2, 1]);
    assert_eq!((days(&store), index.partitions_set_aside()), (vec![2], 0));
    let index = store.index();
    assert_eq!(missing(&index, &[(1, Day(1))]), [1]);
    assert_eq!(days(&store), [0; 0], "nobody wants it");
}

#[test]
fn rows_are_read_in_the_day_where_they_are_found() {
    let store = written(&[(1, Day(1))]);
    let index = store.index();
    assert!(missing(&index, &[(1, Day(2))]).is_empty());
    assert_eq!((listed(&index), days(&store)), (vec![1], vec![1]));
}

#[test]
fn what_was_sealed_before_the_partitions_were_looked_at_stays() {
    let store = MemoryPartitions::default();
    let index = store.index();
    index.insert(1, message(1));
    index.seal(1, Day(1)).expect("the store works");
    assert!(missing(&index, &[]).is_empty());
    assert_eq!((listed(&index), days(&store)), (vec![1], vec![1]));
}

#[test]
fn a_partition_goes_with_the_last_of_its_segments() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    for (segment, day) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        index.insert(segment, message(segment));
        index.seal(segment, Day(day)).expect("the store works");
    }
    let bytes = store.items(Day(1)).into_iter().chain(store.items(Day(2)));
    assert_eq!(index.size_bytes(), bytes.map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>());
    index.drop_segment(1).expect("the store works");
    assert_eq!((listed(&index), days(&store)), (vec![2, 3, 4], vec![1, 2]));
    index.drop_segment(2).expect("the store works");
    assert_eq!((listed(&index), days(&store)), (vec![3, 4], vec![2]));
    index.drop_partition(Day(2)).expect("the store works");
    assert_eq!((listed(&index), days(&store)), (vec![], vec![]));
    assert_eq!((index.size_bytes(), index.progress()), (0, None));
    index.insert(5, message(5));
    index.drop_segment(5).expect("the store works");
    assert_eq!((listed(&index), index.is_live(5)), (vec![], false), "rows in memory go too");
}
