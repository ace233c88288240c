//! The signatures of Standard Webhooks 1.0.0 over `<id>.<timestamp>.<body>`:
//! `v1`, HMAC-SHA256, and `v1a`, Ed25519. Below are those of others, a module each.

pub(crate) mod github;
pub(crate) mod http_message;
pub(crate) mod stripe;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_model::secret::Secret;

/// Characters of a signature by HMAC: `v1,` and 32 bytes in padded base64.
const HMAC_CHARS: usize = 3 + 44;

/// The value of `webhook-signature`: one signature per secret in the order of
/// `secrets`, with single spaces between and none at the ends, because some
/// verifiers stumble over more. The body is read in place, never copied.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp_s: &str, body: &[u8]) -> String {
    // What one secret takes fits exactly, so that it becomes a header as it lies there.
    let mut value = String::with_capacity((secrets.len() * (HMAC_CHARS + 1)).saturating_sub(1));
    let parts = [id.as_bytes(), b".", timestamp_s.as_bytes(), b".", body];
    for secret in secrets {
        if !value.is_empty() {
            value.push(' ');
        }
        match secret {
            Secret::Symmetric(key) => {
                value.push_str("v1,");
                STANDARD.encode_string(key.sign(&parts), &mut value);
            }
            Secret::Pair(pair) => {
                value.push_str("v1a,");
                STANDARD.encode_string(pair.sign(&parts), &mut value);
            }
            // Not of this scheme: see `Signature::prepared`.
            Secret::Text(_) => {}
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use postrider_model::secret::SignatureKind;
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
            (
                "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                r#"{"test": 2432232314}"#,
                "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
            ),
        ] {
            assert_eq!(signatures(&[secret(key)], id, timestamp, body.as_bytes()), expected);
        }
    }

    /// Verified by libraries that are not ours. That for HMAC checks the timestamp
    /// against the system's clock, so the test takes the time from there.
    fn verifies(key: &Secret, id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)] {
            headers.insert(name, value.parse().expect("visible ASCII"));
        }
        if let Secret::Pair(pair) = key {
            let public = STANDARD.decode(pair.public().to_string().trim_start_matches("whpk_")).expect("base64");
            let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
            let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
            let v1a = signature.split(' ').filter_map(|one| one.strip_prefix("v1a,"));
            return v1a.map(|one| STANDARD.decode(one).expect("base64")).any(|one| key.verify(&signed, &one).is_ok());
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
        let hmac = |byte| Secret::from_random(SignatureKind::HmacSha256, &[byte; 32]);
        let pair = |byte| Secret::from_random(SignatureKind::Ed25519, &[byte; 32]);
        let keys = [hmac(1), pair(2), hmac(3), pair(4)];
        let timestamp = now();
        let value = signatures(&keys, "msg_x", &timestamp, b"{}");
        assert_eq!(value.split(' ').count(), 4);
        for (key, part) in keys.iter().zip(value.split(' ')) {
            assert_eq!(part, signatures(std::slice::from_ref(key), "msg_x", &timestamp, b"{}"));
            assert!(verifies(key, "msg_x", &timestamp, &value, b"{}"));
            assert!(!verifies(key, "msg_x", &timestamp, &value, b"{} "));
            assert!(!verifies(key, "msg_y", &timestamp, &value, b"{}"));
        }
        for stranger in [hmac(9), pair(9)] {
            assert!(!verifies(&stranger, "msg_x", &timestamp, &value, b"{}"));
        }
    }

    proptest! {
        #[test]
        fn every_body_and_key_verifies(body in ".*", key in prop::collection::vec(any::<u8>(), 24..=75)) {
            let key = Secret::from_bytes(key).expect("within the limits");
            let timestamp = now();
            let value = signatures(std::slice::from_ref(&key), "msg_1", &timestamp, body.as_bytes());
            prop_assert_eq!(value.len(), HMAC_CHARS);
            prop_assert!(verifies(&key, "msg_1", &timestamp, &value, body.as_bytes()));
        }

        #[test]
        fn every_body_and_pair_verifies(body in prop::collection::vec(any::<u8>(), 0..200), seed: [u8; 32]) {
            let pair = Secret::from_random(SignatureKind::Ed25519, &seed);
            let value = signatures(std::slice::from_ref(&pair), "msg_1", "17", &body);
            prop_assert!(verifies(&pair, "msg_1", "17", &value, &body));
        }
    }
}
