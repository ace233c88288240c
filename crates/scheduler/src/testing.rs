//! A double of the outbox for tests: the same rules ([`transition`]), no disk.
//! Outcomes are recorded when the test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_model::batch;
use postrider_model::delivery::{DeliveryEvent, DeliveryKey, DeliveryState, Scheduled, Trigger, transition};
use postrider_model::endpoint::Hold;
use postrider_model::id::{AppId, EndpointId, MessageId, RawId};
use postrider_model::job::{AttemptResult, FailureKind, Job, Outcome, Response};
use postrider_model::lane::{DeliveryStore, JobError, Lane, LaneEvent, Settlement};
use postrider_model::order::{AfterDead, OrderRule};
use postrider_model::ports::Answer;
use postrider_model::position::Position;
use postrider_model::target::Target;
use postrider_model::time::UnixMs;
use tokio::sync::Notify;
use url::Url;

pub(crate) mod world;

pub(crate) fn app(number: u8) -> AppId {
    AppId(RawId::from_bytes([number; 20]))
}

pub(crate) fn endpoint(number: u8) -> EndpointId {
    EndpointId(RawId::from_bytes([number; 20]))
}

pub(crate) fn key(lane: u8, message: u64) -> DeliveryKey {
    DeliveryKey { endpoint: endpoint(lane), message: Position::from_u64(message) }
}

/// The id of a delivery's message.
pub(crate) fn message(key: DeliveryKey) -> MessageId {
    MessageId(RawId::from_bytes([key.message.as_u64() as u8; 20]))
}

/// A lane without limits or hold.
pub(crate) fn lane(of: u8, number: u8) -> Lane {
    Lane {
        endpoint: endpoint(number),
        app: app(of),
        hold: None,
        policy: None,
        failing_since: None,
        app_throttle_per_second: None,
    }
}

/// The lane of an endpoint with such a policy, written as the API has it.
pub(crate) fn with_policy(lane: Lane, policy: &str) -> Lane {
    Lane { policy: Some(Arc::new(serde_json::from_str(policy).expect("a policy"))), ..lane }
}

pub(crate) fn answered(status: u16) -> AttemptResult {
    AttemptResult::Answered(Response { status, ..Response::default() })
}

pub(crate) fn asking(status: u16, retry_after: &str) -> AttemptResult {
    let retry_after = Some(retry_after.to_owned());
    AttemptResult::Answered(Response { status, retry_after, ..Response::default() })
}

/// A success that names some of a batch as failed.
pub(crate) fn naming(failed: impl IntoIterator<Item = DeliveryKey>) -> AttemptResult {
    let failed = failed.into_iter().map(|key| key.message).collect();
    AttemptResult::Answered(Response { status: 200, failed, ..Response::default() })
}

pub(crate) fn failed(kind: FailureKind) -> AttemptResult {
    AttemptResult::Failed { kind, detail: String::new() }
}

pub(crate) fn outcome(key: DeliveryKey, attempt: u16, now: UnixMs, result: AttemptResult) -> Outcome {
    let url = Arc::new(Url::parse("https://example.com/hook").expect("a valid url"));
    Outcome { key, attempt, started: now, duration: Duration::ZERO, url, result }
}

fn order_of(lane: &Lane) -> OrderRule {
    lane.policy.as_ref().and_then(|policy| policy.order.clone()).unwrap_or_default()
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) lanes: BTreeMap<EndpointId, Lane>,
    /// Each with its order key.
    pub(crate) deliveries: BTreeMap<DeliveryKey, (DeliveryState, u64)>,
    pub(crate) events: Vec<LaneEvent>,
    pub(crate) unrecorded: Vec<Settlement>,
    /// How many outcomes came at a time.
    pub(crate) settled_together: Vec<usize>,
    /// Outcomes wait until the test has them recorded.
    pub(crate) hold_back: bool,
    pub(crate) job_errors: BTreeMap<DeliveryKey, JobError>,
    pub(crate) hidden: u64,
    /// Of all messages.
    pub(crate) body: Bytes,
    /// So many readings of a job panic.
    pub(crate) jobs_panic: u32,
    /// What jobs were handed out for whose outcome is not recorded.
    pub(crate) handed_out: BTreeMap<DeliveryKey, Scheduled>,
}

