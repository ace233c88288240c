//! Verifies the signature of a webhook as its receiver does (Standard Webhooks
//! 1.0.0, "Verifying webhook authenticity").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use postrider_model::time::UnixMs;

use super::key::Key;

/// How far the timestamp may lie from now; the standard's libraries all use it.
const TOLERANCE_SECS: u64 = 300;

/// The headers of a signed request: id, timestamp, signature.
struct Names {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

/// The names of the standard.
const WEBHOOK: Names = Names { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };
/// The names that Svix gave them before.
const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

impl Names {
    /// Those that a request uses; the standard's, if it uses both or none.
    fn of(headers: &HeaderMap) -> &'static Self {
        if headers.contains_key(SVIX.id) && !headers.contains_key(WEBHOOK.id) { &SVIX } else { &WEBHOOK }
    }
}

/// The message's id, if the request names one that can be read.
pub(crate) fn message_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(Names::of(headers).id).and_then(|value| value.to_str().ok())
}

/// Why a request is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotVerified {
    /// A header is missing or cannot be read.
    #[error("header `{0}` is missing or unreadable")]
    Header(&'static str),
    /// It was signed too long ago, or in the future: it may be a replay.
    #[error("timestamp {0} is more than {TOLERANCE_SECS} s away from now")]
    Timestamp(u64),
    /// None of the signatures is made with this key.
    #[error("no signature matches the key")]
    Signature,
}

/// Verifies a request's signature and age.
///
/// # Errors
/// It is not to be trusted.
pub(crate) fn verify(key: &Key, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Result<(), NotVerified> {
    let header = |name: &'static str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.filter(|value| !value.is_empty()).ok_or(NotVerified::Header(name))
    };
    let names = Names::of(headers);
    let id = header(names.id)?;
    let timestamp = header(names.timestamp)?;
    let signatures = header(names.signature)?;
    let seconds = timestamp.parse::<u64>().map_err(|_| NotVerified::Header(names.timestamp))?;
    if seconds.abs_diff(now.as_secs()) > TOLERANCE_SECS {
        return Err(NotVerified::Timestamp(seconds));
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let ours = signatures.split(' ').filter_map(|signature| signature.strip_prefix(key.scheme()));
    let ours = ours.filter_map(|encoded| STANDARD.decode(encoded).ok());
    if key.verifies(&signed, ours) { Ok(()) } else { Err(NotVerified::Signature) }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn check(id: &str, timestamp: &str, signature: &str, body: &[u8], now: u64) -> Result<(), NotVerified> {
        verify(&key(SECRET), &headers(&WEBHOOK, id, timestamp, signature), body, UnixMs(now * 1_000))
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
            let verified = verify(&key(text), &headers, BODY, UnixMs(AT * 1_000));
            assert_eq!(verified.is_ok(), matching, "{text}");
            assert!(verify(&key(text), &headers, b"{}", UnixMs(AT * 1_000)).is_err());
        }
        let both = format!("{SIGNATURE} {SIGNATURE_OF_PAIR}");
        for text in [PUBLIC, SECRET] {
            let headers = headers(&WEBHOOK, ID, &AT.to_string(), &both);
            assert_eq!(verify(&key(text), &headers, BODY, UnixMs(AT * 1_000)), Ok(()));
        }
        for text in ["whpk_", "whpk_%", "whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "x"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_names_of_svix_are_understood() {
        let by_svix = headers(&SVIX, ID, &AT.to_string(), SIGNATURE);
        assert_eq!(verify(&key(SECRET), &by_svix, BODY, UnixMs(AT * 1_000)), Ok(()));
        assert_eq!(message_id(&by_svix), Some(ID));
        let wrong = headers(&SVIX, ID, "hello", SIGNATURE);
        let refused = Err(NotVerified::Header("svix-timestamp"));
        assert_eq!(verify(&key(SECRET), &wrong, BODY, UnixMs(AT * 1_000)), refused);
        // Where both are there, those of the standard count.
        let mut both = headers(&WEBHOOK, ID, &AT.to_string(), "v1,AAAA");
        both.extend(by_svix);
        assert_eq!(verify(&key(SECRET), &both, BODY, UnixMs(AT * 1_000)), Err(NotVerified::Signature));
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
