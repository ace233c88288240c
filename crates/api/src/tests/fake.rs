//! The ports for tests. Commands are executed by the model itself, so what is
//! legal here is legal in the product.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use postrider_model::attempt::Attempt;
use postrider_model::audit::{Entry, Told};
use postrider_model::command::{Command, Environment, Reply, execute};
use postrider_model::config::Config;
use postrider_model::delivery::{DeliveryEvent, DeliveryKey, DeliveryState, Scheduled, transition};
use postrider_model::endpoint::Endpoint;
use postrider_model::explain::{Explain, Flow, Wait};
use postrider_model::expunge::Expunge;
use postrider_model::fan_out::Verdict;
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId, OrgId, RawId, TaskId};
use postrider_model::message::{Accepted, Message, NewMessage};
use postrider_model::once::{Answered, KeyedRequest};
use postrider_model::payload::Payload;
use postrider_model::ports::{
    Accept, AcceptError, Answer, Configure, Control, ControlError, Health, Ports, Readiness, Receipt, Unavailable,
};
use postrider_model::position::Position;
use postrider_model::query::{
    AttemptFilter, AttemptsOf, Delivery, DeliveryFilter, EndpointMessage, EndpointStats, MessageFilter, Page,
    PageRequest, Query, QueryError,
};
use postrider_model::secret::{SealedSecret, Secret};
use postrider_model::signature::Signature;
use postrider_model::status::MessageStatus;
use postrider_model::task::{Task, TaskWork};
use postrider_model::time::{Clock, UnixMs};
use postrider_model::verification::{VerificationSetting, Verify};

use super::audit::FakeAudit;
use super::once::FakeOnce;

/// The time at which every test begins.
pub(super) const START: UnixMs = UnixMs(1_800_000_000_000);
/// Bytes of a payload.
pub(super) const BODY_LIMIT: usize = 1_000;

/// All ports in one.
#[derive(Default)]
pub(super) struct Fake(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) messages: Vec<Message>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) waits: HashMap<DeliveryKey, Wait>,
    pub(super) tasks: Vec<Task>,
    pub(super) problems: Vec<String>,
    /// Everything but reading answers this.
    pub(super) unavailable: Option<Unavailable>,
    /// Changes that were made.
    pub(super) writes: usize,
    /// Messages as they were handed over.
    pub(super) handed_over: Vec<NewMessage>,
    keys: HashMap<(AppId, String), (MessageId, Bytes)>,
    /// Answers that were kept, with their requests.
    pub(super) kept: Vec<(KeyedRequest, Answered)>,
    /// The audit log.
    pub(super) entries: Vec<Entry>,
    /// The call that the next change tells of.
    pub(super) call: Option<Arc<Told>>,
    ids: u64,
    /// How endpoints are verified.
    pub(super) verification: VerificationSetting,
    /// Is told before somebody looks at the configuration, and may keep him waiting.
    pub(super) before_look: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl State {
    fn now(&self) -> UnixMs {
        START + Duration::from_millis(self.ids)
    }

    pub(super) fn new_id(&mut self) -> RawId {
        self.ids += 1;
        RawId::new(self.now(), self.ids, [7; 6])
    }
}

fn open(sealed: &SealedSecret) -> Secret {
    let stored = sealed.0.iter().map(|byte| byte ^ 0x55).collect();
    Secret::from_stored(&String::from_utf8(stored).unwrap()).unwrap()
}

impl Environment for State {
    fn now(&self) -> UnixMs {
        State::now(self)
    }

    fn new_id(&mut self) -> RawId {
        State::new_id(self)
    }

    fn new_secret(&mut self, _: Signature) -> Secret {
        self.ids += 1;
        Secret::from_bytes(vec![self.ids as u8; 32]).unwrap()
    }

    fn seal(&mut self, secret: &Secret) -> SealedSecret {
        SealedSecret(secret.to_stored().bytes().map(|byte| byte ^ 0x55).collect())
    }

    fn open(&self, sealed: &SealedSecret) -> Option<Secret> {
        Some(open(sealed))
    }

    fn endpoint_limit(&self) -> usize {
        postrider_model::endpoint::DEFAULT_ENDPOINTS_PER_APPLICATION
    }

    fn signature(&self) -> Signature {
        Signature::default()
    }

