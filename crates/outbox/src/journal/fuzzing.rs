//! What must hold of whatever stands in segment files.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::frame::{ENVELOPE_BYTES, Envelope, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, Records};
use super::layout::{ALIGNMENT_BYTES, FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use super::{Journal, OpenError, Opened, Options, RecordAt, Start};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;

const OPTIONS: Options = Options { store_id: 7, segment_bytes: 4_096, max_bytes: u64::MAX };
const NOW: UnixMs = UnixMs(1_000);
const DIRECTORY: &str = "/journal";
/// Segments of a journal, and where the first stands.
const SEGMENTS: usize = 3;
const FIRST: u32 = 1;

type Row = (Position, Vec<u8>);

/// What stands in the segments behind their headers, between marks `|||`. The
/// first byte says what is put right: see [`mend`].
///
/// # Panics
/// The law is broken.
pub fn journal(bytes: &[u8]) {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    let disk = SimDisk::new();
    let mut written = 0;
    for (number, frames) in (FIRST..).zip(split(bytes)) {
        let mut frames = frames.to_vec();
        frames.truncate((OPTIONS.segment_bytes - SEGMENT_HEADER_BYTES) as usize);
        written += frames.len();
        if flags & 1 == 0 {
            mend(number, &mut frames);
        }
        // Those that are not cut have room behind what was written.
        let cut = flags >> number & 1 == 1;
        write(&disk, number, &frames, cut);
    }
    let Ok((opened, rows)) = open(&disk) else { return };
    let read: usize = rows.iter().map(|(_, record)| record.len()).sum();
    assert!(read <= written, "{read} bytes of records in {written}");
    assert!(rows.is_sorted_by(|(a, _), (b, _)| a < b), "records are visited in their order");
    assert_eq!(opened.report.records as usize, rows.len());
    assert!(opened.report.damage.iter().all(|damage| damage.from <= damage.to && damage.segment >= FIRST));
    check_reader(&opened, &rows);
    drop(opened);
    let (again, same) = open(&disk).unwrap_or_else(|error| panic!("it was opened once: {error}"));
    assert_eq!(same, rows, "what was recovered is found again");
    assert_eq!(again.report.torn, [], "a tail is cut once");
}

/// At most [`SEGMENTS`] parts.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while parts.len() + 1 < SEGMENTS {
        let Some(at) = rest.windows(3).position(|window| window == b"|||") else { break };
        let (part, behind) = rest.split_at(at);
        parts.push(part);
        rest = behind.get(3..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// Puts right what a frame needs to be taken for one: version, store, place and
/// check sums. What it says of its length, its number and what was synced stays.
fn mend(segment: u32, frames: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = frames.get_mut(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES as usize) {
        let position = Position::new(segment, SEGMENT_HEADER_BYTES + at as u32);
        at += match rest.starts_with(&FRAME_MAGIC).then(|| mend_frame(position, rest)).flatten() {
            Some(bytes) => bytes,
            None => ALIGNMENT_BYTES,
        };
    }
}

/// Gives the frame's length, if what follows is long enough.
fn mend_frame(position: Position, rest: &mut [u8]) -> Option<usize> {
    let (head, payload) = rest.split_at_mut(FRAME_HEADER_BYTES as usize);
    for (at, field) in [
        (4, &FORMAT_VERSION.to_le_bytes()[..]),
        (24, &OPTIONS.store_id.to_le_bytes()),
        (32, &position.as_u64().to_le_bytes()),
    ] {
        head.get_mut(at..at + field.len())?.copy_from_slice(field);
    }
    let header = FrameHeader::decode(head, position, OPTIONS.store_id)?;
    let payload = payload.get_mut(..header.payload_bytes as usize)?;
    let records: Vec<_> = Records::new(payload, 0).map(|(at, record)| (at as usize, Envelope::of(record))).collect();
    for (at, envelope) in records {
        payload.get_mut(at..at + ENVELOPE_BYTES)?.copy_from_slice(&envelope.encode());
    }
    head.copy_from_slice(&header.sealed(payload).encode());
    Some(FRAME_HEADER_BYTES as usize + payload.len())
}

fn write(disk: &SimDisk, number: u32, frames: &[u8], cut: bool) {
    let allocated_bytes = OPTIONS.segment_bytes;
    let header = SegmentHeader { number, store_id: OPTIONS.store_id, created: NOW, allocated_bytes };
    let path = Path::new(DIRECTORY).join(segment_name(number));
    disk.create_dir_all(Path::new(DIRECTORY)).expect("nothing fails on this disk");
    let file = disk.create(&path).expect("it is not there yet");
    file.write_all_at(&[&header.encode(), frames].concat(), 0).expect("nothing fails on this disk");
    if !cut {
        file.set_len(allocated_bytes.into()).expect("nothing fails on this disk");
    }
}

fn open(disk: &SimDisk) -> Result<(Opened, Vec<Row>), OpenError> {
    let mut rows = Vec::new();
    let start = Start { now: NOW, scan_from: Position::ZERO, clean: false };
    let mut visit = |record: RecordAt<'_>| rows.push((record.position, record.bytes.to_vec()));
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = Journal::open(&disk, Path::new(DIRECTORY), OPTIONS, start, &mut visit)?;
    Ok((opened, rows))
}

/// What was visited can be read, one by one and in a row, and nothing else.
fn check_reader(opened: &Opened, rows: &[Row]) {
    for (position, record) in rows {
        assert_eq!(opened.reader.read(*position).expect("it was visited"), record.as_slice());
    }
    let mut found = Vec::new();
    let from = rows.first().map_or(Position::ZERO, |(position, _)| *position);
    let scanned = opened.reader.scan(from, Position::MAX, &mut |record| {
        found.push((record.position, record.bytes.to_vec()));
        ControlFlow::Continue(())
    });
    if scanned.is_ok() {
        assert_eq!(found, rows);
    } else {
        assert!(!opened.report.damage.is_empty(), "only damage stops a scan");
    }
}
