//! Which frames count, where the journal ends and what is told, for segments whose frames are as a test says.

use super::super::frame::FRAME_HEADER_BYTES;
use super::super::layout::SegmentHeader;
use super::*;

/// What stands in a segment, one after the other. Each takes as much as the others.
#[derive(Clone, Copy)]
enum Part {
    /// A frame of this number. It says that its segment was synced up to this part of it.
    Frame(u64, u32),
    /// Something that is no frame.
    Broken,
    /// Zeros.
    Nothing,
}

use Part::{Broken, Frame, Nothing};

/// How a segment's file ends.
#[derive(Clone, Copy)]
enum Length {
    /// Where its parts end, as after a sync.
    Cut,
    /// With the room that was made for more.
    Room,
}

use Length::{Cut, Room};

/// A frame with one record of eight bytes.
const PART_BYTES: u32 = FRAME_HEADER_BYTES + 16;

/// Where a part begins.
const fn part(index: u32) -> u32 {
    64 + index * PART_BYTES
}

fn at(segment: u32, index: u32) -> Position {
    Position::new(segment, part(index))
}

fn put(disk: &SimDisk, number: u32, length: Length, parts: &[Part]) {
    let header = SegmentHeader { number, store_id: STORE, created: NOW, allocated_bytes: SEGMENT_BYTES };
    let mut bytes = header.encode();
    for (index, part) in (0..).zip(parts) {
        match *part {
            Frame(frame, synced) => {
                let mut builder =
                    FrameBuilder::new(Vec::new(), at(number, index), 80, FrameKind::Synced, UnixMs(frame));
                builder.push(&[&frame.to_le_bytes()]).unwrap();
                bytes.extend(builder.finish(STORE, frame, at(number, synced)).1);
            }
            Broken => bytes.extend([0xdb; PART_BYTES as usize]),
            Nothing => bytes.extend([0; PART_BYTES as usize]),
        }
    }
    crate::disk::replace_file(disk, &segment_path(number), &bytes).unwrap();
    if let Room = length {
        let file = disk.open(&segment_path(number)).unwrap();
        file.set_len(SEGMENT_BYTES.into()).unwrap();
        file.sync_data().unwrap();
    }
}

type Segment<'a> = (u32, Length, &'a [Part]);

/// A journal of these segments.
fn made(segments: &[Segment<'_>]) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(&dir()).unwrap();
    for (number, length, parts) in segments {
        put(&disk, *number, *length, parts);
    }
    disk
}

/// The frames that the rows are of.
fn frames(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|(_, record)| u64::from_le_bytes(record.as_slice().try_into().unwrap())).collect()
}

type Told = (u32, u32, u32, DamageKind);

fn told(opened: &Opened) -> Vec<Told> {
    let of = |damage: &Damage| (damage.segment, damage.from, damage.to, damage.what);
    opened.report.damage.iter().map(of).collect()
}

fn torn(opened: &Opened) -> Vec<(u32, u32)> {
    opened.report.torn.iter().map(|torn| (torn.segment, torn.offset)).collect()
}

/// Opens it: these frames count, and no others, and this damage is told.
fn check(disk: &SimDisk, scan_from: Position, expected: &[u64], damage: &[Told]) -> Opened {
    let (opened, rows) = open_from(disk, scan_from);
    assert_eq!((frames(&rows).as_slice(), told(&opened).as_slice()), (expected, damage));
    assert_eq!(opened.report.frames, expected.len() as u64);
    assert_eq!(opened.report.records, expected.len() as u64);
    assert_eq!(opened.report.end, opened.journal.end());
    opened
}

/// That the journal goes on at `end`, behind the mark that recovery leaves there.
fn check_goes_on(disk: &SimDisk, mut opened: Opened, end: Position, expected: &[u64]) {
    let end = Position::new(end.segment(), end.offset_bytes() + FRAME_HEADER_BYTES);
    assert_eq!(opened.journal.end(), end);
    append(&mut opened.journal, FrameKind::Synced, &[700u64.to_le_bytes().to_vec()]).unwrap();
    opened.journal.sync().unwrap();
    let (_, rows) = open(&disk.crash(crate::disk::sim::Survival::Nothing));
    assert_eq!(frames(&rows), [expected, &[700]].concat());
}

