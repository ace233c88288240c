//! Secrets at rest, and answers that may hold one: an envelope of XChaCha20-Poly1305 with the store's key.
//!
//! ```text
//! version 1: 0x01 | nonce (24 bytes, random) | ciphertext and tag
//! ```
//!
//! What is encrypted is the secret's text form, `whsec_...` or `whsk_...`.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use postrider_model::secret::{SealedSecret, Secret};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::ids;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// The store's key: everything that is encrypted or masked is so by a key made
/// from this one. Losing it loses every endpoint's secret.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// The key from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// An envelope that the store's key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's key does not open a sealed secret: was `store.key` replaced?")]
pub(crate) struct UnsealError;

/// Seals and opens secrets.
#[derive(Clone)]
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    pub(crate) fn new(key: &MasterKey) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&key.derive("seal secrets").into()) }
    }

    pub(crate) fn seal(&self, secret: &Secret) -> SealedSecret {
        SealedSecret(self.seal_bytes(secret.expose_text().as_bytes()))
    }

    pub(crate) fn open(&self, sealed: &SealedSecret) -> Result<Secret, UnsealError> {
        let opened = Zeroizing::new(self.open_bytes(&sealed.0)?);
        let text = std::str::from_utf8(&opened).map_err(|_| UnsealError)?;
        Secret::parse(text).map_err(|_| UnsealError)
    }

    /// Seals what may hold a secret.
    pub(crate) fn seal_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = ids::random();
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), bytes)
            .expect("encryption fails only for texts of many gigabytes");
        let mut envelope = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        envelope
    }

    pub(crate) fn open_bytes(&self, envelope: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let (version, rest) = envelope.split_first().ok_or(UnsealError)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(UnsealError)?;
        if *version != VERSION {
            return Err(UnsealError);
        }
        self.cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| UnsealError)
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::secret::SignatureKind;

    use super::*;

    #[test]
    fn only_the_same_key_opens_an_untouched_envelope() {
        let secret = Secret::from_random(SignatureKind::HmacSha256, &[9; 32]);
        let sealer = Sealer::new(&MasterKey::new([1; 32]));
        let sealed = sealer.seal(&secret);
        assert_eq!(sealer.open(&sealed), Ok(secret.clone()));
        assert_ne!(sealed, sealer.seal(&secret), "each envelope has a nonce of its own");
        assert_eq!(Sealer::new(&MasterKey::new([2; 32])).open(&sealed), Err(UnsealError));
        for at in 0..sealed.0.len() {
            let mut touched = sealed.clone();
            touched.0[at] ^= 1;
            assert_eq!(sealer.open(&touched), Err(UnsealError), "byte {at}");
        }
        assert_eq!(sealer.open(&SealedSecret(vec![])), Err(UnsealError));
        let pair = Secret::from_random(SignatureKind::Ed25519, &[9; 32]);
        assert_eq!(sealer.open(&sealer.seal(&pair)), Ok(pair));
    }
}
