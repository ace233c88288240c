//! What is left of a damaged segment: how it is seen, and written anew; and what is missing between two.

use super::super::salvage::{Source, read_segment};
use super::*;

/// Four frames: two of one record, between them two of three. They begin at 64, 160, 320 and 480, their records 64
/// bytes after that, and then each 32 bytes after the last one.
fn sample() -> SimDisk {
    let disk = SimDisk::new();
    let second = ["one", "two", "three"].map(named);
    let third = ["four", "five", "six"].map(named);
    let (before, after) = ([named("before")], [named("after")]);
    let frames = [(1, 64, &before[..]), (2, 64, &second), (3, 64, &third), (4, 64, &after)];
    assert_eq!(write_segment(&disk, 1, &frames, true), [64, 160, 320, 480, 576]);
    disk
}

/// What is met in the file.
fn met(disk: &SimDisk) -> Vec<String> {
    let path = segment_path(1);
    let file = disk.open(&path).unwrap();
    let (mut met, len) = (Vec::new(), file.len().unwrap());
    let place = |record: &RecordAt<'_>| format!("{}..{}", record.position.offset_bytes(), record.end.offset_bytes());
    let damage = read_segment(&Source { segment: 1, path, store_id: STORE }, file, len, &mut |seen| {
        met.push(match seen {
            Seen::Frame(frame) => format!("frame {}", frame.number),
            Seen::Damage(damage) => format!("damage {}..{}", damage.from, damage.to),
            Seen::Record(record) => {
                let name = String::from_utf8_lossy(record.bytes).trim_end_matches('.').to_owned();
                format!("{name} {} of {}", place(&record), record.frame_time.0)
            }
            Seen::Broken(record) => format!("broken {}", place(&record)),
        });
    });
    assert_eq!(damage.unwrap().len(), met.iter().filter(|met| met.starts_with("damage")).count());
    met
}

const BEFORE: [&str; 2] = ["frame 1", "before 128..160 of 1"];
const SECOND: [&str; 4] = ["frame 2", "one 224..256 of 2", "two 256..288 of 2", "three 288..320 of 2"];
const THIRD: [&str; 4] = ["frame 3", "four 384..416 of 3", "five 416..448 of 3", "six 448..480 of 3"];
const AFTER: [&str; 2] = ["frame 4", "after 544..576 of 4"];

