//! The signature of Standard Webhooks 1.0.0, made and checked the way that
//! senders and receivers do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

/// The secret of every endpoint here.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Signs and verifies with one secret.
#[derive(Clone)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// The key of [`SECRET`].
    pub(crate) fn new() -> Self {
        let encoded = SECRET.trim_start_matches("whsec_");
        Self(STANDARD.decode(encoded).expect("the constant is base64"))
    }

    /// The value of `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, timestamp_s: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        for part in [id.as_bytes(), b".", timestamp_s.as_bytes(), b".", body] {
            mac.update(part);
        }
        let mut value = String::with_capacity(47);
        value.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut value);
        value
    }

    /// Whether a request is signed with this key.
    pub(crate) fn verifies(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let expected = self.sign(text("webhook-id"), text("webhook-timestamp"), body);
        text("webhook-signature").split(' ').any(|one| one == expected)
    }
}