#[test]
fn all_that_is_in_order_counts_and_nothing_is_told() {
    for length in [Cut, Room] {
        let disk = made(&[(1, length, &[Frame(1, 0), Frame(2, 1)]), (2, Room, &[Frame(3, 0), Frame(4, 0)])]);
        let opened = check(&disk, Position::ZERO, &[1, 2, 3, 4], &[]);
        assert_eq!((opened.report.last_frame_time, opened.report.synced_through), (Some(UnixMs(4)), at(2, 0)));
        assert_eq!((torn(&opened), opened.report.torn_bytes, opened.report.rewritten), (vec![], 0, true));
        assert_eq!(opened.journal.last_time(), NOW);
        check_goes_on(&disk, opened, at(2, 2), &[1, 2, 3, 4]);
    }
}

/// Nor does the journal grow with each start.
#[test]
fn a_start_leaves_a_mark_where_there_is_none() {
    let disk = made(&[(1, Room, &[Frame(1, 0), Frame(2, 0)])]);
    for _ in 0..3 {
        let opened = check_marked(&disk, 2);
        assert_eq!((opened.journal.end(), opened.journal.next_frame), (Position::new(1, part(2) + 64), 4));
    }
    let (mut opened, _) = open(&disk);
    append(&mut opened.journal, FrameKind::Synced, &[4u64.to_le_bytes().to_vec()]).unwrap();
    for _ in 0..3 {
        let opened = check_marked(&disk, 3);
        assert_eq!((opened.journal.end(), opened.journal.next_frame), (Position::new(1, part(3) + 128), 6));
    }
}

/// Opens it: there are so many records, and nothing is told.
fn check_marked(disk: &SimDisk, records: u64) -> Opened {
    let (opened, _) = open(disk);
    assert_eq!((opened.report.records, told(&opened), torn(&opened)), (records, vec![], vec![]));
    opened
}

#[test]
fn the_number_of_records_in_a_frame_is_counted_for_each_frame() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    for count in [3, 1, 2] {
        append(&mut opened.journal, FrameKind::Synced, &records(1, count)).unwrap();
    }
    let (opened, _) = open(&disk);
    assert_eq!((opened.report.frames, opened.report.records), (3, 6));
}

/// Something that was there before, or a copy: it would be applied twice.
#[test]
fn a_frame_whose_number_was_there_before_does_not_count_and_is_never_shown() {
    let parts = [Frame(4, 0), Frame(3, 0), Frame(4, 0), Frame(5, 3), Frame(6, 4)];
    let disk = made(&[(1, Room, &parts)]);
    let opened = check(&disk, Position::ZERO, &[4, 5, 6], &[(1, part(1), part(3), DamageKind::Frames)]);
    let scanned = scan_all(&opened.reader, Position::ZERO, Position::MAX);
    let Err(ReadError::Damaged { position, resume, .. }) = scanned else { unreachable!("{scanned:?}") };
    assert_eq!((position, resume), (at(1, 1), at(1, 3)));
    assert_eq!(frames(&scan_all(&opened.reader, resume, Position::MAX).unwrap()), [5, 6]);
}

#[test]
fn an_old_frame_behind_the_last_one_ends_the_journal() {
    let disk = made(&[(1, Room, &[Frame(4, 0), Frame(5, 0), Frame(4, 0), Frame(5, 0)])]);
    let opened = check(&disk, Position::ZERO, &[4, 5], &[]);
    assert_eq!(torn(&opened), [(1, part(2))]);
    check_goes_on(&disk, opened, at(1, 2), &[4, 5]);
}

#[test]
fn numbers_that_are_missing_are_told_where_they_are_missing() {
    let missing = DamageKind::MissingFrames;
    let in_one = made(&[(1, Room, &[Frame(1, 0), Frame(2, 0), Frame(4, 0), Frame(5, 0), Frame(9, 0)])]);
    let places = [(1, part(2), part(2), missing), (1, part(4), part(4), missing)];
    check(&in_one, Position::ZERO, &[1, 2, 4, 5, 9], &places);
    for (length, end) in [(Cut, part(2)), (Room, SEGMENT_BYTES)] {
        let between = made(&[(1, length, &[Frame(1, 0), Frame(2, 0)]), (2, Room, &[Frame(4, 0), Frame(5, 0)])]);
        check(&between, Position::ZERO, &[1, 2, 4, 5], &[(1, end, end, missing)]);
    }
}

