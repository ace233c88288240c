//! Reading a segment's file: which bytes are seen, and what is asked of the disk for it.

use std::io;

use parking_lot::Mutex;

use super::super::frame::FrameHeader;
use super::super::walk::Walk;
use super::*;
use crate::disk::{AllocateError, DiskFile};

/// What is asked of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// So many bytes from here on.
    Read(u64, usize),
    /// Where the hole ends that begins here.
    Hole(u64),
}

use Asked::{Hole, Read};

/// A file in memory that keeps what it was asked.
struct Watched {
    bytes: Vec<u8>,
    /// All before is a hole, and reads as zero.
    data_from: u64,
    asked: Mutex<Vec<Asked>>,
}

impl Watched {
    fn new(bytes: Vec<u8>) -> Arc<Self> {
        Self::with_hole(bytes, 0)
    }

    fn with_hole(bytes: Vec<u8>, data_from: u64) -> Arc<Self> {
        Arc::new(Self { bytes, data_from, asked: Mutex::default() })
    }

    /// A walk through segment 3, up to `limit`.
    fn walk(self: &Arc<Self>, limit: u64) -> Walk {
        let file: Arc<Self> = Arc::clone(self);
        Walk::new(file, 3, STORE, limit)
    }

    fn whole_walk(self: &Arc<Self>) -> Walk {
        self.walk(self.bytes.len() as u64)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    fn reads(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| matches!(asked, Read(..))).collect()
    }
}

impl DiskFile for Watched {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.asked.lock().push(Read(offset, buffer.len()));
        let from = usize::try_from(offset).unwrap().min(self.bytes.len());
        let there = self.bytes.get(from..).unwrap();
        let read = there.len().min(buffer.len());
        buffer.get_mut(..read).unwrap().copy_from_slice(there.get(..read).unwrap());
        Ok(read)
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        self.asked.lock().push(Hole(offset));
        Ok(offset.max(self.data_from))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_all_vectored_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&self, _: u64) -> Result<(), AllocateError> {
        Err(AllocateError::Full)
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

const KIB: usize = 1_024;
/// The first read.
const FIRST: u32 = 64 * KIB as u32;

/// A frame of 80 bytes.
fn frame(offset: u32) -> Vec<u8> {
    let start = Position::new(3, offset);
    let mut builder = FrameBuilder::new(Vec::new(), start, 80, FrameKind::Lazy, NOW);
    builder.push(&[b"a record"]).unwrap();
    builder.finish(STORE, offset.into(), Position::new(3, 64)).1
}

/// A frame in a file whose other bytes are as given.
fn with_frame(mut bytes: Vec<u8>, offset: u32) -> Arc<Watched> {
    let frame = frame(offset);
    let from = offset as usize;
    bytes.get_mut(from..from + frame.len()).unwrap().copy_from_slice(&frame);
    Watched::new(bytes)
}

fn place(found: Option<FrameHeader>) -> Option<u32> {
    found.map(|frame| frame.position.offset_bytes())
}

/// Bytes of which no two parts are alike.
fn any_bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8 | 1).collect()
}

#[test]
fn a_walk_sees_the_bytes_of_the_file_wherever_it_looks() {
    // The last word is filled up with zeros.
    let file = Watched::new(any_bytes(300_003));
    let mut seen = file.bytes.clone();
    seen.resize(300_008, 0);
    let offsets = [0, 1, 7, 64, 65_528, 65_530, 65_536, 131_072, 200_000, 299_990, 300_000, 300_007, 300_008, 400_000];
    let lens = [0, 1, 8, 64, 65_536, 65_537, 200_000, 400_000];
    let looks: Vec<(u32, usize)> =
        offsets.iter().flat_map(|offset| lens.iter().map(move |len| (*offset, *len))).collect();
    let mut walk = file.whole_walk();
    for (offset, len) in looks.iter().chain(looks.iter().rev()) {
        let from = (*offset as usize).min(seen.len());
        let expected = seen.get(from..from.saturating_add(*len).min(seen.len())).unwrap();
        assert!(walk.bytes(*offset, *len).unwrap() == expected, "{len} bytes at {offset}, after others");
        assert!(file.whole_walk().bytes(*offset, *len).unwrap() == expected, "{len} bytes at {offset}, first");
    }
}

#[test]
fn a_walk_ends_with_the_word_in_which_its_limit_lies() {
    let file = Watched::new(any_bytes(200));
    for (limit, end) in [(0, 0), (64, 64), (65, 72), (71, 72), (72, 72), (u64::from(u32::MAX), u32::MAX)] {
        assert_eq!(file.walk(limit).limit(), end);
    }
    assert_eq!(file.walk(u64::MAX - 8).limit(), u32::MAX);
    assert_eq!(file.walk(72).bytes(64, 100).unwrap().len(), 8);
    assert_eq!(file.walk(72).segment(), 3);
}

