//! Secrets at rest, and what may hold one (endpoints, the checkpoint's configuration, answers): an envelope of
//! XChaCha20-Poly1305 with one of the store's sealing keys.
//!
//! ```text
//! version 1: 0x01 | nonce (24 bytes, random) | ciphertext and tag            by key number 0
//! version 2: 0x02 | number of the key (u32 LE) | nonce | ciphertext and tag  by any other
//! ```
//!
//! Of a signing secret its text form is encrypted, `whsec_...` or `whsk_...`, or
//! `text:` and a text that is the key itself; of the configuration its JSON.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use postrider_model::config::ConfigChange;
use postrider_model::endpoint::{Endpoint, EndpointSecret};
use postrider_model::secret::{SealedSecret, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::ids;
use crate::master_key::MasterKey;
use crate::record::{CONFIG, DecodeError, Record};
use crate::stored_json;

const BY_FIRST_KEY: u8 = 1;
const BY_NUMBER: u8 = 2;
const NONCE_BYTES: usize = 24;

/// An envelope that is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsealError {
    /// It was sealed with another key, or has changed.
    #[error("the store's key does not open what was sealed with it")]
    Unfit,
    /// The key that it names is not among the store's.
    #[error("it was sealed with key {number}, which was not given")]
    NoKey {
        /// The key's number.
        number: u32,
    },
}

/// Seals and opens secrets.
#[derive(Clone)]
pub(crate) struct Sealer {
    /// The one that seals.
    number: u32,
    /// All of them.
    ciphers: Arc<[(u32, XChaCha20Poly1305)]>,
}

impl Sealer {
    pub(crate) fn new(key: &MasterKey) -> Self {
        let cipher = |key: &Zeroizing<[u8; 32]>| XChaCha20Poly1305::new((&**key).into());
        let ciphers: Arc<[_]> = key.sealing().iter().map(|sealing| (sealing.number, cipher(&sealing.key))).collect();
        Self { number: key.sealing().first().map_or(0, |first| first.number), ciphers }
    }

    /// A record as it goes to disk: an endpoint's URL and headers may hold what opens
    /// other people's doors, so it is sealed as a whole. `None` if it goes as it is.
    pub(crate) fn for_disk(&self, record: &Record) -> Option<Record> {
        match record {
            Record::Config(change @ ConfigChange::Endpoint(_)) => {
                Some(Record::SealedConfig(self.seal_config(&self.renewed(change)).into()))
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
        stored_json::from_slice(&json).map_err(|detail| DecodeError::Meta { kind: CONFIG, detail })
    }

    pub(crate) fn seal(&self, secret: &Secret) -> SealedSecret {
        SealedSecret(self.seal_bytes(secret.to_stored().as_bytes()))
    }

    pub(crate) fn open(&self, sealed: &SealedSecret) -> Result<Secret, UnsealError> {
        let opened = Zeroizing::new(self.open_bytes(&sealed.0)?);
        let text = std::str::from_utf8(&opened).map_err(|_| UnsealError::Unfit)?;
        Secret::from_stored(text).map_err(|_| UnsealError::Unfit)
    }

    /// Seals what may hold a secret.
    pub(crate) fn seal_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = ids::random();
        let (number, cipher) = self.ciphers.first().expect("a store has at least one sealing key");
        let sealed =
            cipher.encrypt(&XNonce::from(nonce), bytes).expect("encryption fails only for texts of many gigabytes");
        let mut envelope = Vec::with_capacity(5 + NONCE_BYTES + sealed.len());
        match number {
            0 => envelope.push(BY_FIRST_KEY),
            number => {
                envelope.push(BY_NUMBER);
                envelope.extend_from_slice(&number.to_le_bytes());
            }
        }
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        envelope
    }

    pub(crate) fn open_bytes(&self, envelope: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let (number, rest) = split(envelope).ok_or(UnsealError::Unfit)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(UnsealError::Unfit)?;
        let known = self.ciphers.iter().find(|(known, _)| *known == number);
        let (_, cipher) = known.ok_or(UnsealError::NoKey { number })?;
        cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| UnsealError::Unfit)
    }

    /// The number of the key with which this was sealed; `None` if it is no envelope.
    pub(crate) fn number_of(envelope: &[u8]) -> Option<u32> {
        split(envelope).map(|(number, _)| number)
    }

    /// A change as it is, with the signing secrets in it sealed by the key that seals now.
    pub(crate) fn renewed(&self, change: &ConfigChange) -> ConfigChange {
        let is_old = |secret: &EndpointSecret| Self::number_of(&secret.sealed.0) != Some(self.number);
        match change {
            ConfigChange::Endpoint(endpoint) if endpoint.secrets.iter().any(is_old) => {
                let mut renewed = Endpoint::clone(endpoint);
                for secret in renewed.secrets.iter_mut().filter(|secret| is_old(secret)) {
                    // One that cannot be opened stays as it is: it may be opened when its key is given.
                    if let Ok(open) = self.open(&secret.sealed) {
                        secret.sealed = self.seal(&open);
                    }
                }
                ConfigChange::Endpoint(Arc::new(renewed))
            }
            other => other.clone(),
        }
    }
}

