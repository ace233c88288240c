//! Verifies the signature of a webhook as its receiver does (Standard Webhooks
//! 1.0.0, "Verifying webhook authenticity").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use postrider_model::secret::Secret;
use postrider_model::time::UnixMs;
use sha2::Sha256;

/// How far the timestamp may lie from now; the standard's libraries all use it.
const TOLERANCE_SECS: u64 = 300;

/// Why a request is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotVerified {
    /// A header is missing or cannot be read.
    #[error("header `{0}` is missing or unreadable")]
    Header(&'static str),
    /// It was signed too long ago, or in the future: it may be a replay.
    #[error("timestamp {0} is more than {TOLERANCE_SECS} s away from now")]
    Timestamp(u64),
    /// None of the signatures is made with this secret.
    #[error("no signature matches the secret")]
    Signature,
}

/// Verifies a request's signature and age.
///
/// # Errors
/// It is not to be trusted.
pub(crate) fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Result<(), NotVerified> {
    let header = |name: &'static str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.filter(|value| !value.is_empty()).ok_or(NotVerified::Header(name))
    };
    let id = header("webhook-id")?;
    let timestamp = header("webhook-timestamp")?;
    let signatures = header("webhook-signature")?;
    let seconds = timestamp.parse::<u64>().map_err(|_| NotVerified::Header("webhook-timestamp"))?;
    if seconds.abs_diff(now.as_secs()) > TOLERANCE_SECS {
        return Err(NotVerified::Timestamp(seconds));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let matches = |signature: &str| {
        let bytes = signature.strip_prefix("v1,").and_then(|encoded| STANDARD.decode(encoded).ok());
        // Compares in constant time, the whole length.
        bytes.is_some_and(|bytes| mac.clone().verify_slice(&bytes).is_ok())
    };
    if signatures.split(' ').any(matches) { Ok(()) } else { Err(NotVerified::Signature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: u64 = 1_614_265_330;
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn check(id: &str, timestamp: &str, signature: &str, body: &[u8], now: u64) -> Result<(), NotVerified> {
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)] {
            headers.insert(name, value.parse().expect("a header value"));
        }
        let secret = Secret::parse(SECRET).expect("the published example");
        verify(&secret, &headers, body, UnixMs(now * 1_000))
    }

    #[test]
    fn the_published_example_is_verified() {
        assert_eq!(check(ID, &AT.to_string(), SIGNATURE, BODY, AT), Ok(()));
        let list = format!("v1a,x v1,AAAA v2,x {SIGNATURE}");
        assert_eq!(check(ID, &AT.to_string(), &list, BODY, AT + 300), Ok(()));
    }

    #[test]
    fn what_a_library_of_others_signs_is_verified() {
        let webhook = standardwebhooks::Webhook::new(SECRET).expect("the published example");
        let timestamp = i64::try_from(AT).expect("a small number");
        let signature = webhook.sign("msg_1", timestamp, BODY).expect("UTF-8");
        assert_eq!(check("msg_1", &AT.to_string(), &signature, BODY, AT), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        let at = AT.to_string();
        let wrong = Err(NotVerified::Signature);
        assert_eq!(check("msg_other", &at, SIGNATURE, BODY, AT), wrong);
        assert_eq!(check(ID, &at, SIGNATURE, b"{}", AT), wrong);
        for signature in ["v1,", "v1,g0hM9SsE", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "x"] {
            assert_eq!(check(ID, &at, signature, BODY, AT), wrong, "{signature}");
        }
        for now in [AT - 301, AT + 301] {
            assert_eq!(check(ID, &at, SIGNATURE, BODY, now), Err(NotVerified::Timestamp(AT)));
        }
        assert_eq!(check(ID, "hello", SIGNATURE, BODY, AT), Err(NotVerified::Header("webhook-timestamp")));
        assert_eq!(check("", &at, SIGNATURE, BODY, AT), Err(NotVerified::Header("webhook-id")));
    }
}
