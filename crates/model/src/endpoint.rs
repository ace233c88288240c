//! An endpoint: a URL with its secrets and filters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::auth::Auth;
use crate::client_tls::ClientTls;
use crate::credentials;
use crate::fan_out::{self, Verdict};
use crate::filter::Filter;
use crate::format::Format;
use crate::id::{AppId, EndpointId};
use crate::payload::Payload;
use crate::policy::Policy;
use crate::proxy::Proxy;
use crate::rate::Rate;
use crate::secret::SealedSecret;
use crate::signature::Signature;
use crate::time::UnixMs;
use crate::validate::{self, FieldErrors, Problem};
use crate::verification::{Passed, Unverified, Verification};

/// The shortest and the longest deadline that an endpoint may set, in milliseconds.
pub const TIMEOUT_RANGE_MS: std::ops::RangeInclusive<u32> = 1_000..=30_000;
/// Endpoints of one application, if nothing else is configured.
pub const DEFAULT_ENDPOINTS_PER_APPLICATION: usize = 1_000;
/// Secrets that may sign at once: the newest and the ten before it.
pub const MAX_SECRETS: usize = 11;

/// An endpoint as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// The application that it belongs to.
    pub app: AppId,
    /// What its owner may change.
    pub fields: EndpointFields,
    /// Its signing secrets, newest first. Never empty.
    pub secrets: Vec<EndpointSecret>,
    /// Whether and why it is disabled.
    pub disabled: Option<Disabled>,
    /// Since when the operator has it paused, if so.
    pub paused: Option<UnixMs>,
    /// It has not shown yet that it wants what is sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified: Option<Unverified>,
    /// Requests per minute that it allowed when it was verified, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_per_minute: Option<u32>,
    /// When it was created.
    pub created: UnixMs,
    /// When it last changed.
    pub updated: UnixMs,
}

/// A signing secret and until when it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// The key, encrypted with the store's key.
    pub sealed: SealedSecret,
    /// After this it does not sign any more; `None` for the newest.
    pub expires: Option<UnixMs>,
}

/// Why and since when an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub since: UnixMs,
    /// Who did it.
    pub by: DisabledBy,
}

/// Who disabled an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DisabledBy {
    /// A call of the API.
    Request,
    /// The endpoint itself, by answering 410 Gone.
    Gone,
    /// A long time of nothing but failure.
    Failing,
}

impl DisabledBy {
    /// What happened, as the API spells it; `None` if somebody asked for it.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Request => None,
            Self::Gone => Some("gone"),
            Self::Failing => Some("failures"),
        }
    }
}

/// Why an endpoint gets nothing at present. Its deliveries wait; none is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// It is disabled.
    Disabled(DisabledBy),
    /// The operator paused it.
    Paused,
    /// It has not shown yet that it wants what is sent to it.
    Unverified,
    /// The operator paused all dispatch.
    AllPaused,
}

impl Hold {
    /// The hold as the API and the command line spell it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Disabled(DisabledBy::Request) => "endpoint_disabled",
            Self::Disabled(DisabledBy::Gone) => "endpoint_disabled_by_410",
            Self::Disabled(DisabledBy::Failing) => "endpoint_disabled_by_failures",
            Self::Paused => "endpoint_paused",
            Self::Unverified => "endpoint_unverified",
            Self::AllPaused => "dispatch_paused",
        }
    }
}

impl Endpoint {
    /// Why this endpoint gets nothing at present, and since when.
    #[must_use]
    pub fn hold(&self) -> Option<(Hold, UnixMs)> {
        let disabled = self.disabled.map(|disabled| (Hold::Disabled(disabled.by), disabled.since));
        let paused = || self.paused.map(|since| (Hold::Paused, since));
        disabled.or_else(paused).or_else(|| self.unverified.as_ref().map(|found| (Hold::Unverified, found.since)))
    }

    /// When it is to be verified next by itself, if at all: not while it is disabled or paused.
    #[must_use]
    pub fn verify_at(&self) -> Option<UnixMs> {
        let next = self.unverified.as_ref().and_then(|found| found.next);
        next.filter(|_| self.disabled.is_none() && self.paused.is_none())
    }

    /// Its own rules, what it allowed when it was verified among them; `None` if they
    /// leave everything open.
    #[must_use]
    pub fn own_policy(&self) -> Option<Policy> {
        let Some(allowed) = self.allowed_per_minute.and_then(Passed::rate) else { return self.fields.own_policy() };
        let policy = self.fields.own_policy().unwrap_or_default();
        Some(Policy { allowed_rate: Some(allowed), ..policy })
    }
}

