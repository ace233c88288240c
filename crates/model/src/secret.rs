//! Signing secrets, in the clear and sealed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::key_pair::{InvalidKey, KEY_PAIR_PREFIX, KeyPair, PUBLIC_KEY_PREFIX};
use crate::text_key::{MAX_TEXT_CHARS, MIN_TEXT_CHARS, TextKey};

/// What the text form of a symmetric key begins with (Standard Webhooks 1.0.0).
pub const SECRET_PREFIX: &str = "whsec_";
/// The shortest symmetric key, in bytes.
pub const MIN_SECRET_BYTES: usize = 24;
/// The longest symmetric key, in bytes. The standard says 64; Svix accepts 75.
pub const MAX_SECRET_BYTES: usize = 75;
/// What the stored form of a [`Secret::Text`] begins with. No other secret does.
const STORED_TEXT_PREFIX: &str = "text:";
/// The random bytes of a secret that we make.
pub const NEW_SECRET_BYTES: usize = 32;

/// How requests are signed with a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureKind {
    /// `v1`: HMAC-SHA256 with a key that sender and receiver share.
    #[default]
    HmacSha256,
    /// `v1a`: Ed25519 with a key pair, of which the receiver has the public half.
    Ed25519,
}

/// What an endpoint's requests are signed with. It is wiped from memory when
/// dropped and never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Signs by [`SignatureKind::HmacSha256`].
    Symmetric(SymmetricKey),
    /// Signs by [`SignatureKind::Ed25519`].
    Pair(KeyPair),
    /// Signs by HMAC-SHA256 with the text itself, for schemes of others.
    Text(TextKey),
}

/// A key of [`MIN_SECRET_BYTES`] to [`MAX_SECRET_BYTES`]. What HMAC computes of
/// the key alone is computed once, when it is made.
#[derive(Clone)]
pub struct SymmetricKey {
    bytes: Zeroizing<Vec<u8>>,
    hmac: Hmac<Sha256>,
}

/// Bytes of a signature by HMAC-SHA256.
pub const HMAC_BYTES: usize = 32;

// A prepared HMAC is two states of the hash, with which anybody could sign.
const _: () = {
    const fn is_wiped_when_dropped<T: ZeroizeOnDrop>() {}
    is_wiped_when_dropped::<Sha256>();
};

/// A text that is not a signing secret. The text is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It begins neither with `whsec_` nor with `whsk_`.
    #[error("a signing secret begins with `{SECRET_PREFIX}` or `{KEY_PAIR_PREFIX}`")]
    Prefix,
    /// It begins with `whpk_`.
    #[error("this is a public key; the key pair, with which to sign, begins with `{KEY_PAIR_PREFIX}`")]
    PublicKey,
    /// What follows `whsec_` is not padded standard base64.
    #[error("what follows `{SECRET_PREFIX}` is not padded standard base64")]
    Base64,
    /// The symmetric key is too short or too long.
    #[error("a signing secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, not {0}")]
    Length(usize),
    /// It is no key pair.
    #[error(transparent)]
    Pair(#[from] InvalidKey),
    /// A text that is too short or too long to be a key, or has other characters.
    #[error("a secret whose text is the key has {MIN_TEXT_CHARS} to {MAX_TEXT_CHARS} printable ASCII characters")]
    Text,
    /// A key of a pair, for a scheme that knows none.
    #[error("`{0}` signs with a secret that is shared, not with an Ed25519 key pair")]
    NoPairs(&'static str),
}

impl Secret {
    /// A new secret out of random bytes.
    #[must_use]
    pub fn from_random(kind: SignatureKind, random: &[u8; NEW_SECRET_BYTES]) -> Self {
        match kind {
            SignatureKind::HmacSha256 => Self::Symmetric(SymmetricKey::new(Zeroizing::new(random.to_vec()))),
            SignatureKind::Ed25519 => Self::Pair(KeyPair::from_seed(random)),
        }
    }

    /// A symmetric key from its bytes.
    ///
    /// # Errors
    /// It is shorter than [`MIN_SECRET_BYTES`] or longer than [`MAX_SECRET_BYTES`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSecret> {
        let bytes = Zeroizing::new(bytes);
        if (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes.len()) {
            Ok(Self::Symmetric(SymmetricKey::new(bytes)))
        } else {
            Err(InvalidSecret::Length(bytes.len()))
        }
    }

    /// A secret from its text form: `whsec_` or `whsk_`, and padded standard base64.
    ///
    /// # Errors
    /// The text has another form, the key another length, or the halves of the
    /// pair do not belong together.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        if text.starts_with(KEY_PAIR_PREFIX) {
            return Ok(Self::Pair(KeyPair::parse(text)?));
        }
        if text.starts_with(PUBLIC_KEY_PREFIX) {
            return Err(InvalidSecret::PublicKey);
        }
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret::Prefix)?;
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?)
    }

    /// The text form, of which [`Secret::parse`] makes the same secret again.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        match self {
            Self::Symmetric(key) => Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(&key.bytes))),
            Self::Pair(pair) => pair.expose_text(),
            Self::Text(key) => key.expose_text(),
        }
    }

    /// The form in which it is sealed, which tells a text that is the key from one
    /// that holds it.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<String> {
        match self {
            Self::Symmetric(_) | Self::Pair(_) => self.expose_text(),
            Self::Text(key) => Zeroizing::new(format!("{STORED_TEXT_PREFIX}{}", *key.expose_text())),
        }
    }

    /// A secret from what [`Secret::to_stored`] gave.
    ///
    /// # Errors
    /// It gave something else.
    pub fn from_stored(stored: &str) -> Result<Self, InvalidSecret> {
        match stored.strip_prefix(STORED_TEXT_PREFIX) {
            Some(text) => TextKey::parse(text).map(Self::Text),
            None => Self::parse(stored),
        }
    }

    /// The key that the text is, if it is one.
    #[must_use]
    pub const fn text_key(&self) -> Option<&SymmetricKey> {
        match self {
            Self::Text(key) => Some(key.key()),
            Self::Symmetric(_) | Self::Pair(_) => None,
        }
    }

    /// What a receiver verifies with, to show to a person who asked for it: the
    /// shared secret, or the public half of the pair.
    #[must_use]
    pub fn receivers_text(&self) -> Zeroizing<String> {
        match self {
            Self::Symmetric(_) | Self::Text(_) => self.expose_text(),
            Self::Pair(pair) => Zeroizing::new(pair.public().to_string()),
        }
    }
}

