//! Secrets at rest, and what may hold one (endpoints, the checkpoint's configuration, answers): an envelope of
//! XChaCha20-Poly1305 with the store's key.
//!
//! ```text
//! version 1: 0x01 | nonce (24 bytes, random) | ciphertext and tag
//! ```
//!
//! Of a signing secret its text form is encrypted, `whsec_...` or `whsk_...`; of
//! the configuration its JSON.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use postrider_model::config::ConfigChange;
use postrider_model::secret::{SealedSecret, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::ids;
use crate::record::{CONFIG, DecodeError, Record};

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

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// An envelope that the store's key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's key does not open what was sealed with it")]
pub(crate) struct UnsealError;

/// Seals and opens secrets.
#[derive(Clone)]
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    pub(crate) fn new(key: &MasterKey) -> Self {
        let key = key.derive("seal secrets");
        Self { cipher: XChaCha20Poly1305::new((&*key).into()) }
    }

    /// A record as it goes to disk: an endpoint's URL and headers may hold what opens
    /// other people's doors, so it is sealed as a whole. `None` if it goes as it is.
    pub(crate) fn for_disk(&self, record: &Record) -> Option<Record> {
        match record {
            Record::Config(change @ ConfigChange::Endpoint(_)) => {
                Some(Record::SealedConfig(self.seal_config(change).into()))
            }
            _ => None,
        }
    }

    /// A record as it was before [`Sealer::for_disk`].
    pub(crate) fn unsealed(&self, record: Record) -> Result<Record, DecodeError> {
        match record {
            Record::SealedConfig(envelope) => self.open_config(&envelope).map(Record::Config),
            other => Ok(other),
        }
    }

    /// Seals configuration as JSON.
    pub(crate) fn seal_config(&self, config: &impl Serialize) -> Vec<u8> {
        let json = serde_json::to_vec(config).expect("our configuration types have string keys only");
        self.seal_bytes(&Zeroizing::new(json))
    }

    pub(crate) fn open_config<T: DeserializeOwned>(&self, envelope: &[u8]) -> Result<T, DecodeError> {
        let json = Zeroizing::new(self.open_bytes(envelope)?);
        serde_json::from_slice(&json).map_err(|error| DecodeError::Meta { kind: CONFIG, detail: error.to_string() })
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
