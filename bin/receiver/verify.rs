//! Verifies the signature of a webhook as its receiver does, by the scheme that
//! the request's headers show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use postrider_model::signature::Signature;
use postrider_model::time::UnixMs;

use super::http_message;
use super::key::Key;
use super::scheme::{GITHUB, Names, STRIPE, scheme};

/// How far the timestamp may lie from now; the libraries of Standard Webhooks and Stripe's all use it.
const TOLERANCE_SECS: u64 = 300;

/// A request, as far as it may be signed.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// The path with its query.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// The message's id, if the request names one that can be read.
pub(crate) fn message_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(Names::of(headers).id).and_then(|value| value.to_str().ok())
}

/// Why a request is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotVerified {
    /// A header is missing or cannot be read.
    #[error("header `{0}` is missing or not what it should be")]
    Header(&'static str),
    /// It was signed too long ago, or in the future: it may be a replay.
    #[error("timestamp {0} is more than {TOLERANCE_SECS} s away from now")]
    Timestamp(u64),
    /// None of the signatures is made with this key.
    #[error("no signature matches the key")]
    Signature,
}

/// Verifies a request's signature and, where it is signed, its age.
///
/// # Errors
/// It is not to be trusted.
pub(crate) fn verify(key: &Key, request: &Signed<'_>, now: UnixMs) -> Result<(), NotVerified> {
    let now_s = now.as_secs();
    match scheme(request.headers).unwrap_or_default() {
        Signature::Standard => standard(key, request, now_s),
        Signature::Github => github(key, request),
        Signature::Stripe => stripe(key, request, now_s),
        Signature::HttpMessageSignatures => http_message::verify(key, request, now_s),
    }
}

/// A header that must be there.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, NotVerified> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.filter(|value| !value.is_empty()).ok_or(NotVerified::Header(name))
}

/// The time, in seconds, that stands in this header is near to now.
pub(super) fn in_time(name: &'static str, text: &str, now_s: u64) -> Result<(), NotVerified> {
    let seconds = text.parse::<u64>().map_err(|_| NotVerified::Header(name))?;
    if seconds.abs_diff(now_s) > TOLERANCE_SECS { Err(NotVerified::Timestamp(seconds)) } else { Ok(()) }
}

/// Standard Webhooks 1.0.0, "Verifying webhook authenticity".
fn standard(key: &Key, request: &Signed<'_>, now_s: u64) -> Result<(), NotVerified> {
    let names = Names::of(request.headers);
    let id = header(request.headers, names.id)?;
    let timestamp = header(request.headers, names.timestamp)?;
    let signatures = header(request.headers, names.signature)?;
    in_time(names.timestamp, timestamp, now_s)?;
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body].concat();
    let of = |version: &'static str| {
        let ours = signatures.split(' ').filter_map(move |signature| signature.strip_prefix(version));
        ours.filter_map(|encoded| STANDARD.decode(encoded).ok())
    };
    let verified = match key {
        Key::Public(key) => of("v1a,").any(|signature| key.verifies(&signed, &signature)),
        Key::Shared(_) => {
            key.shared(false).is_some_and(|key| of("v1,").any(|signature| key.verifies(&[&signed], &signature)))
        }
    };
    if verified { Ok(()) } else { Err(NotVerified::Signature) }
}

/// GitHub, "Validating webhook deliveries".
fn github(key: &Key, request: &Signed<'_>) -> Result<(), NotVerified> {
    let signature = header(request.headers, GITHUB)?.strip_prefix("sha256=").and_then(from_hex);
    let key = key.shared(true).ok_or(NotVerified::Signature)?;
    match signature {
        Some(signature) if key.verifies(&[request.body], &signature) => Ok(()),
        _ => Err(NotVerified::Signature),
    }
}

