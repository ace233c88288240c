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

/// Errors that say nothing about what is in the files leave the partition where it is.
#[test]
fn only_what_may_pass_is_no_damage() {
    use io::ErrorKind::{
        InvalidData, NotFound, OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        UnexpectedEof,
    };
    let passing = [StorageFull, QuotaExceeded, PermissionDenied, ReadOnlyFilesystem, OutOfMemory];
    let passing = passing.map(io::Error::from).into_iter().chain([
        io::ErrorKind::Interrupted.into(),
        io::Error::from_raw_os_error(23),
        io::Error::from_raw_os_error(24),
        io::Error::other("could not acquire lock on \"db\""),
    ]);
    for error in passing {
        let text = error.to_string();
        let found = Trouble::Error(sled::Error::Io(error)).at(Path::new("p"), "read");
        assert!(matches!(&found, StoreError::Io { action: "read", path, .. } if path == Path::new("p")), "{text}");
    }
    let damage = [InvalidData, NotFound, UnexpectedEof].map(io::Error::from).into_iter();
    for error in damage.chain([io::Error::from_raw_os_error(22), io::Error::other("something else")]) {
        let text = error.to_string();
        let found = Trouble::Error(sled::Error::Io(error)).at(Path::new("p"), "read");
        assert!(matches!(found, StoreError::Damaged { .. }), "{text}");
    }
}

#[test]
fn a_lock_that_is_held_is_told_from_other_troubles() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = |name: &str| guarded(|| sled::Config::new().path(directory.path().join(name)).open());
    let Ok(_held) = open("one") else { panic!("the directory is new") };
    assert!(open("one").is_err_and(|trouble| trouble.is_lock()));
    fs::write(directory.path().join("file"), b"no directory").expect("there is room");
    assert!(open("file").is_err_and(|trouble| !trouble.is_lock()));
    assert!(!Trouble::Panic("could not acquire lock".into()).is_lock());
}

#[test]
fn opening_waits_for_a_lock_that_is_not_yet_free() {
    let (directory, partitions) = partitions(2);
    write(&partitions, Day(1), 1, &[b"\x10a"]);
    close(&mut partitions.slot(Day(1)).db.write());
    let held = open_db(&directory.path().join("1"), 1 << 20).expect("it is whole");
    let slot = partitions.slot(Day(1));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| keys(&partitions, Day(1), false));
        // It keeps others out while it opens.
        while slot.db.try_read().is_some() && !reader.is_finished() {
            std::thread::yield_now();
        }
        drop(held);
        assert_eq!(reader.join().expect("it can be read"), [b"\x10a"]);
    });
}

#[test]
fn only_the_key_of_a_marker_names_a_segment() {
    for segment in [0, 1, 2, 0x0102_0304, u32::MAX] {
        assert_eq!(segment_of_marker(&marker_key(segment)), Some(segment));
    }
    let mut segments = [300, 2, 70_000, 1].map(marker_key);
    segments.sort();
    assert_eq!(segments, [1, 2, 300, 70_000].map(marker_key));
    for key in [&[][..], &VERSION_KEY, &[0, 0, 0, 0, 1], &[2, 0, 0, 0, 1], &[MARKER], &[MARKER, 0, 0, 1]] {
        assert_eq!(segment_of_marker(key), None, "{key:?}");
    }
}

#[test]
fn days_are_directories_with_a_number_for_a_name() {
    let (directory, partitions) = partitions(2);
    for name in ["10", "2", "aside-1-3", "other", "300"] {
        fs::create_dir(directory.path().join(name)).expect("there is room");
    }
    assert_eq!(partitions.days().expect("it is a directory"), [Day(2), Day(10), Day(300)]);
}

#[test]
fn what_was_moved_aside_last_is_kept() {
    let (directory, partitions) = partitions(2);
    let names = || {
        let paths = list(directory.path()).expect("it is a directory").into_iter();
        let mut names: Vec<_> =
            paths.filter_map(|path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned)).collect();
        names.sort();
        names
    };
    for (day, expected) in [(5, &["aside-1-5"][..]), (4, &["aside-1-5", "aside-2-4"]), (9, &["aside-2-4", "aside-3-9"])]
    {
        fs::create_dir(directory.path().join(day.to_string())).expect("there is room");
        partitions.set_aside(Day(day)).expect("it can be renamed");
        assert_eq!(names(), expected);
    }
    // By their numbers, not by their names.
    fs::create_dir(directory.path().join("aside-10-7")).expect("there is room");
    fs::create_dir(directory.path().join("8")).expect("there is room");
    partitions.set_aside(Day(8)).expect("it can be renamed");
    assert_eq!(names(), ["aside-10-7", "aside-11-8"]);
}

/// The index would take it for gone, and find it again at the next start.
#[test]
fn a_partition_that_cannot_be_moved_aside_is_told_of() {
    let (directory, mut partitions) = partitions(2);
    let path = partitions.slot(Day(5)).path.clone();
    // No directory can be moved into itself.
    partitions.directory = path.join("inside");
    fs::create_dir_all(&partitions.directory).expect("there is room");
    let refused = partitions.set_aside(Day(5));
    assert!(matches!(&refused, Err(StoreError::Io { path: told, .. }) if *told == path), "{refused:?}");
    assert_eq!(list(directory.path()).expect("it is a directory"), [path]);
}

