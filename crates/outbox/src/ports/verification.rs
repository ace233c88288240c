//! What whoever verifies endpoints needs besides the configuration.

use postrider_model::endpoint::Endpoint;
use postrider_model::lane::JobError;
use postrider_model::target::Target;

use crate::Outbox;

impl Outbox {
    /// Ends when the configuration has changed since the last call ended. One waits at a time.
    pub async fn configured(&self) {
        self.shared.configured.notified().await;
    }

    /// The endpoint as its requests need it.
    ///
    /// # Errors
    /// No request can be made to it, or the store's key does not open its secrets.
    pub fn target_of(&self, endpoint: &Endpoint) -> Result<Target, JobError> {
        self.make_target(endpoint)
    }
}
