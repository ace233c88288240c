#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

use proptest::prelude::*;

use super::*;
use crate::disk::sim::SimDisk;
use crate::disk::{RealDisk, is_out_of_files, read_file};

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

/// `a` holds "below", and nothing else is there.
fn below() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.create(&path("a")).unwrap().write_all_at(b"below", 0).unwrap();
    disk
}

#[test]
fn what_is_tried_is_seen_and_leaves_nothing_behind() {
    let disk = below();
    let operations = disk.operations();
    let trial = TrialDisk::new(Arc::new(disk.clone()));
    let before = trial.open(&path("a")).unwrap();
    trial.open(&path("a")).unwrap().write_all_at(b"ABOVE!", 3).unwrap();
    let mut read = [0; 16];
    assert_eq!(before.read_at(&mut read, 0).unwrap(), 9, "who had it open sees it");
    assert_eq!(read_file(&trial, &path("a")).unwrap().unwrap(), b"belABOVE!");

    trial.create(&path("b")).unwrap().allocate(4).unwrap();
    trial.rename(&path("a"), &path("c")).unwrap();
    assert_eq!(trial.list(Path::new("/d")).unwrap(), ["b", "c"]);
    assert_eq!(read_file(&trial, &path("a")).unwrap(), None);
    assert_eq!(read_file(&trial, &path("b")).unwrap().unwrap(), [0; 4]);
    assert_eq!(trial.create(&path("c")).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
    trial.remove_file(&path("c")).unwrap();
    trial.open(&path("b")).unwrap().set_len(1).unwrap();
    assert_eq!(trial.open(&path("b")).unwrap().len().unwrap(), 1);
    assert_eq!(trial.list(Path::new("/d")).unwrap(), ["b"]);

    assert_eq!(disk.operations(), operations, "nothing was written");
    assert_eq!(disk.list(Path::new("/d")).unwrap(), ["a"]);
    assert_eq!(disk.content(&path("a")).unwrap(), b"below");
}

#[test]
fn a_name_that_was_moved_without_being_written_is_read_from_below() {
    let trial = TrialDisk::new(Arc::new(below()));
    trial.rename(&path("a"), &path("b")).unwrap();
    assert_eq!(read_file(&trial, &path("b")).unwrap().unwrap(), b"below");
    assert_eq!(trial.open(&path("a")).err().unwrap().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_cannot_be_looked_at_below_is_no_free_name() {
    let disk = below();
    let trial = TrialDisk::new(Arc::new(disk.clone()));
    disk.set_out_of_files(true);
    assert!(is_out_of_files(&trial.create(&path("a")).err().unwrap()));
    disk.set_out_of_files(false);
    assert_eq!(trial.create(&path("a")).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_name_may_stand_for_a_file_that_lies_below_under_another_one() {
    let disk = below();
    let trial = TrialDisk::new(Arc::new(disk.clone()));
    let elsewhere = Path::new("/elsewhere");
    assert_eq!(trial.list(elsewhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    for name in ["y", "x"] {
        trial.link(&elsewhere.join(name), &path("a"));
    }
    assert_eq!(trial.list(elsewhere).unwrap(), ["x", "y"]);
    assert_eq!(trial.list(Path::new("/d")).unwrap(), ["a"], "and in no other directory");
    assert_eq!(trial.list(Path::new("/")).unwrap(), disk.list(Path::new("/")).unwrap());
    trial.open(&elsewhere.join("x")).unwrap().write_all_at(b"A", 0).unwrap();
    assert_eq!(read_file(&trial, &elsewhere.join("x")).unwrap().unwrap(), b"Aelow");
    assert_eq!(read_file(&trial, &elsewhere.join("y")).unwrap().unwrap(), b"below", "each is tried by itself");
    for name in ["x", "y"] {
        trial.remove_file(&elsewhere.join(name)).unwrap();
    }
    assert_eq!(trial.list(elsewhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.crash_after(0);
    trial.link(&elsewhere.join("x"), &path("a"));
    assert!(trial.list(elsewhere).is_err(), "that a directory cannot be read is no word of what is in it");
}

#[test]
fn holes_below_are_passed_over_until_something_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = RealDisk.create(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(b"x", 900_000).unwrap();
    let trial = TrialDisk::new(Arc::new(RealDisk));
    let tried = trial.open(&path).unwrap();
    for offset in [0, 300_000, 900_000, 1_000_000] {
        assert_eq!(tried.next_data(offset).unwrap(), file.next_data(offset).unwrap(), "from {offset} on");
    }
    tried.write_all_at(b"y", 400_000).unwrap();
    for offset in [0, 300_000, 400_001] {
        assert_eq!(tried.next_data(offset).unwrap(), offset, "in memory it may be anywhere");
    }
    assert_eq!(trial.space(dir.path()).unwrap().total_bytes, RealDisk.space(dir.path()).unwrap().total_bytes);
}

/// What is done to one of four names.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Write(usize, u64, Vec<u8>),
    Allocate(usize, u64),
    SetLen(usize, u64),
    Rename(usize, usize),
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0usize..4;
    prop_oneof![
        name().prop_map(Step::Create),
        (name(), 0u64..20, prop::collection::vec(1u8.., 0..8))
            .prop_map(|(name, at, bytes)| Step::Write(name, at, bytes)),
        (name(), 0u64..20).prop_map(|(name, len)| Step::Allocate(name, len)),
        (name(), 0u64..20).prop_map(|(name, len)| Step::SetLen(name, len)),
        (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        name().prop_map(Step::Remove),
    ]
}

fn take(disk: &dyn Disk, step: &Step) -> Result<(), io::ErrorKind> {
    let path = |name: &usize| path(["a", "b", "c", "d"][*name]);
    let done = match step {
        Step::Create(name) => disk.create(&path(name)).map(drop),
        Step::Write(name, at, bytes) => disk.open(&path(name)).and_then(|file| file.write_all_at(bytes, *at)),
        Step::Allocate(name, len) => {
            disk.open(&path(name)).and_then(|file| file.allocate(*len).map_err(io::Error::other))
        }
        Step::SetLen(name, len) => disk.open(&path(name)).and_then(|file| file.set_len(*len)),
        Step::Rename(from, to) => disk.rename(&path(from), &path(to)),
        Step::Remove(name) => disk.remove_file(&path(name)),
    };
    done.map_err(|error| error.kind())
}

/// All that is there, as it is read, and in parts.
fn seen(disk: &dyn Disk) -> Vec<(String, u64, Vec<u8>, Vec<u8>)> {
    let names = disk.list(Path::new("/d")).unwrap();
    let see = |name: String| {
        let file = disk.open_to_read(&path(&name)).unwrap();
        let (whole, mut end) = (read_file(disk, &path(&name)).unwrap().unwrap(), vec![0; 4]);
        let read = file.read_at(&mut end, 3).unwrap();
        end.truncate(read);
        (name, file.len().unwrap(), whole, end)
    };
    names.into_iter().map(see).collect()
}

proptest! {
    /// Else what is found by a trial is not what would come.
    #[test]
    fn a_trial_shows_what_the_same_would_do_to_the_disk(steps in prop::collection::vec(step(), 0..24)) {
        let (disk, untouched) = (below(), below());
        let trial = TrialDisk::new(Arc::new(untouched.clone()));
        for step in steps {
            prop_assert_eq!(take(&trial, &step), take(&disk, &step), "{:?}", step);
            prop_assert_eq!(seen(&trial), seen(&disk), "after {:?}", step);
        }
        prop_assert_eq!(seen(&untouched), seen(&below()));
    }
}