#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) inner: Mutex<Inner>,
    changed: Arc<Notify>,
}

impl Outbox {
    fn tell(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock());
        self.changed.notify_one();
    }

    pub(crate) fn configure(&self, lane: Lane) {
        self.tell(|inner| {
            let order = order_of(&lane);
            let before = inner.lanes.insert(lane.endpoint, lane.clone());
            let endpoint = lane.endpoint;
            inner.events.push(LaneEvent::Endpoint(lane));
            if order.after_dead == AfterDead::Hold && before.is_none_or(|before| order_of(&before) != order) {
                let dead = inner.dead().into_iter().filter(|key| key.endpoint == endpoint);
                dead.for_each(|key| inner.announce(key));
            }
        });
    }

    pub(crate) fn remove(&self, endpoint: EndpointId) {
        self.tell(|inner| {
            inner.lanes.remove(&endpoint);
            inner.deliveries.retain(|key, _| key.endpoint != endpoint);
            inner.events.push(LaneEvent::EndpointGone(endpoint));
        });
    }

    /// A message was accepted.
    pub(crate) fn accept(&self, key: DeliveryKey, order_key: u64, now: UnixMs) {
        self.put(key, order_key, Scheduled::first(now));
    }

    /// A delivery that waits, whatever came before.
    pub(crate) fn put(&self, key: DeliveryKey, order_key: u64, scheduled: Scheduled) {
        self.tell(|inner| {
            inner.deliveries.insert(key, (DeliveryState::Scheduled(scheduled), order_key));
            inner.announce(key);
        });
    }

    /// Cancellation or replay, if it is legal.
    pub(crate) fn happen(&self, key: DeliveryKey, event: DeliveryEvent) {
        self.tell(|inner| {
            if inner.apply(key, &event) {
                inner.announce(key);
            }
        });
    }

    /// A dead letter is no more.
    pub(crate) fn tell_left(&self, key: DeliveryKey) {
        self.tell(|inner| {
            inner.deliveries.remove(&key);
            inner.events.push(LaneEvent::Left(key));
        });
    }

    /// Records the outcomes that wait.
    pub(crate) fn record(&self) {
        self.tell(|inner| {
            for settlement in std::mem::take(&mut inner.unrecorded) {
                inner.record(&settlement);
            }
        });
    }

    pub(crate) fn state(&self, key: DeliveryKey) -> Option<DeliveryState> {
        self.inner.lock().deliveries.get(&key).map(|(state, _)| *state)
    }

    /// Deliveries that wait for an attempt.
    pub(crate) fn pending(&self) -> BTreeSet<DeliveryKey> {
        let inner = self.inner.lock();
        let waits = inner.deliveries.iter().filter(|(_, (state, _))| state.waits_for().is_some());
        waits.map(|(key, _)| *key).collect()
    }

    /// Dead letters.
    pub(crate) fn dead(&self) -> Vec<DeliveryKey> {
        self.inner.lock().dead()
    }

    pub(crate) fn job_now(&self, key: DeliveryKey) -> Result<Job, JobError> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.job_errors.get(&key) {
            return Err(error.clone());
        }
        let Some(scheduled) = inner.deliveries.get(&key).and_then(|(state, _)| state.waits_for()) else {
            return Err(JobError::NotLive);
        };
        assert!(inner.handed_out.insert(key, scheduled).is_none(), "W5: its last job was not settled");
        Ok(Job {
            key,
            scheduled,
            message: message(key),
            body: inner.body.clone(),
            content_type: None,
            event_type: Arc::from("order.paid"),
            others: None,
            target: Arc::new(
                Target::new(
                    &Url::parse("https://example.com/hook").expect("a valid url"),
                    &BTreeMap::new(),
                    Vec::new(),
                    Duration::from_secs(15),
                )
                .expect("it can be asked for"),
            ),
        })
    }
}

impl Inner {
    fn apply(&mut self, key: DeliveryKey, event: &DeliveryEvent) -> bool {
        let Some((state, _)) = self.deliveries.get_mut(&key) else { return false };
        let after = transition(state, event);
        after.map(|after| *state = after).is_ok()
    }

