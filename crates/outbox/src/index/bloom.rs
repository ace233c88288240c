//! A Bloom filter: says "certainly not" or "perhaps". Its bits are set without
//! a lock, so that it can be filled while it is read.

use std::sync::atomic::{AtomicU64, Ordering};

const MAX_PROBES: u32 = 16;

pub(super) struct Bloom {
    words: Box<[AtomicU64]>,
    probes: u32,
}

impl Bloom {
    /// For `items` things with `bits_per_item` each, but at most `max_bytes`.
    pub(super) fn new(items: usize, bits_per_item: usize, max_bytes: usize) -> Self {
        let items = items.max(1);
        let words = items.saturating_mul(bits_per_item).div_ceil(64).clamp(1, (max_bytes / 8).max(1));
        // The best number of probes is ln 2 times the bits that an item really gets.
        let probes = (words * 64 * 69 / 100 / items).clamp(1, MAX_PROBES as usize) as u32;
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), probes }
    }

    pub(super) fn insert(&self, hash: Hash) {
        for (word, bit) in self.probes(hash) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(super) fn contains(&self, hash: Hash) -> bool {
        self.probes(hash).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Double hashing (Kirsch and Mitzenmacher, 2006): two hashes do for any
    /// number of probes.
    fn probes(&self, hash: Hash) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let words = self.words.len() as u64;
        (0..u64::from(self.probes)).filter_map(move |i| {
            let probe = hash.0.wrapping_add(i.wrapping_mul(hash.1));
            let word = (u128::from(probe) * u128::from(words)) >> 64;
            let word = self.words.get(word as usize)?;
            Some((word, 1 << (probe & 63)))
        })
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// The number of probes, then the bits.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let words = self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_be_bytes());
        std::iter::once(self.probes as u8).chain(words).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (probes, rest) = bytes.split_first()?;
        let (words, rest) = rest.as_chunks::<8>();
        if words.is_empty() || !rest.is_empty() {
            return None;
        }
        let words = words.iter().map(|word| AtomicU64::new(u64::from_be_bytes(*word))).collect();
        Some(Self { words, probes: u32::from(*probes).min(MAX_PROBES) })
    }
}

/// What is looked up: two numbers that are spread evenly.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64, u64);

impl Hash {
    /// Of something that is a hash already.
    pub(super) fn of_hash(hash: &[u8; 16]) -> Self {
        let number = u128::from_be_bytes(*hash);
        Self((number >> 64) as u64, number as u64 | 1)
    }

    /// Of an id or a sequence; a check sum and a multiplication spread it.
    pub(super) fn of_item(item: &[u8]) -> Self {
        let sum = u64::from(crc32c::crc32c(item)) << 32 | u64::from(crc32c::crc32c_append(item.len() as u32, item));
        let first = sum.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(first, first.rotate_left(32).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u64) -> [u8; 20] {
        let mut item = [0; 20];
        item.split_at_mut(8).0.copy_from_slice(&n.to_be_bytes());
        item
    }

    #[test]
    fn what_was_put_in_is_found_and_little_else() {
        let bloom = Bloom::new(10_000, 10, usize::MAX);
        (0..10_000).for_each(|n| bloom.insert(Hash::of_item(&item(n))));
        let again = Bloom::from_bytes(&bloom.to_bytes()).expect("it was written by us");
        assert!((0..10_000).all(|n| again.contains(Hash::of_item(&item(n)))));
        let wrong = (10_000..110_000).filter(|n| again.contains(Hash::of_item(&item(*n)))).count();
        assert!(wrong < 2_000, "{wrong} of 100,000 found that are not in it");
    }

    #[test]
    fn a_filter_keeps_to_its_cap_and_stays_correct() {
        let bloom = Bloom::new(100_000, 10, 512);
        assert_eq!(bloom.size_bytes(), 512);
        (0..100_000).for_each(|n| bloom.insert(Hash::of_item(&item(n))));
        assert!((0..100_000).all(|n| bloom.contains(Hash::of_item(&item(n)))));
    }

    /// With a step of zero, or one that comes round early, all probes would be few.
    #[test]
    fn a_step_is_odd_whatever_is_looked_up() {
        for last in 0..=255u8 {
            let mut hash = [0; 16];
            hash[7] = 9;
            hash[15] = last;
            let Hash(first, step) = Hash::of_hash(&hash);
            assert_eq!((first, step), (9, u64::from(last / 2 * 2 + 1)));
        }
        assert!((0..1_000).all(|n| Hash::of_item(&item(n)).1 % 2 == 1));
    }

    #[test]
    fn bytes_that_are_no_filter_are_refused() {
        assert!(Bloom::from_bytes(&[]).is_none());
        assert!(Bloom::from_bytes(&[3]).is_none());
        assert!(Bloom::from_bytes(&[3, 1, 2, 3]).is_none());
    }
}
