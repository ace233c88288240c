//! Tokens that were verified before.
//!
//! A program sends the same token with each request. What it says is remembered
//! under its hash, so that a token that was altered is another one, and how long
//! a look-up takes tells nothing about a token. The signing key never changes
//! while a process runs; times are checked at every use.

use std::collections::HashMap;

use parking_lot::RwLock;
use postrider_model::time::UnixMs;
use sha2::{Digest as _, Sha256};

use crate::token::{self, Subject, TokenError, TokenSecret, Verified};

/// Tokens that are remembered; when there are more, all are forgotten (W9).
const MAX_TOKENS: usize = 1_024;

/// What a token is known by.
pub(crate) type TokenHash = [u8; 32];

/// What a token is known by.
///
/// # Errors
/// It is longer than any token.
pub(crate) fn hash(token: &str) -> Result<TokenHash, TokenError> {
    match token.len() {
        0..=token::MAX_TOKEN_BYTES => Ok(Sha256::digest(token).into()),
        _ => Err(TokenError::Malformed),
    }
}

/// What a token may be called where people read it: the first 16 digits of its hash.
pub(crate) fn fingerprint(hash: &TokenHash) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The tokens of one key.
pub(crate) struct KnownTokens {
    secret: TokenSecret,
    known: RwLock<HashMap<TokenHash, Verified>>,
}

impl KnownTokens {
    pub(crate) fn new(secret: TokenSecret) -> Self {
        Self { secret, known: RwLock::default() }
    }

    /// Whom a token with a good signature speaks for, also if it has expired.
    pub(crate) fn subject(&self, token: &str) -> Option<Subject> {
        Verified::read(&self.secret, token).ok()?.subject
    }

    /// Checks a token, known by this hash, and says whom it speaks for, as [`token::verify`] does.
    pub(crate) fn verify(&self, token: &str, hash: TokenHash, now: UnixMs) -> Result<Subject, TokenError> {
        let known = self.known.read().get(&hash).copied();
        if let Some(verified) = known {
            return verified.at(now);
        }
        let verified = Verified::read(&self.secret, token)?;
        let subject = verified.at(now)?;
        let mut known = self.known.write();
        if known.len() >= MAX_TOKENS {
            known.clear();
        }
        known.insert(hash, verified);
        Ok(subject)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use postrider_model::id::{OrgId, RawId};

    const NOW: UnixMs = UnixMs(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn secret() -> TokenSecret {
        TokenSecret::new(b"0123456789abcdef0123456789abcdef".to_vec())
    }

    fn org(number: u64) -> OrgId {
        OrgId(RawId::new(UnixMs(1), number, [3; 6]))
    }

    fn check(tokens: &KnownTokens, token: &str, now: UnixMs) -> Result<Subject, TokenError> {
        tokens.verify(token, hash(token)?, now)
    }

    #[test]
    fn a_known_token_expires_all_the_same() {
        let tokens = KnownTokens::new(secret());
        let token = token::create(&secret(), org(1), HOUR, NOW);
        for _ in 0..2 {
            assert_eq!(check(&tokens, &token, NOW), Ok(Subject::Org(org(1))));
        }
        assert_eq!(check(&tokens, &token, NOW + 2 * HOUR), Err(TokenError::Expired));
        assert_eq!(check(&tokens, &token, NOW), Ok(Subject::Org(org(1))), "the clock was set back");
    }

    #[test]
    fn what_was_refused_or_altered_is_not_known() {
        let tokens = KnownTokens::new(secret());
        let good = token::create(&secret(), org(1), HOUR, NOW);
        let forged = token::create(&TokenSecret::new(vec![7; 32]), org(1), HOUR, NOW);
        assert!(check(&tokens, &good, NOW).is_ok());
        for _ in 0..2 {
            assert_eq!(check(&tokens, &forged, NOW), Err(TokenError::Signature));
            assert!(check(&tokens, &format!("{good}A"), NOW).is_err());
            assert!(check(&tokens, &"a".repeat(token::MAX_TOKEN_BYTES + 1), NOW).is_err());
        }
        assert_eq!(tokens.known.read().len(), 1);
    }

    #[test]
    fn no_more_than_the_limit_are_remembered() {
        let tokens = KnownTokens::new(secret());
        for number in 0..=MAX_TOKENS as u64 {
            let token = token::create(&secret(), org(number), HOUR, NOW);
            assert_eq!(check(&tokens, &token, NOW), Ok(Subject::Org(org(number))));
            assert!(tokens.known.read().len() <= MAX_TOKENS);
        }
    }
}
