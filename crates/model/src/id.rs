//! Ids: a prefix that names the kind, and 27 base62 characters.
//!
//! The characters are 20 bytes, big-endian: 6 of milliseconds, 8 of masked
//! journal sequence, 6 random. So ids of one kind sort in the order in which
//! they were accepted, and the store, which knows the mask, finds the record of
//! an id without an index.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::UnixMs;

/// Bytes of an id without its prefix.
pub const ID_BYTES: usize = 20;
/// Characters of an id without its prefix.
pub const ID_CHARS: usize = 27;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Base62 characters that a pass over the number gives or takes at once: as many
/// as a 32-bit limb holds.
const STEP_CHARS: usize = 5;
const STEP: u64 = 62u64.pow(STEP_CHARS as u32);

/// The bytes of an id as a number, most significant limb first.
type Limbs = [u32; ID_BYTES / 4];

/// The 20 bytes of an id, whatever its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RawId([u8; ID_BYTES]);

/// By the sequence alone, which is all that a table needs: ids of a store differ in it,
/// and no sender can choose it.
impl Hash for RawId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.masked_sequence());
    }
}

/// A text that is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: expected `{prefix}` and 27 base62 characters")]
pub struct InvalidId {
    /// The prefix that the id should have had.
    pub prefix: &'static str,
}

impl RawId {
    /// Puts an id together. `masked_sequence` must already be masked with the
    /// store's key.
    #[must_use]
    pub fn new(at: UnixMs, masked_sequence: u64, random: [u8; 6]) -> Self {
        let mut bytes = [0; ID_BYTES];
        let (ms, rest) = bytes.split_at_mut(6);
        let (sequence, tail) = rest.split_at_mut(8);
        ms.copy_from_slice(at.0.to_be_bytes().split_at(2).1);
        sequence.copy_from_slice(&masked_sequence.to_be_bytes());
        tail.copy_from_slice(&random);
        Self(bytes)
    }

    /// From the bytes that [`RawId::as_bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes; their order is the order of acceptance.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// When the id was made.
    #[must_use]
    pub fn time(&self) -> UnixMs {
        UnixMs(be_u64(self.0.split_at(6).0))
    }

    /// The journal sequence, still masked.
    #[must_use]
    pub fn masked_sequence(&self) -> u64 {
        be_u64(self.0.split_at(6).1.split_at(8).0)
    }

    fn encode(&self) -> [u8; ID_CHARS] {
        // Long division of the 160-bit number by 62 to the fifth, which gives
        // five characters at a time, the last ones first.
        let mut number = self.limbs();
        let mut left = number.as_mut_slice();
        let mut chars = [b'0'; ID_CHARS];
        for five in chars.rchunks_mut(STEP_CHARS) {
            // The number gets shorter: nothing is divided of which nothing is left.
            while let [0, rest @ ..] = left {
                left = rest;
            }
            let mut remainder = 0u64;
            for limb in left.iter_mut() {
                let value = (remainder << 32) | u64::from(*limb);
                *limb = (value / STEP) as u32;
                remainder = value % STEP;
            }
            for slot in five.iter_mut().rev() {
                *slot = ALPHABET.get((remainder % 62) as usize).copied().unwrap_or(b'0');
                remainder /= 62;
            }
        }
        chars
    }

    fn decode(text: &str) -> Option<Self> {
        if text.len() != ID_CHARS {
            return None;
        }
        let mut number = Limbs::default();
        // The chunks are those of the end: the first one is the short one.
        let (first, fives) = text.as_bytes().as_rchunks::<STEP_CHARS>();
        for chars in std::iter::once(first).chain(fives.iter().map(<[u8; STEP_CHARS]>::as_slice)) {
            let mut carry = chars.iter().try_fold(0, |value, c| Some(value * 62 + digit(*c)?))?;
            for limb in number.iter_mut().rev() {
                let value = u64::from(*limb) * STEP + carry;
                *limb = value as u32;
                carry = value >> 32;
            }
            // 27 base62 digits hold a little more than 160 bits.
            if carry != 0 {
                return None;
            }
        }
        let mut bytes = [0; ID_BYTES];
        for (four, limb) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(number) {
            *four = limb.to_be_bytes();
        }
        Some(Self(bytes))
    }

    fn limbs(&self) -> Limbs {
        let mut number = Limbs::default();
        for (limb, four) in number.iter_mut().zip(self.0.as_chunks::<4>().0) {
            *limb = u32::from_be_bytes(*four);
        }
        number
    }
}

/// What a base62 character stands for.
const fn digit(c: u8) -> Option<u64> {
    Some(match c {
        b'0'..=b'9' => c - b'0',
        b'A'..=b'Z' => c - b'A' + 10,
        b'a'..=b'z' => c - b'a' + 36,
        _ => return None,
    } as u64)
}

fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl fmt::Display for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.encode()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub RawId);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The 20 bytes; their order is the order of acceptance.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(RawId::decode)
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        // Text in JSON, 20 bytes in a compact encoding.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
                } else {
                    RawId::deserialize(d).map(Self)
                }
            }
        }
    )*};
}

ids! {
    /// An application: one of your customers.
    AppId, "app_";
    /// An endpoint: a URL with its secret and filters.
    EndpointId, "ep_";
    /// A message: one event sent to one application.
    MessageId, "msg_";
    /// An attempt: one HTTP request.
    AttemptId, "atmpt_";
    /// An organisation: a tenant with applications of its own.
    OrgId, "org_";
    /// An entry of the audit log.
    AuditId, "audit_";
    /// A long-running job, such as a bulk replay.
    TaskId, "qtask_";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_of_another_kind_or_length_is_refused() {
        let id = AppId(RawId::new(UnixMs(1_700_000_000_000), 7, [1; 6])).to_string();
        assert_eq!(id.len(), 4 + ID_CHARS);
        assert!(id.parse::<AppId>().is_ok());
        assert!(id.parse::<EndpointId>().is_err());
        assert!(id.trim_end_matches(char::is_alphanumeric).parse::<AppId>().is_err());
        assert!(format!("app_{}", "z".repeat(27)).parse::<AppId>().is_err(), "more than 160 bits");
        assert!("app_!00000000000000000000000000".parse::<AppId>().is_err());
    }

    /// The definition of the text: the number's digits to the base of 62.
    fn encode_by_definition(mut number: [u8; ID_BYTES]) -> String {
        let mut digits = Vec::new();
        for _ in 0..ID_CHARS {
            let mut remainder = 0;
            for byte in &mut number {
                let value = (remainder << 8) | usize::from(*byte);
                *byte = u8::try_from(value / 62).expect("the remainder was less than 62");
                remainder = value % 62;
            }
            digits.push(char::from(ALPHABET[remainder]));
        }
        digits.iter().rev().collect()
    }

    /// What a text of base62 digits stands for, if 160 bits hold it.
    fn decode_by_definition(text: &str) -> Option<[u8; ID_BYTES]> {
        let mut number = [0; ID_BYTES];
        for c in text.bytes() {
            let mut carry = ALPHABET.iter().position(|known| *known == c)?;
            for byte in number.iter_mut().rev() {
                let value = usize::from(*byte) * 62 + carry;
                *byte = value as u8;
                carry = value >> 8;
            }
            if carry != 0 {
                return None;
            }
        }
        Some(number)
    }

    #[test]
    fn the_first_and_the_last_id_have_the_text_of_the_definition() {
        for bytes in [[0; ID_BYTES], [255; ID_BYTES]] {
            assert_eq!(RawId(bytes).to_string(), encode_by_definition(bytes));
        }
        assert_eq!(RawId([0; ID_BYTES]).to_string(), "0".repeat(ID_CHARS));
        // One more than the last one is too much.
        let last = RawId([255; ID_BYTES]).to_string();
        assert_eq!(last, "aWgEPTl1tmebfsQzFP4bxwgy80V");
        assert_eq!(RawId::decode(&last), Some(RawId([255; ID_BYTES])));
        assert_eq!(RawId::decode("aWgEPTl1tmebfsQzFP4bxwgy80W"), None);
    }

    proptest! {
        #[test]
        fn the_text_is_that_of_the_definition(bytes: [u8; ID_BYTES], zeros in 0..ID_BYTES) {
            let mut small = bytes;
            small[..zeros].fill(0);
            for bytes in [bytes, small] {
                prop_assert_eq!(RawId(bytes).to_string(), encode_by_definition(bytes));
            }
        }

        #[test]
        fn a_text_stands_for_what_the_definition_says(text in "[0-9A-Za-z]{27}", top in "[0-9a-d]{2}[0-9A-Za-z]{25}", any in "[!-~]{27}") {
            for text in [text, top, any] {
                prop_assert_eq!(RawId::decode(&text).map(|id| id.0), decode_by_definition(&text));
            }
        }

        #[test]
        fn text_and_bytes_carry_the_same(bytes: [u8; ID_BYTES]) {
            let id = MessageId(RawId::from_bytes(bytes));
            prop_assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
            let json = serde_json::to_string(&id).expect("an id is a string");
            prop_assert_eq!(serde_json::from_str::<MessageId>(&json).expect("it was written by us"), id);
        }

        #[test]
        fn text_sorts_as_bytes_do(a: [u8; ID_BYTES], b: [u8; ID_BYTES]) {
            let (a, b) = (RawId::from_bytes(a), RawId::from_bytes(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn the_parts_come_back(ms in 0u64..(1 << 48), sequence: u64, random: [u8; 6]) {
            let id = RawId::new(UnixMs(ms), sequence, random);
            prop_assert_eq!(id.time(), UnixMs(ms));
            prop_assert_eq!(id.masked_sequence(), sequence);
        }
    }
}