#[test]
fn numbers_that_are_missing_by_damage_are_told_once() {
    let parts = [Frame(1, 0), Broken, Frame(3, 2), Frame(4, 2), Frame(6, 2)];
    let disk = made(&[(1, Room, &parts)]);
    let expected = [(1, part(1), part(2), DamageKind::Frames), (1, part(4), part(4), DamageKind::MissingFrames)];
    check(&disk, Position::ZERO, &[1, 3, 4, 6], &expected);
}

#[test]
fn a_file_that_was_cut_behind_its_frames_has_lost_some() {
    let lost = [(1, part(1), part(3), DamageKind::MissingFrames)];
    let followed = made(&[(1, Cut, &[Frame(1, 0), Nothing, Nothing]), (2, Room, &[Frame(4, 0)])]);
    check(&followed, Position::ZERO, &[1, 4], &lost);
    // If nothing follows, the journal goes on behind what was lost.
    let last = made(&[(1, Cut, &[Frame(1, 0), Nothing, Nothing])]);
    let opened = check(&last, Position::ZERO, &[1], &lost);
    check_goes_on(&last, opened, at(1, 3), &[1]);
}

#[test]
fn a_segment_that_was_cut_where_its_frames_end_is_gone_on_with_if_it_is_the_last_with_frames() {
    let disk = made(&[(1, Cut, &[Frame(1, 0), Frame(2, 1)]), (2, Room, &[]), (3, Room, &[])]);
    let opened = check(&disk, Position::ZERO, &[1, 2], &[]);
    assert_eq!(torn(&opened), []);
    check_goes_on(&disk, opened, at(1, 2), &[1, 2]);
}

#[test]
fn what_cannot_be_read_is_damage_up_to_the_evidence_and_torn_from_there() {
    // What says how far the sync went stands behind what is torn, and does not count itself.
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Broken, Frame(4, 2), Frame(5, 0)])]);
    let opened = check(&disk, Position::ZERO, &[1], &[(1, part(1), part(2), DamageKind::Frames)]);
    assert_eq!((torn(&opened), opened.report.synced_through), (vec![(1, part(2))], at(1, 2)));
    check_goes_on(&disk, opened, at(1, 2), &[1]);
    // All of it was synced.
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Broken, Frame(4, 3), Frame(5, 0)])]);
    let opened = check(&disk, Position::ZERO, &[1, 4, 5], &[(1, part(1), part(3), DamageKind::Frames)]);
    assert_eq!(torn(&opened), []);
    // Nothing of it was.
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Broken, Frame(4, 1), Frame(5, 0)])]);
    let opened = check(&disk, Position::ZERO, &[1], &[]);
    assert_eq!((torn(&opened), opened.report.synced_through), (vec![(1, part(1))], at(1, 1)));
}

#[test]
fn evidence_is_the_highest_of_all_frames_behind_in_this_segment_and_later_ones() {
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Frame(3, 0), Frame(4, 2), Frame(5, 1)])]);
    let opened = check(&disk, Position::ZERO, &[1, 3, 4, 5], &[(1, part(1), part(2), DamageKind::Frames)]);
    assert_eq!(torn(&opened), []);
    // A segment is synced before the first frame of the next one is written.
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Frame(3, 0)]), (2, Room, &[Frame(4, 0)])]);
    let opened = check(&disk, Position::ZERO, &[1, 3, 4], &[(1, part(1), part(2), DamageKind::Frames)]);
    assert_eq!(torn(&opened), []);
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Frame(3, 0)]), (2, Room, &[])]);
    let opened = check(&disk, Position::ZERO, &[1], &[]);
    assert_eq!(torn(&opened), [(1, part(1))]);
}

#[test]
fn damage_over_several_segments_is_told_for_each() {
    let frames = DamageKind::Frames;
    let disk = made(&[(1, Cut, &[Frame(1, 0), Broken]), (2, Room, &[Frame(3, 0), Frame(4, 0)])]);
    check(&disk, Position::ZERO, &[1, 3, 4], &[(1, part(1), part(2), frames)]);
    let disk = made(&[
        (1, Cut, &[Frame(1, 0), Broken]),
        (2, Cut, &[Broken, Broken, Broken]),
        (3, Room, &[Broken, Frame(9, 1), Frame(10, 0)]),
    ]);
    let expected = [(1, part(1), part(2), frames), (2, part(0), part(3), frames), (3, part(0), part(1), frames)];
    check(&disk, Position::ZERO, &[1, 9, 10], &expected);
}

