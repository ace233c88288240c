//! Ed25519 key pairs (RFC 8032), with which the receiver needs no secret: the
//! asymmetric scheme `v1a` of Standard Webhooks 1.0.0.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::MultipartSigner as _;
use ed25519_dalek::{KEYPAIR_LENGTH, PUBLIC_KEY_LENGTH, SECRET_KEY_LENGTH, SIGNATURE_LENGTH};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// What the text form of a key pair begins with. Base64 of 64 bytes follows,
/// the seed and the public key, as Svix has it; the standard does not say.
pub const KEY_PAIR_PREFIX: &str = "whsk_";
/// What the text form of a public key begins with.
pub const PUBLIC_KEY_PREFIX: &str = "whpk_";

/// A key pair. Its seed is wiped from memory when it is dropped, and `Debug`
/// does not print it. The public key is computed once, when it is made.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair(SigningKey);

/// The half of a key pair that receivers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no key pair, or no public key. The text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It does not begin with the prefix of its kind.
    #[error("does not begin with `{0}`")]
    Prefix(&'static str),
    /// What follows the prefix is not padded standard base64.
    #[error("what follows `{0}` is not padded standard base64")]
    Base64(&'static str),
    /// It is too short or too long.
    #[error("what follows `{prefix}` has {found} bytes, not {expected}")]
    Length {
        /// The prefix of its kind.
        prefix: &'static str,
        /// Bytes that were found.
        found: usize,
        /// Bytes of such a key.
        expected: usize,
    },
    /// The public key is not that of the seed: signing with it would give the seed away.
    #[error("the halves of the key pair do not belong together")]
    Halves,
    /// The bytes are no point of the curve, or one that belongs to no seed.
    #[error("is no public key of Ed25519")]
    Point,
}

impl KeyPair {
    /// The pair that grows out of 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; SECRET_KEY_LENGTH]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// A pair from its text form.
    ///
    /// # Errors
    /// The text has another form, or its halves do not belong together.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes = decode::<KEYPAIR_LENGTH>(text, KEY_PAIR_PREFIX)?;
        SigningKey::from_keypair_bytes(&bytes).map(Self).map_err(|_| InvalidKey::Halves)
    }

    /// The text form with its secret half.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.0.to_keypair_bytes());
        Zeroizing::new(format!("{KEY_PAIR_PREFIX}{}", STANDARD.encode(*bytes)))
    }

    /// What its receivers get.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs the parts as if they were one text. They are read in place.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_LENGTH] {
        self.0.multipart_sign(parts).to_bytes()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, ..)", self.public())
    }
}

impl PublicKey {
    /// A public key from its text form.
    ///
    /// # Errors
    /// The text has another form, or is no key under which a signature means something.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes = decode::<PUBLIC_KEY_LENGTH>(text, PUBLIC_KEY_PREFIX)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| InvalidKey::Point)?;
        if key.is_weak() { Err(InvalidKey::Point) } else { Ok(Self(key)) }
    }

    /// Whether this signature was made over `message` by the secret half.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_KEY_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

fn decode<const N: usize>(text: &str, prefix: &'static str) -> Result<Zeroizing<[u8; N]>, InvalidKey> {
    let encoded = text.strip_prefix(prefix).ok_or(InvalidKey::Prefix(prefix))?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidKey::Base64(prefix))?);
    let found = bytes.len();
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| InvalidKey::Length { prefix, found, expected: N })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The example of Standard Webhooks.
    const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    #[test]
    fn the_published_pair_is_read_shown_and_hidden() {
        let pair = KeyPair::parse(PAIR).expect("the published example");
        assert_eq!(pair.expose_text().as_str(), PAIR);
        assert_eq!(pair.public().to_string(), PUBLIC);
        assert_eq!(PublicKey::parse(PUBLIC), Ok(pair.public()));
        assert_eq!(format!("{pair:?}"), format!("KeyPair({PUBLIC}, ..)"));
    }

    #[test]
    fn what_is_no_pair_is_refused_with_its_reason() {
        let length = |found| InvalidKey::Length { prefix: KEY_PAIR_PREFIX, found, expected: 64 };
        // The seed alone would be 32 bytes, and so would half of a pair that was cut.
        let seed = format!("whsk_{}", STANDARD.encode([7; 32]));
        let halves = format!("whsk_{}", STANDARD.encode([7; 64]));
        for (text, reason) in [
            (PUBLIC, InvalidKey::Prefix(KEY_PAIR_PREFIX)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", InvalidKey::Prefix(KEY_PAIR_PREFIX)),
            ("whsk_%", InvalidKey::Base64(KEY_PAIR_PREFIX)),
            (PAIR.trim_end_matches('='), InvalidKey::Base64(KEY_PAIR_PREFIX)),
            ("whsk_", length(0)),
            ("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicM", length(60)),
            (&seed, length(32)),
            (&halves, InvalidKey::Halves),
        ] {
            assert_eq!(KeyPair::parse(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_public_key_under_which_everything_verifies_is_refused() {
        let neutral = format!("whpk_{}", STANDARD.encode([&[1][..], &[0; 31]].concat()));
        assert_eq!(PublicKey::parse(&neutral), Err(InvalidKey::Point));
        // No point of the curve has this y.
        let off_curve = format!("whpk_{}", STANDARD.encode([&[2][..], &[0; 31]].concat()));
        assert_eq!(PublicKey::parse(&off_curve), Err(InvalidKey::Point));
        assert_eq!(PublicKey::parse(PAIR), Err(InvalidKey::Prefix(PUBLIC_KEY_PREFIX)));
    }

    proptest! {
        #[test]
        fn what_a_pair_signs_its_public_half_verifies_and_nothing_else(
            seed: [u8; 32], parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5), at: usize,
        ) {
            let pair = KeyPair::from_seed(&seed);
            prop_assert_eq!(KeyPair::parse(&pair.expose_text()), Ok(pair.clone()));
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let (mut signature, message) = (pair.sign(&slices), parts.concat());
            prop_assert!(pair.public().verifies(&message, &signature));
            prop_assert!(!pair.public().verifies(&[&message[..], b"x"].concat(), &signature));
            prop_assert!(!pair.public().verifies(&message, &signature[..63]));
            let at = at % signature.len();
            signature[at] ^= 1;
            prop_assert!(!pair.public().verifies(&message, &signature));
        }
    }
}
