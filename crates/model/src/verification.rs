//! Whether an endpoint has shown that it wants what is sent to it. Until it has,
//! its deliveries wait.
//!
//! ```text
//!   made, moved, or another kind --> Unverified --passed--> verified
//!                                      |   ^
//!                                 due  +---+ failed: tried again after the next of DELAYS_S, or when asked for
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::command::{CommandError, Environment, Executed, Reply, changed_endpoint};
use crate::config::Config;
use crate::endpoint::{Endpoint, EndpointFields};
use crate::id::EndpointId;
use crate::job::FailureKind;
use crate::ports::{Answer, ControlError};
use crate::proxy;
use crate::rate::{Per, Rate};
use crate::time::UnixMs;
use crate::validate::FieldErrors;

/// After the nth failure, how long until the next try, in seconds; after the last
/// of them there is none but by request. With the first they are eight tries in 23 hours.
pub const DELAYS_S: [u64; 7] = [60, 300, 1_800, 7_200, 14_400, 28_800, 28_800];

/// The longest name of the DNS (RFC 1035, section 2.3.4, as text), in bytes.
const MAX_ORIGIN_BYTES: usize = 253;

/// How an endpoint shows that it wants what is sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verification {
    /// It need not.
    #[default]
    None,
    /// It answers a signed request with the text in it.
    Challenge,
    /// By the handshake of CloudEvents' HTTP webhooks, 1.0.1, section 4.
    CloudEvents,
}

impl Verification {
    /// The words for it.
    pub const WORDS: &str = "`none`, `challenge` or `cloudevents`";

    /// Nothing is asked for.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What the server is told of verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerificationSetting {
    /// Of a new endpoint that does not say itself.
    pub default: Verification,
    /// Who asks for leave, a DNS name; without it there is no `cloudevents`.
    pub origin: Option<String>,
    /// The rate that is asked for, in requests per minute.
    pub request_rate: Option<u32>,
}

/// An endpoint that has not shown yet that it wants what is sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unverified {
    /// Since when.
    pub since: UnixMs,
    /// Tries by the schedule that have failed.
    pub tries: u32,
    /// When it is tried next by the schedule, if at all.
    pub next: Option<UnixMs>,
    /// How the last try ended.
    pub failed: Option<FailedVerification>,
}

/// A verification that was not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedVerification {
    /// When that was recorded.
    pub at: UnixMs,
    /// Why.
    pub why: VerificationFailure,
}

/// Why a verification was not passed. It tells an endpoint's owner nothing about the
/// network that Postrider runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationFailure {
    /// The status is no 2xx.
    Status(u16),
    /// The answer is not the challenge.
    WrongChallenge,
    /// The answer allows neither our origin nor all.
    OriginNotAllowed,
    /// A rate was asked for and the answer names none, or one that is no number above zero.
    NoRate,
    /// `verification.origin` is not configured.
    NoOrigin,
    /// No complete answer came.
    NoAnswer(FailureKind),
}

impl VerificationFailure {
    /// The reason as the API spells it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::WrongChallenge => "wrong_challenge",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::NoRate => "no_rate",
            Self::NoOrigin => "no_origin",
            Self::NoAnswer(kind) => kind.as_str(),
        }
    }

    /// The same in a sentence.
    #[must_use]
    pub fn text(self) -> String {
        let text = match self {
            Self::Status(status) => return format!("it answered with status {status}, not 2xx"),
            Self::WrongChallenge => "its answer is not the challenge",
            Self::OriginNotAllowed => "its answer has no `webhook-allowed-origin` that is ours or `*`",
            Self::NoRate => "its answer has no `webhook-allowed-rate` that is a number above zero or `*`",
            Self::NoOrigin => "`verification.origin` is not configured here",
            Self::NoAnswer(FailureKind::AddressRefused) => "its address must not be reached from here",
            Self::NoAnswer(FailureKind::Dns) => "its name does not resolve",
            Self::NoAnswer(FailureKind::Connect) => "no connection could be made",
            Self::NoAnswer(FailureKind::Tls) => "its certificate is not valid, or the TLS handshake failed",
            Self::NoAnswer(FailureKind::Timeout) => "no answer came in time",
            Self::NoAnswer(FailureKind::Proxy) => "its proxy did not let the request through",
            Self::NoAnswer(FailureKind::Token) => "there is no token to ask it with",
            Self::NoAnswer(FailureKind::Protocol) => "the connection ended before an answer, or broke the protocol",
            // What asks is no batch.
            Self::NoAnswer(FailureKind::Internal | FailureKind::BatchItem | FailureKind::WholeBatch) => {
                "the request could not be made"
            }
        };
        text.to_owned()
    }
}

