//! Segments that are opened before their turn.

use super::super::ahead::Ahead;
use super::*;
use crate::disk::is_out_of_files;
use crate::journal::{segment_of_one_frame, segment_path};

const STORE_ID: u64 = 7;

fn dir() -> PathBuf {
    PathBuf::from("/journal")
}

/// A directory with segments, of which the first ones hold a frame each.
fn segments(with_frames: u32, all: u32) -> (SimDisk, Arc<dyn Disk>) {
    let (sim, shared) = disk();
    sim.create_dir_all(&dir()).expect("it works");
    for number in 1..=all {
        let bytes = segment_of_one_frame((number, STORE_ID), number.into(), UnixMs(1), &[b"record"]);
        let bytes = bytes.expect("there is room");
        // Without its frame there is the header, and room that reads as zero.
        let kept = if number <= with_frames { bytes.len() } else { 64 };
        put(&sim, &segment_path(&dir(), number), bytes.get(..kept).expect("it is longer"));
    }
    (sim, shared)
}

fn next(ahead: &mut Ahead<'_>) -> io::Result<Option<u32>> {
    Ok(ahead.next()?.map(|(number, _)| number))
}

#[test]
fn segments_come_in_their_order_and_so_many_are_open_at_once() {
    let (_, shared) = segments(0, 300);
    let dir = dir();
    let mut ahead = Ahead::new(&shared, &dir, (1..=300).collect());
    ahead.fill().expect("all are there");
    assert_eq!((ahead.open.len(), ahead.numbers.len()), (256, 44));
    for number in 1..=300 {
        assert_eq!(next(&mut ahead).expect("it is there"), Some(number));
        assert!(ahead.open.len() < 256, "{}", ahead.open.len());
    }
    assert_eq!(next(&mut ahead).expect("nothing is wrong"), None);
    assert!(!ahead.overtaken);
}

#[test]
fn where_no_more_files_may_be_open_those_that_are_come_first() {
    let (sim, shared) = segments(0, 3);
    let dir = dir();
    let mut ahead = Ahead::new(&shared, &dir, vec![1]);
    ahead.fill().expect("it is there");
    ahead.numbers.extend([2, 3]);
    sim.set_out_of_files(true);
    assert_eq!(next(&mut ahead).expect("one is open"), Some(1));
    let refused = next(&mut ahead).expect_err("none is open, and none can be opened");
    assert!(is_out_of_files(&refused), "{refused}");
    sim.set_out_of_files(false);
    assert_eq!(next(&mut ahead).expect("it can be opened again"), Some(2));
    assert_eq!(next(&mut ahead).expect("it can be opened again"), Some(3));
    assert!(!ahead.overtaken);
}

#[test]
fn a_segment_that_is_gone_before_it_was_opened_is_told_from_one_that_cannot_be_opened() {
    let (sim, shared) = segments(0, 4);
    let dir = dir();
    sim.remove_file(&segment_path(&dir, 2)).expect("it is there");
    let mut ahead = Ahead::new(&shared, &dir, vec![1, 2, 3]);
    assert_eq!(next(&mut ahead).expect("it is there"), Some(1));
    assert!(ahead.overtaken);
    assert_eq!(next(&mut ahead).expect("that is no error"), None, "none after it comes in its place");
    // Something is there, and it is no file.
    sim.remove_file(&segment_path(&dir, 4)).expect("it is there");
    sim.create_dir_all(&segment_path(&dir, 4)).expect("it works");
    for numbers in [vec![4], vec![3, 4]] {
        let mut ahead = Ahead::new(&shared, &dir, numbers);
        ahead.fill().expect_err("it cannot be opened");
        assert!(!ahead.overtaken);
    }
}

#[test]
fn whether_a_later_segment_holds_frames_is_asked_of_those_that_are_to_come() {
    let (_, shared) = segments(2, 4);
    let dir = dir();
    let mut ahead = Ahead::new(&shared, &dir, vec![1, 2, 3, 4]);
    for (number, more) in [(1, true), (2, false), (3, false), (4, false)] {
        assert_eq!(next(&mut ahead).expect("it is there"), Some(number));
        assert_eq!(ahead.hold_frames(STORE_ID).expect("they can be read"), more, "behind {number}");
    }
    let mut others = Ahead::new(&shared, &dir, vec![1, 2]);
    assert!(!others.hold_frames(STORE_ID + 1).expect("they can be read"), "they are frames of another store");
}
