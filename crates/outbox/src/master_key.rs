//! The store's keys: one by which it is known, and those with which secrets are sealed.
//!
//! A store begins with one key, out of which all of these are made. When that is
//! exchanged, the identity stays, since ids and the journal's files are bound to it,
//! and another sealing key is put in front.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::seal::Sealer;

/// Bytes of an identity.
pub const IDENTITY_BYTES: usize = 40;
/// Bytes of the part of it that masks sequences.
const MASK_BYTES: usize = 32;

/// What a store is known by and opened with. Losing it loses every endpoint's secret.
#[derive(Clone)]
pub struct MasterKey {
    identity: Zeroizing<[u8; IDENTITY_BYTES]>,
    /// The one that seals, then those that only open.
    sealing: Vec<SealingKey>,
}

/// A key that seals, or has sealed.
#[derive(Clone)]
pub struct SealingKey {
    /// Envelopes name it by this; 0 is the one that was made out of a store's first key.
    pub number: u32,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    /// The keys that are made out of a store's first key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let root = Zeroizing::new(bytes);
        let mut identity = Zeroizing::new([0; IDENTITY_BYTES]);
        let (mask, store_id) = (derive(&root, "mask sequences in ids"), derive(&root, "store id"));
        identity.iter_mut().zip(mask.iter().chain(store_id.iter())).for_each(|(to, from)| *to = *from);
        Self { identity, sealing: vec![SealingKey { number: 0, key: derive(&root, "seal secrets") }] }
    }

    /// The keys of a store whose first key was exchanged, the one that seals first. `None` without one.
    #[must_use]
    pub fn of_parts(identity: &[u8; IDENTITY_BYTES], sealing: Vec<SealingKey>) -> Option<Self> {
        (!sealing.is_empty()).then(|| Self { identity: Zeroizing::new(*identity), sealing })
    }

    /// What the store is known by.
    #[must_use]
    pub fn identity(&self) -> &[u8; IDENTITY_BYTES] {
        &self.identity
    }

    /// The sealing keys, the one that seals first.
    #[must_use]
    pub fn sealing(&self) -> &[SealingKey] {
        &self.sealing
    }

    /// The key by which sequences in ids are masked.
    pub(crate) fn mask(&self) -> Zeroizing<[u8; MASK_BYTES]> {
        let mask = self.identity.first_chunk::<MASK_BYTES>().copied();
        Zeroizing::new(mask.unwrap_or_default())
    }

    /// The number by which the journal's files know the store.
    pub(crate) fn store_id(&self) -> u64 {
        self.identity.iter().skip(MASK_BYTES).fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// Seals a small text that lies beside the store, as what is in the store is sealed.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> Vec<u8> {
        Sealer::new(self).seal_bytes(bytes)
    }

    /// Opens what [`MasterKey::seal`] made; `None` if it was made with another key, or has changed.
    #[must_use]
    pub fn open(&self, envelope: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        Sealer::new(self).open_bytes(envelope).ok().map(Zeroizing::new)
    }

    /// The number of the key with which this was sealed; `None` if it is no envelope.
    #[must_use]
    pub fn number_of(envelope: &[u8]) -> Option<u32> {
        Sealer::number_of(envelope)
    }
}

impl SealingKey {
    /// Tells keys apart where people read it, and opens nothing: 16 hexadecimal digits of a hash.
    #[must_use]
    pub fn id(&self) -> String {
        derive(&self.key, "name a sealing key").iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKey").field("number", &self.number).finish_non_exhaustive()
    }
}

fn derive(root: &[u8; 32], purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(root).expect("HMAC takes keys of any length");
    mac.update(purpose.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests;
