//! Hashes under which idempotency keys and event ids are looked up.

use postrider_model::id::{AppId, OrgId};
use postrider_model::message::NewMessage;
use postrider_model::once::KeyedRequest;
use sha2::{Digest, Sha256};

use crate::record::IdempotencyKey;

/// What an idempotency key is looked up by: bound to the tenant and the application.
pub(crate) fn idempotency(org: OrgId, app: AppId, key: &str) -> [u8; 16] {
    hash("idempotency", &[org.as_bytes(), app.as_bytes(), key.as_bytes()])
}

/// What the idempotency key of a request is looked up by, bound to the tenant,
/// to who may ask, and to the route; and everything by which the request differs
/// from another with the same key.
pub(crate) fn request(request: &KeyedRequest) -> IdempotencyKey {
    let app = request.app.map(|app| *app.as_bytes());
    let app = app.as_ref().map_or(&[][..], |bytes| bytes.as_slice());
    IdempotencyKey {
        key: hash("request", &[request.org.as_bytes(), app, request.route.as_bytes(), request.key.as_bytes()]),
        content: hash("request content", &[request.query.as_bytes(), &request.body]),
    }
}

/// What an event id is looked up by.
pub(crate) fn event_id(app: AppId, event_id: &str) -> [u8; 16] {
    hash("event id", &[app.as_bytes(), event_id.as_bytes()])
}

/// Everything by which a message differs from another with the same key.
pub(crate) fn content(message: &NewMessage) -> [u8; 16] {
    let mut parts: Vec<&[u8]> = vec![
        message.event_type.as_bytes(),
        message.body.as_ref(),
        message.content_type.as_deref().unwrap_or_default().as_bytes(),
        message.event_id.as_deref().unwrap_or_default().as_bytes(),
        message.order_key.as_deref().unwrap_or_default().as_bytes(),
    ];
    parts.extend(message.channels.iter().map(String::as_bytes));
    if let Some(only) = &message.only {
        parts.extend([b"only".as_slice(), only.as_bytes()]);
    }
    parts.push(b"tags");
    parts.extend(message.tags.iter().map(String::as_bytes));
    let retention = message.payload_retention.map(|retention| retention.as_secs().to_le_bytes());
    // No tag is written like this.
    parts.extend(retention.iter().flat_map(|seconds| [b"payload retention".as_slice(), seconds]));
    hash("content", &parts)
}

/// A number that is equal for equal order keys; 0 stands for none.
pub(crate) fn order_key(key: Option<&str>) -> u64 {
    let Some(key) = key else { return 0 };
    u64::from_be_bytes(first(hash("order key", &[key.as_bytes()]))).max(1)
}

/// A number by which a row tells its event type.
pub(crate) fn event_type(name: &str) -> u64 {
    u64::from_be_bytes(first(hash("event type", &[name.as_bytes()])))
}

fn hash(purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
        // The lengths keep ("ab", "c") and ("a", "bc") apart.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    first(hasher.finalize().into())
}

fn first<const N: usize, const M: usize>(bytes: [u8; M]) -> [u8; N] {
    *bytes.first_chunk().expect("N is at most M wherever this is called")
}

#[cfg(test)]
mod tests;
