//! What a person removes: payloads, and answers of endpoints.

use std::sync::Arc;

use postrider_model::expunge::Expunge;
use postrider_model::id::{AppId, AttemptId, MessageId};
use postrider_model::ports::{Answer, ControlError};
use postrider_model::query::QueryError;

use crate::Outbox;
use crate::committer::request::{ExpungeRequest, Urgent};
use crate::lookup::{Found, ReadRecordError};
use crate::record::{DeliveryRef, ExpungedContent, Outcome, Record};
use crate::shared::Shared;

impl Expunge for Outbox {
    fn expunge_payload(&self, app: AppId, message: MessageId) -> Answer<Result<(), ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let shared = Arc::clone(&outbox.shared);
            let found = outbox.shared.reading(move || shared.find_message(app, message)).await??;
            let found = found.ok_or(ControlError::NotFound { kind: "message" })?;
            let endpoints = outbox.shared.endpoints_of(&found);
            let deliveries = endpoints.iter().map(|endpoint| found.delivery(*endpoint)).collect();
            let Found { sequence, position, .. } = found;
            outbox.expunge(app, ExpungedContent::Payload { message, sequence }, position, deliveries).await
        })
    }

    fn expunge_response(&self, app: AppId, message: MessageId, attempt: AttemptId) -> Answer<Result<(), ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let shared = Arc::clone(&outbox.shared);
            let found = outbox.shared.reading(move || shared.find_outcome(attempt)).await??;
            let theirs = found.filter(|outcome| (outcome.delivery.app, outcome.delivery.message) == (app, message));
            theirs.ok_or(ControlError::NotFound { kind: "attempt" })?;
            let position = outbox.shared.mask.position(attempt.0);
            outbox.expunge(app, ExpungedContent::Response { attempt, position }, position, vec![]).await
        })
    }
}

impl Outbox {
    async fn expunge(
        &self,
        app: AppId,
        what: ExpungedContent,
        position: postrider_model::position::Position,
        deliveries: Vec<DeliveryRef>,
    ) -> Result<(), ControlError> {
        let request = |reply| Urgent::Expunge(ExpungeRequest { app, what, position, deliveries, reply });
        self.ask(request).await
    }
}

impl Shared {
    /// The outcome of an attempt. Blocks.
    fn find_outcome(&self, id: AttemptId) -> Result<Option<Outcome>, QueryError> {
        match self.read_record(self.mask.position(id.0)) {
            Ok(Record::Outcome(outcome, _)) => Ok(Some(outcome).filter(|outcome| outcome.id == id)),
            Err(ReadRecordError::Damaged(detail)) => Err(QueryError::Damaged { detail }),
            _ => Ok(None),
        }
    }
}
