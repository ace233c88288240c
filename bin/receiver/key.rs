//! What a receiver verifies with.

use postrider_model::key_pair::{InvalidKey, KEY_PAIR_PREFIX, PUBLIC_KEY_PREFIX, PublicKey};
use postrider_model::secret::{InvalidSecret, SECRET_PREFIX, Secret, SymmetricKey};
use postrider_model::signature::Signature;

/// A receiver's key.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// A secret that is shared.
    Shared(Secret),
    /// Verifies what a key pair signed.
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
    /// A key from its text form: `whpk_...`, the whole pair, `whsk_...`, or a secret
    /// that is shared, `whsec_...` or, for the schemes of others, any text.
    ///
    /// # Errors
    /// The text has another form.
    pub(crate) fn parse(text: &str) -> Result<Self, NoKey> {
        if text.starts_with(PUBLIC_KEY_PREFIX) {
            return Ok(Self::Public(PublicKey::parse(text)?));
        }
        // One that looks like the standard's is to be one: it may be mistyped.
        let is_standard = text.starts_with(KEY_PAIR_PREFIX) || text.starts_with(SECRET_PREFIX);
        let secret = if is_standard { Secret::parse(text)? } else { Signature::Github.parse_secret(text)? };
        Ok(match secret {
            Secret::Pair(pair) => Self::Public(pair.public()),
            shared => Self::Shared(shared),
        })
    }

    /// The key that the text holds in base64, or that the text is; `None` if it is none of that kind.
    pub(super) fn shared(&self, by_text: bool) -> Option<SymmetricKey> {
        match self {
            Self::Shared(Secret::Symmetric(key)) if !by_text => Some(key.clone()),
            Self::Shared(secret) if by_text => Signature::Github.prepared(secret.clone())?.text_key().cloned(),
            Self::Shared(_) | Self::Public(_) => None,
        }
    }
}