/// That the room was given back may be lost in a crash, and need not have been.
#[test]
fn a_segment_that_kept_its_room_is_followed_by_the_next() {
    let disk = made(&[(1, Room, &[Frame(1, 0)]), (2, Room, &[]), (3, Room, &[Frame(2, 0)]), (4, Room, &[])]);
    let opened = check(&disk, Position::ZERO, &[1, 2], &[]);
    check_goes_on(&disk, opened, at(3, 1), &[1, 2]);
}

#[test]
fn a_segment_that_is_missing_is_told_also_where_no_frame_follows() {
    let missing = |segment| (segment, 64, u32::MAX, DamageKind::MissingSegment);
    let disk = made(&[(1, Room, &[Frame(1, 0)]), (3, Room, &[])]);
    let opened = check(&disk, Position::ZERO, &[1], &[missing(2)]);
    assert_eq!(opened.journal.end().segment(), 3);
    let disk = made(&[(1, Room, &[Frame(1, 0)]), (2, Room, &[]), (3, Room, &[])]);
    check(&disk, Position::ZERO, &[1], &[]);
    let disk = made(&[(1, Cut, &[Frame(1, 0)]), (4, Room, &[Frame(9, 0), Frame(11, 0)])]);
    let numbers = (4, part(1), part(1), DamageKind::MissingFrames);
    check(&disk, Position::ZERO, &[1, 9, 11], &[missing(2), missing(3), numbers]);
}

#[test]
fn numbers_of_segments_that_were_passed_over_are_not_missing() {
    for length in [Cut, Room] {
        let disk = made(&[(1, length, &[Frame(1, 0)]), (4, Room, &[Frame(2, 0)])]);
        let opened = check(&disk, Position::ZERO, &[1, 2], &[]);
        check_goes_on(&disk, opened, at(4, 1), &[1, 2]);
    }
    // Nothing says so if it is not the first frame that is the next one.
    let disk = made(&[(1, Cut, &[Frame(1, 0)]), (3, Room, &[Broken, Frame(2, 1)])]);
    let expected = [(2, 64, u32::MAX, DamageKind::MissingSegment), (3, part(0), part(1), DamageKind::Frames)];
    check(&disk, Position::ZERO, &[1, 2], &expected);
}

