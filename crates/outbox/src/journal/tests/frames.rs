//! What the bytes of a frame must be to count, and what fits into one that is being built.

use super::super::frame::{Envelope, FRAME_HEADER_BYTES, FrameHeader, Records, edit_records};
use super::*;

/// A header that counts at 3:128.
fn header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Synced,
        records: 2,
        payload_bytes: 48,
        store_id: STORE,
        position: Position::new(3, 128),
        number: 9,
        synced_through: Position::new(3, 64),
        time: NOW,
        crc: 0x0102_0304,
    }
}

fn decoded(header: &FrameHeader) -> Option<FrameHeader> {
    FrameHeader::decode(&header.encode(), header.position, STORE)
}

fn builder(limit_bytes: usize) -> FrameBuilder {
    FrameBuilder::new(vec![9; 100], Position::new(3, 128), limit_bytes, FrameKind::Lazy, NOW)
}

/// A frame of these records at 3:128.
fn built(records: &[&[u8]]) -> (FrameHeader, Vec<u8>) {
    let mut builder = builder(usize::MAX);
    for record in records {
        builder.push(&[*record]).unwrap();
    }
    builder.finish(STORE, 9, Position::new(3, 64))
}

#[test]
fn a_record_takes_whole_words_with_its_envelope() {
    for (len, bytes) in [(1, 16), (7, 16), (8, 16), (9, 24), (16, 24), (17, 32), (4_088, 4_096), (4_089, 4_104)] {
        assert_eq!(record_bytes(len), bytes, "{len}");
    }
}

#[test]
fn a_header_says_where_its_records_begin_and_where_the_next_frame_does() {
    let header = header();
    assert_eq!((header.payload_offset(), header.end_offset()), (192, 240));
    let empty = FrameHeader { payload_bytes: 0, ..header };
    assert_eq!((empty.payload_offset(), empty.end_offset()), (192, 192));
}

#[test]
fn a_header_counts_up_to_the_bounds_of_what_it_may_say() {
    let at = header().position;
    for header in [
        header(),
        FrameHeader { kind: FrameKind::Lazy, ..header() },
        FrameHeader { synced_through: at, ..header() },
        FrameHeader { synced_through: Position::new(3, 72), ..header() },
        FrameHeader { payload_bytes: 0, records: 0, ..header() },
        FrameHeader { number: 0, ..header() },
        FrameHeader { number: u64::MAX >> 1, ..header() },
        FrameHeader { crc: u32::MAX, time: UnixMs(u64::MAX), ..header() },
    ] {
        assert_eq!(decoded(&header), Some(header));
    }
    let after = Position::new(3, 136);
    for header in [
        FrameHeader { synced_through: after, ..header() },
        FrameHeader { synced_through: Position::new(3, 56), ..header() },
        FrameHeader { synced_through: Position::new(2, 128), ..header() },
        FrameHeader { synced_through: Position::new(4, 64), ..header() },
        FrameHeader { synced_through: Position::new(3, 68), ..header() },
        FrameHeader { payload_bytes: 44, ..header() },
        FrameHeader { number: (u64::MAX >> 1) + 1, ..header() },
        FrameHeader { store_id: STORE + 1, ..header() },
    ] {
        assert_eq!(decoded(&header), None, "{header:?}");
    }
    assert_eq!(FrameHeader::decode(&header().encode(), after, STORE), None, "it says that it stands elsewhere");
}

#[test]
fn a_header_counts_only_with_the_magic_the_version_and_the_zeros_of_the_format() {
    let bytes = header().encode();
    assert_eq!(bytes.len(), 64);
    // The magic, the version, the kind, and both places where nothing stands.
    for at in (0..8).chain(20..24) {
        let mut bytes = bytes.clone();
        *bytes.get_mut(at).unwrap() ^= 0x40;
        assert_eq!(FrameHeader::decode(&bytes, header().position, STORE), None, "byte {at}");
    }
    for kind in [0, 3] {
        let mut bytes = bytes.clone();
        *bytes.get_mut(6).unwrap() = kind;
        assert_eq!(FrameHeader::decode(&bytes, header().position, STORE), None, "kind {kind}");
    }
    assert_eq!(FrameHeader::decode(bytes.get(..63).unwrap(), header().position, STORE), None);
}