/// A file may be cut while it is read.
#[test]
fn a_file_that_ends_before_its_walk_gives_what_there_is() {
    let file = Watched::new(any_bytes(100));
    let mut walk = file.walk(300);
    let last = [file.bytes.get(96..).unwrap(), &[0; 4]].concat();
    for (offset, len, expected) in
        [(96, 8, &*last), (96, 100, &last), (64, 40, &[file.bytes.get(64..96).unwrap(), &last].concat()), (104, 8, &[])]
    {
        assert_eq!(walk.bytes(offset, len).unwrap(), expected, "{len} bytes at {offset}");
    }
    assert_eq!(file.walk(300).used_end(64).unwrap(), Some(100));
    assert_eq!(place(file.walk(300).find(0).unwrap()), None);
    assert_eq!(place(with_frame(vec![0; 144], 64).walk(300).find(0).unwrap()), Some(64));
}

#[test]
fn reads_grow_to_a_mebibyte_and_none_goes_past_the_end_of_the_walk() {
    let file = Watched::new(vec![0; 5 << 20]);
    let limit = 64 + (4_032 + 300) * KIB;
    assert_eq!(file.walk(limit as u64).used_end(64).unwrap(), None);
    let mut expected = Vec::new();
    let mut at = 64;
    for kib in [64, 128, 256, 512, 1_024, 1_024, 1_024, 300] {
        expected.extend([Hole(at), Read(at, kib * KIB)]);
        at += (kib * KIB) as u64;
    }
    assert_eq!(file.asked(), expected);
    // One that is not large is read at once and asked for once.
    let file = Watched::new(vec![0; 1_000]);
    assert_eq!(file.walk(500).used_end(64).unwrap(), None);
    assert_eq!(file.asked(), [Hole(64), Read(64, 504 - 64)]);
}

#[test]
fn frames_that_are_in_memory_are_not_read_again() {
    let frames: Vec<u8> = (0..50).flat_map(|number| frame(64 + 80 * number)).collect();
    let file = Watched::new([vec![0; 64], frames].concat());
    let mut walk = file.whole_walk();
    let mut at = 64;
    while let Some(frame) = walk.frame(at).unwrap() {
        assert_eq!(walk.payload(&frame).unwrap().get(8..).unwrap(), b"a record");
        assert_eq!((place(Some(frame)), frame.end_offset()), (Some(at), at + 80));
        at = frame.end_offset();
    }
    assert_eq!((at, file.asked()), (walk.limit(), vec![Read(64, 4_000)]));
    // Nor where none of them is a frame, and the next is looked for.
    let broken: Vec<u8> = (0..50).flat_map(|number| frame(72 + 80 * number)).collect();
    let file = Watched::new([vec![0; 64], broken].concat());
    assert_eq!(place(file.whole_walk().find(64).unwrap()), None);
    assert_eq!(file.asked(), [Hole(64), Read(64, 4_000)]);
}

#[test]
fn what_lies_at_the_end_of_a_read_is_read_from_there() {
    // The frame's magic is in one read and the rest in the next.
    let offset = 64 + FIRST - 8;
    let file = with_frame(vec![0; 300_000], offset);
    assert_eq!(place(file.whole_walk().find(64).unwrap()), Some(offset));
    assert_eq!(file.reads(), [Read(64, 64 * KIB), Read(offset.into(), 128 * KIB)]);
}

#[test]
fn a_frame_is_found_at_every_word_and_by_its_first_word_alone() {
    let len = 140_000_u32;
    let zeros = vec![0; len as usize];
    // What looks like the beginning of a frame to whom sees no more than a word of it.
    let mut lures = any_bytes(len as usize);
    for at in (64..len as usize - 8).step_by(24) {
        lures.get_mut(at..at + 4).unwrap().copy_from_slice(b"PRFR");
    }
    let window = 64 + FIRST;
    for offset in [64, 72, 80, 136, window - 80, window - 8, window, window + 8, 2 * FIRST, len - 88, len - 80] {
        for others in [&zeros, &lures] {
            let file = with_frame(others.clone(), offset);
            for from in [0, 64, offset - 16, offset - 8, offset - 7, offset] {
                let found = file.whole_walk().find(from).unwrap();
                assert_eq!(place(found), Some(offset), "from {from}");
            }
            for from in [offset + 1, offset + 8, len - 8, len, len + 8] {
                assert_eq!(place(file.whole_walk().find(from).unwrap()), None, "{offset}, from {from}");
            }
        }
    }
}