fn split(envelope: &[u8]) -> Option<(u32, &[u8])> {
    match envelope.split_first()? {
        (&BY_FIRST_KEY, rest) => Some((0, rest)),
        (&BY_NUMBER, rest) => rest.split_first_chunk::<4>().map(|(number, rest)| (u32::from_le_bytes(*number), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::endpoint::EndpointFields;
    use postrider_model::id::{AppId, EndpointId, RawId};
    use postrider_model::secret::SignatureKind;
    use postrider_model::signature::Signature;
    use postrider_model::time::UnixMs;

    use super::*;
    use crate::master_key::SealingKey;

    #[test]
    fn only_the_same_key_opens_an_untouched_envelope() {
        let secret = Secret::from_random(SignatureKind::HmacSha256, &[9; 32]);
        let sealer = Sealer::new(&MasterKey::new([1; 32]));
        let sealed = sealer.seal(&secret);
        assert_eq!(sealer.open(&sealed), Ok(secret.clone()));
        assert_ne!(sealed, sealer.seal(&secret), "each envelope has a nonce of its own");
        assert_eq!(Sealer::new(&MasterKey::new([2; 32])).open(&sealed), Err(UnsealError::Unfit));
        for at in 0..sealed.0.len() {
            let mut touched = sealed.clone();
            touched.0[at] ^= 1;
            assert!(sealer.open(&touched).is_err(), "byte {at}");
        }
        assert_eq!(sealer.open(&SealedSecret(vec![])), Err(UnsealError::Unfit));
        let pair = Secret::from_random(SignatureKind::Ed25519, &[9; 32]);
        assert_eq!(sealer.open(&sealer.seal(&pair)), Ok(pair));
        let text = Signature::Stripe.parse_secret("whsec_of_somebody_else").expect("long enough");
        assert_eq!(sealer.open(&sealer.seal(&text)), Ok(text));
    }

    fn rotated() -> MasterKey {
        let first = MasterKey::new([1; 32]);
        let newer = SealingKey { number: 3, key: Zeroizing::new([9; 32]) };
        let all = std::iter::once(newer).chain(first.sealing().iter().cloned()).collect();
        MasterKey::of_parts(first.identity(), all).expect("there are two")
    }

    #[test]
    fn a_newer_key_seals_and_older_ones_open() {
        let (first, both) = (MasterKey::new([1; 32]), rotated());
        assert_eq!((first.store_id(), first.mask()), (both.store_id(), both.mask()), "the store is the same");
        let old = first.seal(b"text");
        assert_eq!((old[0], MasterKey::number_of(&old)), (1, Some(0)), "as it was before there were numbers");
        assert_eq!(both.open(&old).as_deref().map(Vec::as_slice), Some(&b"text"[..]));
        let new = both.seal(b"text");
        assert_eq!((new[0], MasterKey::number_of(&new)), (2, Some(3)));
        assert_eq!(both.open(&new).as_deref().map(Vec::as_slice), Some(&b"text"[..]));
        assert_eq!(Sealer::new(&first).open_bytes(&new), Err(UnsealError::NoKey { number: 3 }));
        let alone = MasterKey::of_parts(both.identity(), both.sealing()[..1].to_vec()).expect("there is one");
        assert_eq!(Sealer::new(&alone).open_bytes(&old), Err(UnsealError::NoKey { number: 0 }));
        for at in 0..new.len() {
            let mut touched = new.clone();
            touched[at] ^= 1;
            assert!(both.open(&touched).is_none(), "byte {at}");
        }
    }

    #[test]
    fn an_older_secret_is_sealed_anew_and_a_newer_one_stays() {
        let (first, both) = (Sealer::new(&MasterKey::new([1; 32])), Sealer::new(&rotated()));
        let secret = Secret::from_random(SignatureKind::HmacSha256, &[9; 32]);
        let endpoint = |sealed: SealedSecret| Endpoint {
            id: EndpointId(RawId::from_bytes([1; 20])),
            app: AppId(RawId::from_bytes([2; 20])),
            fields: EndpointFields::default(),
            secrets: vec![EndpointSecret { sealed, expires: None }],
            disabled: None,
            paused: None,
            unverified: None,
            allowed_per_minute: None,
            created: UnixMs(1),
            updated: UnixMs(1),
        };
        let old = ConfigChange::Endpoint(Arc::new(endpoint(first.seal(&secret))));
        let ConfigChange::Endpoint(renewed) = both.renewed(&old) else { panic!("it is an endpoint") };
        let sealed = &renewed.secrets[0].sealed;
        assert_eq!((Sealer::number_of(&sealed.0), both.open(sealed)), (Some(3), Ok(secret)));
        let new = ConfigChange::Endpoint(Arc::clone(&renewed));
        assert_eq!(both.renewed(&new), new);
    }
}
