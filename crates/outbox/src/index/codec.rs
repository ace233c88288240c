//! Numbers and ids in few bytes: what the rows of a block are written with.
//!
//! Numbers are differences to the number that was last written in the same
//! column, zigzag coded, seven bits a byte, high bits first. An id is written
//! whole once a block and by its place in the block's list after that.

use postrider_model::id::ID_BYTES;

/// A column of numbers.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Major,
    Position,
    Time,
}

const COLUMNS: usize = 3;

/// A number has at most this many bytes.
const MAX_VARINT_BYTES: usize = 10;

/// The most that one row takes: two ids with their codes, a hash, the columns
/// and two small numbers.
pub(super) const MAX_ROW_BYTES: usize = 2 * (ID_BYTES + 3) + 16 + (COLUMNS + 2) * MAX_VARINT_BYTES;

/// Writes rows.
#[derive(Default)]
pub(super) struct Packer {
    pub(super) bytes: Vec<u8>,
    ids: Vec<[u8; ID_BYTES]>,
    columns: [u64; COLUMNS],
}

impl Packer {
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, value: u64) {
        let mut chars = [0u8; MAX_VARINT_BYTES];
        let mut rest = value;
        let mut used = 0;
        for slot in chars.iter_mut().rev() {
            *slot = (rest & 0x7f) as u8 | if used == 0 { 0 } else { 0x80 };
            used += 1;
            rest >>= 7;
            if rest == 0 {
                break;
            }
        }
        self.raw(chars.split_at(MAX_VARINT_BYTES - used).1);
    }

    pub(super) fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(super) fn column(&mut self, column: Column, value: u64) {
        if let Some(last) = self.columns.get_mut(column as usize) {
            let difference = value.wrapping_sub(*last) as i64;
            *last = value;
            self.signed(difference);
        }
    }

    pub(super) fn id(&mut self, id: &[u8; ID_BYTES]) {
        // Rows are sorted by owner, so the newest id is the likely one.
        match self.ids.iter().rposition(|known| known == id) {
            Some(place) => self.number(place as u64 + 1),
            None => {
                self.ids.push(*id);
                self.number(0);
                self.raw(id);
            }
        }
    }
}

/// Reads what a [`Packer`] wrote. `None` means that it did not.
pub(super) struct Unpacker<'a> {
    bytes: &'a [u8],
    ids: Vec<[u8; ID_BYTES]>,
    columns: [u64; COLUMNS],
}

impl<'a> Unpacker<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ids: Vec::new(), columns: [0; COLUMNS] }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*array)
    }

    pub(super) fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(slice)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for _ in 0..MAX_VARINT_BYTES {
            let byte = self.byte()?;
            value = value.checked_mul(128)? | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let coded = self.number()?;
        Some((coded >> 1) as i64 ^ -((coded & 1) as i64))
    }

    pub(super) fn column(&mut self, column: Column) -> Option<u64> {
        let difference = self.signed()?;
        let last = self.columns.get_mut(column as usize)?;
        *last = last.wrapping_add(difference as u64);
        Some(*last)
    }

    pub(super) fn id(&mut self) -> Option<[u8; ID_BYTES]> {
        match self.number()?.checked_sub(1) {
            Some(place) => self.ids.get(usize::try_from(place).ok()?).copied(),
            None => {
                let id = self.array()?;
                self.ids.push(id);
                Some(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_takes_few_bytes_and_what_does_not_fit_is_none() {
        let cases: [(u64, &[u8]); 7] = [
            (0, &[0]),
            (0x7f, &[0x7f]),
            (0x80, &[0x81, 0]),
            (0x3fff, &[0xff, 0x7f]),
            (0x4000, &[0x81, 0x80, 0]),
            (1 << 63, &[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
            (u64::MAX, &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ];
        for (number, bytes) in cases {
            let mut packer = Packer::default();
            packer.number(number);
            assert_eq!(packer.bytes, bytes, "{number}");
            assert_eq!(Unpacker::new(bytes).number(), Some(number));
        }
        assert_eq!(Unpacker::new(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]).number(), None, "2^64");
        let endless = [&[0x80; MAX_VARINT_BYTES][..], &[0]].concat();
        assert_eq!(Unpacker::new(&endless).number(), None, "longer than any number");
        assert_eq!(Unpacker::new(&[0x81]).number(), None, "cut short");
    }

    #[test]
    fn small_differences_take_one_byte_in_both_directions() {
        for value in [0, 1, -1, 63, -64, 64, -65, i64::MAX, i64::MIN] {
            let mut packer = Packer::default();
            packer.signed(value);
            assert_eq!(packer.bytes.len() == 1, (-64..64).contains(&value), "{value}");
            assert_eq!(Unpacker::new(&packer.bytes).signed(), Some(value));
        }
    }

    #[test]
    fn an_id_is_written_whole_once_and_by_its_place_after_that() {
        let ids: [[u8; ID_BYTES]; 3] = [1, 2, 3].map(|n| [n; ID_BYTES]);
        let mut packer = Packer::default();
        let order = [0, 1, 0, 1, 2, 2, 0];
        order.iter().filter_map(|at| ids.get(*at)).for_each(|id| packer.id(id));
        assert_eq!(packer.bytes.len(), 3 * (1 + ID_BYTES) + 4);
        let mut unpacker = Unpacker::new(&packer.bytes);
        assert!(order.iter().all(|at| unpacker.id().as_ref() == ids.get(*at)));
        assert_eq!(Unpacker::new(&[1]).id(), None, "a place where none is");
        assert_eq!(Unpacker::new(&[0, 1, 2]).id(), None, "cut short");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(values: Vec<(u64, i64, u64, u8)>) {
            let mut packer = Packer::default();
            for (number, signed, column, id) in &values {
                packer.number(*number);
                packer.signed(*signed);
                packer.column(Column::Time, *column);
                packer.id(&[*id; ID_BYTES]);
            }
            let mut unpacker = Unpacker::new(&packer.bytes);
            for (number, signed, column, id) in values {
                prop_assert_eq!(unpacker.number(), Some(number));
                prop_assert_eq!(unpacker.signed(), Some(signed));
                prop_assert_eq!(unpacker.column(Column::Time), Some(column));
                prop_assert_eq!(unpacker.id(), Some([id; ID_BYTES]));
            }
            prop_assert!(unpacker.is_empty());
            prop_assert_eq!(unpacker.number(), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut unpacker = Unpacker::new(&bytes);
            while unpacker.id().is_some() && unpacker.column(Column::Major).is_some() {}
        }
    }
}