    fn announce(&mut self, key: DeliveryKey) {
        let (waits, order_key) = self.waits_for(key);
        self.events.push(match waits {
            Some(scheduled) => LaneEvent::Waiting { key, scheduled, order_key },
            None if self.is_dead(key) => LaneEvent::Died { key, order_key },
            None => LaneEvent::Left(key),
        });
    }

    fn waits_for(&self, key: DeliveryKey) -> (Option<Scheduled>, u64) {
        self.deliveries.get(&key).map_or((None, 0), |(state, order_key)| (state.waits_for(), *order_key))
    }

    fn dead(&self) -> Vec<DeliveryKey> {
        self.deliveries.keys().filter(|key| self.is_dead(**key)).copied().collect()
    }

    fn is_dead(&self, key: DeliveryKey) -> bool {
        matches!(self.deliveries.get(&key), Some((DeliveryState::Dead { .. }, _)))
    }

    fn record(&mut self, settlement: &Settlement) {
        let Outcome { key, attempt, started: at, .. } = settlement.outcome;
        let job = self.handed_out.remove(&key).expect("only what was handed out is settled");
        let resend = job.trigger == Trigger::Resent;
        assert_eq!(settlement.trigger, job.trigger, "the scheduler knows what it was");
        // A stale one changes nothing and is announced all the same.
        self.apply(key, &DeliveryEvent::AttemptEnded { attempt, resend, at, next: settlement.next });
        if let (Some(lane), Some(by)) = (self.lanes.get_mut(&key.endpoint), settlement.disable) {
            lane.hold = Some(Hold::Disabled(by));
            self.events.push(LaneEvent::Endpoint(lane.clone()));
        }
        let (waits, order_key) = self.waits_for(key);
        let dead = self.is_dead(key);
        self.events.push(LaneEvent::Recorded { key, waits, dead, order_key });
    }
}

impl DeliveryStore for Outbox {
    fn changed(&self) -> Answer<()> {
        let changed = Arc::clone(&self.changed);
        Box::pin(async move { changed.notified().await })
    }

    fn take(&self, into: &mut Vec<LaneEvent>) {
        into.append(&mut self.inner.lock().events);
    }

    /// Every other message is in memory.
    fn jobs_at_once(&self, keys: &[DeliveryKey], into: &mut Vec<Option<Result<Job, JobError>>>) {
        for key in keys {
            let in_memory = key.message.as_u64().is_multiple_of(2) && self.inner.lock().jobs_panic == 0;
            into.push(in_memory.then(|| self.job_now(*key)));
        }
    }

    fn job_within(&self, key: DeliveryKey, room_bytes: usize) -> Answer<Result<Job, JobError>> {
        let panics = {
            let mut inner = self.inner.lock();
            let panics = inner.jobs_panic > 0;
            inner.jobs_panic = inner.jobs_panic.saturating_sub(1);
            panics
        };
        assert!(!panics, "on purpose");
        let element_bytes = batch::element_bytes("order.paid", None, self.inner.lock().body.len());
        let job = if element_bytes > room_bytes { Err(JobError::NoRoom) } else { self.job_now(key) };
        Box::pin(async move {
            tokio::task::yield_now().await;
            job
        })
    }

    fn settle(&self, settlements: &mut Vec<Settlement>) {
        self.tell(|inner| {
            inner.settled_together.push(settlements.len());
            if inner.hold_back {
                inner.unrecorded.append(settlements);
            } else {
                settlements.drain(..).for_each(|settlement| inner.record(&settlement));
            }
        });
    }

    fn hand_back(&self, keys: &mut Vec<DeliveryKey>) {
        let mut inner = self.inner.lock();
        for key in keys.drain(..) {
            inner.handed_out.remove(&key).expect("only what was handed out is handed back");
        }
    }

    fn behind_window(&self, _endpoint: EndpointId) -> u64 {
        self.inner.lock().hidden
    }

    fn is_behind_window(&self, key: DeliveryKey) -> bool {
        let inner = self.inner.lock();
        inner.hidden > 0 && !inner.deliveries.contains_key(&key)
    }

    fn message_of(&self, key: DeliveryKey) -> Option<MessageId> {
        self.inner.lock().deliveries.contains_key(&key).then(|| message(key))
    }
}
