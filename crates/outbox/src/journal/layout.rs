//! The bytes of a segment file outside its frames: its name and its header.
//! All numbers are little-endian. `docs/format.md` has the tables.

use bytes::{Buf, BufMut};
use postrider_model::time::UnixMs;

/// The version of everything in a segment file.
pub(super) const FORMAT_VERSION: u16 = 1;
/// The number of a new store's first segment.
pub const FIRST_SEGMENT: u32 = 1;

/// Where the first frame of a segment begins.
pub(crate) const SEGMENT_HEADER_BYTES: u32 = 64;

/// Frames and records begin at multiples of this.
pub(super) const ALIGNMENT_BYTES: usize = 8;

const SEGMENT_MAGIC: &[u8; 8] = b"PRJOURNL";

/// What stands before the header's checksum.
const CHECKED_BYTES: usize = 60;

/// The name of segment `number`.
pub(crate) fn segment_name(number: u32) -> String {
    format!("segment-{number:010}.journal")
}

/// The number of the segment with this name, if it is one.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".journal")?;
    let number = digits.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Whether the name is that of a segment, or of a torn tail, that was being
/// made at a crash.
pub(super) fn is_temporary_name(name: &str) -> bool {
    name.strip_suffix(".new").is_some_and(|whole| segment_number(whole).is_some() || whole.starts_with("torn-"))
}

/// The name under which a torn tail is kept.
pub(super) fn torn_name(segment: u32, offset: u32) -> String {
    format!("torn-{segment}-{offset}")
}

/// Whether the name is that of a torn tail.
pub(super) fn is_torn_name(name: &str) -> bool {
    name.starts_with("torn-")
}

/// `len` rounded up to the alignment.
pub(super) const fn aligned(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT_BYTES)
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u32,
    pub(super) store_id: u64,
    pub(super) created: UnixMs,
    /// The length that was allocated. A file that is shorter was sealed.
    pub(super) allocated_bytes: u32,
}

/// Why bytes are not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Not what was written.
    Damaged,
    /// Of a format that this program does not know.
    Version(u16),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        out.put_slice(SEGMENT_MAGIC);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(SEGMENT_HEADER_BYTES as u16);
        out.put_u32_le(self.number);
        out.put_u64_le(self.store_id);
        out.put_u64_le(self.created.0);
        out.put_u32_le(self.allocated_bytes);
        out.resize(CHECKED_BYTES, 0);
        out.put_u32_le(crc32c::crc32c(&out));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let Some((mut checked, mut crc)) = bytes
            .get(..SEGMENT_HEADER_BYTES as usize)
            .map(|header| header.split_at(CHECKED_BYTES))
            .filter(|(checked, _)| checked.starts_with(SEGMENT_MAGIC))
        else {
            return Err(HeaderFault::Damaged);
        };
        if crc.get_u32_le() != crc32c::crc32c(checked) {
            return Err(HeaderFault::Damaged);
        }
        checked.advance(SEGMENT_MAGIC.len());
        let version = checked.get_u16_le();
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Version(version));
        }
        checked.advance(2);
        Ok(Self {
            number: checked.get_u32_le(),
            store_id: checked.get_u64_le(),
            created: UnixMs(checked.get_u64_le()),
            allocated_bytes: checked.get_u32_le(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader =
        SegmentHeader { number: 7, store_id: 0x1122_3344_5566_7788, created: UnixMs(99), allocated_bytes: 4096 };

    #[test]
    fn names_are_read_back_and_others_are_not_segments() {
        assert_eq!(segment_name(42), "segment-0000000042.journal");
        assert_eq!(segment_number("segment-0000000042.journal"), Some(42));
        for other in ["segment-42.journal", "segment-+000000042.journal", "segment-0000000042.journal.new", "torn-1-2"]
        {
            assert_eq!(segment_number(other), None, "{other}");
        }
        assert!(is_temporary_name("segment-0000000042.journal.new") && is_temporary_name("torn-1-64.new"));
        assert!(!is_temporary_name("segment-0000000042.journal") && !is_temporary_name("torn-1-64"));
    }

    #[test]
    fn a_torn_tail_is_known_by_its_name_and_a_number_by_ten_digits() {
        assert_eq!(torn_name(7, 640), "torn-7-640");
        for (name, is_torn) in [("torn-7-640", true), ("torn-7-640.new", true), ("segment-0000000007.journal", false)] {
            assert_eq!(is_torn_name(name), is_torn, "{name}");
        }
        for number in [0, 1, 4_294_967_294, u32::MAX] {
            assert_eq!(segment_number(&segment_name(number)), Some(number));
        }
        for other in ["segment-4294967296.journal", "segment-0000000001", "0000000001.journal", "segment-.journal", ""]
        {
            assert_eq!(segment_number(other), None, "{other}");
        }
        for name in ["torn-7-640.new", "segment-0000000007.journal.new"] {
            assert!(is_temporary_name(name), "{name}");
        }
        for other in ["segment-42.journal.new", "checkpoint.new", "new", "segment-0000000042.journal.old"] {
            assert!(!is_temporary_name(other), "{other}");
        }
    }

    #[test]
    fn lengths_are_rounded_up_to_whole_words() {
        for (len, whole) in [(0, 0), (1, 8), (7, 8), (8, 8), (9, 16), (4_095, 4_096)] {
            assert_eq!(aligned(len), whole);
        }
    }

    /// Who sees one says which program is needed, and does not take it for damage.
    #[test]
    fn a_header_of_another_version_is_told_by_it() {
        for version in [0, 2, 0x0101] {
            let mut bytes = HEADER.encode();
            bytes.truncate(CHECKED_BYTES);
            bytes.splice(8..10, u16::to_le_bytes(version));
            bytes.put_u32_le(crc32c::crc32c(&bytes));
            assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Version(version)));
            assert_eq!(SegmentHeader::decode(bytes.get(..63).unwrap_or_default()), Err(HeaderFault::Damaged));
        }
    }

    #[test]
    fn a_header_is_read_back_and_every_flipped_bit_is_seen() {
        let bytes = HEADER.encode();
        assert_eq!(bytes.len(), 64);
        // The bytes of version 1 never change: stores out there have them.
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let frozen = concat!(
            "50524a4f55524e4c010040000700000088776655443322116300000000000000",
            "00100000000000000000000000000000000000000000000000000000132b8fcd",
        );
        assert_eq!(hex, frozen);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Damaged));
            }
        }
        assert_eq!(SegmentHeader::decode(&[]), Err(HeaderFault::Damaged));
    }
}
