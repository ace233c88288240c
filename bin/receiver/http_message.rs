//! Verifies HTTP Message Signatures (RFC 9421) as far as our own go: whole
//! header fields, and the parts of the request that we sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::key::Key;
use super::scheme::SIGNATURE_INPUT;
use super::verify::{NotVerified, Signed, header, in_time};

/// One of the signatures is made with this key, covers the body, and is young enough.
pub(super) fn verify(key: &Key, request: &Signed<'_>, now_s: u64) -> Result<(), NotVerified> {
    let inputs = header(request.headers, SIGNATURE_INPUT)?;
    let signatures = header(request.headers, "signature")?;
    let by_label = |label: &str| {
        let value = signatures.split(", ").find_map(|one| one.strip_prefix(label)?.strip_prefix("=:"))?;
        STANDARD.decode(value.strip_suffix(':')?).ok()
    };
    for (label, parameters) in inputs.split(", ").filter_map(|one| one.split_once('=')) {
        let Some(signature) = by_label(label) else { continue };
        let Some((components, rest)) = parameters.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
            continue;
        };
        let Some(base) = base(request, components, parameters) else { continue };
        let verified = match key {
            Key::Public(key) => key.verifies(base.as_bytes(), &signature),
            Key::Shared(_) => key.shared(false).is_some_and(|key| key.verifies(&[base.as_bytes()], &signature)),
        };
        if verified {
            in_time(SIGNATURE_INPUT, parameter(rest, "created").unwrap_or_default(), now_s)?;
            return covers_body(components, request.headers, request.body);
        }
    }
    Err(NotVerified::Signature)
}

/// The signature base, if we know all that it consists of.
fn base(request: &Signed<'_>, components: &str, parameters: &str) -> Option<String> {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let mut base = String::new();
    for component in components.split(' ') {
        let name = component.strip_prefix('"')?.strip_suffix('"')?;
        let value = match name {
            "@method" => request.method.to_owned(),
            "@authority" => header(request.headers, "host").ok()?.to_ascii_lowercase(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            derived if derived.starts_with('@') => return None,
            field => request.headers.get(field)?.to_str().ok()?.trim().to_owned(),
        };
        base.push_str(&format!("{component}: {value}\n"));
    }
    Some(base + "\"@signature-params\": " + parameters)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
}

/// The digest is that of the body, and is signed.
fn covers_body(components: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), NotVerified> {
    const DIGEST: &str = "content-digest";
    let digest = header(headers, DIGEST)?;
    let expected = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
    let is_covered = components.split(' ').any(|component| component.trim_matches('"') == DIGEST);
    if is_covered && digest == expected { Ok(()) } else { Err(NotVerified::Header(DIGEST)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"hello": "world"}"#;
    const COMPONENTS: &str = r#"("@method" "@authority" "@path" "@query" "content-digest" "webhook-id")"#;

    /// What a sender makes of [`BODY`], after a signature that is somebody else's.
    fn headers(components: &str, covered: &str) -> HeaderMap {
        let parameters = format!(r#"{components};created=100;keyid="k";alg="hmac-sha256";tag="t""#);
        let base = format!("{covered}\"@signature-params\": {parameters}");
        let key = Key::parse(SECRET).ok().and_then(|key| key.shared(false)).expect("an example of the standard");
        let signature = STANDARD.encode(key.sign(&[base.as_bytes()]));
        let texts = [
            ("host", "Example.com:8443".to_owned()),
            ("webhook-id", "msg_1".to_owned()),
            // The example of RFC 9530.
            ("content-digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:".to_owned()),
            (SIGNATURE_INPUT, format!("sig-a={parameters}, sig-b={parameters}")),
            ("signature", format!("sig-a=:AAAA:, sig-b=:{signature}:")),
        ];
        texts
            .into_iter()
            .map(|(name, text)| (http::HeaderName::from_static(name), text.parse().expect("a value")))
            .collect()
    }

    fn covered() -> String {
        "\"@method\": POST\n\"@authority\": example.com:8443\n\"@path\": /hook\n\"@query\": ?x=1\n\
         \"content-digest\": sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:\n\"webhook-id\": msg_1\n"
            .to_owned()
    }

    #[test]
    fn one_signature_over_request_and_body_is_enough() {
        let headers = headers(COMPONENTS, &covered());
        let key = Key::parse(SECRET).expect("an example of the standard");
        let good = Signed { method: "POST", target: "/hook?x=1", headers: &headers, body: BODY };
        assert_eq!(verify(&key, &good, 100), Ok(()));
        assert_eq!(verify(&key, &good, 401), Err(NotVerified::Timestamp(100)));
        assert_eq!(verify(&key, &Signed { body: b"{}", ..good }, 100), Err(NotVerified::Header("content-digest")));
        for other in [Signed { target: "/hook", ..good }, Signed { method: "PUT", ..good }] {
            assert_eq!(verify(&key, &other, 100), Err(NotVerified::Signature));
        }
        let other = Key::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("another example");
        assert_eq!(verify(&other, &good, 100), Err(NotVerified::Signature));
        let text = Key::parse("a text is no key of this scheme").expect("long enough");
        assert_eq!(verify(&text, &good, 100), Err(NotVerified::Signature));
    }

    #[test]
    fn a_signature_that_does_not_cover_the_body_is_none() {
        let headers = headers(r#"("@method")"#, "\"@method\": POST\n");
        let key = Key::parse(SECRET).expect("an example of the standard");
        let request = Signed { method: "POST", target: "/hook", headers: &headers, body: BODY };
        assert_eq!(verify(&key, &request, 100), Err(NotVerified::Header("content-digest")));
    }
}
