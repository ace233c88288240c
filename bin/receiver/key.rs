//! What a receiver verifies with.

use postrider_model::key_pair::{InvalidKey, PUBLIC_KEY_PREFIX, PublicKey};
use postrider_model::secret::{InvalidSecret, Secret, SymmetricKey};

/// A receiver's key.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// Verifies `v1`.
    Symmetric(SymmetricKey),
    /// Verifies `v1a`.
    Public(PublicKey),
}

/// A text that is no key of a receiver. The text is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoKey {
    /// Not a signing secret either.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// No public key, though it begins like one.
    #[error(transparent)]
    Public(#[from] InvalidKey),
}

impl Key {
    /// A key from its text form: `whsec_...`, `whpk_...`, or the whole pair, `whsk_...`.
    ///
    /// # Errors
    /// The text has another form.
    pub(crate) fn parse(text: &str) -> Result<Self, NoKey> {
        if text.starts_with(PUBLIC_KEY_PREFIX) {
            return Ok(Self::Public(PublicKey::parse(text)?));
        }
        Ok(match Secret::parse(text)? {
            Secret::Symmetric(key) => Self::Symmetric(key),
            Secret::Pair(pair) => Self::Public(pair.public()),
        })
    }

    /// What a signature by this key begins with.
    pub(crate) const fn scheme(&self) -> &'static str {
        match self {
            Self::Symmetric(_) => "v1,",
            Self::Public(_) => "v1a,",
        }
    }

    /// Whether one of the signatures was made over `signed` with this key.
    pub(crate) fn verifies(&self, signed: &[u8], mut signatures: impl Iterator<Item = Vec<u8>>) -> bool {
        match self {
            Self::Symmetric(key) => signatures.any(|signature| key.verifies(&[signed], &signature)),
            Self::Public(key) => signatures.any(|signature| key.verifies(signed, &signature)),
        }
    }
}
