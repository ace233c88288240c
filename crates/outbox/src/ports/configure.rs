//! Configuration: commands to the committer, and a look at what is there.

use std::sync::Arc;

use postrider_model::command::{Command, Reply};
use postrider_model::config::Config;
use postrider_model::endpoint::Endpoint;
use postrider_model::ports::{Answer, Configure, ControlError, Unavailable};
use postrider_model::query::QueryError;
use postrider_model::secret::Secret;
use tokio::sync::oneshot;

use crate::Outbox;
use crate::committer::request::{ReplyTo, Urgent};

impl Configure for Outbox {
    fn execute(&self, command: Command) -> Answer<Result<Reply, ControlError>> {
        let outbox = self.clone();
        Box::pin(async move { outbox.ask(|reply| Urgent::Command(command, reply)).await })
    }

    fn with_config(&self, look: &mut dyn FnMut(&Config)) {
        look(&self.shared.config.read());
    }

    fn secrets(&self, endpoint: &Endpoint) -> Result<Vec<Secret>, QueryError> {
        self.shared.secrets(endpoint).map_err(|error| QueryError::Failed(error.to_string()))
    }
}

impl Outbox {
    /// Asks the committer and waits for its answer. What many may ask at once
    /// is bounded by the permits, so the channel always has room.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(ReplyTo<T>) -> Urgent) -> Result<T, ControlError> {
        if self.shared.is_stopping() {
            return Err(Unavailable::Stopping.into());
        }
        let room = Arc::clone(&self.requests).acquire_owned().await.map_err(|_| Unavailable::Stopping)?;
        let (reply, answer) = oneshot::channel();
        let once = self.bound.as_ref().and_then(|bound| bound.take_change());
        let request = request(ReplyTo::new(reply, room, once, self.call.clone()));
        if !self.shared.hand(&self.urgent, request) {
            return Err(Unavailable::Stopping.into());
        }
        answer.await.unwrap_or_else(|_| Err(Unavailable::Stopping.into()))
    }
}

impl crate::shared::Shared {
    /// The endpoint's secrets that sign at present, newest first.
    pub(crate) fn secrets(&self, endpoint: &Endpoint) -> Result<Vec<Secret>, crate::seal::UnsealError> {
        let now = self.now();
        let active = endpoint.secrets.iter().filter(|secret| secret.expires.is_none_or(|at| at > now));
        active.map(|secret| self.sealer.open(&secret.sealed)).collect()
    }
}
