//! As Stripe signs its webhooks: HMAC-SHA256 over `<timestamp>.<body>`, in
//! hexadecimal, once for each secret that is active.

use http::HeaderName;
use postrider_model::secret::Secret;

use super::github::write_hex;

/// Where the signatures go.
pub(crate) static HEADER: HeaderName = HeaderName::from_static("stripe-signature");

/// The value of [`HEADER`]; `None` if none of the secrets is a text.
pub(crate) fn signature(secrets: &[Secret], timestamp_s: &str, body: &[u8]) -> Option<String> {
    let mut value = format!("t={timestamp_s}");
    let mut is_signed = false;
    for key in secrets.iter().filter_map(Secret::text_key) {
        value.push_str(",v1=");
        write_hex(&key.sign(&[timestamp_s.as_bytes(), b".", body]), &mut value);
        is_signed = true;
    }
    is_signed.then_some(value)
}

#[cfg(test)]
mod tests {
    use postrider_model::signature::Signature;

    use super::*;

    fn secret(text: &str) -> Secret {
        let secret = Signature::Stripe.parse_secret(text).expect("long enough");
        Signature::Stripe.prepared(secret).expect("it fits")
    }

    /// Reckoned by Stripe's own library for Python:
    /// `stripe.WebhookSignature._compute_signature("1614265330." + body, secret)`.
    #[test]
    fn the_signatures_are_those_of_stripes_library() {
        let body = br#"{"id":"evt_1"}"#;
        let value = signature(
            &[secret("whsec_test_secret"), secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            "1614265330",
            body,
        );
        let expected = "t=1614265330,v1=e135cdbed3dda004bf8a2fb350f2541d299393c770e0b9e6e319dc595e9072aa,v1=c4c4b8c26bb0896bc1156d83fde8b0052e4932e8abe988e7c657735832001b47";
        assert_eq!(value.as_deref(), Some(expected));
        assert_eq!(signature(&[], "1", body), None);
    }
}