/// Stripe, "Verifying webhook signatures manually".
fn stripe(key: &Key, request: &Signed<'_>, now_s: u64) -> Result<(), NotVerified> {
    let parts = || header(request.headers, STRIPE).map(|value| value.split(',').filter_map(|one| one.split_once('=')));
    let timestamp = parts()?.find(|(name, _)| *name == "t").map_or("", |(_, value)| value);
    in_time(STRIPE, timestamp, now_s)?;
    let key = key.shared(true).ok_or(NotVerified::Signature)?;
    let mut signatures = parts()?.filter(|(name, _)| *name == "v1").filter_map(|(_, value)| from_hex(value));
    let signed: [&[u8]; 3] = [timestamp.as_bytes(), b".", request.body];
    if signatures.any(|signature| key.verifies(&signed, &signature)) { Ok(()) } else { Err(NotVerified::Signature) }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok());
    bytes.collect::<Option<_>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::scheme::{SVIX, WEBHOOK};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: u64 = 1_614_265_330;
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    const SIGNATURE_OF_PAIR: &str =
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

    fn headers(names: &Names, id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(names.id, id), (names.timestamp, timestamp), (names.signature, signature)] {
            headers.insert(name, value.parse().expect("a header value"));
        }
        headers
    }

    fn key(text: &str) -> Key {
        Key::parse(text).expect("a published example")
    }

    fn by(key: &Key, headers: &HeaderMap, body: &[u8], now: u64) -> Result<(), NotVerified> {
        verify(key, &Signed { method: "POST", target: "/hook?x=1", headers, body }, UnixMs(now * 1_000))
    }

    fn check(id: &str, timestamp: &str, signature: &str, body: &[u8], now: u64) -> Result<(), NotVerified> {
        by(&key(SECRET), &headers(&WEBHOOK, id, timestamp, signature), body, now)
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
    fn a_pair_and_its_public_half_verify_what_the_pair_signed() {
        for (text, matching) in [(PAIR, true), (PUBLIC, true), (SECRET, false)] {
            let headers = headers(&WEBHOOK, ID, &AT.to_string(), SIGNATURE_OF_PAIR);
            let verified = by(&key(text), &headers, BODY, AT);
            assert_eq!(verified.is_ok(), matching, "{text}");
            assert!(by(&key(text), &headers, b"{}", AT).is_err());
        }
        let both = format!("{SIGNATURE} {SIGNATURE_OF_PAIR}");
        for text in [PUBLIC, SECRET] {
            let headers = headers(&WEBHOOK, ID, &AT.to_string(), &both);
            assert_eq!(by(&key(text), &headers, BODY, AT), Ok(()));
        }
        for text in ["whpk_", "whpk_%", "whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "x"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_names_of_svix_are_understood() {
        let by_svix = headers(&SVIX, ID, &AT.to_string(), SIGNATURE);
        assert_eq!(by(&key(SECRET), &by_svix, BODY, AT), Ok(()));
        assert_eq!(message_id(&by_svix), Some(ID));
        let wrong = headers(&SVIX, ID, "hello", SIGNATURE);
        let refused = Err(NotVerified::Header("svix-timestamp"));
        assert_eq!(by(&key(SECRET), &wrong, BODY, AT), refused);
        // Where both are there, those of the standard count.
        let mut both = headers(&WEBHOOK, ID, &AT.to_string(), "v1,AAAA");
        both.extend(by_svix);
        assert_eq!(by(&key(SECRET), &both, BODY, AT), Err(NotVerified::Signature));
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

    fn signed_by(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn githubs_example_is_verified_by_the_text_alone() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = signed_by(&[(GITHUB, signature), ("webhook-id", ID)]);
        assert_eq!(scheme(&headers), Some(Signature::Github));
        assert_eq!(by(&key("It's a Secret to Everybody"), &headers, b"Hello, World!", 0), Ok(()));
        for (text, body) in [
            ("another secret", &b"Hello, World!"[..]),
            (PUBLIC, b"Hello, World!"),
            ("It's a Secret to Everybody", b"{}"),
        ] {
            assert_eq!(by(&key(text), &headers, body, 0), Err(NotVerified::Signature), "{text}");
        }
        let headers = signed_by(&[(GITHUB, "sha256=7")]);
        assert_eq!(by(&key("It's a Secret to Everybody"), &headers, b"", 0), Err(NotVerified::Signature));
    }

    #[test]
    fn one_of_stripes_signatures_is_enough_and_old_ones_are_refused() {
        // By Stripe's library for Python, with the secret's whole text.
        let signature = "c4c4b8c26bb0896bc1156d83fde8b0052e4932e8abe988e7c657735832001b47";
        let headers = signed_by(&[(STRIPE, &format!("t={AT},v1=00,v0=ab,v1={signature}"))]);
        let body = br#"{"id":"evt_1"}"#;
        assert_eq!(by(&key(SECRET), &headers, body, AT + 300), Ok(()));
        assert_eq!(by(&key(SECRET), &headers, body, AT + 301), Err(NotVerified::Timestamp(AT)));
        assert_eq!(by(&key(SECRET), &headers, b"{}", AT), Err(NotVerified::Signature));
        let headers = signed_by(&[(STRIPE, "v1=00")]);
        assert_eq!(by(&key(SECRET), &headers, body, AT), Err(NotVerified::Header(STRIPE)));
    }
}