/// What an endpoint's owner may change. `Debug` prints no credentials.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointFields {
    /// Where to; checked by [`validate::endpoint_url`].
    pub url: String,
    /// For people.
    pub description: String,
    /// The owner's own id for it, unique in the application.
    pub uid: Option<String>,
    /// Gets only these event types; `None` means all. One with [`fan_out::WILDCARD`] at
    /// its end stands for all that lie below.
    pub event_types: Option<BTreeSet<String>>,
    /// Gets only messages of these channels; `None` means all.
    pub channels: Option<BTreeSet<String>>,
    /// Gets only messages whose payload this lets through; `None` means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Messages per second that it gets, if limited.
    pub throttle_per_second: Option<u32>,
    /// Sent with each request.
    pub headers: BTreeMap<String, String>,
    /// Free for the owner.
    pub metadata: BTreeMap<String, String>,
    /// Its own deadline, in milliseconds; else `dispatch.timeout_ms`.
    pub timeout_ms: Option<u32>,
    /// Its own rules of delivery.
    pub policy: Policy,
    /// What its requests carry; else `dispatch.format`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What its requests get in with, beside their signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// By which scheme its requests are signed.
    #[serde(skip_serializing_if = "Signature::is_default")]
    pub signature: Signature,
    /// What it says of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// The proxy that its requests go through; checked by [`Proxy::parse`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// How it shows that it wants what is sent to it.
    #[serde(skip_serializing_if = "Verification::is_none")]
    pub verification: Verification,
}

impl fmt::Debug for EndpointFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All are named, so that a new one is thought about.
        let Self {
            url,
            description,
            uid,
            event_types,
            channels,
            filter,
            throttle_per_second,
            headers,
            metadata,
            timeout_ms,
            policy,
            format,
            auth,
            signature,
            tls,
            proxy,
            verification,
        } = self;
        f.debug_struct("EndpointFields")
            .field("url", &credentials::masked(url))
            .field("description", description)
            .field("uid", uid)
            .field("event_types", event_types)
            .field("channels", channels)
            .field("filter", filter)
            .field("throttle_per_second", throttle_per_second)
            .field("headers", &headers.keys())
            .field("metadata", metadata)
            .field("timeout_ms", timeout_ms)
            .field("policy", policy)
            .field("format", format)
            .field("auth", auth)
            .field("signature", signature)
            .field("tls", tls)
            .field("proxy", &proxy.as_deref().map(credentials::masked))
            .field("verification", verification)
            .finish()
    }
}