/// An end that cannot be told in 32 bits would be one before the frame.
#[test]
fn a_frame_ends_within_the_offsets_that_a_segment_can_have() {
    for offset in [64, 1 << 20, 1 << 30, 3 << 30, u32::MAX - 7 - 72, u32::MAX - 7 - 64] {
        let position = Position::new(3, offset);
        let at = |payload_bytes| FrameHeader { position, synced_through: position, payload_bytes, ..header() };
        let most = u32::MAX - 7 - 64 - offset;
        assert_eq!(decoded(&at(most)).map(|header| header.end_offset()), Some(u32::MAX - 7), "{offset}");
        assert_eq!(decoded(&at(most + 8)), None, "{offset}");
    }
}

#[test]
fn a_frame_is_intact_only_with_its_length_its_checksum_and_its_number_of_records() {
    let (header, frame) = built(&[b"one", b"and another"]);
    assert!(header.is_intact(&frame));
    let is_intact = |header: FrameHeader, payload: &[u8]| {
        let header = header.sealed(payload);
        header.is_intact(&[&header.encode(), payload].concat())
    };
    let payload = frame.get(64..).unwrap();
    assert!(is_intact(header, payload));
    for records in [1, 3] {
        assert!(!is_intact(FrameHeader { records, ..header }, payload), "{records} records");
    }
    for payload_bytes in [header.payload_bytes - 8, header.payload_bytes + 8] {
        assert!(!is_intact(FrameHeader { payload_bytes, ..header }, payload), "{payload_bytes} bytes");
    }
    let longer = [payload, &[0; 8]].concat();
    let padded = FrameHeader { payload_bytes: header.payload_bytes + 8, ..header };
    assert!(!is_intact(padded, &longer), "something that is no record stands behind the last one");
    for len in [0, 63, 64, frame.len() - 8] {
        assert!(!header.is_intact(frame.get(..len).unwrap()), "{len} bytes of it");
    }
    assert!(!FrameHeader { crc: header.crc ^ 1, ..header }.is_intact(&frame));
}

/// The checksum that stands in the header is not part of what it is of.
#[test]
fn a_frame_that_is_sealed_again_is_as_it_was() {
    let (header, frame) = built(&[b"one"]);
    assert_eq!(header.sealed(frame.get(64..).unwrap()), header);
    assert_eq!(frame.get(..64).unwrap(), header.encode());
}

#[test]
fn an_envelope_is_of_one_record_alone() {
    let envelope = Envelope::of(b"a record");
    let bytes = envelope.encode();
    assert_eq!(bytes.get(..4).unwrap(), 8u32.to_le_bytes());
    assert_eq!(bytes.get(4..).unwrap(), crc32c::crc32c(b"a record").to_le_bytes());
    let read = Envelope::decode(&bytes).unwrap();
    assert_eq!((read.len, read.is_of(b"a record"), read.is_of(b"a_record")), (8, true, false));
    // The checksum of the longer one, and the length of the shorter.
    let mut mixed = 8u32.to_le_bytes().to_vec();
    mixed.extend(crc32c::crc32c(b"a record!").to_le_bytes());
    let mixed = Envelope::decode(&mixed).unwrap();
    assert!(!mixed.is_of(b"a record") && !mixed.is_of(b"a record!"));
    assert!(Envelope::decode(&[1, 0, 0, 0, 5, 5, 5, 5]).is_some());
    assert!(Envelope::decode(&[0, 0, 0, 0, 5, 5, 5, 5]).is_none(), "there are no empty records");
    assert!(Envelope::decode(&[1, 0, 0, 0, 5, 5, 5]).is_none());
}

