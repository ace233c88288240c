//! Making a segment's file: it is whole under its name, or not there.

use std::io;

use super::super::layout::SegmentHeader;
use super::super::make::{MakeError, make_segment};
use super::*;
use crate::disk::sim::Survival;
use crate::disk::{DiskFile, temporary_name};

const HEADER: SegmentHeader =
    SegmentHeader { number: 7, store_id: STORE, created: NOW, allocated_bytes: SEGMENT_BYTES };

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(&dir()).unwrap();
    disk
}

fn make(disk: &SimDisk) -> Result<PathBuf, MakeError> {
    let mut fill = |file: &dyn DiskFile| file.write_all_at(b"filled", 64);
    make_segment(disk, &dir(), &HEADER, &mut fill)
}

/// With its header, what was filled in, and zeros up to the room that was asked for.
fn whole() -> Vec<u8> {
    let mut whole = [&*HEADER.encode(), b"filled"].concat();
    whole.resize(SEGMENT_BYTES as usize, 0);
    whole
}

#[test]
fn a_segment_is_durable_when_it_was_made() {
    let disk = disk();
    // A file that an earlier try left behind.
    disk.create(&temporary_name(&segment_path(7))).unwrap().write_all_at(&[9; 5_000], 0).unwrap();
    assert_eq!(make(&disk).unwrap(), segment_path(7));
    let disk = disk.crash(Survival::Nothing);
    assert_eq!(names(&disk), [segment_name(7)]);
    assert_eq!(disk.content(&segment_path(7)).unwrap(), whole());
}

#[test]
fn a_segment_is_whole_under_its_name_at_every_crash_point() {
    let made = disk();
    let before = made.operations();
    make(&made).unwrap();
    let operations = made.operations() - before;
    for count in 0..=operations {
        let disk = disk();
        disk.crash_after(count);
        assert_eq!(make(&disk).is_ok(), count == operations, "after {count}");
        for seed in 0..8 {
            let left = disk.crash(Survival::Mixed { seed });
            if let Ok(content) = left.content(&segment_path(7)) {
                assert_eq!(content, whole(), "after {count}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_segment_for_which_there_is_no_room_leaves_nothing_behind() {
    let disk = disk();
    disk.set_free_bytes(u64::from(SEGMENT_BYTES) - 1);
    assert!(matches!(make(&disk), Err(MakeError::Full)));
    assert_eq!(names(&disk), [""; 0]);
    // Room was made for the file, and what is to be in it needs more.
    disk.set_free_bytes(u64::from(SEGMENT_BYTES));
    let mut too_much = |file: &dyn DiskFile| file.write_all_at(&[1; 2 * SEGMENT_BYTES as usize], 64);
    assert!(matches!(make_segment(&disk, &dir(), &HEADER, &mut too_much), Err(MakeError::Full)));
    assert_eq!(names(&disk), [""; 0]);
    make(&disk).unwrap();
}

#[test]
fn after_a_write_or_a_sync_that_failed_the_disk_is_not_trusted() {
    for count in 0..2 {
        let disk = disk();
        disk.fail_write_after(count);
        assert!(matches!(make(&disk), Err(MakeError::Unsafe(_))), "write {count}");
        assert_eq!(names(&disk), [""; 0], "write {count}");
    }
    for (count, left) in [(0, vec![]), (1, vec![segment_name(7)])] {
        let disk = disk();
        disk.fail_sync_after(count);
        assert!(matches!(make(&disk), Err(MakeError::Unsafe(_))), "sync {count}");
        assert_eq!(names(&disk), left, "sync {count}");
    }
    let disk = disk();
    let mut refused = |_: &dyn DiskFile| Err(io::ErrorKind::PermissionDenied.into());
    assert!(matches!(make_segment(&disk, &dir(), &HEADER, &mut refused), Err(MakeError::Unsafe(_))));
    // Where not even a name can be had, nothing was lost.
    disk.crash_after(0);
    assert!(matches!(make(&disk), Err(MakeError::Failed(_))));
}
