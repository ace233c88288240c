//! Whatever is done to the files of a partition, the index opens, and after the
//! rebuild every row is there again.

use std::fs;
use std::path::{Path, PathBuf};

use postrider_model::id::AppId;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::rows::{id, message_at};
use super::world::{APPS, ENDPOINTS, World, day, shown};
use crate::index::partition::SledPartitions;
use crate::index::{Day, Index, IndexOptions, MessageRow, Row, SegmentRows};

const OPEN_MAX: usize = 4;

struct Files {
    directory: tempfile::TempDir,
    world: World,
}

/// Three days of rows on disk, the index closed.
fn written() -> Files {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_path_buf();
    let open = move || SledPartitions::new(&path, OPEN_MAX, 4 << 20).expect("the directory can be made");
    let mut world = World::new(Box::new(move || Box::new(open())));
    for round in 0..5 {
        for n in 0..40 {
            world.accept(n as u64 % APPS);
            world.attempt(n * 7 + round, n as u64 % ENDPOINTS);
        }
        world.settle(round);
        world.carry(round * 3);
        world.seal_all();
    }
    world.close();
    Files { directory, world }
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("it is a directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

impl Files {
    fn partition(&self, segment: u32) -> PathBuf {
        self.directory.path().join(day(segment).0.to_string())
    }

    fn aside(&self) -> usize {
        let entries = fs::read_dir(self.directory.path()).expect("it is a directory");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        names.filter(|name| name.to_string_lossy().starts_with("aside-")).count()
    }

    fn everything_is_there(&mut self) {
        self.world.start();
        self.world.check(7);
    }
}

#[test]
fn what_was_written_is_read_after_a_start() {
    let mut files = written();
    files.everything_is_there();
    assert_eq!(files.world.index.partitions_set_aside(), 0);
    assert!(files.world.index.size_bytes() > 0);
}

#[test]
fn changed_bytes_cost_a_rebuild_and_no_row() {
    let mut files = written();
    let mut set_aside = 0;
    for round in 0..16 {
        let path = files.partition(2).join("db");
        let mut bytes = fs::read(&path).expect("the partition has a file");
        let used: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        // Somewhere else in each round, and more of it in the later ones.
        for n in 0..=round {
            let at = used.get((round * 7_919 + n * 104_729) % used.len()).copied();
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << (round % 8);
            }
        }
        fs::write(&path, bytes).expect("it can be written");
        files.everything_is_there();
        set_aside += files.world.index.partitions_set_aside();
        files.world.close();
    }
    assert!(set_aside > 0, "not one of the changes was noticed");
}

#[test]
fn a_file_cut_short_or_gone_costs_a_rebuild_and_no_row() {
    let mut files = written();
    for number in 0..3 {
        for cut in [false, true] {
            let Some(path) = files_in(&files.partition(2)).get(number).cloned() else { continue };
            if cut {
                let bytes = fs::read(&path).expect("it can be read");
                fs::write(&path, bytes.get(..bytes.len() / 2).unwrap_or_default()).expect("it can be written");
            } else {
                fs::remove_file(&path).expect("it can be removed");
            }
            files.everything_is_there();
            files.world.close();
        }
    }
}

#[test]
fn a_partition_that_is_gone_is_built_anew() {
    let mut files = written();
    fs::remove_dir_all(files.partition(2)).expect("it can be removed");
    files.everything_is_there();
    assert_eq!(files.world.index.partitions_set_aside(), 0);
}

#[test]
fn a_snapshot_that_was_not_finished_does_no_harm() {
    let mut files = written();
    let left = files.partition(2).join("snap.00000000000000FF.generating");
    fs::write(&left, b"").expect("it can be written");
    files.everything_is_there();
    assert!(!left.exists());
    assert_eq!(files.world.index.partitions_set_aside(), 0);
}

#[test]
fn two_of_the_partitions_moved_aside_are_kept() {
    let mut files = written();
    for _ in 0..3 {
        for segment in [2, 4] {
            for file in files_in(&files.partition(segment)) {
                fs::write(file, b"not a database").expect("it can be written");
            }
        }
        files.everything_is_there();
        assert_eq!(files.world.index.partitions_set_aside(), 2);
        assert_eq!(files.aside(), 2);
        files.world.close();
    }
}

/// What else the partition held is built anew.
#[test]
fn a_segment_goes_into_a_fresh_partition_where_the_old_one_is_damaged() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = IndexOptions { open_partitions: 1, ..IndexOptions::new(directory.path()) };
    let index = Index::open(&options).expect("the directory is there");
    index.unindexed(&[], UnixMs(0)).expect("there is nothing");
    let message = |segment| message_at(1, Position::new(segment, 64));
    // Writing the second day closes the first.
    for (segment, day) in [(1, Day(1)), (2, Day(2))] {
        index.insert(segment, message(segment));
        index.seal(segment, day).expect("there is room");
    }
    for file in files_in(&directory.path().join("1")) {
        fs::write(file, b"not a database").expect("it can be written");
    }
    index.insert(3, message(3));
    index.seal(3, Day(1)).expect("there is room");
    assert_eq!((index.partitions_set_aside(), index.progress()), (1, Some(66)));
    assert!(!index.holds(1) && index.holds(2) && index.holds(3));
    let lost: SegmentRows = [Row::from(message(1))].into_iter().collect();
    index.load(1, Day(1), &lost).expect("there is room");
    let (rows, _) =
        shown(|each: &mut dyn FnMut(&MessageRow) -> bool| index.messages(AppId(id(1)), None, false, 10, each));
    assert_eq!(rows, [1, 2, 3].map(message));
}

#[test]
fn old_partitions_go_with_their_segments() {
    let mut files = written();
    files.world.start();
    assert!(files.partition(1).exists());
    while files.partition(2).exists() {
        files.world.drop_oldest();
    }
    files.world.check(5);
    assert!(!files.partition(1).exists() && files.partition(4).exists());
}
