//! How many messages each endpoint's filter has held back, since the start: nothing of
//! that is on disk.

use std::collections::HashMap;

use metrics::counter;
use parking_lot::Mutex;
use postrider_model::id::EndpointId;

use crate::meters::FILTERED;

/// The counts, of endpoints that there are.
#[derive(Default)]
pub(crate) struct HeldBack(Mutex<HashMap<EndpointId, u64>>);

impl HeldBack {
    /// Counts a message that did not go to these endpoints.
    pub(crate) fn count(&self, endpoints: &[EndpointId]) {
        counter!(FILTERED).increment(endpoints.len() as u64);
        let mut counts = self.0.lock();
        for endpoint in endpoints {
            *counts.entry(*endpoint).or_default() += 1;
        }
    }

    /// Messages that did not go to an endpoint.
    pub(crate) fn of(&self, endpoint: EndpointId) -> u64 {
        self.0.lock().get(&endpoint).copied().unwrap_or_default()
    }

    /// The endpoint is gone.
    pub(crate) fn forget(&self, endpoint: EndpointId) {
        self.0.lock().remove(&endpoint);
    }
}
