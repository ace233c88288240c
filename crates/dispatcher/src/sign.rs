//! The signature `v1` of Standard Webhooks 1.0.0: HMAC-SHA256 over
//! `<id>.<timestamp>.<body>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use postrider_model::secret::Secret;
use sha2::Sha256;

/// Characters of one signature: `v1,` and 32 bytes in padded base64.
const SIGNATURE_CHARS: usize = 3 + 44;

/// The value of `webhook-signature`: one signature per secret in the order of
/// `secrets`, with single spaces between and none at the ends, because some
/// verifiers stumble over more. The body is read in place, never copied.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp_s: &str, body: &[u8]) -> String {
    let mut value = String::with_capacity(secrets.len() * (SIGNATURE_CHARS + 1));
    for secret in secrets {
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(signature(secret, id, timestamp_s, body), &mut value);
    }
    value
}

fn signature(secret: &Secret, id: &str, timestamp_s: &str, body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_bytes()).expect("HMAC takes keys of every length");
    for part in [id.as_bytes(), b".", timestamp_s.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn secret(text: &str) -> Secret {
        Secret::parse(text).expect("a secret in the test's own table")
    }

    #[test]
    fn the_published_vectors_match() {
        for (key, id, timestamp, body, expected) in [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                "1649367553",
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ] {
            assert_eq!(signatures(&[secret(key)], id, timestamp, body.as_bytes()), expected);
        }
    }

    /// Verified by a library that is not ours. It checks the timestamp against
    /// the system's clock, so the test takes the time from there.
    fn verifies(key: &Secret, id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)] {
            headers.insert(name, value.parse().expect("visible ASCII"));
        }
        let verifier = standardwebhooks::Webhook::new(&key.expose_text()).expect("a valid secret");
        verifier.verify(body, &headers).is_ok()
    }

    #[expect(clippy::disallowed_methods, reason = "the verifier compares with the system's clock")]
    fn now() -> String {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.expect("the clock is after 1970").as_secs().to_string()
    }

    #[test]
    fn each_of_several_secrets_verifies_and_no_other() {
        let keys: Vec<Secret> =
            (0u8..3).map(|i| Secret::from_bytes(vec![i; 24 + usize::from(i)]).expect("long enough")).collect();
        let timestamp = now();
        let value = signatures(&keys, "msg_x", &timestamp, b"{}");
        assert_eq!(value.split(' ').count(), 3);
        for (key, part) in keys.iter().zip(value.split(' ')) {
            assert_eq!(part, signatures(std::slice::from_ref(key), "msg_x", &timestamp, b"{}"));
            assert!(verifies(key, "msg_x", &timestamp, &value, b"{}"));
            assert!(!verifies(key, "msg_x", &timestamp, &value, b"{} "));
            assert!(!verifies(key, "msg_y", &timestamp, &value, b"{}"));
        }
        let stranger = Secret::from_bytes(vec![9; 24]).expect("long enough");
        assert!(!verifies(&stranger, "msg_x", &timestamp, &value, b"{}"));
    }

    proptest! {
        #[test]
        fn every_body_and_key_verifies(body in ".*", key in prop::collection::vec(any::<u8>(), 24..=75)) {
            let key = Secret::from_bytes(key).expect("within the limits");
            let timestamp = now();
            let value = signatures(std::slice::from_ref(&key), "msg_1", &timestamp, body.as_bytes());
            prop_assert_eq!(value.len(), SIGNATURE_CHARS);
            prop_assert!(verifies(&key, "msg_1", &timestamp, &value, body.as_bytes()));
        }
    }
}
