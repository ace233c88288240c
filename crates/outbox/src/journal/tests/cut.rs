//! The file of the segment that was last written to, emptied or cut by something else: what it held is gone,
//! and no crash leaves it so.

use super::super::frame::FRAME_HEADER_BYTES;
use super::*;
use crate::disk::sim::Survival;

/// Where room for frames ends in a segment.
const ROOM_END: u32 = SEGMENT_BYTES - FRAME_HEADER_BYTES;

/// A frame with one record of this length.
fn push(journal: &mut Journal, len: usize) -> Position {
    append(journal, FrameKind::Synced, &[vec![7; len]]).unwrap();
    journal.provision().unwrap();
    journal.sync().unwrap()
}

/// A journal that was killed when one frame of 600 bytes and one of 300 stood in its second segment, and
/// segments stood ready behind. Gives the offset where the first of the two ends, and where the second.
fn killed() -> (SimDisk, u32, u32) {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    for _ in 0..2 {
        assert_eq!(push(&mut opened.journal, 800).segment(), 1);
    }
    let (first, second) = (push(&mut opened.journal, 600), push(&mut opened.journal, 300));
    assert_eq!((first.segment(), second.segment()), (2, 2));
    let killed = disk.crash(Survival::Everything);
    assert_eq!(names(&killed).len(), 4, "{:?}", names(&killed));
    (killed, first.offset_bytes(), second.offset_bytes())
}

fn cut(disk: &SimDisk, number: u32, len: u64) {
    let file = disk.open(&segment_path(number)).unwrap();
    file.set_len(len).unwrap();
    file.sync_data().unwrap();
}

/// Damage that is told, by its place.
fn told(opened: &Opened) -> Vec<(u32, u32, u32)> {
    opened.report.damage.iter().map(|damage| (damage.segment, damage.from, damage.to)).collect()
}

/// That this damage is told, by the next start, too, also without room, and that what comes then is kept.
fn check(disk: &SimDisk, damage: &[(u32, u32, u32)], records: usize, case: &str) {
    for without_room in [false, true] {
        let disk = disk.crash(Survival::Nothing);
        if without_room {
            // Else a segment that stands ready is given up for it.
            let last = damage.last().unwrap().0;
            for spare in segment_numbers(&disk, &dir()).unwrap().into_iter().filter(|number| *number > last) {
                disk.remove_file(&segment_path(spare)).unwrap();
            }
            disk.sync_dir(&dir()).unwrap();
            disk.set_free_bytes(0);
        }
        let (opened, rows) = open(&disk);
        assert_eq!((told(&opened).as_slice(), rows.len()), (damage, records), "{case}, without room: {without_room}");
        assert_eq!(opened.report.sealed, without_room, "{case}");
        let disk = disk.crash(Survival::Nothing);
        disk.set_free_bytes(1 << 20);
        let (mut opened, mut rows) = open(&disk);
        assert_eq!((told(&opened).as_slice(), rows.len()), (damage, records), "{case}, without room: {without_room}");
        rows.extend(append(&mut opened.journal, FrameKind::Synced, &[vec![9; 40]]).unwrap());
        opened.journal.sync().unwrap();
        let (opened, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!((told(&opened).as_slice(), found), (damage, rows), "{case}, without room: {without_room}");
    }
}

#[test]
fn frames_that_are_gone_with_all_of_their_segment_are_missed() {
    let (disk, first, _) = killed();
    for len in [0, 6, 63, 65, 72, 200, first - 1] {
        let disk = disk.crash(Survival::Everything);
        cut(&disk, 2, len.into());
        check(&disk, &[(2, 64, ROOM_END)], 2, &format!("{len} bytes"));
    }
    // Emptied and made as long again, as by a copy that found nothing.
    cut(&disk, 2, 0);
    cut(&disk, 2, SEGMENT_BYTES.into());
    check(&disk, &[(2, 64, ROOM_END)], 2, "zeros");
}

#[test]
fn frames_that_are_gone_behind_others_are_missed() {
    let (disk, first, second) = killed();
    for len in [first + 1, second - 9] {
        let disk = disk.crash(Survival::Everything);
        cut(&disk, 2, len.into());
        check(&disk, &[(2, first, len.next_multiple_of(8))], 3, &format!("{len} bytes"));
    }
}

/// The only segment that was written to.
#[test]
fn a_first_segment_that_was_emptied_is_missed() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    push(&mut opened.journal, 100);
    let disk = disk.crash(Survival::Everything);
    for len in [0, 6, 63] {
        let disk = disk.crash(Survival::Everything);
        cut(&disk, 1, len);
        check(&disk, &[(1, 64, ROOM_END)], 0, &format!("{len} bytes"));
    }
}

/// A checkpoint covers the frames before it, and not those behind it.
#[test]
fn a_segment_that_was_cut_before_the_checkpoint_has_lost_what_came_behind_it() {
    let (disk, first, _) = killed();
    for len in [0, 64, 200, first - 8] {
        let disk = disk.crash(Survival::Everything);
        cut(&disk, 2, len.into());
        for _ in 0..2 {
            let (opened, rows) = open_from(&disk, Position::new(2, first));
            assert_eq!(rows, []);
            assert_eq!(told(&opened).last(), Some(&(2, first, ROOM_END)), "{len} bytes: {:?}", opened.report);
        }
    }
}

/// After a clean stop nothing comes behind the checkpoint.
#[test]
fn what_only_stood_ready_is_made_again() {
    let (disk, _, second) = killed();
    let clean = Start { now: NOW, scan_from: Position::new(2, second), clean: true };
    for start in [unclean(Position::ZERO), clean] {
        for len in [0, 6, 64, 1_000] {
            let disk = disk.crash(Survival::Everything);
            cut(&disk, 3, len);
            let (opened, _) = try_open(&disk, options(), start).unwrap();
            assert_eq!(opened.report.damage, []);
            assert_eq!(disk.content(&segment_path(3)).unwrap().len(), SEGMENT_BYTES as usize);
        }
    }
    let whole = disk.crash(Survival::Everything);
    cut(&whole, 2, second.into());
    cut(&whole, 3, 0);
    let (opened, _) = try_open(&whole, options(), clean).unwrap();
    assert_eq!(opened.report.damage, []);
}

/// The one before may have its room still: that it was cut may be lost in a crash.
#[test]
fn what_is_left_of_a_frame_in_a_short_segment_tells_that_it_was_written_to() {
    let (disk, ..) = killed();
    cut(&disk, 1, SEGMENT_BYTES.into());
    cut(&disk, 2, 200);
    check(&disk, &[(2, 64, ROOM_END)], 2, "it has its room");
}

/// A crash may come just when the next segment is begun, or while that has only one frame, which is torn.
#[test]
fn a_segment_that_was_just_begun_has_lost_nothing() {
    let (disk, first, second) = killed();
    let file = disk.open(&segment_path(2)).unwrap();
    file.write_all_at(&vec![0; (second - 64) as usize], 64).unwrap();
    let (opened, rows) = open(&disk.crash(Survival::Everything));
    assert_eq!((told(&opened), rows.len(), opened.report.torn_bytes), (vec![], 2, 0));
    file.write_all_at(&vec![7; (first - 64) as usize], 64).unwrap();
    let (opened, rows) = open(&disk.crash(Survival::Everything));
    assert_eq!((told(&opened), rows.len(), opened.report.torn_bytes), (vec![], 2, u64::from(first - 64)));
}