#[test]
fn a_start_goes_on_with_the_frame_that_it_is_told() {
    let parts = [Frame(1, 0), Frame(2, 0), Frame(3, 2), Frame(4, 2)];
    let segments: [Segment<'_>; 2] = [(1, Cut, &parts), (2, Room, &[Frame(5, 0), Frame(6, 0)])];
    for (from, expected) in [
        (at(1, 2), &[3, 4, 5, 6][..]),
        (at(1, 4), &[5, 6]),
        (at(2, 0), &[5, 6]),
        (Position::new(2, 0), &[5, 6]),
        (at(2, 1), &[6]),
        (at(2, 2), &[]),
    ] {
        let disk = made(&segments);
        let opened = check(&disk, from, expected, &[]);
        assert_eq!(opened.report.last_frame_time, Some(UnixMs(6)), "from {from}");
        check_goes_on(&disk, opened, at(2, 2), &[1, 2, 3, 4, 5, 6]);
    }
    for from in [at(1, 0), at(1, 1), at(2, 0)].map(|frame| Position::new(frame.segment(), frame.offset_bytes() + 8)) {
        let refused = try_open(&made(&segments), options(), unclean(from)).err();
        assert!(matches!(refused, Some(OpenError::NotAFrame(place)) if place == from), "{from}: {refused:?}");
    }
}

#[test]
fn a_number_that_is_missing_where_a_start_begins_is_told() {
    let missing = |segment, offset| [(segment, offset, offset, DamageKind::MissingFrames)];
    let disk = made(&[(1, Cut, &[Frame(1, 0), Frame(2, 0)]), (2, Room, &[Frame(4, 0), Frame(6, 0)])]);
    check(&disk, at(2, 1), &[6], &missing(2, part(1)));
    let disk = made(&[(1, Cut, &[Frame(1, 0), Frame(2, 0)]), (2, Room, &[Frame(4, 0), Frame(5, 0)])]);
    check(&disk, at(2, 0), &[4, 5], &missing(1, part(2)));
    // The segments before may be gone, and their numbers with them.
    let disk = made(&[(2, Room, &[Frame(4, 0), Frame(5, 0)])]);
    check(&disk, at(2, 0), &[4, 5], &[]);
    let disk = made(&[(1, Cut, &[Frame(1, 0), Frame(2, 0)]), (3, Room, &[Frame(9, 0)])]);
    check(&disk, at(3, 0), &[9], &[(2, 64, u32::MAX, DamageKind::MissingSegment)]);
}

#[test]
fn what_is_lost_right_before_the_place_of_a_start_is_told_and_hides_nothing() {
    for lost in [Broken, Nothing] {
        let missing = |from, to| [(1, from, to, DamageKind::MissingFrames)];
        let disk = made(&[(1, Room, &[Frame(1, 0), Frame(2, 0), lost, lost, Frame(5, 4), Frame(6, 4)])]);
        check(&disk, at(1, 4), &[5, 6], &missing(part(2), part(4)));
        let disk = made(&[(1, Room, &[lost, lost, Frame(3, 2), Frame(4, 2)])]);
        check(&disk, at(1, 2), &[3, 4], &missing(part(0), part(2)));
    }
    // Between frames before the place.
    let disk = made(&[(1, Room, &[Frame(1, 0), Broken, Frame(3, 2), Frame(4, 2)])]);
    check(&disk, at(1, 3), &[4], &[(1, part(1), part(2), DamageKind::Frames)]);
    // Of its segment alone: the one before ended where it ended.
    let disk = made(&[(1, Room, &[Frame(1, 0)]), (2, Room, &[Nothing, Nothing, Nothing, Frame(5, 3)])]);
    check(&disk, at(2, 3), &[5], &[(2, part(0), part(3), DamageKind::MissingFrames)]);
}

#[test]
fn nothing_is_missing_in_a_journal_that_was_empty_at_the_checkpoint() {
    for from in [Position::ZERO, at(1, 0), at(7, 0)] {
        let (opened, rows) = open_from(&SimDisk::new(), from);
        assert_eq!((rows, told(&opened), torn(&opened)), (vec![], vec![], vec![]), "{from}");
    }
    check(&made(&[(7, Room, &[]), (8, Room, &[])]), at(7, 0), &[], &[]);
    let missing = |segment, from| (segment, from, u32::MAX, DamageKind::MissingSegment);
    check(&SimDisk::new(), Position::new(7, 72), &[], &[missing(7, 72)]);
    // Later segments are there.
    check(&made(&[(9, Room, &[Frame(9, 0)])]), at(7, 3), &[9], &[missing(7, part(3)), missing(8, 64)]);
}

#[test]
fn a_segment_header_is_missed_if_frames_follow_it_in_its_own_or_a_later_segment() {
    let header = |segment| (segment, 0, 64, DamageKind::SegmentHeader);
    let cases: [(u32, &[Segment<'_>], Option<Told>); 5] = [
        (1, &[(1, Cut, &[Frame(1, 0)]), (2, Room, &[Frame(2, 0)])], Some(header(1))),
        (2, &[(1, Cut, &[Frame(1, 0)]), (2, Room, &[Frame(2, 0)])], Some(header(2))),
        (2, &[(1, Cut, &[Frame(1, 0)]), (2, Room, &[]), (3, Room, &[Frame(2, 0)])], Some(header(2))),
        (2, &[(1, Cut, &[Frame(1, 0), Frame(2, 0)]), (2, Room, &[]), (3, Room, &[])], None),
        (3, &[(1, Cut, &[Frame(1, 0), Frame(2, 0)]), (2, Room, &[]), (3, Room, &[])], None),
    ];
    for (bad, segments, expected) in cases {
        let disk = made(segments);
        disk.flip(&segment_path(bad), 60, 1).unwrap();
        let opened = check(&disk, Position::ZERO, &[1, 2], expected.as_slice());
        assert_eq!(torn(&opened), []);
    }
}
