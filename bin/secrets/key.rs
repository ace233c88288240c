//! A key as it is written down.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// A key. It is wiped from memory when it is dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// A key from its text: base64 as it is made here, or padded and with `+` and `/`
/// as other programs make it.
pub(crate) fn parse_key(text: &str) -> Option<Key> {
    [&URL_SAFE_NO_PAD, &STANDARD].into_iter().find_map(|form| {
        // One byte more than a key, so that longer ones are refused and not cut.
        let mut bytes = Zeroizing::new([0; KEY_BYTES + 1]);
        let length = form.decode_slice(text.as_bytes(), bytes.as_mut()).ok()?;
        let key = bytes.first_chunk::<KEY_BYTES>().filter(|_| length == KEY_BYTES)?;
        Some(Zeroizing::new(*key))
    })
}
