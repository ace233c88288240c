//! The order keys that endpoints find in a payload.

use postrider_model::config::AppEntry;
use postrider_model::id::EndpointId;
use postrider_model::order;
use postrider_model::payload::Payload;
use serde_json::Value;

use crate::keys;

/// Where each of the endpoints to which a message may go looks for its order key: `None`
/// for those that take the message's own, and nothing at all if all do.
pub(crate) struct Pointers(Vec<(EndpointId, Option<String>)>);

impl Pointers {
    /// Of these endpoints, in their order.
    pub(crate) fn of(entry: &AppEntry, endpoints: &[EndpointId]) -> Self {
        let pointer = |id: &EndpointId| entry.endpoint(*id)?.fields.policy.order.as_ref()?.pointer.as_ref();
        if endpoints.iter().all(|id| pointer(id).is_none()) {
            return Self(vec![]);
        }
        Self(endpoints.iter().map(|id| (*id, pointer(id).cloned())).collect())
    }

    /// The hash of each endpoint's order key, 0 where there is none; nothing at all if no
    /// endpoint looks into the payload, which is then not parsed. `endpoints` are those to
    /// which the message goes, in the same order.
    pub(crate) fn read(&self, payload: &Payload<'_>, own: u64, endpoints: &[EndpointId]) -> Vec<u64> {
        if self.0.is_empty() {
            return vec![];
        }
        let payload = payload.value().unwrap_or(&Value::Null);
        let mut going = endpoints.iter().peekable();
        let going = self.0.iter().filter(|(id, _)| going.next_if_eq(&id).is_some());
        let key = |pointer: &Option<String>| match pointer {
            Some(pointer) => keys::order_key(order::key_at(payload, pointer).as_deref()),
            None => own,
        };
        going.map(|(_, pointer)| key(pointer)).collect()
    }
}