#[test]
fn no_read_is_larger_for_what_was_looked_at_before() {
    let step = 700 * KIB as u32;
    let offsets: Vec<u32> = (1..=24).map(|number| number * step).collect();
    let mut bytes = vec![0; 25 * step as usize];
    for offset in &offsets {
        let from = *offset as usize;
        bytes.get_mut(from..from + 80).unwrap().copy_from_slice(&frame(*offset));
    }
    let file = Watched::new(bytes);
    let mut walk = file.whole_walk();
    // Some begin in what is in memory, and end in what is not.
    let mut at = 64;
    let mut found = Vec::new();
    while let Some(frame) = walk.find(at).unwrap() {
        found.push(frame.position.offset_bytes());
        at = frame.end_offset();
    }
    assert_eq!(found, offsets);
    let reads = file.reads();
    assert!(reads.iter().all(|read| matches!(read, Read(_, 1..=1_048_576))), "{reads:?}");
}

#[test]
fn only_a_frame_that_ends_where_the_walk_does_or_before_is_one() {
    let file = with_frame(vec![0; 1_000], 160);
    for (limit, is_one) in [(240, true), (248, true), (233, true), (232, false), (224, false), (160, false)] {
        let mut walk = file.walk(limit);
        assert_eq!(place(walk.header(160).unwrap()), is_one.then_some(160), "{limit}");
        assert_eq!(place(walk.frame(160).unwrap()), is_one.then_some(160), "{limit}");
        assert_eq!(place(walk.find(64).unwrap()), is_one.then_some(160), "{limit}");
    }
    let mut hurt = file.bytes.clone();
    *hurt.get_mut(232).unwrap() ^= 1;
    let mut walk = Watched::new(hurt).whole_walk();
    assert_eq!(place(walk.header(160).unwrap()), Some(160), "its own checksum is not looked at");
    assert_eq!((place(walk.frame(160).unwrap()), place(walk.find(64).unwrap())), (None, None));
}

#[test]
fn holes_are_passed_over_and_not_read() {
    let offset = 2 << 20;
    let bytes = with_frame(vec![0; 3 << 20], offset).bytes.clone();
    // A hole may end anywhere.
    for before in [0, 1, 4, 5, 4_096, 100_000] {
        let data_from = u64::from(offset - before);
        let file = Watched::with_hole(bytes.clone(), data_from);
        assert_eq!(place(file.whole_walk().find(64).unwrap()), Some(offset), "{before}");
        assert_eq!(file.whole_walk().used_end(64).unwrap(), Some(offset + 80), "{before}");
        let is_data = |read: &Asked| matches!(read, Read(from, _) if *from >= data_from / 8 * 8);
        assert!(file.reads().iter().all(is_data), "{before}: {:?}", file.reads());
    }
    for data_from in [3 << 20, u64::MAX] {
        let file = Watched::with_hole(vec![0; 3 << 20], data_from);
        assert_eq!(place(file.whole_walk().find(64).unwrap()), None);
        assert_eq!(file.whole_walk().used_end(64).unwrap(), None);
        assert_eq!(file.asked(), [Hole(64), Hole(64)]);
    }
}

#[test]
fn what_is_used_ends_with_the_last_byte_that_is_not_zero() {
    let len = 140_000;
    let window = 64 + FIRST;
    // Blocks are looked at first, and there are some in each read.
    for last in [64, 65, 4_159, 4_160, 4_161, 10_000, window - 1, window, window + 4_096, 130_000, len - 1] {
        let mut bytes = vec![0; len as usize];
        *bytes.get_mut(last as usize).unwrap() = 0x10;
        let alone = Watched::new(bytes.clone());
        for from in [0, 1, 64, last / 2, last] {
            assert_eq!(alone.whole_walk().used_end(from).unwrap(), Some(last + 1), "from {from}");
        }
        for from in [last + 1, last + 2, len - 1, len, len + 8].into_iter().filter(|from| *from > last) {
            assert_eq!(alone.whole_walk().used_end(from).unwrap(), None, "{last}, from {from}");
        }
        // Others before it, the same and beside it too.
        for before in [64, last.saturating_sub(1).max(64), last / 2 + 32] {
            *bytes.get_mut(before as usize).unwrap() = 0x10;
        }
        assert_eq!(Watched::new(bytes).whole_walk().used_end(64).unwrap(), Some(last + 1));
    }
}
