//! The order keys that endpoints find in a payload.

use postrider_model::config::AppEntry;
use postrider_model::id::EndpointId;
use postrider_model::order;

use crate::keys;

/// Where each of a message's endpoints looks for its order key: `None` for those
/// that take the message's own, and nothing at all if all do.
pub(crate) struct Pointers(Vec<Option<String>>);

impl Pointers {
    /// Of these endpoints, in their order.
    pub(crate) fn of(entry: &AppEntry, endpoints: &[EndpointId]) -> Self {
        let pointer = |id: &EndpointId| entry.endpoint(*id)?.fields.policy.order.as_ref()?.pointer.as_ref();
        if endpoints.iter().all(|id| pointer(id).is_none()) {
            return Self(vec![]);
        }
        Self(endpoints.iter().map(|id| pointer(id).cloned()).collect())
    }

    /// The hash of each endpoint's order key, 0 where there is none; nothing at
    /// all if no endpoint looks into the payload, which is then not parsed.
    pub(crate) fn read(&self, body: &[u8], own: u64) -> Vec<u64> {
        if self.0.is_empty() {
            return vec![];
        }
        let payload = serde_json::from_slice(body).unwrap_or_default();
        let key = |pointer: &Option<String>| match pointer {
            Some(pointer) => keys::order_key(order::key_at(&payload, pointer).as_deref()),
            None => own,
        };
        self.0.iter().map(key).collect()
    }
}
