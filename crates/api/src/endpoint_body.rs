//! An endpoint as requests ask for it.

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::auth;
use postrider_model::bounds::Whole;
use postrider_model::client_tls;
use postrider_model::credentials;
use postrider_model::endpoint::EndpointFields;
use postrider_model::filter::Filter;
use postrider_model::format::Format;
use postrider_model::policy::Policy;
use postrider_model::proxy::{self, Proxy};
use postrider_model::secret::Secret;
use postrider_model::signature::Signature;
use postrider_model::validate::{self, ThrottleRate, TimeoutMs};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::endpoint_auth::AuthIn;
use crate::endpoint_form::{FormatName, SignatureName, format, signature};
use crate::endpoint_secret::parse_secret;
use crate::endpoint_tls::TlsIn;
use crate::endpoint_verification::Kind;
use crate::error::ApiError;
use crate::input::{Field, Object, Problems, set, throttle};
use crate::policy::PolicyIn;
use crate::schema::{Channel, EventTypeOrAllBelow, derived_body};
use crate::{Api, UrlGuard};

/// An endpoint as it is asked for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EndpointIn {
    /// Where to deliver: `https` or `http`, without a fragment. User name and password are sent as `authorization:
    /// Basic`; `***` in their place keeps those that are there, as long as scheme, host and port, `proxy` and `tls.ca` stay.
    #[schema(value_type = String, required, format = "uri", min_length = 1, max_length = 8_000, example = "https://example.com/hook")]
    url: Field<String>,
    /// Your own name for it, by which paths find it, too. Must not begin with `ep_`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$", example = "main")]
    uid: Field<String>,
    /// For people.
    #[schema(value_type = String, max_length = 4_096, default = "")]
    description: Field<String>,
    /// The event types that it gets; `null` for all. `order.*` stands for all that begin with `order.`.
    #[schema(value_type = Option<Vec<EventTypeOrAllBelow>>, min_items = 1, example = json!(["order.paid", "user.*"]))]
    event_types: Field<BTreeSet<String>>,
    /// The older name of `eventTypes`.
    #[schema(value_type = Option<Vec<EventTypeOrAllBelow>>, min_items = 1)]
    filter_types: Field<BTreeSet<String>>,
    /// It gets the messages that were sent to one of these; `null` for all.
    #[schema(value_type = Option<Vec<Channel>>, min_items = 1, max_items = 10)]
    channels: Field<BTreeSet<String>>,
    /// It gets the messages whose payload this lets through: a logical expression of JSONPath (RFC 9535), in which `@` is
    /// the payload; `null` for all. `PUT` leaves it as it is where it is not named.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4_096, example = "@.amount > 100 && @.currency == \"EUR\"")]
    filter: Field<String>,
    /// Messages per second.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 65_535)]
    throttle_rate: Field<Whole<ThrottleRate>>,
    /// The older name of `throttleRate`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 65_535)]
    rate_limit: Field<Whole<ThrottleRate>>,
    /// Your own texts; keys and values together have at most 4,096 bytes.
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Field<BTreeMap<String, String>>,
    /// Headers to add to each request, at most 32; values are printable ASCII of at most 4,096 bytes.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    headers: Field<BTreeMap<String, String>>,
    /// How long one attempt may take, in milliseconds; `null` for the server's setting.
    #[schema(value_type = Option<u32>, minimum = 1_000, maximum = 30_000)]
    timeout_ms: Field<Whole<TimeoutMs>>,
    /// Its own rules of delivery: retries, pace, order. `PATCH` changes the members that are named.
    #[schema(value_type = Option<PolicyIn>)]
    policy: Field<Object<PolicyIn>>,
    /// What requests carry: `payload`, the payload alone; `standard`, an object with `type`, `timestamp` and `data`;
    /// `cloudevents-binary` and `cloudevents-structured`, a CloudEvent with its attributes in headers or around the payload.
    /// `null` for the server's setting.
    #[schema(value_type = Option<FormatName>)]
    #[serde(deserialize_with = "format")]
    format: Field<Format>,
    /// What its requests get in with, beside their signature; `null` for nothing. `***` in the place of a secret keeps the
    /// one that is there, as long as scheme, host and port of `url`, `proxy` and `tls.ca` stay.
    #[schema(value_type = Option<AuthIn>)]
    auth: Field<Object<AuthIn>>,
    /// By which scheme requests are signed: `standard`, Standard Webhooks; `github`, `x-hub-signature-256`; `stripe`,
    /// `stripe-signature`; `http-message-signatures`, RFC 9421. `null` for `standard`. If a new endpoint leaves it out, it is
    /// as the server is configured.
    #[schema(value_type = Option<SignatureName>)]
    #[serde(deserialize_with = "signature")]
    signature: Field<Signature>,
    /// What its requests prove who they come from with, and which authorities its certificate may be of; `null` for nothing.
    /// Taken as a whole.
    #[schema(value_type = Option<TlsIn>)]
    tls: Field<Object<TlsIn>>,
    /// The proxy that its requests go through, in the place of `dispatch.proxy`: `http://` (`CONNECT`), `socks5://` or
    /// `socks5h://`, then host and port, with user and password before them or without. Its address must be one that the
    /// address guard allows.
    #[schema(value_type = Option<String>, format = "uri", max_length = 1_024, example = "http://proxy.example.com:3128")]
    proxy: Field<String>,
    /// How it shows that it wants what is sent to it, until when its deliveries wait: `none`, `challenge` or `cloudevents`.
    /// If a new endpoint leaves it out, it is as the server is configured.
    #[schema(value_type = String, max_length = 11, example = "challenge")]
    verification: Field<Kind>,
    /// Its deliveries wait until it is enabled.
    #[schema(value_type = bool, default = false)]
    disabled: Field<bool>,
    /// The signing secret: `whsec_` and 24 to 75 bytes in base64, or an Ed25519 pair, `whsk_` and 64 bytes; with the
    /// `signature` `github` or `stripe` no pair, but any 8 to 256 printable ASCII characters. One is made if it is left out.
    #[schema(value_type = Option<String>, max_length = 256, example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Field<String>,
}

