//! The outbox as the scheduler sees it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use postrider_model::delivery::{DeadReason, DeliveryKey, Scheduled};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::{EndpointId, MessageId};
use postrider_model::job::Job;
use postrider_model::lane::{DeliveryStore, JobError, LaneEvent, Settlement};
use postrider_model::ports::Answer;
use postrider_model::proxy::Proxy;
use postrider_model::signature::Signature;
use postrider_model::target::Target;
use postrider_model::verification::Verification;
use postrider_model::via::Via;
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

    fn jobs_at_once(&self, keys: &[DeliveryKey], into: &mut Vec<Option<Result<Job, JobError>>>) {
        let now = self.shared.now();
        let targets: Vec<_> = keys.iter().map(|key| self.target(key.endpoint)).collect();
        let state = self.shared.state.lock();
        let mut in_flight = self.shared.in_flight.lock();
        let bodies = self.shared.bodies.opened();
        for (key, target) in keys.iter().zip(targets) {
            let Some((delivery, scheduled)) = state.waits(*key) else {
                into.push(Some(Err(JobError::NotLive)));
                continue;
            };
            // What is past its retention becomes a dead letter when it is looked for again.
            let fresh = bodies.find(delivery.position).filter(|fresh| !fresh.is_over(now));
            into.push(fresh.map(|fresh| take_off(&mut in_flight, delivery, scheduled, fresh, target?)));
        }
    }

    fn job_within(&self, key: DeliveryKey, room_bytes: usize) -> Answer<Result<Job, JobError>> {
        let outbox = self.clone();
        Box::pin(async move {
            let (delivery, scheduled) = outbox.shared.state.lock().waits(key).ok_or(JobError::NotLive)?;
            let fresh = match outbox.shared.bodies.find(delivery.position) {
                Some(fresh) => fresh,
                None if scheduled.attempt == 1 => outbox.read_ahead(delivery).await?,
                None => outbox.read_message(delivery, false).await?,
            };
            if fresh.element_bytes() > room_bytes {
                return Err(JobError::NoRoom);
            }
            outbox.make_job(delivery, scheduled, fresh)
        })
    }

    fn settle(&self, settlements: &mut Vec<Settlement>) {
        self.shared.outcomes.push(settlements);
        // There is room for as many as may be in flight; only a committer that has
        // ended does not take them, and then the attempts are made again later.
        if !settlements.is_empty() && !self.shared.is_stopping() {
            tracing::error!(lost = settlements.len(), "outcomes found no room on their way to the journal");
        }
        settlements.clear();
    }

    fn hand_back(&self, keys: &mut Vec<DeliveryKey>) {
        let mut in_flight = self.shared.in_flight.lock();
        for key in keys.drain(..) {
            in_flight.remove(&key);
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

/// Makes a delivery's job; it is in flight by that. W5: an attempt whose delivery was
/// cancelled and replayed meanwhile may still wait to be recorded; the next one waits
/// for that.
fn take_off(
    in_flight: &mut HashMap<DeliveryKey, InFlight>,
    delivery: DeliveryRef,
    scheduled: Scheduled,
    fresh: Fresh,
    target: Arc<Target>,
) -> Result<Job, JobError> {
    let key = delivery.key();
    let Entry::Vacant(place) = in_flight.entry(key) else {
        return Err(JobError::Failed("its last attempt is not recorded yet".to_owned()));
    };
    place.insert(InFlight { delivery, scheduled });
    let Fresh { id: message, content_type, event_type, body, until: _ } = fresh;
    Ok(Job { key, scheduled, message, body, content_type, event_type, target, others: None })
}

impl Outbox {
    /// The job of the attempt that a delivery waited for when `fresh` was looked for.
    /// The delivery is in flight by that.
    fn make_job(&self, delivery: DeliveryRef, scheduled: Scheduled, fresh: Fresh) -> Result<Job, JobError> {
        let key = delivery.key();
        let target = self.target(key.endpoint)?;
        if fresh.is_over(self.shared.now()) {
            return Err(self.give_up(delivery, DeadReason::PayloadExpunged, "the payload is past its retention"));
        }
        let state = self.shared.state.lock();
        if state.waits(key).is_none_or(|(_, still)| still != scheduled) {
            return Err(JobError::NotLive);
        }
        take_off(&mut self.shared.in_flight.lock(), delivery, scheduled, fresh, target)
    }

    /// The endpoint as it is at this moment. Made anew only when it has changed.
    fn target(&self, id: EndpointId) -> Result<Arc<Target>, JobError> {
        // Held to the end, so that whoever changes the endpoint finds what is kept of it.
        let config = self.shared.config.read();
        let endpoint = config.endpoint(id).ok_or(JobError::NotLive)?;
        if let Some((of, target)) = self.shared.targets.lock().get(&id)
            && Arc::ptr_eq(of, endpoint)
        {
            return Ok(Arc::clone(target));
        }
        let target = Arc::new(self.make_target(endpoint)?);
        // An old secret ends by the clock, with no change of the endpoint.
        if endpoint.secrets.iter().all(|secret| secret.expires.is_none()) {
            self.shared.targets.lock().insert(id, (Arc::clone(endpoint), Arc::clone(&target)));
        }
        Ok(target)
    }

    pub(super) fn make_target(&self, endpoint: &Endpoint) -> Result<Target, JobError> {
        let failed = |error: &dyn std::fmt::Display| JobError::Failed(format!("endpoint {}: {error}", endpoint.id));
        let url = Url::parse(&endpoint.fields.url).map_err(|error| failed(&error))?;
        let secrets = self.shared.secrets(endpoint).map_err(|error| failed(&error))?;
        let options = &self.shared.options;
        let timeout = endpoint.fields.timeout().unwrap_or(options.default_timeout);
        let target = Target::new(&url, &endpoint.fields.headers, secrets, timeout);
        let target = target.and_then(|target| target.with_auth(endpoint.fields.auth.as_ref()));
        let format = endpoint.fields.format.unwrap_or(options.default_format);
        let mut target = target.map_err(|error| failed(&error))?;
        let proxy = endpoint.fields.proxy.as_deref().map(Proxy::parse).transpose();
        target.via = Via::new(endpoint.fields.tls.clone(), proxy.map_err(|problem| failed(&problem))?);
        let target = match endpoint.fields.signature {
            Signature::Standard => target,
            signature => target.signed_by(signature),
        };
        let mut target = target.in_format(format, || options.event_source.of(endpoint.app));
        if endpoint.fields.verification == Verification::CloudEvents
            && let Some(origin) = &options.verification.origin
        {
            target.name_origin(origin);
        }
        Ok(target)
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
        let read = self
            .shared
            .reading(move || if ahead { shared.read_ahead(&delivery) } else { shared.read_record(delivery.position) });
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
