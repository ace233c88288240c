//! Segments that are missing behind the place where a start begins to read.

use super::odd_disk::OddDisk;
use super::*;

/// Two segments, three frames; then one of this number that begins with a frame of that number.
fn with_gap(number: u32, frame: u64) -> SimDisk {
    let record = [named("record")];
    let disk = SimDisk::new();
    write_segment(&disk, 1, &[(1, 64, &record), (2, 64, &record)], true);
    write_segment(&disk, 2, &[(3, 64, &record)], true);
    write_segment(&disk, number, &[(frame, 64, &record)], true);
    disk
}

/// What is said to be missing by a start that reads from that segment on.
fn missing(disk: &SimDisk, from: u32) -> Vec<u32> {
    let (opened, rows) = open_from(disk, Position::new(from, 64));
    assert_eq!(rows.len(), 1, "the last segment is read");
    let name = |damage: &Damage| {
        let whole = (damage.from, damage.to, damage.what);
        assert_eq!(whole, (64, u32::MAX, DamageKind::MissingSegment));
        assert_eq!(damage.path, segment_path(damage.segment));
        damage.segment
    };
    opened.report.damage.iter().map(name).collect()
}

#[test]
fn segments_are_named_that_are_missing_between_others_before_the_start() {
    assert_eq!(missing(&with_gap(3, 4), 3), [0; 0]);
    for frame in [5, 6, 100] {
        assert_eq!(missing(&with_gap(7, frame), 7), [3, 4, 5, 6], "frame {frame}");
        assert_eq!(missing(&with_gap(4, frame), 4), [3], "frame {frame}");
    }
}

/// A restore from a backup passes numbers over.
#[test]
fn segments_are_not_missing_where_the_next_frame_is_the_first_of_the_next_segment() {
    for number in [4, 7, 70_000] {
        assert_eq!(missing(&with_gap(number, 4), number), [0; 0], "{number}");
    }
}

#[test]
fn frames_that_cannot_be_read_do_not_say_that_numbers_were_passed_over() {
    // The last frame before the gap.
    let disk = with_gap(5, 4);
    disk.flip(&segment_path(2), 140, 1).unwrap();
    assert_eq!(missing(&disk, 5), [3, 4]);
    // The first one after it.
    let disk = with_gap(5, 4);
    write_segment(&disk, 6, &[(5, 64, &[named("record")])], true);
    disk.flip(&segment_path(5), 64, 1).unwrap();
    let (opened, _) = open_from(&disk, Position::new(6, 64));
    let named: Vec<_> =
        opened.report.damage.iter().filter(|damage| damage.what == DamageKind::MissingSegment).collect();
    assert_eq!(named.iter().map(|damage| damage.segment).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn so_many_in_a_row_are_named_and_not_all_that_a_number_can_say() {
    for (number, named) in [(1_026, 1_023), (1_027, 1_024), (1_028, 1_024), (4_000_000_000, 1_024)] {
        let missing = missing(&with_gap(number, 9), number);
        assert_eq!((missing.first(), missing.len()), (Some(&3), named), "{number}");
    }
}

/// Else a start would take longer with everything that is kept.
#[test]
fn only_a_segment_before_a_gap_is_read_of_those_before_the_start() {
    let disk = with_gap(5, 4);
    write_segment(&disk, 6, &[(5, 64, &[named("record")])], true);
    let watched = Arc::new(OddDisk::new(&disk));
    let from = Position::new(7, 64);
    write_segment(&disk, 7, &[(6, 64, &[named("record")])], true);
    let opened: Arc<dyn Disk> = Arc::<OddDisk>::clone(&watched);
    let opened = Journal::open(&opened, &dir(), options(), unclean(from), &mut |_| {}).unwrap();
    assert_eq!((opened.report.records, opened.report.damage), (1, vec![]));
    // The last one for the number of its last frame.
    let times = [1, 2, 5, 6].map(|number| watched.times_opened(&segment_path(number)));
    assert_eq!(times, [1, 2, 1, 2]);
}
