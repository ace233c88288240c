//! The store's keys as they are written down.
//!
//! ```text
//!   one key, as a store begins:   base64 of 32 bytes
//!   after it was exchanged:       postrider-keys:2 identity:BASE64 key:NUMBER:CREATED:BASE64 key:...
//! ```
//!
//! Words of the second form stand on lines of their own in a file, and may stand on one. The
//! key that seals is the first, then come those that only open. `CREATED` is in milliseconds
//! since 1970, and 0 for a store's first key.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of what a store is known by.
pub(crate) const IDENTITY_BYTES: usize = 40;
/// What the second form begins with.
const FORM: &str = "postrider-keys:2";

/// A key. It is wiped from memory when it is dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// The store's keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// One, out of which all are made.
    One(Key),
    /// After it was exchanged.
    Ring(Ring),
}

/// What a store is known by, and its sealing keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ring {
    /// What the store is known by.
    pub(crate) identity: Zeroizing<[u8; IDENTITY_BYTES]>,
    /// The one that seals first. Never empty.
    pub(crate) keys: Vec<RingKey>,
}

/// A sealing key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RingKey {
    /// Envelopes name it by this.
    pub(crate) number: u32,
    /// When it was made, in milliseconds since 1970; 0 if that is not known.
    pub(crate) created_ms: u64,
    /// The key.
    pub(crate) key: Key,
}

/// Keys from their text, in either form.
pub(crate) fn parse_keys(text: &str) -> Option<Keys> {
    match text.split_ascii_whitespace().next() {
        Some(FORM) => parse_ring(text).map(Keys::Ring),
        _ => parse_key(text).map(Keys::One),
    }
}

/// A key from its text: base64 as it is made here, or padded and with `+` and `/`
/// as other programs make it.
pub(crate) fn parse_key(text: &str) -> Option<Key> {
    parse_bytes(text)
}

fn parse_bytes<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    // Room for more than there may be, so that longer ones are refused and not cut.
    const ROOM: usize = IDENTITY_BYTES + 3;
    [&URL_SAFE_NO_PAD, &STANDARD].into_iter().find_map(|form| {
        let mut bytes = Zeroizing::new([0; ROOM]);
        let length = form.decode_slice(text.as_bytes(), bytes.as_mut()).ok()?;
        let key = bytes.first_chunk::<N>().filter(|_| length == N)?;
        Some(Zeroizing::new(*key))
    })
}

fn parse_ring(text: &str) -> Option<Ring> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let identity = parse_bytes(words.next()?.strip_prefix("identity:")?)?;
    let mut keys: Vec<RingKey> = vec![];
    for word in words {
        let mut parts = word.strip_prefix("key:")?.splitn(3, ':');
        let (number, created_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let key = parse_bytes(parts.next()?)?;
        if keys.iter().any(|other| other.number == number) {
            return None;
        }
        keys.push(RingKey { number, created_ms, key });
    }
    (!keys.is_empty()).then_some(Ring { identity, keys })
}

impl Ring {
    /// As it is written down, one word on a line.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(128 + 96 * self.keys.len()));
        let encoded = |bytes: &[u8]| Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
        let _ = write!(text, "{FORM}\nidentity:{}", *encoded(self.identity.as_ref()));
        for RingKey { number, created_ms, key } in &self.keys {
            let _ = write!(text, "\nkey:{number}:{created_ms}:{}", *encoded(key.as_ref()));
        }
        text
    }
}