#[test]
fn records_are_told_with_the_places_at_which_they_stand() {
    let (header, frame) = built(&[b"one", b"and another", b"eight by"]);
    let payload = frame.get(64..).unwrap();
    let mut records = Records::new(payload, header.payload_offset());
    assert_eq!(records.offset(), 192);
    let mut found = Vec::new();
    while let Some((offset, record)) = records.next() {
        found.push((offset, record, records.offset()));
    }
    assert_eq!(
        found,
        [(192, b"one".as_slice(), 208), (208, b"and another".as_slice(), 232), (232, b"eight by".as_slice(), 248)]
    );
    assert_eq!((records.rest.len(), header.end_offset()), (0, 248));
    // One that does not end before the payload does is none.
    let mut records = Records::new(payload.get(..payload.len() - 8).unwrap(), 0);
    assert_eq!((records.by_ref().count(), records.offset(), records.rest.len()), (2, 40, 8));
}

#[test]
fn records_are_changed_in_their_places_and_nothing_beside_them_is() {
    let (header, frame) = built(&[b"one", b"and another", b"eight by"]);
    let before = frame.get(64..).unwrap();

    let mut shown = Vec::new();
    let mut same = before.to_vec();
    let edited = edit_records(&mut same, &header, &mut |position, record| {
        shown.push((position, record.to_vec()));
        false
    });
    assert!(!edited && same == before);
    let [one, another, eight] = [(192, "one"), (208, "and another"), (232, "eight by")]
        .map(|(offset, record)| (Position::new(3, offset), record.as_bytes().to_vec()));
    assert_eq!(shown, [one, another, eight]);

    let mut changed = before.to_vec();
    let edited = edit_records(&mut changed, &header, &mut |position, record| {
        let hit = position.offset_bytes() == 208;
        if hit {
            record.fill(b'x');
        }
        hit
    });
    assert!(edited);
    let (expected, _) = built(&[b"one", b"xxxxxxxxxxx", b"eight by"]);
    assert_eq!(header.sealed(&changed), expected);
    assert!(expected.is_intact(&[&expected.encode(), &*changed].concat()));
    assert!(!edit_records(&mut [], &header, &mut |_, _| true), "there was none to change");
}

#[test]
fn a_record_fits_up_to_the_last_byte_that_the_frame_may_take() {
    let limit_bytes = FRAME_HEADER_BYTES as usize + 40;
    let mut builder = builder(limit_bytes);
    assert_eq!((builder.records(), builder.next_position(), builder.start()), (0, at(192), at(128)));
    assert_eq!(builder.push(&[&[1; 33]]), Err(FrameFull { bytes: 48, left_bytes: 40 }));
    assert_eq!(builder.push(&[&[1; 8]]), Ok(at(192)));
    assert_eq!((builder.records(), builder.next_position()), (1, at(208)));
    assert_eq!(builder.push(&[&[2; 17]]), Err(FrameFull { bytes: 32, left_bytes: 24 }));
    assert_eq!((builder.records(), builder.next_position()), (1, at(208)), "it is as before");
    assert_eq!(builder.push(&[&[2; 10], &[], &[3; 6]]), Ok(at(208)));
    assert_eq!(builder.push(&[&[4]]), Err(FrameFull { bytes: 16, left_bytes: 0 }));
    assert_eq!((builder.records(), builder.kind(), builder.time()), (2, FrameKind::Lazy, NOW));
    let (header, frame) = builder.finish(STORE, 9, at(64));
    assert_eq!((header.records, header.end_offset(), frame.len()), (2, 232, limit_bytes));
    let records: Vec<_> = Records::new(frame.get(64..).unwrap(), 0).map(|(_, record)| record.to_vec()).collect();
    assert_eq!(records, [vec![1; 8], [[2; 10].as_slice(), &[3; 6]].concat()]);
}

const fn at(offset: u32) -> Position {
    Position::new(3, offset)
}