    fn verification(&self) -> &VerificationSetting {
        &self.verification
    }
}

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            accept: Arc::clone(self) as _,
            configure: Arc::clone(self) as _,
            query: Arc::clone(self) as _,
            control: Arc::clone(self) as _,
            expunge: Arc::clone(self) as _,
            once: Arc::new(FakeOnce(Arc::clone(self))),
            audit: Arc::new(FakeAudit(Arc::clone(self))),
            explain: Arc::clone(self) as _,
            health: Arc::clone(self) as _,
            verify: Arc::clone(self) as _,
        }
    }

    fn take_in(&self, message: NewMessage) -> Result<Accepted, AcceptError> {
        let mut state = self.state();
        state.unavailable.clone().map_or(Ok(()), Err)?;
        message.validate()?;
        let app = state.config.find_app(message.org, &message.app).ok_or(AcceptError::UnknownApplication)?;
        let id = app.app.id;
        let candidates = app.candidates(&message.event_type, &message.channels, message.only);
        let candidates = candidates.ok_or(AcceptError::UnknownEndpoint)?;
        let endpoints = candidates.judge(&Payload::new(&message.body)).endpoints;
        if message.body.len() > BODY_LIMIT {
            return Err(AcceptError::TooLarge { bytes: message.body.len(), limit_bytes: BODY_LIMIT });
        }
        if let Some((first, body)) = message.idempotency_key.clone().and_then(|key| state.keys.get(&(id, key)).cloned())
        {
            let same = body == message.body;
            let accepted = Accepted { id: first, at: first.0.time(), deliveries: 0, duplicate: true };
            return if same { Ok(accepted) } else { Err(AcceptError::KeyReused) };
        }
        let taken =
            |other: &&Message| other.app == id && other.event_id.is_some() && other.event_id == message.event_id;
        if let Some(other) = state.messages.iter().find(taken) {
            return Err(AcceptError::EventIdTaken { existing: other.id });
        }
        Ok(state.keep(id, message, endpoints))
    }
}

impl State {
    fn keep(&mut self, app: AppId, message: NewMessage, endpoints: Vec<EndpointId>) -> Accepted {
        self.writes += 1;
        self.handed_over.push(message.clone());
        let id = MessageId(self.new_id());
        let (at, sequence) = (self.now(), Position::from_u64(self.ids));
        if let Some(key) = message.idempotency_key {
            self.keys.insert((app, key), (id, message.body.clone()));
        }
        for endpoint in &endpoints {
            self.deliveries.push(Delivery {
                key: DeliveryKey { endpoint: *endpoint, message: sequence },
                app,
                message: id,
                event_type: message.event_type.clone(),
                accepted: at,
                state: DeliveryState::Scheduled(Scheduled::first(at)),
                held: None,
            });
        }
        let deliveries = endpoints.len() as u32;
        self.messages.push(Message {
            id,
            sequence,
            app,
            event_type: message.event_type,
            event_id: message.event_id,
            channels: message.channels,
            tags: message.tags,
            at,
            content_type: message.content_type.unwrap_or_else(|| "application/json".to_owned()),
            body: Some(message.body),
            endpoints,
        });
        Accepted { id, at, deliveries, duplicate: false }
    }

    fn happen(&mut self, app: AppId, message: MessageId, endpoint: EndpointId, event: DeliveryEvent) -> Done {
        let is_it = |found: &&mut Delivery| (found.app, found.message, found.key.endpoint) == (app, message, endpoint);
        let found = self.deliveries.iter_mut().find(is_it);
        let found = found.ok_or(ControlError::NotFound { kind: "delivery" })?;
        found.state = transition(&found.state, &event)?;
        self.writes += 1;
        self.tell();
        Ok(())
    }
}

type Done = Result<(), ControlError>;

impl Accept for Fake {
    fn queue(&self, message: NewMessage) -> Answer<Result<Receipt, AcceptError>> {
        let result = self.take_in(message);
        Box::pin(async { Ok(Box::pin(async { result }) as Receipt) })
    }
}

impl Configure for Fake {
    fn execute(&self, command: Command) -> Answer<Result<Reply, ControlError>> {
        let mut state = self.state();
        let config = state.config.clone();
        let result = match state.unavailable.clone() {
            Some(unavailable) => Err(unavailable.into()),
            None => execute(&config, command, &mut *state).map_err(ControlError::from),
        };
        let result = result.map(|(changes, reply)| {
            state.writes += changes.len();
            changes.iter().for_each(|change| state.config.apply(change));
            state.tell();
            reply
        });
        Box::pin(async { result })
    }

