//! Makes ids, and finds the journal sequence that an id carries.

use hmac::{Hmac, KeyInit, Mac};
use postrider_model::id::RawId;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Masks journal sequences in ids, so that an id does not tell a customer how
/// many events others send. The mask is a number made from the store's key and
/// the millisecond; it is added, so the order within the millisecond is kept.
#[derive(Clone)]
pub(crate) struct SequenceMask {
    key: Zeroizing<[u8; 32]>,
    /// The last millisecond's mask: most ids in a row are of the same one.
    cached: (UnixMs, u64),
}

impl SequenceMask {
    pub(crate) fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        let mut mask = Self { key: key.clone(), cached: (UnixMs(0), 0) };
        mask.cached.1 = mask.compute(UnixMs(0));
        mask
    }

    /// A new id for the record at `position`. At most 2^63 - 1 is added to a
    /// sequence, which stays below 2^63, so nothing wraps.
    pub(crate) fn id(&mut self, at: UnixMs, position: Position, random: [u8; 6]) -> RawId {
        if self.cached.0 != at {
            self.cached = (at, self.compute(at));
        }
        RawId::new(at, position.as_u64().wrapping_add(self.cached.1), random)
    }

    /// The sequence that an id carries. For an id that is not ours it is some number.
    pub(crate) fn position(&self, id: RawId) -> Position {
        Position::from_u64(id.masked_sequence().wrapping_sub(self.compute(id.time())))
    }

    fn compute(&self, at: UnixMs) -> u64 {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes keys of any length");
        mac.update(&at.as_u64().to_be_bytes());
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte)) >> 1
    }
}

/// Random bytes for ids, drawn from the system many at a time: each message and
/// each attempt has six.
#[derive(Default)]
pub(crate) struct IdRandom {
    drawn: Vec<[u8; 6]>,
}

impl IdRandom {
    pub(crate) fn next(&mut self) -> [u8; 6] {
        const AT_ONCE: usize = 256;
        if self.drawn.is_empty() {
            let block: [u8; 6 * AT_ONCE] = random();
            let (chunks, _) = block.as_chunks();
            self.drawn.extend_from_slice(chunks);
        }
        self.drawn.pop().unwrap_or_default()
    }
}

/// Random bytes from the system, for keys.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(any(test, feature = "simulation"))]
    if repeatable::fill(&mut bytes) {
        return bytes;
    }
    getrandom::fill(&mut bytes).expect("the system's random source answers once it has been seeded at boot");
    bytes
}

/// Bytes that follow from a seed instead of the system's, for tests that compare
/// what two runs leave.
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod repeatable {
    use std::cell::RefCell;

    use crate::disk::sim::Random;

    thread_local! {
        static RANDOM: RefCell<Option<Random>> = const { RefCell::new(None) };
    }

    /// Lets all that follows on this thread follow from `seed`.
    pub(crate) fn from(seed: u64) {
        RANDOM.set(Some(Random::from(seed)));
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        RANDOM.with_borrow_mut(|random| {
            let Some(random) = random else { return false };
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(random.number().to_le_bytes().get(..chunk.len()).unwrap_or_default());
            }
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sequence_comes_back_and_order_is_kept(a in 0u64..1 << 62, b in 0u64..1 << 62, ms in 0u64..1 << 48) {
            let mut mask = SequenceMask::new(&Zeroizing::new([7; 32]));
            let id = |mask: &mut SequenceMask, sequence| mask.id(UnixMs(ms), Position::from_u64(sequence), [0; 6]);
            let (id_a, id_b) = (id(&mut mask, a), id(&mut mask, b));
            prop_assert_eq!(mask.position(id_a), Position::from_u64(a));
            prop_assert_eq!(a.cmp(&b), id_a.cmp(&id_b));
        }
    }

    #[test]
    fn another_key_gives_another_mask() {
        let at = UnixMs(1_700_000_000_000);
        let mut one = SequenceMask::new(&Zeroizing::new([1; 32]));
        let two = SequenceMask::new(&Zeroizing::new([2; 32]));
        let id = one.id(at, Position::new(1, 64), [0; 6]);
        assert_ne!(two.position(id), Position::new(1, 64));
    }

    /// Ids of earlier releases lead to their records for as long as these are kept.
    #[test]
    fn an_id_carries_its_sequence_as_it_always_did() {
        let mut mask = SequenceMask::new(&Zeroizing::new([7; 32]));
        let (at, position) = (UnixMs(1_800_000_000_000), Position::new(3, 64));
        let id = mask.id(at, position, [9; 6]);
        assert_eq!((id.time(), id.masked_sequence()), (at, 0x2e12_28ab_d1ab_7971));
        assert_eq!(mask.position(id), position);
    }

    /// Else an id would tell how many events others send, or wrap.
    #[test]
    fn a_mask_is_any_number_of_63_bits_and_another_one_in_each_millisecond() {
        let mut mask = SequenceMask::new(&Zeroizing::new([7; 32]));
        let masks: Vec<u64> =
            (0..200).map(|ms| mask.id(UnixMs(ms), Position::ZERO, [0; 6]).masked_sequence()).collect();
        assert_eq!(masks.iter().fold(0, |all, mask| all | mask), u64::MAX >> 1);
        assert_eq!(masks.iter().fold(u64::MAX, |all, mask| all & mask), 0);
        assert_eq!(masks.iter().collect::<std::collections::BTreeSet<_>>().len(), masks.len());
        let again = mask.id(UnixMs(7), Position::ZERO, [0; 6]).masked_sequence();
        assert_eq!(Some(&again), masks.get(7), "whatever came before it");
    }

    #[test]
    fn random_parts_of_ids_differ() {
        let mut random = IdRandom::default();
        let drawn: std::collections::BTreeSet<_> = (0..600).map(|_| random.next()).collect();
        assert_eq!(drawn.len(), 600, "six bytes are the same in one of a billion such runs");
        assert_ne!(super::random::<16>(), super::random::<16>());
        assert!(super::random::<64>().iter().collect::<std::collections::BTreeSet<_>>().len() > 8);
    }

    #[test]
    fn what_follows_from_a_seed_is_the_same_each_time() {
        let drawn = |seed| {
            let draw = move || {
                repeatable::from(seed);
                (super::random::<13>(), super::random::<8>(), super::random::<3>())
            };
            // The seed is its thread's.
            std::thread::spawn(draw).join().expect("it draws")
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let (long, next, short) = drawn(1);
        assert!(long != [0; 13] && next != [0; 8] && short != [0; 3]);
        assert_ne!(long[5..], next);
    }
}
