#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

use super::*;
use crate::disk::read_file;
use crate::disk::sim::SimDisk;

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
