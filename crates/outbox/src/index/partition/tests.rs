use std::ops::Bound;

use super::*;

fn partitions(open_max: usize) -> (tempfile::TempDir, SledPartitions) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let partitions = SledPartitions::new(directory.path(), open_max, 1 << 20).expect("the directory can be made");
    (directory, partitions)
}

fn write(partitions: &SledPartitions, day: Day, segment: u32, blocks: &[&[u8]]) {
    let blocks = blocks.iter().map(|key| (key.to_vec(), b"value".to_vec())).collect();
    let write = SegmentWrite { clear: vec![vec![0x10]], blocks, marker: (marker_key(segment), b"marker".to_vec()) };
    partitions.write(day, &write).expect("there is room");
}

fn keys(partitions: &SledPartitions, day: Day, descending: bool) -> Vec<Vec<u8>> {
    let range = KeyRange { low: Bound::Included(&[0x10]), high: Bound::Unbounded, descending };
    let mut keys = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        true
    };
    partitions.read(day, &range, visit).expect("it is whole");
    keys
}

fn open_now(partitions: &SledPartitions) -> usize {
    partitions.slots.lock().values().filter(|slot| slot.db.read().is_some()).count()
}

#[test]
fn a_write_takes_the_place_of_what_was_left_of_the_one_before() {
    let (_directory, partitions) = partitions(2);
    write(&partitions, Day(1), 1, &[b"\x10a", b"\x10b"]);
    write(&partitions, Day(1), 1, &[b"\x10b", b"\x10c"]);
    assert_eq!(keys(&partitions, Day(1), false), [b"\x10b", b"\x10c"]);
    assert_eq!(keys(&partitions, Day(1), true), [b"\x10c", b"\x10b"]);
}

#[test]
fn few_partitions_are_open_and_the_newest_stay_open() {
    let (_directory, partitions) = partitions(4);
    for day in 0..12 {
        write(&partitions, Day(day), day, &[b"\x10a"]);
        assert!(open_now(&partitions) <= 4);
    }
    for day in (0..10).chain(0..10) {
        assert_eq!(keys(&partitions, Day(day), false).len(), 1);
        assert!(open_now(&partitions) <= 4);
    }
    let slots = partitions.slots.lock();
    assert!([10, 11].iter().all(|day| slots.get(&Day(*day)).is_some_and(|slot| slot.db.read().is_some())));
}

#[test]
fn a_partition_can_be_opened_right_after_it_was_closed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for round in 0..20 {
        let partitions = SledPartitions::new(directory.path(), 1, 1 << 20).expect("the directory can be made");
        write(&partitions, Day(1), round, &[b"\x10a"]);
    }
}

#[test]
fn reading_makes_no_partition() {
    let (directory, partitions) = partitions(2);
    assert!(keys(&partitions, Day(5), false).is_empty());
    assert!(list(directory.path()).expect("it is a directory").is_empty());
}

#[test]
fn another_version_is_refused_and_can_be_moved_aside() {
    let (directory, partitions) = partitions(2);
    write(&partitions, Day(1), 1, &[b"\x10a"]);
    let foreign = partitions.with(Day(1), false, "test", |db| db.insert(VERSION_KEY, b"another").map(|_| ()));
    foreign.expect("there is room");
    close(&mut partitions.slot(Day(1)).db.write());
    let range = KeyRange { low: Bound::Unbounded, high: Bound::Unbounded, descending: false };
    let refused = partitions.read(Day(1), &range, &mut |_, _| true);
    assert!(matches!(&refused, Err(StoreError::Damaged { detail, .. }) if detail.contains("version")), "{refused:?}");
    partitions.set_aside(Day(1)).expect("it can be renamed");
    assert_eq!(partitions.days().expect("it is a directory"), []);
    assert!(directory.path().join("aside-1-1").exists());
    write(&partitions, Day(1), 1, &[b"\x10a"]);
    assert_eq!(keys(&partitions, Day(1), false).len(), 1);
}

#[test]
fn one_that_lost_its_version_is_refused_too() {
    let (_directory, partitions) = partitions(2);
    write(&partitions, Day(1), 1, &[b"\x10a"]);
    let lost = partitions.with(Day(1), false, "test", |db| db.remove(VERSION_KEY));
    assert!(lost.expect("there is room").flatten().is_some());
    close(&mut partitions.slot(Day(1)).db.write());
    let range = KeyRange { low: Bound::Unbounded, high: Bound::Unbounded, descending: false };
    let refused = partitions.read(Day(1), &range, &mut |_, _| true);
    assert!(matches!(&refused, Err(StoreError::Damaged { detail, .. }) if detail.contains("version")), "{refused:?}");
}

#[test]
fn what_is_not_there_need_not_be_moved_aside() {
    let (directory, partitions) = partitions(2);
    partitions.set_aside(Day(1)).expect("there is nothing to do");
    assert!(list(directory.path()).expect("it is a directory").is_empty());
}

#[test]
fn a_panic_is_caught_and_the_partition_can_be_opened_again() {
    let (_directory, partitions) = partitions(2);
    write(&partitions, Day(1), 1, &[b"\x10a"]);
    let caught = partitions.with(Day(1), false, "test", |_| -> Result<(), sled::Error> { panic!("found {}", 7) });
    assert!(matches!(&caught, Err(StoreError::Damaged { detail, .. }) if detail.contains("found 7")), "{caught:?}");
    assert_eq!(keys(&partitions, Day(1), false).len(), 1);
}

#[test]
fn a_full_disk_is_no_damage() {
    let full = Trouble::Error(sled::Error::Io(io::ErrorKind::StorageFull.into()));
    assert!(matches!(full.at(Path::new("p"), "write"), StoreError::Io { .. }));
    let short = Trouble::Error(sled::Error::Io(io::ErrorKind::UnexpectedEof.into()));
    assert!(matches!(short.at(Path::new("p"), "open"), StoreError::Damaged { .. }));
}
