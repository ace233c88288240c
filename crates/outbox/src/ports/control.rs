//! What a person does to deliveries: cancel, replay, resend, purge.

use std::sync::Arc;

use postrider_model::delivery::{DeliveryState, TransitionError};
use postrider_model::id::{AppId, EndpointId, MessageId, TaskId};
use postrider_model::ports::{Answer, Control, ControlError};
use postrider_model::position::Position;
use postrider_model::query::{DeliveryFilter, QueryError};
use postrider_model::task::{Task, TaskWork};

use crate::Outbox;
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::lookup::Found;
use crate::matching::Pending;
use crate::record::{DeliveryChange, DeliveryRef};
use crate::shared::Shared;

/// Deliveries in one record of a bulk change.
pub(crate) const BATCH: usize = 1_000;

impl Control for Outbox {
    fn cancel(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let found = outbox.find_message(app, message, endpoint).await?;
            let delivery = found.delivery(endpoint);
            match outbox.change(DeliveryChange::Cancelled, vec![delivery]).await {
                Err(ControlError::NotFound { kind }) => {
                    let shared = Arc::clone(&outbox.shared);
                    let ended = outbox.shared.reading(move || shared.ended_states(&found)).await??;
                    // It went to the endpoint, so it has ended if there is nothing to cancel.
                    let went_there = !delivery.added || ended.contains_key(&endpoint);
                    let ended = TransitionError::Illegal { state: "no longer pending", event: "cancelling" };
                    Err(if went_there { ended.into() } else { ControlError::NotFound { kind } })
                }
                cancelled => cancelled.map(drop),
            }
        })
    }

    fn cancel_where(&self, filter: DeliveryFilter) -> Answer<Result<u64, ControlError>> {
        // A retry after a crash between two batches cancels what is left.
        let outbox = self.without_key();
        Box::pin(async move {
            let mut pending = Pending::new(&outbox.shared, filter);
            let mut cancelled = 0;
            loop {
                let shared = Arc::clone(&outbox.shared);
                let (rest, found) = outbox
                    .shared
                    .reading(move || {
                        let found = pending.next(&shared);
                        (pending, found)
                    })
                    .await?;
                let Some(found) = found? else { return Ok(cancelled) };
                pending = rest;
                for batch in found.chunks(BATCH) {
                    cancelled += outbox.change(DeliveryChange::Cancelled, batch.to_vec()).await?;
                }
            }
        })
    }

    fn replay(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let delivery = outbox.find_sendable(app, message, endpoint).await?.delivery(endpoint);
            let (shared, looked_at) = (Arc::clone(&outbox.shared), outbox.end());
            let attempts_made = outbox.shared.reading(move || shared.attempts_made(app, &delivery)).await??;
            outbox.send_again(DeliveryChange::Replayed { attempts_made }, delivery, looked_at).await
        })
    }

    fn resend(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let found = outbox.find_sendable(app, message, endpoint).await?;
            let delivery = found.delivery(endpoint);
            let (shared, looked_at) = (Arc::clone(&outbox.shared), outbox.end());
            match outbox.shared.reading(move || shared.state_if_ended(&found, &delivery)).await?? {
                None => outbox.replay(app, message, endpoint).await,
                ended => outbox.send_again(DeliveryChange::Resent { ended }, delivery, looked_at).await,
            }
        })
    }

    fn purge(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Result<(), ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let found = outbox.shared.find_dead_letter(app, message, endpoint);
            let (delivery, _) = found.ok_or(ControlError::NotFound { kind: "dead letter" })?;
            outbox.change(DeliveryChange::Purged, vec![delivery]).await.map(drop)
        })
    }

    fn start_task(&self, work: TaskWork) -> Answer<Result<Task, ControlError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let task = outbox.ask(|reply| Urgent::StartTask(work, reply)).await?;
            outbox.keeper.wake();
            Ok(task)
        })
    }

    fn task(&self, id: TaskId) -> Option<Task> {
        self.shared.state.lock().tasks.get(&id).map(|task| task.show(id))
    }

    fn tasks(&self) -> Vec<Task> {
        self.shared.state.lock().tasks.iter().map(|(id, task)| task.show(*id)).collect()
    }
}