    fn with_config(&self, look: &mut dyn FnMut(&Config)) {
        let before = self.state().before_look.clone();
        before.inspect(|before| before());
        look(&self.state().config);
    }

    fn secrets(&self, endpoint: &Endpoint) -> Result<Vec<Secret>, QueryError> {
        Ok(endpoint.secrets.iter().map(|secret| open(&secret.sealed)).collect())
    }
}

/// A page of what is in the order of its keys.
pub(super) fn page<T: Clone>(items: Vec<&T>, key: impl Fn(&T) -> Vec<u8>, request: &PageRequest) -> Page<T> {
    let PageRequest { limit, after, descending } = request;
    let mut items: Vec<T> = items.into_iter().cloned().collect();
    if *descending {
        items.reverse();
    }
    let is_later = |item: &T| match after {
        None => true,
        Some(after) => (key(item) < *after) == *descending && key(item) != *after,
    };
    items.retain(is_later);
    let done = items.len() <= *limit;
    items.truncate(*limit);
    let next = if done { None } else { items.last().map(&key) };
    Page { items, next, done }
}

fn within(at: UnixMs, before: Option<UnixMs>, after: Option<UnixMs>) -> bool {
    before.is_none_or(|before| at < before) && after.is_none_or(|after| at > after)
}

fn one_of(name: &String, names: Option<&Vec<String>>) -> bool {
    names.is_none_or(|names| names.contains(name))
}

fn matches(state: &State, delivery: &Delivery, filter: &DeliveryFilter, at: UnixMs) -> bool {
    let org = state.config.app(delivery.app).map(|entry| entry.app.org);
    filter.org.is_none_or(|wanted| org == Some(wanted))
        && filter.app.is_none_or(|app| app == delivery.app)
        && filter.endpoint.is_none_or(|endpoint| endpoint == delivery.key.endpoint)
        && filter.message.is_none_or(|message| message == delivery.message)
        && one_of(&delivery.event_type, filter.event_types.as_ref())
        && within(at, filter.before, filter.after)
        && match delivery.state.waits_for() {
            Some(scheduled) => within(scheduled.due, filter.due_before, filter.due_after),
            None => filter.due_before.is_none() && filter.due_after.is_none(),
        }
}

fn is_meant(found: &Message, filter: &MessageFilter) -> bool {
    within(found.at, filter.before, filter.after)
        && one_of(&found.event_type, filter.event_types.as_ref())
        && filter.channel.as_ref().is_none_or(|channel| found.channels.contains(channel))
        && filter.tag.as_ref().is_none_or(|tag| found.tags.contains(tag))
        && filter.wanted_by.as_ref().is_none_or(|by| {
            let payload = Payload::new(found.body.as_deref().unwrap_or_default());
            by.fields.judge(&found.event_type, &found.channels, &payload) == Verdict::Wanted
        })
        && (!filter.unmatched || found.endpoints.is_empty())
}

fn deliveries(mut items: Vec<&Delivery>, request: &PageRequest) -> Page<Delivery> {
    items.sort_by_key(|delivery| delivery.page_key());
    page(items, Delivery::page_key, request)
}

impl Query for Fake {
    fn message(&self, app: AppId, id: MessageId) -> Result<Option<Message>, QueryError> {
        Ok(self.state().messages.iter().find(|found| found.app == app && found.id == id).cloned())
    }

    fn message_by_event_id(&self, app: AppId, event_id: &str) -> Result<Option<Message>, QueryError> {
        let is_it = |found: &&Message| found.app == app && found.event_id.as_deref() == Some(event_id);
        Ok(self.state().messages.iter().find(is_it).cloned())
    }

    fn messages(&self, app: AppId, filter: &MessageFilter, request: &PageRequest) -> Result<Page<Message>, QueryError> {
        let state = self.state();
        let wanted = |found: &&Message| found.app == app && is_meant(found, filter);
        Ok(page(state.messages.iter().filter(wanted).collect(), |found| found.id.as_bytes().to_vec(), request))
    }

