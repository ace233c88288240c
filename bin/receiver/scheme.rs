//! By which scheme a request was signed.

use http::HeaderMap;
use postrider_model::signature::Signature;

/// The headers of a request signed by Standard Webhooks: id, timestamp, signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) id: &'static str,
    pub(super) timestamp: &'static str,
    pub(super) signature: &'static str,
}

/// The names of the standard.
pub(super) const WEBHOOK: Names =
    Names { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };
/// The names that Svix gave them before.
pub(super) const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

impl Names {
    /// Those that a request uses; the standard's, if it uses both or none.
    pub(super) fn of(headers: &HeaderMap) -> &'static Self {
        if headers.contains_key(SVIX.id) && !headers.contains_key(WEBHOOK.id) { &SVIX } else { &WEBHOOK }
    }
}

pub(super) const GITHUB: &str = "x-hub-signature-256";
pub(super) const STRIPE: &str = "stripe-signature";
pub(super) const SIGNATURE_INPUT: &str = "signature-input";

/// The scheme of a request, if it is signed.
pub(crate) fn scheme(headers: &HeaderMap) -> Option<Signature> {
    let schemes = [
        (WEBHOOK.signature, Signature::Standard),
        (SVIX.signature, Signature::Standard),
        (GITHUB, Signature::Github),
        (STRIPE, Signature::Stripe),
        (SIGNATURE_INPUT, Signature::HttpMessageSignatures),
    ];
    schemes.into_iter().find(|(name, _)| headers.contains_key(*name)).map(|(_, scheme)| scheme)
}