impl EndpointFields {
    /// Checks every field.
    ///
    /// # Errors
    /// Some field has a value that is not allowed.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        errors.check("url", validate::endpoint_url(&self.url).map(|_| ()));
        errors.check("description", validate::description(&self.description));
        errors.check("uid", validate::uid(self.uid.as_deref(), EndpointId::PREFIX));
        errors.check("filterTypes", validate::event_type_filter(self.event_types.as_ref()));
        errors.check("channels", validate::channels(self.channels.as_ref()));
        errors.check("filter", self.filter.as_ref().map_or(Ok(()), Filter::check));
        errors.check("throttleRate", validate::rate(self.throttle_per_second));
        errors.check("headers", validate::headers(&self.headers));
        errors.check("metadata", validate::metadata(&self.metadata));
        errors.check("timeoutMs", validate::timeout_ms(self.timeout_ms));
        self.policy.check(&mut errors);
        if let Some(auth) = &self.auth {
            self.check_auth(auth, &mut errors);
        }
        if let Some(tls) = &self.tls {
            let others = errors.0.len();
            tls.check(&mut errors);
            if errors.0.len() == others && Url::parse(&self.url).is_ok_and(|url| url.scheme() == "http") {
                errors.check("tls", Err("counts for nothing, because `url` begins with `http://`".to_owned()));
            }
        }
        errors.check("proxy", self.check_proxy());
        if self.throttle_per_second.is_some() && self.policy.rate.is_some() {
            let problem = "is given beside `throttleRate` (or `rateLimit`); only one of them can count";
            errors.check("policy.rate", Err(problem.to_owned()));
        }
        errors.finish()
    }

    fn check_proxy(&self) -> Result<(), Problem> {
        let Some(proxy) = self.proxy.as_deref() else { return Ok(()) };
        let proxy = Proxy::parse(proxy)?;
        let token_url = match &self.auth {
            Some(Auth::OAuth2(oauth)) => Some(oauth.token_url.as_str()),
            _ => None,
        };
        let mut urls =
            [Some(self.url.as_str()), token_url].into_iter().flatten().filter_map(|url| Url::parse(url).ok());
        urls.try_for_each(|url| proxy.check_host(&url))
    }

    fn check_auth(&self, auth: &Auth, errors: &mut FieldErrors) {
        auth.check(errors);
        let name = auth.header_name();
        if self.headers.keys().any(|own| own.eq_ignore_ascii_case(name)) {
            errors.check("headers", Err(format!("`{name}` is what `auth` sets; only one of them can count")));
        }
        let by_format =
            self.format.is_some_and(Format::sets_ce_headers) && name.to_ascii_lowercase().starts_with("ce-");
        if by_format || self.signature.sets_header(name) {
            errors.check("auth.header", Err(format!("`{name}` is what the endpoint's `signature` or `format` sets")));
        }
        if Url::parse(&self.url).is_ok_and(|url| credentials::has_any(&url)) {
            let problem = "has a user name or a password beside `auth`; only one of them can count";
            errors.check("url", Err(problem.to_owned()));
        }
    }

    /// Whether the endpoint asked for messages of this type on these channels; its
    /// filter is asked by [`Self::judge`].
    #[must_use]
    pub fn may_want(&self, event_type: &str, channels: &BTreeSet<String>) -> bool {
        self.wants_type(event_type) && self.wants_channel(channels)
    }

    fn wants_type(&self, event_type: &str) -> bool {
        self.event_types.as_ref().is_none_or(|types| fan_out::lists_type(types, event_type))
    }

    fn wants_channel(&self, channels: &BTreeSet<String>) -> bool {
        self.channels.as_ref().is_none_or(|own| !own.is_disjoint(channels))
    }

    /// Whether the endpoint asked for a message, and why not.
    #[must_use]
    pub fn judge(&self, event_type: &str, channels: &BTreeSet<String>, payload: &Payload<'_>) -> Verdict {
        if !self.wants_type(event_type) {
            return Verdict::EventType;
        }
        if !self.wants_channel(channels) {
            return Verdict::Channels;
        }
        match &self.filter {
            Some(filter) if !filter.lets_through(payload) => Verdict::Filter,
            _ => Verdict::Wanted,
        }
    }

    /// Its own rules, the limit of attempts per second among them; `None` if it
    /// leaves everything open.
    #[must_use]
    pub fn own_policy(&self) -> Option<Policy> {
        let mut policy = self.policy.clone();
        policy.rate = policy.rate.or_else(|| self.throttle_per_second.map(Rate::per_second));
        (policy != Policy::default()).then_some(policy)
    }

    /// The endpoint's own deadline.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_credentials() {
        let fields = EndpointFields {
            url: "https://us3r:pa55@example.com/hook".to_owned(),
            headers: BTreeMap::from([("x-key".to_owned(), "t0ken".to_owned())]),
            auth: Some(Auth::Bearer { token: "b34rer".to_owned() }),
            tls: Some(ClientTls { client_key: Some("k3y".to_owned()), ..ClientTls::default() }),
            proxy: Some("socks5://u5er:pa66@proxy.test:1080".to_owned()),
            ..EndpointFields::default()
        };
        let shown = format!("{fields:?}");
        assert!(shown.contains("https://***@example.com/hook") && shown.contains("x-key"), "{shown}");
        for hidden in ["us3r", "pa55", "t0ken", "b34rer", "k3y", "u5er", "pa66"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn only_one_credential_is_sent_in_a_place() {
        let with = |url: &str, header: &str, auth| {
            let headers = BTreeMap::from([(header.to_owned(), "x".to_owned())]);
            let fields = EndpointFields { url: url.to_owned(), headers, auth: Some(auth), ..EndpointFields::default() };
            fields.validate().map_err(|errors| errors.0.into_iter().map(|error| error.field).collect::<Vec<_>>())
        };
        let bearer = || Auth::Bearer { token: "t".to_owned() };
        let key = || Auth::ApiKey { header: "X-Key".to_owned(), value: "v".to_owned() };
        assert_eq!(with("https://a.test/", "Authorization", bearer()), Err(vec!["headers"]));
        assert_eq!(with("https://a.test/", "x-KEY", key()), Err(vec!["headers"]));
        assert_eq!(with("https://a.test/", "x-key", bearer()), Ok(()));
        assert_eq!(with("https://a.test/", "authorization", key()), Ok(()));
        assert_eq!(with("https://u@a.test/", "x-a", key()), Err(vec!["url"]));
        assert_eq!(with("https://:p@a.test/", "x-a", bearer()), Err(vec!["url"]));
    }

    #[test]
    fn tls_counts_for_https_only() {
        let with = |url: &str| {
            let tls = Some(ClientTls { ca: Some("x".to_owned()), ..ClientTls::default() });
            EndpointFields { url: url.to_owned(), tls, ..EndpointFields::default() }.validate().is_ok()
        };
        assert!(with("https://a.test/") && !with("http://a.test/"));
    }
}