derived_body!(EndpointUpdate of EndpointIn without ["secret"]);
derived_body!(EndpointPatch of EndpointIn without ["secret"], nothing required);

/// What a request asks to be written.
pub(crate) struct Asked {
    pub(crate) edit: Box<dyn FnOnce(&mut EndpointFields) + Send>,
    pub(crate) disabled: Option<bool>,
    pub(crate) secret: Option<Secret>,
    /// The field in which the event types came.
    pub(crate) event_types_name: &'static str,
}

/// Which of an endpoint's two rates a request sets: it takes the place of the
/// other, so that clients which know of one only can set it.
#[derive(Clone, Copy)]
enum NewerRate {
    Throttle,
    Policy,
    /// None of them, or both, which the model refuses.
    Neither,
}

impl NewerRate {
    fn replace_the_other(self, fields: &mut EndpointFields) {
        match self {
            Self::Throttle => fields.policy.rate = None,
            Self::Policy => fields.throttle_per_second = None,
            Self::Neither => {}
        }
    }
}

impl EndpointIn {
    /// The whole of its fields, for an endpoint that is made or replaced.
    /// `path` is the uid by which the request names it, if it does.
    pub(crate) fn whole(self, path: Option<String>, api: &Api) -> Result<Asked, ApiError> {
        let guard = &api.url_guard;
        let mut problems = Problems::default();
        let (event_types_name, newer_rate) = (self.event_types_name(), self.newer_rate());
        let url = self.url.required("url", &mut problems);
        check_url(&url, guard, &mut problems);
        let signature = self.signature.change().map(Option::unwrap_or_default);
        let secret = parse_secret("secret", self.secret.nullable(), signature.unwrap_or(api.signature), &mut problems);
        let description = self.description.given("description", &mut problems).unwrap_or_default();
        let metadata = self.metadata.given("metadata", &mut problems).unwrap_or_default();
        let disabled = self.disabled.given("disabled", &mut problems).or(Some(false));
        let headers = self.headers.change();
        let timeout_ms = self.timeout_ms.map(Whole::number).change();
        let policy = self.policy.change();
        let format = self.format.change();
        let auth = AuthIn::change(self.auth, guard, &mut problems);
        let (tls, proxy) = (TlsIn::change(self.tls, &mut problems), self.proxy.change());
        check_proxy(&proxy, guard, &mut problems);
        let verification = self.verification.given("verification", &mut problems);
        let uid = self.uid.nullable().or(path);
        let event_types = self.event_types.or(self.filter_types).nullable();
        let channels = self.channels.nullable();
        let filter = self.filter.map(|text| Filter::new(&text)).change();
        let throttle_per_second = throttle(self.throttle_rate, self.rate_limit, &mut problems).nullable();
        problems.finish()?;
        let edit = Box::new(move |fields: &mut EndpointFields| {
            let proxy = changed_proxy(fields.proxy.clone(), proxy);
            let same_place = credentials::stay(fields, &url, proxy.as_deref(), tls.as_ref());
            let url = credentials::kept(Some(url), &fields.url, same_place);
            credentials::leave_behind(&mut fields.headers, same_place);
            let auth = auth::changed(fields.auth.take(), auth, same_place);
            let tls = client_tls::changed(fields.tls.take(), tls, same_place);
            let headers = headers.map_or_else(|| std::mem::take(&mut fields.headers), Option::unwrap_or_default);
            let timeout_ms = timeout_ms.unwrap_or(fields.timeout_ms);
            let filter = filter.unwrap_or_else(|| fields.filter.take());
            let policy = policy.map_or_else(|| std::mem::take(&mut fields.policy), whole_policy);
            let format = format.unwrap_or(fields.format);
            let signature = signature.unwrap_or(fields.signature);
            *fields = EndpointFields {
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
                verification: verification.map_or(fields.verification, |Kind(kind)| kind),
            };
            newer_rate.replace_the_other(fields);
        });
        Ok(Asked { edit, disabled, secret, event_types_name })
    }