/// Checks the name by which endpoints are asked for leave.
///
/// # Errors
/// It is no DNS name.
pub fn check_origin(text: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = text.len() <= MAX_ORIGIN_BYTES && text.split('.').all(is_label);
    if is_name { Ok(()) } else { Err("must be a DNS name, such as `events.example.com`".to_owned()) }
}

/// What was asked: the result counts for an endpoint that is still the same.
#[derive(Clone)]
pub struct Tried {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// As it was then.
    pub fields: Box<EndpointFields>,
    /// Somebody asked for it: the schedule goes on as if it had not been.
    pub by_request: bool,
}

/// What a verification that was passed allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Requests per minute at most, if that was said.
    pub rate_per_minute: Option<u32>,
}

impl Passed {
    /// The rate, if it limits anything: above what a rate may say there is no limit.
    #[must_use]
    pub fn rate(per_minute: u32) -> Option<Rate> {
        let count = Some(per_minute).filter(|count| Per::Minute.count_range().contains(count))?;
        Some(Rate { count, per: Per::Minute, burst: 1 })
    }
}

/// Verifies endpoints when somebody asks for it.
pub trait Verify: Send + Sync {
    /// Tries now, unless there is nothing to verify, and gives the endpoint as it is then.
    fn verify(&self, endpoint: EndpointId) -> Answer<Result<Arc<Endpoint>, ControlError>>;
}

/// Where an endpoint's verification stands once its fields are these: as before, unless it is new,
/// has moved, is reached in another way, or asks for another kind.
pub(crate) fn after_write(
    before: Option<&Endpoint>,
    fields: &EndpointFields,
    now: UnixMs,
) -> (Option<Unverified>, Option<u32>) {
    if fields.verification.is_none() {
        return (None, None);
    }
    match before.filter(|before| is_same(&before.fields, fields)) {
        Some(before) => (before.unverified.clone(), before.allowed_per_minute),
        None => (Some(Unverified { since: now, tries: 0, next: Some(now), failed: None }), None),
    }
}

/// An endpoint cannot ask for what the server is not configured for.
pub(crate) fn check(
    before: Option<&Endpoint>,
    fields: &EndpointFields,
    setting: &VerificationSetting,
) -> Result<(), FieldErrors> {
    let is_new = before.is_none_or(|before| before.fields.verification != fields.verification);
    let mut errors = FieldErrors::default();
    if is_new && fields.verification == Verification::CloudEvents && setting.origin.is_none() {
        let problem = "`cloudevents` needs `verification.origin` in the server's configuration";
        errors.check("verification", Err(problem.to_owned()));
    }
    errors.finish()
}

/// Puts a result on record, unless the endpoint is not any more what was asked.
pub(crate) fn settle(
    config: &Config,
    env: &dyn Environment,
    tried: &Tried,
    came: Result<Passed, VerificationFailure>,
) -> Result<Executed, CommandError> {
    let found = config.endpoint(tried.endpoint).ok_or(CommandError::NotFound { kind: "endpoint" })?;
    let asked = found.unverified.as_ref().filter(|_| is_same(&found.fields, &tried.fields));
    let Some(unverified) = asked else {
        return Ok((vec![], Reply::Endpoint { endpoint: Arc::clone(found), created: false }));
    };
    let mut endpoint = Endpoint::clone(found);
    match came {
        Ok(Passed { rate_per_minute }) => {
            endpoint.unverified = None;
            endpoint.allowed_per_minute = rate_per_minute;
        }
        Err(why) => endpoint.unverified = Some(unverified.after(why, env.now(), tried.by_request)),
    }
    Ok(changed_endpoint(endpoint, false))
}

impl Unverified {
    fn after(&self, why: VerificationFailure, at: UnixMs, by_request: bool) -> Self {
        let failed = Some(FailedVerification { at, why });
        if by_request {
            return Self { failed, ..self.clone() };
        }
        let tries = self.tries.saturating_add(1);
        let delay = DELAYS_S.get(self.tries as usize);
        Self { since: self.since, tries, next: delay.map(|s| at + Duration::from_secs(*s)), failed }
    }
}