    fn messages_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: &MessageFilter,
        statuses: Option<&[MessageStatus]>,
        request: &PageRequest,
    ) -> Result<Page<EndpointMessage>, QueryError> {
        let state = self.state();
        let of_endpoint = state.deliveries.iter().filter(|found| found.app == app && found.key.endpoint == endpoint);
        let all: Vec<EndpointMessage> = of_endpoint
            .filter_map(|delivery| {
                let message = state.messages.iter().find(|found| found.id == delivery.message)?.clone();
                let in_flight = state.waits.get(&delivery.key) == Some(&Wait::InFlight);
                Some(EndpointMessage { message, state: delivery.state, in_flight })
            })
            .collect();
        let wanted = |found: &&EndpointMessage| {
            is_meant(&found.message, filter) && statuses.is_none_or(|statuses| statuses.contains(&found.status()))
        };
        Ok(page(all.iter().filter(wanted).collect(), |found| found.message.id.as_bytes().to_vec(), request))
    }

    fn endpoint_stats(&self, endpoint: EndpointId, since: UnixMs, _: UnixMs) -> Result<EndpointStats, QueryError> {
        let state = self.state();
        let mut stats = EndpointStats { since, ..EndpointStats::default() };
        for delivery in state.deliveries.iter().filter(|found| found.key.endpoint == endpoint) {
            match delivery.state.without_resend() {
                DeliveryState::Scheduled(_) | DeliveryState::Resending(_) => stats.pending += 1,
                DeliveryState::Delivered { .. } => stats.success += 1,
                DeliveryState::Dead { .. } => stats.fail += 1,
                DeliveryState::Cancelled { .. } => stats.canceled += 1,
            }
        }
        Ok(stats)
    }

    fn attempt(&self, app: AppId, id: AttemptId) -> Result<Option<Attempt>, QueryError> {
        Ok(self.state().attempts.iter().find(|found| found.app == app && found.id == id).cloned())
    }

    fn attempts(
        &self,
        app: AppId,
        of: AttemptsOf,
        filter: &AttemptFilter,
        request: &PageRequest,
    ) -> Result<Page<Attempt>, QueryError> {
        let state = self.state();
        let event_type =
            |id| state.messages.iter().find(|found| found.id == id).map(|found| &found.event_type).unwrap();
        let wanted = |found: &&Attempt| {
            let ended = found.started + Duration::from_millis(found.duration_ms.into());
            found.app == app
                && match of {
                    AttemptsOf::Message(id) => found.message == id,
                    AttemptsOf::Endpoint(id) => found.endpoint == id,
                }
                && within(ended, filter.before, filter.after)
                && filter.endpoint.is_none_or(|endpoint| found.endpoint == endpoint)
                && filter.succeeded.is_none_or(|succeeded| found.succeeded() == succeeded)
                && filter.status_class.is_none_or(|class| found.status.unwrap_or(0) / 100 == class)
                && one_of(event_type(found.message), filter.event_types.as_ref())
        };
        Ok(page(state.attempts.iter().filter(wanted).collect(), |found| found.id.as_bytes().to_vec(), request))
    }

    fn deliveries_of(&self, app: AppId, message: MessageId) -> Result<Vec<Delivery>, QueryError> {
        let state = self.state();
        Ok(state.deliveries.iter().filter(|found| found.app == app && found.message == message).cloned().collect())
    }

    fn pending(&self, filter: &DeliveryFilter, request: &PageRequest) -> Result<Page<Delivery>, QueryError> {
        let state = self.state();
        let waits = |found: &&Delivery| found.state.is_pending() && matches(&state, found, filter, found.accepted);
        Ok(deliveries(state.deliveries.iter().filter(waits).collect(), request))
    }

    fn in_flight(&self, filter: &DeliveryFilter, request: &PageRequest) -> Result<Page<Delivery>, QueryError> {
        let state = self.state();
        let flies = |found: &&Delivery| {
            state.waits.get(&found.key) == Some(&Wait::InFlight) && matches(&state, found, filter, found.accepted)
        };
        Ok(deliveries(state.deliveries.iter().filter(flies).collect(), request))
    }

    fn dead_letter(
        &self,
        app: AppId,
        message: MessageId,
        endpoint: EndpointId,
    ) -> Result<Option<Delivery>, QueryError> {
        let filter = DeliveryFilter {
            app: Some(app),
            message: Some(message),
            endpoint: Some(endpoint),
            ..DeliveryFilter::default()
        };
        let request = PageRequest { limit: 1, ..PageRequest::default() };
        Ok(self.dead_letters(&filter, &request)?.items.pop())
    }

    fn dead_letters(&self, filter: &DeliveryFilter, request: &PageRequest) -> Result<Page<Delivery>, QueryError> {
        let state = self.state();
        let dead = |found: &&Delivery| matches!(found.state.without_resend(), DeliveryState::Dead { at, .. } if matches(&state, found, filter, at));
        Ok(deliveries(state.deliveries.iter().filter(dead).collect(), request))
    }
}

