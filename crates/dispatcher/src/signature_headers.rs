//! The names under which a signature is sent.

/// What the headers of the signature are called. The values are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureHeaders {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature` (Standard Webhooks 1.0.0).
    #[default]
    Webhook,
    /// `svix-id`, `svix-timestamp`, `svix-signature`, for receivers that were written for Svix.
    Svix,
    /// All six.
    Both,
}
