//! The outbox as the scheduler sees it.

use std::sync::Arc;

use postrider_model::delivery::{DeadReason, DeliveryKey, Scheduled};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::{EndpointId, MessageId};
use postrider_model::job::Job;
use postrider_model::lane::{DeliveryStore, JobError, LaneEvent, Settlement};
use postrider_model::ports::Answer;
use postrider_model::target::Target;
use tokio::sync::oneshot;
use url::Url;

use crate::Outbox;
use crate::bodies::Fresh;
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::record::{DeliveryChange, DeliveryRef, Record};
use crate::shared::InFlight;

impl DeliveryStore for Outbox {
    fn changed(&self) -> Answer<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.feed.changed().await })
    }

    fn take(&self, into: &mut Vec<LaneEvent>) {
        self.shared.feed.take(into);
    }

    fn job_at_once(&self, key: DeliveryKey) -> Option<Result<Job, JobError>> {
        let (delivery, scheduled) = match self.waits(key) {
            Ok(waits) => waits,
            Err(error) => return Some(Err(error)),
        };
        let fresh = self.shared.bodies.find(delivery.position)?;
        Some(self.make_job(delivery, scheduled, fresh))
    }

    fn job(&self, key: DeliveryKey) -> Answer<Result<Job, JobError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let (delivery, scheduled) = outbox.waits(key)?;
            let fresh = match outbox.shared.bodies.find(delivery.position) {
                Some(fresh) => fresh,
                None if scheduled.attempt == 1 => outbox.read_ahead(delivery).await?,
                None => outbox.read_message(delivery, false).await?,
            };
            outbox.make_job(delivery, scheduled, fresh)
        })
    }

    fn settle(&self, settlement: Settlement) {
        // The channel holds as many as may be in flight; only a committer that
        // has ended does not take it, and then the attempt is made again later.
        if self.urgent.try_send(Urgent::Settle(settlement)).is_err() && !self.shared.is_stopping() {
            tracing::error!("an outcome found no room on its way to the journal");
        }
    }

    fn behind_window(&self, endpoint: EndpointId) -> u64 {
        self.shared.state.lock().lanes.get(&endpoint).map_or(0, |lane| lane.backlog.count())
    }

    fn is_behind_window(&self, key: DeliveryKey) -> bool {
        let state = self.shared.state.lock();
        state.lanes.get(&key.endpoint).is_some_and(|lane| lane.would_be_behind(key.message))
    }

    fn message_of(&self, key: DeliveryKey) -> Option<MessageId> {
        let state = self.shared.state.lock();
        let lane = state.lanes.get(&key.endpoint)?;
        let live = lane.window.get(&key.message).map(|live| live.message);
        live.or_else(|| lane.dead.get(&key.message).map(|dead| dead.message))
    }
}

impl Outbox {
    /// A delivery and the attempt that it waits for.
    fn waits(&self, key: DeliveryKey) -> Result<(DeliveryRef, Scheduled), JobError> {
        let state = self.shared.state.lock();
        let lane = state.lanes.get(&key.endpoint).ok_or(JobError::NotLive)?;
        let live = lane.window.get(&key.message).ok_or(JobError::NotLive)?;
        Ok((live.delivery(lane.app, key.endpoint, key.message), live.scheduled))
    }

    /// The job of the attempt that a delivery waited for when `fresh` was looked for.
    /// The delivery is in flight by that.
    fn make_job(&self, delivery: DeliveryRef, scheduled: Scheduled, fresh: Fresh) -> Result<Job, JobError> {
        let key = delivery.key();
        let target = self.target(key.endpoint)?;
        if fresh.until.is_some_and(|until| until <= self.shared.now()) {
            return Err(self.give_up(delivery, DeadReason::PayloadExpunged, "the payload is past its retention"));
        }
        // W5: an attempt whose delivery was cancelled and replayed meanwhile may
        // still wait to be recorded; the next one waits for that.
        let state = self.shared.state.lock();
        let still = state.lanes.get(&key.endpoint).and_then(|lane| lane.window.get(&key.message));
        if still.is_none_or(|still| still.scheduled != scheduled) {
            return Err(JobError::NotLive);
        }
        let mut in_flight = self.shared.in_flight.lock();
        if in_flight.contains_key(&key) {
            return Err(JobError::Failed("its last attempt is not recorded yet".to_owned()));
        }
        in_flight.insert(key, InFlight { delivery, scheduled });
        drop(in_flight);
        drop(state);
        Ok(Job { key, scheduled, message: fresh.id, body: fresh.body, content_type: fresh.content_type, target })
    }