/// Bytes that are written over others, and what is met then.
type Damaged = (Vec<(u64, Vec<u8>)>, Vec<&'static str>);

fn damaged() -> Vec<Damaged> {
    let mut cases = vec![
        (vec![], [&BEFORE[..], &SECOND, &THIRD, &AFTER].concat()),
        // Within a record: those around it are whole.
        (
            vec![(270, vec![0])],
            [
                &BEFORE[..],
                &["damage 160..320", "one 224..256 of 2", "broken 256..288", "three 288..320 of 2"],
                &THIRD,
                &AFTER,
            ]
            .concat(),
        ),
        // The frame's checksum: all are whole.
        (vec![(168, vec![0; 4])], [&BEFORE[..], &["damage 160..320"], &SECOND[1..], &THIRD, &AFTER].concat()),
        // Its whole header: the time is that of the frame before.
        (
            vec![(160, vec![0xee; 64])],
            [
                &BEFORE[..],
                &["damage 160..320", "one 224..256 of 1", "two 256..288 of 1", "three 288..320 of 1"],
                &THIRD,
                &AFTER,
            ]
            .concat(),
        ),
        // There is none before the first.
        (
            vec![(64, vec![0xee; 64])],
            [&["damage 64..160", "before 128..160 of 0"], &SECOND[..], &THIRD, &AFTER].concat(),
        ),
        // Two frames in a row, and so one part.
        (
            vec![(270, vec![0]), (430, vec![0])],
            [
                &BEFORE[..],
                &["damage 160..480", "one 224..256 of 2", "broken 256..288", "three 288..320 of 2"],
                &["four 384..416 of 2", "broken 416..448", "six 448..480 of 2"],
                &AFTER,
            ]
            .concat(),
        ),
        // The last one of the file.
        (vec![(555, vec![0])], [&BEFORE[..], &SECOND, &THIRD, &["damage 480..576", "broken 544..576"]].concat()),
    ];
    // The length of a record that leads out of what is damaged, or nowhere: what follows it cannot be told.
    for len in [0, 57, 64, 65, 72, 300, 576, u32::MAX - 300, u32::MAX - 7, u32::MAX] {
        let left = ["damage 160..320", "one 224..256 of 2"];
        cases.push((vec![(256, len.to_le_bytes().to_vec())], [&BEFORE[..], &left, &THIRD, &AFTER].concat()));
    }
    cases
}

fn write_over(disk: &SimDisk, changes: &[(u64, Vec<u8>)]) {
    for (offset, bytes) in changes {
        disk.open(&segment_path(1)).unwrap().write_all_at(bytes, *offset).unwrap();
    }
}

#[test]
fn whole_records_of_a_damaged_frame_are_seen_as_far_as_their_lengths_lead() {
    for (changes, expected) in damaged() {
        let disk = sample();
        write_over(&disk, &changes);
        assert_eq!(met(&disk), expected, "{changes:?}");
    }
}

#[test]
fn what_was_seen_of_a_damaged_segment_is_seen_again_after_it_was_written_anew() {
    for (changes, before) in damaged() {
        let disk = sample();
        write_over(&disk, &changes);
        let (old, new) = (segment_path(1), dir().join("anew"));
        let mut edit = |_: Position, record: &mut [u8]| {
            let is_meant = record.starts_with(b"o") || record.starts_with(b"s");
            if is_meant {
                record.fill(b'.');
            }
            is_meant
        };
        rewrite_file(&disk, (&old, &new), (1, STORE), &mut edit).unwrap();
        disk.rename(&new, &old).unwrap();
        // What was broken is zeros now, and at the end these count as nothing.
        let shorter = |seen: &&str| seen.replace("480..576", "480..552");
        let edited = |seen: &&str| shorter(seen).replace("one ", " ").replace("six ", " ");
        assert_eq!(met(&disk), before.iter().map(edited).collect::<Vec<_>>(), "{changes:?}");
    }
}

/// Whatever it is, it could be what was to go.
#[test]
fn nothing_is_written_anew_behind_a_record_whose_length_leads_nowhere() {
    for len in [0, 57, 64, 65, 300, 576, u32::MAX] {
        let disk = sample();
        write_over(&disk, &[(256, u32::to_le_bytes(len).to_vec())]);
        let new = dir().join("anew");
        rewrite_file(&disk, (&segment_path(1), &new), (1, STORE), &mut |_, _| false).unwrap();
        let (old, new) = (disk.content(&segment_path(1)).unwrap(), disk.content(&new).unwrap());
        let expected = [&old[..256], &[0; 64], &old[320..]].concat();
        assert!(new == expected, "{len}");
    }
}

#[test]
fn frames_that_are_missing_by_their_numbers_are_told_unless_damage_stands_in_their_place() {
    let record = [named("record")];
    let write = |numbers: [u64; 4]| {
        let disk = SimDisk::new();
        write_segment(&disk, 1, &numbers.map(|number| (number, 64, &record[..])), true);
        disk
    };
    let gaps = |disk: &SimDisk| met(disk).into_iter().filter(|met| met.starts_with("damage")).collect::<Vec<_>>();
    assert_eq!(gaps(&write([9, 10, 11, 12])), [""; 0]);
    assert_eq!(gaps(&write([9, 11, 12, 12])), ["damage 160..160", "damage 352..352"]);
    let disk = write([9, 10, 13, 15]);
    write_over(&disk, &[(230, vec![0])]);
    assert_eq!(gaps(&disk), ["damage 160..256", "damage 352..352"]);
}

#[test]
fn frames_that_are_missing_between_two_segments_are_told_where_they_were() {
    let record = [named("record")];
    let frames = |numbers: &[u64]| numbers.iter().map(|number| (*number, 64, &record[..])).collect::<Vec<_>>();
    let missing = |segments: [&[u64]; 3]| {
        let disk = SimDisk::new();
        let mut sequence = Sequence::default();
        let mut missing = Vec::new();
        for (number, numbers) in (1..).zip(segments) {
            write_segment(&disk, number, &frames(numbers), true);
            let read = read_up_to(u64::MAX, &disk, &dir(), number, STORE, &mut |_| {}).unwrap();
            missing.extend(sequence.next(&dir(), number, &read));
        }
        missing.into_iter().map(|damage| (damage.segment, damage.from, damage.what)).collect::<Vec<_>>()
    };
    let gap = |segment, from| vec![(segment, from, DamageKind::MissingFrames)];
    assert_eq!(missing([&[1, 2], &[3], &[4]]), []);
    assert_eq!(missing([&[1, 2], &[], &[3]]), []);
    assert_eq!(missing([&[1, 2], &[4], &[5]]), gap(1, 256));
    assert_eq!(missing([&[1, 2], &[3], &[5]]), gap(2, 160));
    assert_eq!(missing([&[1, 2], &[], &[4]]), gap(2, 64));
    // Nor does a number come again.
    assert_eq!(missing([&[1, 2], &[2], &[3]]), gap(1, 256));
}

#[test]
fn the_segments_and_the_store_of_a_journal_are_told_without_opening_it() {
    let disk = SimDisk::new();
    for number in [12, 3, 1_000] {
        write_segment(&disk, number, &[], false);
    }
    for other in ["torn-2-64", "segment-2.journal", "segment-0000000004.journal.new", "notes"] {
        disk.create(&dir().join(other)).unwrap();
    }
    assert_eq!(segment_numbers(&disk, &dir()).unwrap(), [3, 12, 1_000]);
    // The first that can be read tells.
    for number in [3, 12] {
        assert_eq!(store_id(&disk, &dir()).unwrap(), Some(STORE));
        disk.flip(&segment_path(number), 20, 1).unwrap();
    }
    assert_eq!(store_id(&disk, &dir()).unwrap(), Some(STORE));
    disk.flip(&segment_path(1_000), 20, 1).unwrap();
    assert_eq!(store_id(&disk, &dir()).unwrap(), None);
}