impl Outbox {
    /// A message of an application that the endpoint belongs to, too.
    async fn find_message(&self, app: AppId, id: MessageId, endpoint: EndpointId) -> Result<Found, ControlError> {
        let shared = Arc::clone(&self.shared);
        let found = self.shared.reading(move || shared.find_message(app, id)).await??;
        let found = found.ok_or(ControlError::NotFound { kind: "message" })?;
        let theirs = self.shared.config.read().endpoint(endpoint).is_some_and(|endpoint| endpoint.app == app);
        if theirs { Ok(found) } else { Err(ControlError::NotFound { kind: "delivery" }) }
    }

    /// The same, if its payload can be sent again.
    async fn find_sendable(&self, app: AppId, id: MessageId, endpoint: EndpointId) -> Result<Found, ControlError> {
        let found = self.find_message(app, id, endpoint).await?;
        if found.body.is_some() { Ok(found) } else { Err(TransitionError::NoPayload.into()) }
    }

    async fn change(&self, what: DeliveryChange, deliveries: Vec<DeliveryRef>) -> Result<u64, ControlError> {
        let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
        self.ask(request).await
    }

    /// `what` tells how many attempts there were when the journal ended at `looked_at`.
    async fn send_again(
        &self,
        what: DeliveryChange,
        delivery: DeliveryRef,
        looked_at: Position,
    ) -> Result<(), ControlError> {
        let request = |reply| DeliveriesRequest { what, deliveries: vec![delivery], reply };
        self.ask(|reply| Urgent::SendAgain(request(reply), looked_at)).await.map(drop)
    }

    /// Where that ends of the journal which has happened in memory, too.
    fn end(&self) -> Position {
        self.shared.state.lock().applied
    }
}

impl Shared {
    /// What a delivery is, should it be neither live nor a dead letter; `None` if
    /// the message never went to the endpoint.
    fn state_if_ended(&self, found: &Found, delivery: &DeliveryRef) -> Result<Option<DeliveryState>, ControlError> {
        let is_live = self.state.lock().delivery(delivery).is_some();
        let ended = self.ended_states(found)?.get(&delivery.endpoint).copied();
        if delivery.added && !is_live && ended.is_none() {
            return Ok(None);
        }
        let attempt = self.attempts_made(delivery.app, delivery)?;
        // One that waits at this moment may be delivered until the resend is recorded.
        let ended = ended.unwrap_or_else(|| DeliveryState::Delivered { at: delivery.accepted(), attempt });
        Ok(Some(ended.with_attempts_made(attempt)))
    }

    /// The number of the last attempt of a delivery that was begun, 0 if there was none.
    pub(crate) fn attempts_made(&self, app: AppId, delivery: &DeliveryRef) -> Result<u16, QueryError> {
        let last = self.attempts_after(delivery, None)?;
        // Retention removes the record of an attempt before a message that something else needs.
        let settled = self.index.settled_of_message(app, delivery.sequence).map_err(crate::lookup::query_error)?;
        let settled = settled.into_iter().filter(|row| row.endpoint == delivery.endpoint);
        Ok(settled.map(|row| row.attempt).fold(last, u16::max))
    }

    /// The same of those that are in flight or whose outcome lies behind a place of the journal. What lies
    /// before it is not looked at, so near the journal's end this is quick.
    pub(crate) fn attempts_after(&self, delivery: &DeliveryRef, place: Option<Position>) -> Result<u16, QueryError> {
        // The request of a delivery that was cancelled may still be in flight; its
        // outcome must not count for the replay (W6).
        let in_flight = self.in_flight.lock().get(&delivery.key()).map(|flight| flight.scheduled.attempt);
        let mut last = in_flight.unwrap_or(0);
        self.outcomes_of(delivery.app, delivery.sequence, Some(delivery.endpoint), place, &mut |_, outcome| {
            last = last.max(outcome.ended.attempt);
        })?;
        Ok(last)
    }
}