    /// The change that it asks for, and nothing else.
    pub(crate) fn patch(self, guard: &UrlGuard) -> Result<Asked, ApiError> {
        let mut problems = Problems::default();
        self.refuse_secret(&mut problems);
        let (event_types_name, newer_rate) = (self.event_types_name(), self.newer_rate());
        let url = self.url.given("url", &mut problems);
        if let Some(url) = &url {
            check_url(url, guard, &mut problems);
        }
        let description = self.description.given("description", &mut problems);
        let metadata = self.metadata.given("metadata", &mut problems);
        let disabled = self.disabled.given("disabled", &mut problems);
        let uid = self.uid.change();
        let event_types = self.event_types.or(self.filter_types).change();
        let channels = self.channels.change();
        let filter = self.filter.map(|text| Filter::new(&text)).change();
        let throttle = throttle(self.throttle_rate, self.rate_limit, &mut problems).change();
        let headers = self.headers.change();
        let timeout_ms = self.timeout_ms.map(Whole::number).change();
        let policy = self.policy.change();
        let format = self.format.change();
        let auth = AuthIn::change(self.auth, guard, &mut problems);
        let (tls, proxy) = (TlsIn::change(self.tls, &mut problems), self.proxy.change());
        check_proxy(&proxy, guard, &mut problems);
        let signature = self.signature.change();
        let verification = self.verification.given("verification", &mut problems).map(|Kind(kind)| kind);
        problems.finish()?;
        let edit = Box::new(move |fields: &mut EndpointFields| {
            let proxy = changed_proxy(fields.proxy.clone(), proxy);
            let place = url.as_ref().unwrap_or(&fields.url);
            let same_place = credentials::stay(fields, place, proxy.as_deref(), tls.as_ref());
            let url = credentials::kept(url, &fields.url, same_place);
            credentials::leave_behind(&mut fields.headers, same_place);
            fields.auth = auth::changed(fields.auth.take(), auth, same_place);
            fields.tls = client_tls::changed(fields.tls.take(), tls, same_place);
            fields.proxy = proxy;
            fields.url = url;
            set(&mut fields.description, description);
            set(&mut fields.metadata, metadata);
            set(&mut fields.uid, uid);
            set(&mut fields.event_types, event_types);
            set(&mut fields.channels, channels);
            set(&mut fields.filter, filter);
            set(&mut fields.throttle_per_second, throttle);
            set(&mut fields.headers, headers.map(Option::unwrap_or_default));
            set(&mut fields.timeout_ms, timeout_ms);
            set(&mut fields.format, format);
            set(&mut fields.signature, signature.map(Option::unwrap_or_default));
            set(&mut fields.verification, verification);
            match policy {
                None => {}
                Some(None) => fields.policy = Policy::default(),
                Some(Some(Object(policy))) => policy.onto(&mut fields.policy),
            }
            newer_rate.replace_the_other(fields);
        });
        Ok(Asked { edit, disabled, secret: None, event_types_name })
    }

