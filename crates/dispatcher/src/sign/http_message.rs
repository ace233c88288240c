//! HTTP Message Signatures (RFC 9421) over the request and, by `content-digest`
//! (RFC 9530), its body: one for each secret that is active, by `hmac-sha256` or
//! `ed25519`.
//!
//! The scheme of the URL is not covered, because many receivers stand behind
//! what ends TLS for them; method, authority, path and query are.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use postrider_model::secret::Secret;
use sha2::{Digest as _, Sha256};

use super::github::write_hex;
use crate::failure::Failure;

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
static SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
static SIGNATURE: HeaderName = HeaderName::from_static("signature");
static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");

/// What is signed, as each signature says it.
const COMPONENTS: &str = r#"("@method" "@authority" "@path" "@query" "content-digest" "content-type" "webhook-id")"#;
/// The application that the signature is for: verifiers choose by it among signatures.
const TAG: &str = "postrider";
/// Bytes of a secret's hash by which it is named.
const KEY_ID_BYTES: usize = 8;

/// Adds the digest of the body and the signatures. The headers that are signed,
/// `content-type` and `webhook-id`, must be there already.
pub(crate) fn add(
    headers: &mut HeaderMap,
    secrets: &[Secret],
    uri: &Uri,
    created_s: &str,
    body: &[u8],
) -> Result<(), Failure> {
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
    let covered = covered(headers, uri, &digest)?;
    let (mut inputs, mut signatures) = (String::new(), String::new());
    for secret in secrets {
        let key_id = key_id(secret);
        let algorithm = match secret {
            Secret::Symmetric(_) => "hmac-sha256",
            Secret::Pair(_) => "ed25519",
            // Not of this scheme: see `Signature::prepared`.
            Secret::Text(_) => continue,
        };
        let parameters = format!(r#"{COMPONENTS};created={created_s};keyid="{key_id}";alg="{algorithm}";tag="{TAG}""#);
        let base = format!("{covered}\"@signature-params\": {parameters}");
        let signature = match secret {
            Secret::Symmetric(key) => STANDARD.encode(key.sign(&[base.as_bytes()])),
            Secret::Pair(pair) => STANDARD.encode(pair.sign(&[base.as_bytes()])),
            Secret::Text(_) => continue,
        };
        let comma = if inputs.is_empty() { "" } else { ", " };
        // Strings take whatever is written to them.
        let _ = write!(inputs, "{comma}sig-{key_id}={parameters}");
        let _ = write!(signatures, "{comma}sig-{key_id}=:{signature}:");
    }
    for (name, value) in [(&CONTENT_DIGEST, digest), (&SIGNATURE_INPUT, inputs), (&SIGNATURE, signatures)] {
        let value = HeaderValue::try_from(value);
        headers.insert(name, value.map_err(|_| Failure::internal("the signature cannot be sent"))?);
    }
    Ok(())
}

/// The lines of the signature base (RFC 9421, section 2.5) before that of the parameters.
fn covered(headers: &HeaderMap, uri: &Uri, digest: &str) -> Result<String, Failure> {
    let header = |name: &HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::trim).ok_or_else(|| Failure::internal(format!("the request has no {name} to sign")))
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    Ok(format!(
        "\"@method\": POST\n\"@authority\": {}\n\"@path\": {}\n\"@query\": ?{}\n\"content-digest\": {digest}\n\
         \"content-type\": {}\n\"webhook-id\": {}\n",
        authority.to_ascii_lowercase(),
        uri.path(),
        uri.query().unwrap_or_default(),
        header(&CONTENT_TYPE)?,
        header(&WEBHOOK_ID)?,
    ))
}

/// The first 16 hexadecimal digits of the SHA-256 of what the receiver has:
/// `whsec_...`, or the public key, `whpk_...`.
fn key_id(secret: &Secret) -> String {
    let hash = Sha256::digest(secret.receivers_text().as_bytes());
    let mut id = String::with_capacity(2 * KEY_ID_BYTES);
    write_hex(hash.get(..KEY_ID_BYTES).unwrap_or_default(), &mut id);
    id
}

#[cfg(test)]
mod tests {
    use postrider_model::secret::SignatureKind;

