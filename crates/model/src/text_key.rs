//! A signing secret that is taken as it is written, for the schemes of senders
//! that never had a form for theirs.

use std::fmt;

use zeroize::Zeroizing;

use crate::secret::{InvalidSecret, SymmetricKey};

/// The shortest text, in characters.
pub const MIN_TEXT_CHARS: usize = 8;
/// The longest text, in characters.
pub const MAX_TEXT_CHARS: usize = 256;

/// A text whose characters are the key: HMAC-SHA256 with its bytes. It is wiped
/// from memory when it is dropped, and `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct TextKey(SymmetricKey);

impl TextKey {
    /// A key of [`MIN_TEXT_CHARS`] to [`MAX_TEXT_CHARS`] printable ASCII characters.
    ///
    /// # Errors
    /// The text is shorter or longer, or has other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let is_printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !is_printable || !(MIN_TEXT_CHARS..=MAX_TEXT_CHARS).contains(&text.len()) {
            return Err(InvalidSecret::Text);
        }
        Ok(Self::of(text))
    }

    /// The text form of a secret of another kind as a key.
    pub(crate) fn of(text: &str) -> Self {
        Self(SymmetricKey::new(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// The text.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        Zeroizing::new(String::from_utf8_lossy(self.0.expose_bytes()).into_owned())
    }

    /// Signs and verifies with the text's bytes.
    #[must_use]
    pub const fn key(&self) -> &SymmetricKey {
        &self.0
    }
}

impl fmt::Debug for TextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextKey(..)")
    }
}