    /// Whether it gives a uid of its own.
    pub(crate) fn names_uid(&self) -> bool {
        matches!(self.uid, Field::Value(_))
    }

    /// Which of the two rates it sets.
    fn newer_rate(&self) -> NewerRate {
        let of_policy = matches!(&self.policy, Field::Value(Object(policy)) if policy.sets_rate());
        let of_throttle =
            [&self.throttle_rate, &self.rate_limit].into_iter().any(|rate| matches!(rate, Field::Value(_)));
        match (of_throttle, of_policy) {
            (true, false) => NewerRate::Throttle,
            (false, true) => NewerRate::Policy,
            (true, true) | (false, false) => NewerRate::Neither,
        }
    }

    /// Refuses a secret where there may be one already: changing it is a
    /// rotation, after which the old one signs for a while.
    pub(crate) fn refuse_secret(&self, problems: &mut Problems) {
        if matches!(self.secret, Field::Value(_)) {
            let problem = "cannot be changed here; use the operation `secret/rotate`";
            problems.check("secret", Err(problem.to_owned()));
        }
    }

    fn event_types_name(&self) -> &'static str {
        if self.event_types.is_absent() && !self.filter_types.is_absent() { "filterTypes" } else { "eventTypes" }
    }
}

/// The policy that a request gives as a whole.
fn whole_policy(given: Option<Object<PolicyIn>>) -> Policy {
    let mut policy = Policy::default();
    if let Some(Object(given)) = given {
        given.onto(&mut policy);
    }
    policy
}

/// Asks the guard about a URL that has the right form; the form itself is the
/// model's matter.
fn check_url(url: &str, guard: &UrlGuard, problems: &mut Problems) {
    if let Some(reason) = validate::endpoint_url(url).ok().and_then(|url| guard(&url)) {
        problems.check("url", Err(reason));
    }
}

/// The same about where a proxy is.
fn check_proxy(proxy: &Option<Option<String>>, guard: &UrlGuard, problems: &mut Problems) {
    let place = proxy.iter().flatten().find_map(|text| Proxy::parse(text).ok()?.place());
    if let Some(reason) = place.and_then(|place| guard(&place)) {
        problems.check("proxy", Err(reason));
    }
}

/// A proxy after a change; one that is written back as it was shown stays.
fn changed_proxy(present: Option<String>, given: Option<Option<String>>) -> Option<String> {
    match given {
        None => present,
        Some(given) => given.map(|new| proxy::kept(new, present.as_deref())),
    }
}