    use super::*;

    fn signed(secrets: &[Secret], uri: &str, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(&WEBHOOK_ID, HeaderValue::from_static("msg_1"));
        let uri = uri.parse().expect("a URI in the test's own table");
        assert!(add(&mut headers, secrets, &uri, "1618884473", body).is_ok());
        headers
    }

    fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
        headers.get(name).and_then(|value| value.to_str().ok()).expect("it is there")
    }

    #[test]
    fn the_digest_is_that_of_the_specification() {
        let headers = signed(&[], "https://example.com/", br#"{"hello": "world"}"#);
        assert_eq!(text(&headers, &CONTENT_DIGEST), "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
    }

    #[test]
    fn what_is_covered_is_the_request_as_it_is_sent() {
        let headers = signed(&[], "https://Example.com:8443/a%20b?x=1&y", b"{}");
        let uri = "https://Example.com:8443/a%20b?x=1&y".parse().expect("a URI");
        let expected = "\"@method\": POST\n\"@authority\": example.com:8443\n\"@path\": /a%20b\n\"@query\": ?x=1&y\n\
                        \"content-digest\": d\n\"content-type\": application/json\n\"webhook-id\": msg_1\n";
        assert_eq!(covered(&headers, &uri, "d").ok().as_deref(), Some(expected));
        let uri = "http://example.com".parse().expect("a URI");
        let covered = covered(&headers, &uri, "d").expect("nothing is missing");
        assert!(covered.contains("\"@path\": /\n\"@query\": ?\n"), "{covered}");
        assert!(super::covered(&HeaderMap::new(), &uri, "d").is_err());
    }

    #[test]
    fn each_secret_has_a_signature_under_a_name_of_its_own() {
        let shared = Secret::from_random(SignatureKind::HmacSha256, &[1; 32]);
        let pair = Secret::from_random(SignatureKind::Ed25519, &[2; 32]);
        let headers = signed(&[shared.clone(), pair.clone()], "https://example.com/hook", b"{}");
        let (shared_id, pair_id) = (key_id(&shared), key_id(&pair));
        assert_ne!(shared_id, pair_id);
        let of = |id: &str, algorithm: &str| {
            format!(r#"{COMPONENTS};created=1618884473;keyid="{id}";alg="{algorithm}";tag="postrider""#)
        };
        let (by_shared, by_pair) = (of(&shared_id, "hmac-sha256"), of(&pair_id, "ed25519"));
        let expected = format!("sig-{shared_id}={by_shared}, sig-{pair_id}={by_pair}");
        assert_eq!(text(&headers, &SIGNATURE_INPUT), expected);

        let uri = "https://example.com/hook".parse().expect("a URI");
        let covered = covered(&headers, &uri, text(&headers, &CONTENT_DIGEST)).expect("nothing is missing");
        let signatures = text(&headers, &SIGNATURE);
        let base = |parameters: &str| format!("{covered}\"@signature-params\": {parameters}");
        let decoded = |id: &str| {
            let value = signatures.split(", ").find_map(|one| one.strip_prefix(&format!("sig-{id}=:")));
            STANDARD.decode(value.expect("it signs").trim_end_matches(':')).expect("base64")
        };
        let (Secret::Symmetric(key), Secret::Pair(pair)) = (shared, pair) else { panic!("one of each") };
        assert!(key.verifies(&[base(&by_shared).as_bytes()], &decoded(&shared_id)));
        assert!(pair.public().verifies(base(&by_pair).as_bytes(), &decoded(&pair_id)));
    }

    /// Section B.2.5 of RFC 9421: the algorithm over the base that is given there.
    #[test]
    fn the_published_vector_matches() {
        let key =
            STANDARD.decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==");
        let Ok(Secret::Symmetric(key)) = Secret::from_bytes(key.expect("base64")) else { panic!("64 bytes") };
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\
                    \"content-type\": application/json\n\"@signature-params\": (\"date\" \"@authority\" \"content-type\")\
                    ;created=1618884473;keyid=\"test-shared-secret\"";
        assert_eq!(STANDARD.encode(key.sign(&[base.as_bytes()])), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
    }
}