impl SymmetricKey {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        let hmac = Hmac::new_from_slice(&bytes).expect("HMAC takes keys of every length");
        Self { bytes, hmac }
    }

    pub(crate) fn expose_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Signs the parts as if they were one text. They are read in place.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; HMAC_BYTES] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether this is the signature of the parts. Compares in constant time.
    #[must_use]
    pub fn verifies(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        self.over(parts).verify_slice(signature).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        parts.iter().fold(self.hmac.clone(), |hmac, part| hmac.chain_update(part))
    }
}

impl PartialEq for SymmetricKey {
    fn eq(&self, other: &Self) -> bool {
        // Constant time, but for the length: a key that is guessed tells nothing by how far it was right.
        self.bytes.len() == other.bytes.len() && self.verifies(&[], &other.sign(&[]))
    }
}

impl Eq for SymmetricKey {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey(..)")
    }
}

/// A secret as it lies on disk: encrypted with the store's key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SealedSecret(pub Vec<u8>);

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret({} bytes)", self.0.len())
    }
}

impl From<SealedSecret> for String {
    fn from(sealed: SealedSecret) -> Self {
        STANDARD.encode(sealed.0)
    }
}

impl TryFrom<String> for SealedSecret {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_secret_is_refused_with_its_reason() {
        for (text, reason) in [
            ("w", InvalidSecret::Prefix),
            ("hwsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", InvalidSecret::Prefix),
            ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", InvalidSecret::PublicKey),
            ("whsk_%", InvalidSecret::Pair(InvalidKey::Base64(KEY_PAIR_PREFIX))),
            ("whsec_%", InvalidSecret::Base64),
            ("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD", InvalidSecret::Base64),
            ("whsec_", InvalidSecret::Length(0)),
            ("whsec_d3Jvbmc=", InvalidSecret::Length(5)),
        ] {
            assert_eq!(Secret::parse(text), Err(reason), "{text}");
        }
        assert_eq!(Secret::from_bytes(vec![0; 76]), Err(InvalidSecret::Length(76)));
    }

    #[test]
    fn the_text_form_comes_back_and_debug_hides_it() {
        for kind in [SignatureKind::HmacSha256, SignatureKind::Ed25519] {
            let secret = Secret::from_random(kind, &[7; NEW_SECRET_BYTES]);
            let text = secret.expose_text();
            assert_eq!(Secret::parse(&text), Ok(secret.clone()));
            assert_eq!(format!("{secret:?}"), "Secret(..)");
            let receivers = secret.receivers_text();
            assert_eq!(receivers == text, kind == SignatureKind::HmacSha256);
            assert_eq!(receivers.starts_with(PUBLIC_KEY_PREFIX), kind == SignatureKind::Ed25519);
        }
    }

    #[test]
    fn a_key_verifies_what_it_signs_and_nothing_else() {
        let Ok(Secret::Symmetric(key)) = Secret::from_bytes(vec![7; 75]) else { panic!("it is long enough") };
        let Ok(Secret::Symmetric(other)) = Secret::from_bytes(vec![8; 75]) else { panic!("it is long enough") };
        let signature = key.sign(&[b"ab", b"", b"c"]);
        assert_eq!(signature, key.sign(&[b"abc"]));
        assert!(key.verifies(&[b"a", b"bc"], &signature));
        assert!(!key.verifies(&[b"abd"], &signature));
        assert!(!key.verifies(&[b"abc"], &signature[..31]));
        assert!(key != other && !other.verifies(&[b"abc"], &signature));
        assert_eq!(format!("{key:?}"), "SymmetricKey(..)");
    }

    #[test]
    fn no_reason_repeats_the_text() {
        let part = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for prefix in ["", "w", "whsec_x", "whsk_", "whsk_%", "whpk_", "hwsec_"] {
            let error = Secret::parse(&format!("{prefix}{part}")).expect_err("it is none");
            assert!(!error.to_string().contains(part) && !format!("{error:?}").contains(part), "{error}");
        }
    }
}
