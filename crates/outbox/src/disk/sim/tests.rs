#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::path::PathBuf;

use super::*;
use crate::disk::{AllocateError, is_full};

fn path(name: &str) -> PathBuf {
    PathBuf::from("/data").join(name)
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(&PathBuf::from("/data")).unwrap();
    disk
}

fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.create(&path(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(&PathBuf::from("/data")).unwrap();
    file
}

#[test]
fn only_what_is_synced_survives() {
    let disk = disk();
    let file = synced(&disk, "a", b"one");
    file.write_all_at(b"two", 3).unwrap();
    disk.create(&path("b")).unwrap().sync_data().unwrap();
    let after = disk.crash(Survival::Nothing);
    assert_eq!(after.content(&path("a")).unwrap(), b"one");
    assert_eq!(after.list(&PathBuf::from("/data")).unwrap(), ["a"]);
    let after = disk.crash(Survival::Everything);
    assert_eq!(after.content(&path("a")).unwrap(), b"onetwo");
    assert_eq!(after.list(&PathBuf::from("/data")).unwrap(), ["a", "b"]);
}

#[test]
fn writes_survive_each_by_itself_and_in_sectors() {
    let disk = disk();
    let file = synced(&disk, "a", &[0; 2048]);
    file.write_all_at(&[1; 1024], 0).unwrap();
    file.write_all_at(&[2; 1024], 1024).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..2000 {
        let content = disk.crash(Survival::Mixed { seed }).content(&path("a")).unwrap();
        let sectors: Vec<u8> = content
            .chunks(512)
            .map(|sector| {
                assert!(sector.iter().all(|byte| byte == sector.first().unwrap()));
                *sector.first().unwrap()
            })
            .collect();
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 16, "each of four sectors, there or not");
}

#[test]
fn a_rename_is_whole_and_lost_without_a_directory_sync() {
    let disk = disk();
    synced(&disk, "a", b"old");
    let new = disk.create(&path("a.new")).unwrap();
    new.write_all_at(b"new", 0).unwrap();
    new.sync_data().unwrap();
    disk.rename(&path("a.new"), &path("a")).unwrap();
    assert_eq!(disk.crash(Survival::Nothing).content(&path("a")).unwrap(), b"old");
    for seed in 0..20 {
        let content = disk.crash(Survival::Mixed { seed }).content(&path("a")).unwrap();
        assert!(content == b"old" || content == b"new");
    }
    disk.sync_dir(&PathBuf::from("/data")).unwrap();
    assert_eq!(disk.crash(Survival::Nothing).content(&path("a")).unwrap(), b"new");
}

#[test]
fn after_a_failed_sync_nothing_makes_it_durable() {
    let disk = disk();
    let file = synced(&disk, "a", b"one");
    file.write_all_at(b"two", 0).unwrap();
    disk.fail_sync_after(0);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(disk.content(&path("a")).unwrap(), b"two");
    assert_eq!(disk.crash(Survival::Nothing).content(&path("a")).unwrap(), b"one");
    let kept =
        (0..50).filter(|seed| disk.crash(Survival::Mixed { seed: *seed }).content(&path("a")).unwrap() == b"two");
    assert!((1..50).contains(&kept.count()));
}

#[test]
fn room_is_counted() {
    let disk = disk();
    disk.set_free_bytes(1000);
    let file = disk.create(&path("a")).unwrap();
    file.allocate(800).unwrap();
    assert_eq!(disk.space(&path("a")).unwrap().available_bytes, 200);
    file.write_all_at(&[1; 800], 0).unwrap();
    let other = disk.create(&path("b")).unwrap();
    assert!(matches!(other.allocate(201), Err(AllocateError::Full)));
    assert!(is_full(&other.write_all_at(&[1; 201], 0).unwrap_err()));
    file.set_len(700).unwrap();
    other.allocate(300).unwrap();
    disk.remove_file(&path("a")).unwrap();
    assert_eq!(disk.space(&path("a")).unwrap().available_bytes, 700);
}

#[test]
fn a_dead_process_does_nothing_more() {
    let disk = disk();
    let before = disk.operations();
    disk.crash_after(2);
    let file = disk.create(&path("a")).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    assert!(file.sync_data().is_err());
    assert!(file.read_at(&mut [0; 3], 0).is_err());
    assert!(disk.list(&PathBuf::from("/data")).is_err());
    assert_eq!(disk.operations(), before + 2);
    disk.crash(Survival::Everything).open(&path("a")).unwrap().sync_data().unwrap();
}

#[test]
fn the_failure_comes_at_its_number() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    disk.fail_write_after(1);
    file.write_all_at(b"1", 0).unwrap();
    assert!(file.write_all_at(b"2", 0).is_err());
    file.write_all_vectored_at(&[b"3", b"4"], 0).unwrap();
    assert_eq!(disk.content(&path("a")).unwrap(), b"34");
}
