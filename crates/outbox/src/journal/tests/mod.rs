#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

mod appending;
mod around;
mod behind;
mod crash;
mod cut;
mod damage;
mod evidence;
mod format;
mod frames;
mod full;
mod making;
mod naming;
mod numbers;
mod odd_disk;
mod reading;
mod repair;
mod rewrite;
mod room;
mod salvage;
mod survey;
mod walking;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::layout::{SegmentHeader, segment_name};
use super::*;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, replace_file};

const STORE: u64 = 0x5701_2e1d_aaaa_5555;
const SEGMENT_BYTES: u32 = 2048;
const NOW: UnixMs = UnixMs(1_000);

/// A record and its address.
type Row = (Position, Vec<u8>);

fn dir() -> PathBuf {
    PathBuf::from("/store/journal")
}

fn segment_path(number: u32) -> PathBuf {
    dir().join(segment_name(number))
}

fn options() -> Options {
    Options { store_id: STORE, segment_bytes: SEGMENT_BYTES, max_bytes: u64::MAX }
}

fn arc(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn try_open(disk: &SimDisk, options: Options, start: Start) -> Result<(Opened, Vec<Row>), OpenError> {
    let mut rows = Vec::new();
    let mut visit = |record: RecordAt<'_>| rows.push((record.position, record.bytes.to_vec()));
    let opened = Journal::open(&arc(disk), &dir(), options, start, &mut visit)?;
    Ok((opened, rows))
}

fn unclean(scan_from: Position) -> Start {
    Start { now: NOW, scan_from, clean: false }
}

fn open_from(disk: &SimDisk, scan_from: Position) -> (Opened, Vec<Row>) {
    try_open(disk, options(), unclean(scan_from)).unwrap()
}

fn open(disk: &SimDisk) -> (Opened, Vec<Row>) {
    open_from(disk, Position::ZERO)
}

/// Appends one frame; gives its rows.
fn append(journal: &mut Journal, kind: FrameKind, records: &[Vec<u8>]) -> Result<Vec<Row>, AppendError> {
    let bound = records.iter().map(|record| record_bytes(record.len())).sum();
    let mut builder = journal.begin_frame(kind, FrameClass::Reserved, bound, NOW)?;
    let rows = records.iter().map(|record| (builder.push(&[record]).unwrap(), record.clone())).collect();
    journal.append(builder)?;
    Ok(rows)
}

/// `count` records of different lengths and content.
fn records(seed: u64, count: usize) -> Vec<Vec<u8>> {
    (0..count as u64)
        .map(|n| {
            let mix = (seed * 31 + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            (0..1 + mix % 300).map(|at| (mix.wrapping_mul(at + 3) >> 7) as u8).collect()
        })
        .collect()
}

fn scan_all(reader: &JournalReader, from: Position, to: Position) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    reader.scan(from, to, &mut |record| {
        rows.push((record.position, record.bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// Checks that what was visited can be read and scanned, and nothing else.
fn check_reader(opened: &Opened, rows: &[Row]) {
    for (position, bytes) in rows {
        assert_eq!(opened.reader.read(*position).unwrap(), bytes.as_slice());
    }
    let from = rows.first().map_or(Position::ZERO, |(position, _)| *position);
    assert_eq!(scan_all(&opened.reader, from, Position::MAX).unwrap(), rows);
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new(&dir())).unwrap()
}

/// Writes a segment with such frames: each with its number, the offset up to which it says that the segment was
/// synced, and its records. Its time is its number. Gives where they begin, and where the last one ends: there ends
/// the file, too, if it is `cut`.
fn write_segment(disk: &SimDisk, number: u32, frames: &[(u64, u32, &[Vec<u8>])], cut: bool) -> Vec<u32> {
    let header = SegmentHeader { number, store_id: STORE, created: NOW, allocated_bytes: SEGMENT_BYTES };
    let mut bytes = header.encode();
    let mut places = vec![bytes.len() as u32];
    for (frame, synced, records) in frames {
        let start = Position::new(number, bytes.len() as u32);
        let room = SEGMENT_BYTES as usize;
        let mut builder = FrameBuilder::new(Vec::new(), start, room, FrameKind::Synced, UnixMs(*frame));
        for record in *records {
            builder.push(&[record]).unwrap();
        }
        bytes.extend(builder.finish(STORE, *frame, Position::new(number, *synced)).1);
        places.push(bytes.len() as u32);
    }
    if !cut {
        bytes.resize(SEGMENT_BYTES as usize, 0);
    }
    disk.create_dir_all(&dir()).unwrap();
    replace_file(disk, &segment_path(number), &bytes).unwrap();
    places
}

/// A record of 24 bytes, so one that takes 32.
fn named(name: &str) -> Vec<u8> {
    format!("{name:.<24}").into_bytes()
}
