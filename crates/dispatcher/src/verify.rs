//! One request by which an endpoint shows that it wants what is sent to it. It has the
//! guard, the connections, the deadline and the limits of an attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use postrider_model::job::FailureKind;
use postrider_model::message;
use postrider_model::target::{REQUEST_ORIGIN, Target};
use postrider_model::verification::{Passed, VerificationFailure};

use crate::attempt::{Dispatcher, read_at_most};
use crate::failure::Failure;
use crate::request::{self, USER_AGENT};
use crate::tokens::Token;

const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");
/// For a verification in all, which is less than a request to the API may take.
const LONGEST: Duration = Duration::from_secs(25);
/// What stands before the challenge in the id of its request: no message has such an id.
const ID_PREFIX: &str = "vrf_";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// To give back this text.
    Challenge(String),
    /// For leave to send.
    CloudEvents {
        /// Who asks.
        origin: String,
        /// At which rate, per minute.
        rate: Option<u32>,
    },
}

/// Why it was not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPassed {
    /// For everybody.
    pub why: VerificationFailure,
    /// One sentence for the operator's log, if there is more to say. It may name addresses.
    pub detail: Option<String>,
}

/// Whether an answer in JSON is an object with the challenge and nothing else: with other
/// members it could be the request itself, given back by something that knows nothing of it.
fn gives_back(answer: &[u8], challenge: &str) -> bool {
    let members: Result<BTreeMap<String, serde_json::Value>, _> = serde_json::from_slice(answer);
    members.is_ok_and(|members| members.len() == 1 && members.get("challenge").is_some_and(|text| text == challenge))
}

impl Dispatcher {
    /// Makes the request and says what came of it, within the target's timeout, which begins when there
    /// is a token if one is needed, and within 25 seconds in all: somebody waits.
    ///
    /// # Errors
    /// It was not passed.
    pub async fn verify(&self, target: &Target, check: &Check) -> Result<Passed, NotPassed> {
        let heard = tokio::time::timeout(LONGEST, self.hear(target, check)).await;
        match heard.unwrap_or_else(|_| Err(too_late(LONGEST))) {
            Ok(answer) => check.judge(&answer).map_err(|why| NotPassed { why, detail: None }),
            Err(Failure { kind, detail }) => {
                Err(NotPassed { why: VerificationFailure::NoAnswer(kind), detail: Some(detail) })
            }
        }
    }

    async fn hear(&self, target: &Target, check: &Check) -> Result<Heard, Failure> {
        match &target.grant {
            None => self.hear_within(target.timeout, target, None, check).await,
            Some(grant) => {
                let ask = |token, limit| async move { self.hear_within(limit, target, Some(&token), check).await };
                let status = |heard: &Result<Heard, Failure>| Some(heard.as_ref().ok()?.status.as_u16());
                Box::pin(self.with_token(target, grant, ask, status)).await?
            }
        }
    }

    async fn hear_within(
        &self,
        limit: Duration,
        target: &Target,
        token: Option<&Token>,
        check: &Check,
    ) -> Result<Heard, Failure> {
        let heard = tokio::time::timeout(limit, self.hear_answer(target, token, check)).await;
        heard.unwrap_or_else(|_| Err(too_late(limit)))
    }

    async fn hear_answer(&self, target: &Target, token: Option<&Token>, check: &Check) -> Result<Heard, Failure> {
        let build = || self.question(target, token, check);
        let mut answer = self.client.send(&target.uri, target.via.as_ref(), build).await?;
        let body = read_at_most(answer.response.body_mut(), self.options.response_read_bytes).await.bytes;
        let heard =
            Heard { status: answer.response.status(), headers: std::mem::take(answer.response.headers_mut()), body };
        self.client.finish(answer);
        Ok(heard)
    }

    fn question(&self, target: &Target, token: Option<&Token>, check: &Check) -> Result<Request<Full<Bytes>>, Failure> {
        let (method, headers, body) = match check {
            Check::Challenge(challenge) => {
                let body = serde_json::json!({ "type": "postrider.verification", "challenge": challenge });
                let body = Bytes::from(body.to_string());
                let (id, names) = (format!("{ID_PREFIX}{challenge}"), self.options.signature_headers);
                let content = (&*body, HeaderValue::from_static(message::JSON));
                let headers = request::signed_headers(target, id, content, names, self.clock.now())?;
                (Method::POST, headers, body)
            }
            Check::CloudEvents { origin, rate } => {
                let mut headers = target.headers.clone();
                headers.insert(REQUEST_ORIGIN, value(origin)?);
                if let Some(rate) = rate {
                    headers.insert(REQUEST_RATE, (*rate).into());
                }
                headers.insert(header::USER_AGENT, USER_AGENT);
                (Method::OPTIONS, headers, Bytes::new())
            }
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        request.headers_mut().extend(token.map(|token| (header::AUTHORIZATION, token.value.clone())));
        Ok(request)
    }
}

fn too_late(limit: Duration) -> Failure {
    Failure { kind: FailureKind::Timeout, detail: format!("no complete answer within {limit:?}") }
}

fn value(origin: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(origin).map_err(|_| Failure::internal("the origin cannot be sent"))
}

/// What was answered.
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Check {
    fn judge(&self, heard: &Heard) -> Result<Passed, VerificationFailure> {
        if !heard.status.is_success() {
            return Err(VerificationFailure::Status(heard.status.as_u16()));
        }
        match self {
            Self::Challenge(challenge) => {
                let is_text = heard.body.trim_ascii() == challenge.as_bytes();
                if is_text || gives_back(&heard.body, challenge) {
                    Ok(Passed::default())
                } else {
                    Err(VerificationFailure::WrongChallenge)
                }
            }
            Self::CloudEvents { origin, rate } => {
                let text = |name| heard.headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
                // By the standard there is one; some receivers name all whom they allow, and a proxy may join lines.
                let lines = heard.headers.get_all(ALLOWED_ORIGIN).iter().filter_map(|line| line.to_str().ok());
                let mut allowed = lines.flat_map(|line| line.split(',').map(str::trim));
                if !allowed.any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
                    return Err(VerificationFailure::OriginNotAllowed);
                }
                allowed_rate(text(ALLOWED_RATE), rate.is_some())
            }
        }
    }
}