/// Whether what one of them has passed counts for the other. A proxy of the endpoint's own, or an
/// authority of its own for a certificate, can answer for a receiver that knows nothing of it.
fn is_same(one: &EndpointFields, other: &EndpointFields) -> bool {
    let ca = |fields: &EndpointFields| fields.tls.as_ref().and_then(|tls| tls.ca.clone());
    one.verification == other.verification
        && place(&one.url) == place(&other.url)
        && proxy::is_same(one.proxy.as_deref(), other.proxy.as_deref())
        && ca(one) == ca(other)
}

/// What a receiver has shown that it wants requests at: all of the URL but its query and
/// credentials. `None` for what is no URL, which no endpoint has.
fn place(url: &str) -> Option<(String, Option<String>, Option<u16>, String)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str().map(str::to_owned);
    Some((url.scheme().to_owned(), host, url.port_or_known_default(), url.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_tls::ClientTls;

    #[test]
    fn a_receiver_has_moved_with_scheme_host_port_or_path() {
        let at = place("https://u:p@a.test/x?y=1");
        for same in ["https://A.test:443/x", "https://a.test/x?z", "https://***@a.test/x"] {
            assert_eq!(place(same), at, "{same}");
        }
        for other in ["http://a.test/x", "https://b.test/x", "https://a.test:444/x", "https://a.test/x/", "nonsense"] {
            assert_ne!(place(other), at, "{other}");
        }
    }

    #[test]
    fn what_is_passed_counts_for_the_same_proxy_and_authorities_only() {
        let fields = |proxy: Option<&str>, ca: Option<&str>| {
            let tls = ca.map(|ca| ClientTls { ca: Some(ca.to_owned()), ..ClientTls::default() });
            EndpointFields {
                url: "https://a.test/x".to_owned(),
                proxy: proxy.map(str::to_owned),
                tls,
                ..EndpointFields::default()
            }
        };
        let asked = fields(Some("http://u:p@own.test:3128"), Some("own"));
        assert!(is_same(&asked, &asked));
        let other_password = fields(Some("http://u:q@Own.test:3128/"), Some("own"));
        assert!(is_same(&asked, &other_password), "who the proxy lets in does not matter");
        for other in [
            fields(None, Some("own")),
            fields(Some("http://own.test:3129"), Some("own")),
            fields(Some("socks5://own.test:3128"), Some("own")),
            fields(Some("http://u:p@own.test:3128"), None),
            fields(Some("http://u:p@own.test:3128"), Some("another")),
        ] {
            assert!(!is_same(&asked, &other) && !is_same(&other, &asked), "{other:?}");
        }
        let with_certificate = Some(ClientTls { client_certificate: Some("c".to_owned()), ..ClientTls::default() });
        assert!(is_same(&fields(None, None), &EndpointFields { tls: with_certificate, ..fields(None, None) }));
    }

    #[test]
    fn it_is_tried_for_a_day_and_requests_in_between_change_nothing() {
        let why = VerificationFailure::Status(500);
        let mut state = Unverified { since: UnixMs(0), tries: 0, next: Some(UnixMs(0)), failed: None };
        let mut tries = 0;
        while let Some(at) = state.next {
            tries += 1;
            let asked = state.after(why, at, true);
            assert_eq!((asked.tries, asked.next), (state.tries, state.next));
            state = asked.after(why, at, false);
            assert_eq!(state.failed, Some(FailedVerification { at, why }));
        }
        assert_eq!(tries, 8);
        let last = state.failed.map(|failed| failed.at.as_secs() / 3_600);
        assert_eq!(last, Some(22), "within a day");
        assert_eq!(state.after(why, UnixMs(1), false).next, None);
    }

    #[test]
    fn an_origin_is_a_dns_name() {
        for good in ["a", "events.example.com", "A-1.b"] {
            assert!(check_origin(good).is_ok(), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.", "-a", "a-", "https://a.test", "a b", "a,b", "ä.test", &"a.".repeat(127)] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_that_is_no_limit_is_none() {
        assert_eq!(Passed::rate(120), Some(Rate { count: 120, per: Per::Minute, burst: 1 }));
        assert_eq!(Passed::rate(600_001), None);
        assert_eq!(Passed::rate(0), None);
    }
}