#[test]
fn what_cannot_be_listed_or_removed_is_told_of() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (file, missing) = (directory.path().join("file"), directory.path().join("missing"));
    fs::write(&file, b"no directory").expect("there is room");
    assert!(list(&missing).expect("it has nothing").is_empty());
    remove(&missing).expect("it is gone already");
    assert!(matches!(list(&file), Err(StoreError::Io { action: "list", .. })));
    assert!(matches!(remove(&file.join("below")), Err(StoreError::Io { action: "remove", .. })));
    remove(&file).expect("it can be removed");
    assert!(!file.exists());
    fs::create_dir_all(missing.join("below")).expect("there is room");
    remove(&missing).expect("it goes with everything in it");
    assert!(!missing.exists());
}

#[test]
fn the_size_is_that_of_all_files_however_deep() {
    let (directory, partitions) = partitions(2);
    assert_eq!(partitions.size_bytes(), 0);
    fs::create_dir_all(directory.path().join("7/blobs")).expect("there is room");
    for (name, bytes) in [("7/db", 1_000), ("7/blobs/one", 30), ("7/blobs/two", 4), ("other", 200)] {
        fs::write(directory.path().join(name), vec![1; bytes]).expect("there is room");
    }
    assert_eq!(partitions.size_bytes(), 1_234);
}

#[test]
fn only_snapshots_that_were_not_finished_are_deleted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let names = ["snap.00000000000000FF.generating", "other.generating"];
    for name in names {
        fs::write(directory.path().join(name), b"").expect("there is room");
    }
    drop(open_db(directory.path(), 1 << 20));
    assert_eq!(names.map(|name| directory.path().join(name).exists()), [false, true]);
}

/// A kill or a power cut leaves what the files have at that moment.
#[test]
fn what_was_written_is_in_the_files_while_the_partition_is_open() {
    let (directory, partitions) = partitions(2);
    write(&partitions, Day(1), 7, &[b"\x10a", b"\x10b"]);
    let copy = tempfile::tempdir().expect("a temporary directory");
    let (from, to) = (directory.path().join("1"), copy.path().join("1"));
    fs::create_dir_all(&to).expect("there is room");
    for path in list(&from).expect("it is a directory").into_iter().filter(|path| path.is_file()) {
        let name = path.file_name().expect("it was listed");
        fs::copy(&path, to.join(name)).expect("there is room");
    }
    let copied = SledPartitions::new(copy.path(), 2, 1 << 20).expect("the directory is there");
    assert_eq!(keys(&copied, Day(1), false), [b"\x10a", b"\x10b"]);
    let marker = marker_key(7);
    let range = KeyRange { low: Bound::Included(&marker), high: Bound::Included(&marker), descending: false };
    let mut found = Vec::new();
    let visit = &mut |_: &[u8], value: &[u8]| {
        found.extend_from_slice(value);
        true
    };
    copied.read(Day(1), &range, visit).expect("it is whole");
    assert_eq!(found, b"marker");
}

fn open_days(partitions: &SledPartitions) -> Vec<u32> {
    let slots = partitions.slots.lock();
    let mut days: Vec<_> = slots.values().filter(|slot| slot.db.read().is_some()).map(|slot| slot.day.0).collect();
    days.sort_unstable();
    days
}

#[test]
fn the_partition_that_was_not_used_for_longest_is_closed_and_no_other() {
    let (_directory, partitions) = partitions(4);
    (0..4).for_each(|day| write(&partitions, Day(day), day, &[b"\x10a"]));
    keys(&partitions, Day(0), false);
    write(&partitions, Day(4), 4, &[b"\x10a"]);
    assert_eq!(open_days(&partitions), [0, 2, 3, 4]);
    keys(&partitions, Day(1), false);
    assert_eq!(open_days(&partitions), [0, 1, 3, 4]);
    // The two newest stay, though all others were used since.
    keys(&partitions, Day(2), false);
    assert_eq!(open_days(&partitions), [1, 2, 3, 4]);
}

#[test]
fn no_more_are_open_than_are_allowed_however_few_these_are() {
    for open_max in 0..4 {
        let (_directory, partitions) = partitions(open_max);
        for day in [1, 2, 3, 4, 5, 1, 5, 2] {
            write(&partitions, Day(day), day, &[b"\x10a"]);
            let open = open_days(&partitions);
            assert!(open.contains(&day) && open.len() <= open_max.max(1), "{open:?} of {open_max}");
        }
    }
}

#[test]
fn a_dropped_partition_is_gone_and_can_be_made_again() {
    let (directory, partitions) = partitions(2);
    write(&partitions, Day(1), 1, &[b"\x10a"]);
    write(&partitions, Day(2), 2, &[b"\x10b"]);
    partitions.drop_partition(Day(1)).expect("it can be removed");
    assert!(!directory.path().join("1").exists());
    assert_eq!(partitions.days().expect("it is a directory"), [Day(2)]);
    assert!(keys(&partitions, Day(1), false).is_empty());
    write(&partitions, Day(1), 3, &[b"\x10c"]);
    assert_eq!(keys(&partitions, Day(1), false), [b"\x10c"]);
    partitions.drop_partition(Day(9)).expect("there is nothing to do");
}