impl Control for Fake {
    fn cancel(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Done> {
        let result = self.state().happen(app, message, endpoint, DeliveryEvent::Cancelled { at: START });
        Box::pin(async { result })
    }

    fn cancel_where(&self, filter: DeliveryFilter) -> Answer<Result<u64, ControlError>> {
        let request = PageRequest { limit: usize::MAX, ..PageRequest::default() };
        let matching = self.pending(&filter, &request).unwrap().items;
        let mut state = self.state();
        for found in &matching {
            let event = DeliveryEvent::Cancelled { at: START };
            state.happen(found.app, found.message, found.key.endpoint, event).unwrap();
        }
        Box::pin(async move { Ok(matching.len() as u64) })
    }

    fn replay(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Done> {
        let result = self.state().happen(app, message, endpoint, DeliveryEvent::Replayed { at: START });
        Box::pin(async { result })
    }

    fn resend(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Done> {
        let result = self.state().happen(app, message, endpoint, DeliveryEvent::Resent { at: START });
        Box::pin(async { result })
    }

    fn purge(&self, app: AppId, message: MessageId, endpoint: EndpointId) -> Answer<Done> {
        let result = match self.dead_letter(app, message, endpoint).unwrap() {
            Some(_) => self.state().happen(app, message, endpoint, DeliveryEvent::Purged { at: START }),
            None => Err(ControlError::NotFound { kind: "dead letter" }),
        };
        Box::pin(async { result })
    }

    fn start_task(&self, work: TaskWork) -> Answer<Result<Task, ControlError>> {
        let mut state = self.state();
        state.writes += 1;
        let (id, created) = (TaskId(state.new_id()), state.now());
        let task = Task { id, work, sent: 0, finished: false, created, updated: created };
        state.tasks.push(task.clone());
        state.tell();
        Box::pin(async move { Ok(task) })
    }

    fn task(&self, id: TaskId) -> Option<Task> {
        self.state().tasks.iter().find(|task| task.id == id).cloned()
    }

    fn tasks(&self) -> Vec<Task> {
        self.state().tasks.clone()
    }
}

impl Expunge for Fake {
    fn expunge_payload(&self, app: AppId, message: MessageId) -> Answer<Done> {
        let mut state = self.state();
        let found = state.messages.iter_mut().find(|found| (found.app, found.id) == (app, message));
        let result = found.map(|found| found.body = None).ok_or(ControlError::NotFound { kind: "message" });
        state.writes += usize::from(result.is_ok());
        if result.is_ok() {
            state.tell();
        }
        Box::pin(async { result })
    }

    fn expunge_response(&self, app: AppId, message: MessageId, attempt: AttemptId) -> Answer<Done> {
        let mut state = self.state();
        let is_it = |found: &&mut Attempt| (found.app, found.message, found.id) == (app, message, attempt);
        let found = state.attempts.iter_mut().find(is_it);
        let result = found.map(|found| found.response = None).ok_or(ControlError::NotFound { kind: "attempt" });
        state.writes += usize::from(result.is_ok());
        if result.is_ok() {
            state.tell();
        }
        Box::pin(async { result })
    }
}

impl Explain for Fake {
    fn why(&self, key: DeliveryKey, _: u16) -> Option<Wait> {
        self.state().waits.get(&key).cloned()
    }

    /// It has never heard of any endpoint.
    fn flow(&self, _: EndpointId) -> Option<Flow> {
        None
    }
}

impl Verify for Fake {
    fn verify(&self, endpoint: EndpointId) -> Answer<Result<Arc<Endpoint>, ControlError>> {
        let found = self.state().config.endpoint(endpoint).cloned();
        Box::pin(async move { found.ok_or(ControlError::NotFound { kind: "endpoint" }) })
    }
}

impl Health for Fake {
    fn readiness(&self) -> Readiness {
        Readiness { problems: self.state().problems.clone() }
    }
}

/// A clock that stands still.
pub(super) struct Still;

impl Clock for Still {
    fn now(&self) -> UnixMs {
        START
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A tenant by number.
pub(super) fn org(number: u64) -> OrgId {
    OrgId(RawId::new(UnixMs(1), number, [0; 6]))
}
