//! Signing secrets, in the clear and sealed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What the text form of a secret begins with (Standard Webhooks 1.0.0).
pub const SECRET_PREFIX: &str = "whsec_";
/// The shortest key, in bytes.
pub const MIN_SECRET_BYTES: usize = 24;
/// The longest key, in bytes. The standard says 64; Svix accepts 75.
pub const MAX_SECRET_BYTES: usize = 75;
/// The length of a key that we make, in bytes.
pub const NEW_SECRET_BYTES: usize = 32;

/// A symmetric signing key. It is wiped from memory when dropped and never
/// printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// A text that is not a signing secret. The text is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It does not begin with `whsec_`.
    #[error("a signing secret begins with `whsec_`")]
    Prefix,
    /// What follows is not padded standard base64.
    #[error("what follows `whsec_` is not padded standard base64")]
    Base64,
    /// The key is too short or too long.
    #[error("a signing secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, not {0}")]
    Length(usize),
}

impl Secret {
    /// A key from its bytes.
    ///
    /// # Errors
    /// It is shorter than [`MIN_SECRET_BYTES`] or longer than [`MAX_SECRET_BYTES`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSecret> {
        let bytes = Zeroizing::new(bytes);
        if (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(InvalidSecret::Length(bytes.len()))
        }
    }

    /// A key from its text form, `whsec_` and padded standard base64.
    ///
    /// # Errors
    /// The text has another form, or the key another length.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret::Prefix)?;
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?)
    }

    /// The key, to sign with.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text form, to show to a person who asked for it.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.0)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
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
            ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", InvalidSecret::Prefix),
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
        let text = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let secret = Secret::parse(text).expect("the published example");
        assert_eq!(secret.expose_text().as_str(), text);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
