//! Requests that are no webhook, but ask whether webhooks are wanted (`docs/verification.md`).

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;

/// What a challenge is called in its body.
const CHALLENGE_TYPE: &str = "postrider.verification";
const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// What somebody asks who would send webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// To be given this text back.
    Challenge(String),
    /// Whether this origin may send, by the handshake of CloudEvents' HTTP webhooks. It is not signed.
    Handshake(HeaderValue),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    r#type: String,
    challenge: String,
}

impl Question {
    /// The question that a request is, if it is one.
    pub(super) fn of(method: &Method, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if *method == Method::OPTIONS {
            return headers.get(REQUEST_ORIGIN).cloned().map(Self::Handshake);
        }
        let asked: Challenge = serde_json::from_slice(body).ok()?;
        (asked.r#type == CHALLENGE_TYPE).then_some(Self::Challenge(asked.challenge))
    }

    /// As the field `verification` of an endpoint calls it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "challenge",
            Self::Handshake(_) => "cloudevents",
        }
    }

    /// Says yes, as often as anybody likes.
    pub(super) fn consent(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        match self {
            Self::Challenge(text) => *response.body_mut() = Full::from(text),
            Self::Handshake(origin) => {
                response.headers_mut().insert(ALLOWED_ORIGIN, origin);
                response.headers_mut().insert(ALLOWED_RATE, HeaderValue::from_static("*"));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_is_a_question() {
        let none = HeaderMap::new();
        let of = |body: &[u8]| Question::of(&Method::POST, &none, body);
        let asked = of(br#"{"challenge":"abc","type":"postrider.verification"}"#);
        assert_eq!(asked, Some(Question::Challenge("abc".to_owned())));
        for webhook in [
            &b"{}"[..],
            b"",
            br#"{"type":"order.paid","challenge":"abc"}"#,
            br#"{"type":"postrider.verification"}"#,
            br#"{"type":"postrider.verification","challenge":"abc","n":1}"#,
            br#"{"type":"postrider.verification","challenge":7}"#,
        ] {
            assert_eq!(of(webhook), None, "{webhook:?}");
        }
        let headers = HeaderMap::from_iter([(REQUEST_ORIGIN, HeaderValue::from_static("events.example.com"))]);
        let asked = Question::of(&Method::OPTIONS, &headers, b"").expect("it asks for leave");
        assert_eq!(Question::of(&Method::OPTIONS, &none, b""), None);
        assert_eq!(Question::of(&Method::POST, &headers, b"{}"), None, "deliveries have the header, too");
        let given = asked.consent();
        assert_eq!(given.headers()[ALLOWED_ORIGIN], "events.example.com");
        assert_eq!(given.headers()[ALLOWED_RATE], "*");
    }
}