/// By the standard the answer names a rate if one was asked for, a whole number above zero or `*`.
fn allowed_rate(text: Option<&str>, was_asked: bool) -> Result<Passed, VerificationFailure> {
    match text {
        None if !was_asked => Ok(Passed::default()),
        Some("*") => Ok(Passed::default()),
        Some(number) => match number.parse::<u64>() {
            Ok(number) if number > 0 => Ok(Passed { rate_per_minute: Some(u32::try_from(number).unwrap_or(u32::MAX)) }),
            _ => Err(VerificationFailure::NoRate),
        },
        None => Err(VerificationFailure::NoRate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, headers: &[(HeaderName, &str)], body: &str) -> Heard {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("visible ASCII")));
        let status = StatusCode::from_u16(status).expect("a status");
        Heard { status, headers: headers.collect(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_challenge_comes_back_as_text_or_json_and_nothing_else_will_do() {
        let check = Check::Challenge("abc".into());
        for body in ["abc", " abc\n", r#"{"challenge":"abc"}"#, r#"{ "challenge" : "\u0061bc" }"#] {
            assert_eq!(check.judge(&heard(200, &[], body)), Ok(Passed::default()), "{body}");
        }
        for body in [
            "",
            "abcd",
            "\"abc\"",
            "[\"abc\"]",
            r#"{"challenge":"abd"}"#,
            r#"{"challenge":["abc"]}"#,
            r#"{"type":"postrider.verification","challenge":"abc"}"#,
        ] {
            assert_eq!(check.judge(&heard(200, &[], body)), Err(VerificationFailure::WrongChallenge), "{body}");
        }
        for status in [199, 300, 404] {
            assert_eq!(check.judge(&heard(status, &[], "abc")), Err(VerificationFailure::Status(status)));
        }
    }

    #[test]
    fn an_origin_may_be_allowed_among_others() {
        let check = Check::CloudEvents { origin: "events.example.com".into(), rate: None };
        for (lines, is_ours) in [
            (&["other.example.com", "events.example.com"][..], true),
            (&["other.example.com , Events.example.com"], true),
            (&["other.example.com", "*"], true),
            (&["other.example.com", "events.example.org"], false),
            (&["other.events.example.com,events.example.com.other"], false),
            (&[",", ""], false),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| (ALLOWED_ORIGIN, *line)).collect();
            let expected = if is_ours { Ok(Passed::default()) } else { Err(VerificationFailure::OriginNotAllowed) };
            assert_eq!(check.judge(&heard(200, &headers, "")), expected, "{lines:?}");
        }
    }

    #[test]
    fn leave_is_an_origin_and_a_rate_if_one_was_asked_for() {
        use VerificationFailure::{NoRate, OriginNotAllowed, Status};
        let check = |rate| Check::CloudEvents { origin: "events.example.com".into(), rate };
        let passed = |rate_per_minute| Ok(Passed { rate_per_minute });
        for (asked, status, origin, rate, expected) in [
            (None, 200, Some("*"), None, passed(None)),
            (None, 204, Some("Events.Example.com"), None, passed(None)),
            (None, 200, Some("other.example.com"), None, Err(OriginNotAllowed)),
            (None, 200, Some(""), None, Err(OriginNotAllowed)),
            (None, 200, None, None, Err(OriginNotAllowed)),
            (None, 405, Some("*"), None, Err(Status(405))),
            (None, 200, Some("*"), Some("120"), passed(Some(120))),
            (None, 200, Some("*"), Some("0"), Err(NoRate)),
            (None, 200, Some("*"), Some("fast"), Err(NoRate)),
            (Some(60), 200, Some("*"), None, Err(NoRate)),
            (Some(60), 200, Some("*"), Some("*"), passed(None)),
            (Some(60), 200, Some("*"), Some("99999999999"), passed(Some(u32::MAX))),
        ] {
            let mut headers = vec![];
            headers.extend(origin.map(|text| (ALLOWED_ORIGIN, text)));
            headers.extend(rate.map(|text| (ALLOWED_RATE, text)));
            let came = check(asked).judge(&heard(status, &headers, ""));
            assert_eq!(came, expected, "{asked:?} {status} {origin:?} {rate:?}");
        }
    }
}