    /// The endpoint as it is at this moment. Made anew only when it has changed.
    fn target(&self, id: EndpointId) -> Result<Arc<Target>, JobError> {
        let endpoint = {
            let config = self.shared.config.read();
            Arc::clone(config.endpoint(id).ok_or(JobError::NotLive)?)
        };
        if let Some((of, target)) = self.shared.targets.lock().get(&id)
            && Arc::ptr_eq(of, &endpoint)
        {
            return Ok(Arc::clone(target));
        }
        let target = Arc::new(self.make_target(&endpoint)?);
        // An old secret ends by the clock, with no change of the endpoint.
        if endpoint.secrets.iter().all(|secret| secret.expires.is_none()) {
            self.shared.targets.lock().insert(id, (endpoint, Arc::clone(&target)));
        }
        Ok(target)
    }

    fn make_target(&self, endpoint: &Endpoint) -> Result<Target, JobError> {
        let failed = |error: &dyn std::fmt::Display| JobError::Failed(format!("endpoint {}: {error}", endpoint.id));
        let url = Url::parse(&endpoint.fields.url).map_err(|error| failed(&error))?;
        let secrets = self.shared.secrets(endpoint).map_err(|error| failed(&error))?;
        let timeout = endpoint.fields.timeout().unwrap_or(self.shared.options.default_timeout);
        Target::new(&url, &endpoint.fields.headers, secrets, timeout).map_err(|error| failed(&error))
    }

    /// The same with what the lane sends next. One of a lane's attempts reads for all.
    async fn read_ahead(&self, delivery: DeliveryRef) -> Result<Fresh, JobError> {
        let _turn = self.shared.turns.of(delivery.endpoint).await;
        match self.shared.bodies.find(delivery.position) {
            Some(fresh) => Ok(fresh),
            None => self.read_message(delivery, true).await,
        }
    }

    /// Reads a message from the journal, off the async threads.
    async fn read_message(&self, delivery: DeliveryRef, ahead: bool) -> Result<Fresh, JobError> {
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || {
            if ahead { shared.read_ahead(&delivery) } else { shared.read_record(delivery.position) }
        });
        let read = read.await;
        match read.map_err(|error| JobError::Failed(error.to_string()))? {
            Ok(Record::Accepted(meta, Some(body))) => Ok(Fresh::new(&meta, body)),
            Ok(Record::Carried(carried, Some(body))) => Ok(Fresh::new(&carried.message, body)),
            Ok(Record::Accepted(_, None) | Record::Carried(_, None)) => {
                let detail = "the payload was expunged or is past its retention";
                Err(self.give_up(delivery, DeadReason::PayloadExpunged, detail))
            }
            Ok(_) => {
                let detail = format!("{} holds no message", delivery.position);
                Err(self.give_up(delivery, DeadReason::PayloadDamaged, &detail))
            }
            Err(crate::lookup::ReadRecordError::Damaged(detail)) => {
                Err(self.give_up(delivery, DeadReason::PayloadDamaged, &detail))
            }
            Err(error) => Err(JobError::Failed(error.to_string())),
        }
    }

    /// The payload is gone: the delivery becomes a dead letter that says so.
    fn give_up(&self, delivery: DeliveryRef, reason: DeadReason, detail: &str) -> JobError {
        let DeliveryRef { endpoint, message, .. } = delivery;
        if reason == DeadReason::PayloadDamaged {
            tracing::error!(%endpoint, %message, detail, "a payload is damaged");
        } else {
            tracing::info!(%endpoint, %message, detail, "a delivery is given up");
        }
        let detail = detail.to_owned();
        let (reply, _) = oneshot::channel();
        let what = DeliveryChange::Expired(reason);
        let request = DeliveriesRequest { what, deliveries: vec![delivery], reply: reply.into() };
        if self.urgent.try_send(Urgent::Deliveries(request)).is_err() {
            return JobError::Failed(detail);
        }
        JobError::NoPayload(detail)
    }
}
