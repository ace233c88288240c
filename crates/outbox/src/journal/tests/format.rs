//! Laws of the frame's bytes, and bytes that nobody wrote.

use proptest::prelude::*;

use super::super::frame::{FrameHeader, Records};
use super::*;
use crate::disk::sim::Survival;

fn build(records: &[Vec<u8>], offset: u32) -> (FrameHeader, Vec<u8>) {
    let start = Position::new(3, offset);
    let mut builder = FrameBuilder::new(Vec::new(), start, usize::MAX, FrameKind::Lazy, NOW);
    for record in records {
        let (head, tail) = record.split_at(record.len() / 2);
        builder.push(&[head, tail]).unwrap();
    }
    builder.finish(STORE, 9, Position::new(3, 64))
}

/// The bytes of version 1 never change: stores out there have them.
#[test]
fn a_frame_of_version_1_has_these_bytes() {
    let (header, bytes) = build(&[b"one".to_vec(), b"and two".to_vec()], 128);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, FROZEN_FRAME);
    assert_eq!(header.payload_offset(), 192);
}

const FROZEN_FRAME: &str = concat!(
    "5052465201000200d7164b0d2000000002000000000000005555aaaa1d2e0157",
    "800000000300000009000000000000004000000003000000e803000000000000",
    "03000000e9b2942a6f6e65000000000007000000b4657b3f616e642074776f00",
);

/// A frame that names such a place is none of ours, though its checksum is right. Were
/// it believed, the journal would end there and go on where frames are not looked for.
#[test]
fn a_frame_counts_only_if_what_it_says_was_synced_ends_where_frames_begin() {
    for synced in 65..72 {
        let disk = SimDisk::new();
        drop(open(&disk));
        let builder = FrameBuilder::new(Vec::new(), Position::new(1, 144), 64, FrameKind::Lazy, NOW);
        let (_, frame) = builder.finish(STORE, 2, Position::new(1, synced));
        let file = disk.open(&segment_path(1)).unwrap();
        file.write_all_at(b"not a frame", 64).unwrap();
        file.write_all_at(&frame, 144).unwrap();
        let (mut opened, rows) = open(&disk);
        let torn: Vec<_> = opened.report.torn.iter().map(|torn| (torn.segment, torn.offset)).collect();
        assert_eq!((rows, &*opened.report.damage, &*torn), (vec![], &[][..], &[(1, 64)][..]), "{synced}");
        let more = append(&mut opened.journal, FrameKind::Synced, &records(1, 2)).unwrap();
        opened.journal.sync().unwrap();
        let (again, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!((found, again.report.torn), (more, vec![]), "{synced}");
    }
}

/// The length of the file says that it was all synced, until it is written anew.
#[test]
fn a_frame_without_records_is_a_mark_only_if_it_says_that_all_before_it_was_synced() {
    let disk = SimDisk::new();
    drop(open(&disk));
    let file = disk.open(&segment_path(1)).unwrap();
    file.write_all_at(b"not a frame", 64).unwrap();
    let mut at = 144;
    for (number, records) in [(2, &[b"kept"][..]), (3, &[])] {
        let mut builder = FrameBuilder::new(Vec::new(), Position::new(1, at), 128, FrameKind::Lazy, NOW);
        for record in records {
            builder.push(&[*record]).unwrap();
        }
        let (_, frame) = builder.finish(STORE, number, Position::new(1, 64));
        file.write_all_at(&frame, at.into()).unwrap();
        at += frame.len() as u32;
    }
    file.set_len(at.into()).unwrap();
    let (opened, rows) = open(&disk);
    let damage: Vec<_> = opened.report.damage.iter().map(|damage| (damage.from, damage.to)).collect();
    assert_eq!((rows.len(), damage), (1, vec![(64, 144)]));
    let (again, found) = open(&disk.crash(Survival::Nothing));
    assert_eq!((found, again.report.damage, again.report.torn), (rows, opened.report.damage, vec![]));
}

fn any_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8)
}

proptest! {
    #[test]
    fn a_frame_is_read_as_it_was_built(records in any_records(), offset in (8u32..1000).prop_map(|word| word * 8)) {
        let (header, bytes) = build(&records, offset);
        let read = FrameHeader::decode(&bytes, Position::new(3, offset), STORE).unwrap();
        prop_assert_eq!(read, header);
        prop_assert!(read.is_intact(&bytes));
        prop_assert_eq!(read.end_offset() as usize, offset as usize + bytes.len());
        prop_assert_eq!(bytes.len() % 8, 0);
        let payload = bytes.get(64..).unwrap();
        let found: Vec<Vec<u8>> = Records::new(payload, 0).map(|(_, record)| record.to_vec()).collect();
        prop_assert_eq!(found, records);
        prop_assert!(FrameHeader::decode(&bytes, Position::new(3, offset + 8), STORE).is_none());
        prop_assert!(FrameHeader::decode(&bytes, Position::new(3, offset), STORE + 1).is_none());
    }

    #[test]
    fn a_changed_byte_is_seen(records in any_records(), at in any::<prop::sample::Index>(), mask in 1u8..) {
        let (_, mut bytes) = build(&records, 64);
        let at = at.index(bytes.len());
        *bytes.get_mut(at).unwrap() ^= mask;
        let read = FrameHeader::decode(&bytes, Position::new(3, 64), STORE);
        prop_assert!(read.is_none_or(|header| !header.is_intact(&bytes)));
    }

    /// Whatever stands in the file: no panic, no endless loop, and what recovery
    /// leaves is found again.
    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 1..600),
        offset in 0u32..SEGMENT_BYTES,
        number in 1u32..5,
        len in 0u64..u64::from(SEGMENT_BYTES) + 100,
        magic in any::<bool>(),
    ) {
        let disk = SimDisk::new();
        let (mut opened, _) = open(&disk);
        for step in 0..6 {
            append(&mut opened.journal, FrameKind::Synced, &records(step, 2)).unwrap();
            opened.journal.provision().unwrap();
        }
        let file = disk.open(&segment_path(number)).unwrap();
        let bytes = if magic { [b"PRFR\x01\x00\x01\x00".as_slice(), &bytes].concat() } else { bytes };
        file.write_all_at(&bytes, (offset / 8 * 8).into()).unwrap();
        file.set_len(len.max(file.len().unwrap() / 2)).unwrap();
        let _ = scan_all(&opened.reader, Position::ZERO, Position::MAX);
        for word in 0..SEGMENT_BYTES / 8 {
            let _ = opened.reader.read(Position::new(number, word * 8));
        }
        opened.reader.scrub(number).unwrap();
        let disk = disk.crash(Survival::Everything);
        let (_, rows) = open(&disk);
        let (_, again) = open(&disk.crash(Survival::Nothing));
        prop_assert!(rows == again, "{} rows, then {}", rows.len(), again.len());
    }
}
