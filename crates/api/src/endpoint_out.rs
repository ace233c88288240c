//! An endpoint as answers show it.

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::auth::Auth;
use postrider_model::client_tls::ClientTls;
use postrider_model::credentials;
use postrider_model::endpoint::Endpoint;
use postrider_model::format::Format;
use postrider_model::id::EndpointId;
use postrider_model::policy::Policy;
use postrider_model::signature::Signature;
use postrider_model::verification::Verification;
use serde::Serialize;
use utoipa::ToSchema;

use crate::endpoint_auth::AuthIn;
use crate::endpoint_form::{FormatName, SignatureName};
use crate::endpoint_tls::{CertificateOut, TlsIn, certificates};
use crate::endpoint_verification::FailureOut;
use crate::policy::PolicyIn;
use crate::time;

/// An endpoint as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointOut {
    #[schema(value_type = String, example = "ep_0ERdjjOCvwLrdBodjus57LGrMBo")]
    id: EndpointId,
    uid: Option<String>,
    /// With `***` in the place of user name and password.
    url: String,
    description: String,
    event_types: Option<BTreeSet<String>>,
    filter_types: Option<BTreeSet<String>>,
    channels: Option<BTreeSet<String>>,
    filter: Option<String>,
    throttle_rate: Option<u32>,
    rate_limit: Option<u32>,
    metadata: BTreeMap<String, String>,
    disabled: bool,
    /// Why it is disabled, if nobody asked for that: `failures`, a long time of nothing but failure, or `gone`, its own
    /// answer 410.
    disabled_reason: Option<&'static str>,
    /// Its deliveries wait until it is resumed.
    paused: bool,
    timeout_ms: Option<u32>,
    /// What it says of its deliveries; what is not there is as the server is configured.
    #[schema(value_type = PolicyIn)]
    policy: Policy,
    #[schema(value_type = Option<FormatName>)]
    format: Option<Format>,
    /// What its requests get in with, with `***` in the place of the secret.
    #[schema(value_type = Option<AuthIn>)]
    auth: Option<Auth>,
    #[schema(value_type = SignatureName)]
    signature: Signature,
    /// With `***` in the place of the key.
    #[schema(value_type = Option<TlsIn>)]
    tls: Option<ClientTls>,
    /// The certificates in `tls`, for people.
    certificates: Vec<CertificateOut>,
    /// With `***` in the place of user name and password.
    proxy: Option<String>,
    /// How it shows that it wants what is sent to it.
    #[schema(value_type = String, example = "none")]
    verification: Verification,
    /// Whether it has; until then its deliveries wait. `null` if it need not.
    verified: Option<bool>,
    /// Why it has not, after a try.
    verification_failure: Option<FailureOut>,
    /// Requests per minute that it allowed when it was verified, if it said so; no more are sent.
    allowed_per_minute: Option<u32>,
    /// Always 1; kept for clients that ask for it.
    version: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    #[schema(value_type = String, format = DateTime)]
    updated_at: String,
}

impl From<&Endpoint> for EndpointOut {
    fn from(endpoint: &Endpoint) -> Self {
        let fields = endpoint.fields.clone();
        Self {
            id: endpoint.id,
            uid: fields.uid,
            url: credentials::masked(&fields.url),
            description: fields.description,
            filter_types: fields.event_types.clone(),
            event_types: fields.event_types,
            channels: fields.channels,
            filter: fields.filter.map(|filter| filter.text().to_owned()),
            throttle_rate: fields.throttle_per_second,
            rate_limit: fields.throttle_per_second,
            metadata: fields.metadata,
            disabled: endpoint.disabled.is_some(),
            disabled_reason: endpoint.disabled.and_then(|disabled| disabled.by.reason()),
            paused: endpoint.paused.is_some(),
            timeout_ms: fields.timeout_ms,
            policy: fields.policy,
            format: fields.format,
            auth: fields.auth.map(|auth| auth.masked()),
            signature: fields.signature,
            certificates: certificates(fields.tls.as_ref()),
            tls: fields.tls.map(|tls| tls.masked()),
            proxy: fields.proxy.as_deref().map(credentials::masked),
            verification: fields.verification,
            verified: Some(endpoint.unverified.is_none()).filter(|_| !fields.verification.is_none()),
            verification_failure: FailureOut::of(endpoint.unverified.as_ref()),
            allowed_per_minute: endpoint.allowed_per_minute,
            version: 1,
            created_at: time::text(endpoint.created),
            updated_at: time::text(endpoint.updated),
        }
    }
}
