//! What a request becomes in a frame: its legality is checked here, before a
//! record is written; what is in the frame applies.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use postrider_model::attempt::{FAILURE_RESPONSE_KEPT_BYTES, SUCCESS_RESPONSE_KEPT_BYTES};
use postrider_model::command::{self, Command, Environment, Reply};
use postrider_model::config::ConfigChange;
use postrider_model::delivery::{DeliveryEvent, DeliveryKey, DeliveryState, transition};
use postrider_model::id::{AttemptId, MessageId, RawId, TaskId};
use postrider_model::job::AttemptResult;
use postrider_model::lane::{LaneEvent, Settlement};
use postrider_model::message::Accepted;
use postrider_model::ports::{AcceptError, ControlError, Unavailable};
use postrider_model::position::Position;
use postrider_model::secret::{NEW_SECRET_BYTES, SealedSecret, Secret};
use postrider_model::time::UnixMs;
use tokio::sync::oneshot;

use super::Committer;
use super::request::{CarryRequest, DeliveriesRequest, Ingest, ReplyTo, Urgent};
use crate::ids;
use crate::journal::FrameBuilder;
use crate::record::{Carried, Deliveries, DeliveryChange, DeliveryRef, Outcome, Record, TaskStarted};
use crate::shared::Shared;

/// An idempotency key is remembered this long.
pub(crate) const KEY_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// A frame on its way to the disk.
pub(super) struct Frame {
    pub(super) now: UnixMs,
    pub(super) records: Vec<(Position, Record)>,
    pub(super) answers: Vec<Answer>,
    /// Deliveries that this frame changes: a second change waits for the next
    /// frame, since it has to be checked against the first one's result.
    touched: HashSet<DeliveryKey>,
    /// The same for the configuration.
    config_changed: bool,
    /// Keys of messages in this frame: equal ones share one answer.
    keys: HashMap<[u8; 16], InFrame>,
}

#[derive(Clone)]
struct InFrame {
    accepted: Accepted,
    content: [u8; 16],
}

/// Who is to be told what, once the frame is on disk.
pub(super) enum Answer {
    Accepted(oneshot::Sender<Result<Accepted, AcceptError>>, Accepted),
    Command(ReplyTo<Reply>, Reply),
    Deliveries(ReplyTo<u64>, u64),
    Task(ReplyTo<TaskId>, TaskId),
    Carried(oneshot::Sender<()>),
}

impl Frame {
    pub(super) fn new(now: UnixMs) -> Self {
        Self {
            now,
            records: Vec::new(),
            answers: Vec::new(),
            touched: HashSet::new(),
            config_changed: false,
            keys: HashMap::new(),
        }
    }
}

impl Committer {
    pub(super) fn stage_urgent(&mut self, builder: &mut FrameBuilder, frame: &mut Frame) {
        for request in std::mem::take(&mut self.waiting_urgent) {
            match request {
                Urgent::Settle(settlement) => self.stage_settlement(settlement, builder, frame),
                Urgent::Command(command, reply) => self.stage_command(command, reply, builder, frame),
                Urgent::Deliveries(request) => self.stage_deliveries(request, builder, frame),
                Urgent::StartTask(filter, reply) => {
                    let id = TaskId(self.id(frame.now, builder.next_position()));
                    let started = TaskStarted { id, filter, created: frame.now };
                    if self.push(builder, frame, Record::TaskStarted(started)) {
                        frame.answers.push(Answer::Task(reply, id));
                    }
                }
                Urgent::FinishTask(id) => {
                    self.push(builder, frame, Record::TaskFinished(id));
                }
                Urgent::Carry(request) => self.stage_carry(request, builder, frame),
            }
        }
    }

    pub(super) fn stage_ingest(&mut self, builder: &mut FrameBuilder, frame: &mut Frame) {
        for message in std::mem::take(&mut self.waiting_ingest) {
            self.stage_message(message, builder, frame);
        }
    }

    fn stage_message(&mut self, mut message: Ingest, builder: &mut FrameBuilder, frame: &mut Frame) {
        match self.earlier(&message, frame) {
            Ok(None) => {}
            Ok(Some(earlier)) => return frame.answers.push(Answer::Accepted(message.reply, earlier)),
            Err(error) => return drop(message.reply.send(Err(error))),
        }
        if let Err(error) = self.fan_out_again_if_changed(&mut message) {
            return drop(message.reply.send(Err(error)));
        }
        let id = MessageId(self.id(frame.now, builder.next_position()));
        message.meta.id = id;
        let deliveries = u32::try_from(message.meta.endpoints.len()).unwrap_or(u32::MAX);
        let accepted = Accepted { id, at: frame.now, deliveries, duplicate: false };
        let keys =
            [message.meta.idempotency.map(|key| (key.key, key.content)), message.event_key.map(|key| (key, [0; 16]))];
        let (bytes, limit_bytes) = (message.body.len(), self.shared.options.body_limit_bytes);
        if !self.push(builder, frame, Record::Accepted(message.meta, message.body)) {
            return drop(message.reply.send(Err(AcceptError::TooLarge { bytes, limit_bytes })));
        }
        for (key, content) in keys.into_iter().flatten() {
            frame.keys.insert(key, InFrame { accepted: accepted.clone(), content });
        }
        frame.answers.push(Answer::Accepted(message.reply, accepted));
    }

    /// The answer that an earlier message with the same key has got.
    fn earlier(&self, message: &Ingest, frame: &Frame) -> Result<Option<Accepted>, AcceptError> {
        if let Some(wanted) = message.meta.idempotency {
            let earlier = match frame.keys.get(&wanted.key) {
                Some(found) => Some(found.clone()),
                None => self.recorded(wanted.key, frame.now)?,
            };
            match earlier {
                Some(found) if found.content == wanted.content => {
                    return Ok(Some(Accepted { duplicate: true, ..found.accepted }));
                }
                Some(_) => return Err(AcceptError::KeyReused),
                None => {}
            }
        }
        if let Some(key) = message.event_key {
            let earlier = match frame.keys.get(&key) {
                Some(found) => Some(found.accepted.id),
                None => {
                    let earlier = self.shared.message_with_key(key)?;
                    earlier.filter(|(_, meta)| frame.now.since(meta.at()) < KEY_WINDOW).map(|(_, meta)| meta.id)
                }
            };
            if let Some(existing) = earlier {
                return Err(AcceptError::EventIdTaken { existing });
            }
        }
        Ok(None)
    }

    fn recorded(&self, key: [u8; 16], now: UnixMs) -> Result<Option<InFrame>, AcceptError> {
        let Some((_, meta)) = self.shared.message_with_key(key)? else { return Ok(None) };
        let fresh = now.since(meta.at()) < KEY_WINDOW;
        let Some(content) = meta.idempotency.filter(|_| fresh).map(|key| key.content) else { return Ok(None) };
        let deliveries = u32::try_from(meta.endpoints.len()).unwrap_or(u32::MAX);
        let accepted = Accepted { id: meta.id, at: meta.at(), deliveries, duplicate: true };
        Ok(Some(InFrame { accepted, content }))
    }

    /// W2: the deliveries are those of the configuration at this place of the journal.
    fn fan_out_again_if_changed(&self, message: &mut Ingest) -> Result<(), AcceptError> {
        let config = self.shared.config.read();
        let entry = config.app(message.meta.app).filter(|entry| entry.app.org == message.org);
        let entry = entry.ok_or(AcceptError::UnknownApplication)?;
        if entry.version != message.meta.config_version {
            let channels = message.meta.channels.iter().cloned().collect();
            message.meta.endpoints = entry.fan_out(&message.meta.event_type, &channels);
            message.meta.config_version = entry.version;
        }
        Ok(())
    }

    fn stage_settlement(&mut self, settlement: Settlement, builder: &mut FrameBuilder, frame: &mut Frame) {
        let key = settlement.outcome.key;
        let disable = settlement.disable_endpoint && self.shared.config.read().endpoint(key.endpoint).is_some();
        if frame.touched.contains(&key) || (disable && frame.config_changed) {
            return self.waiting_urgent.push_back(Urgent::Settle(settlement));
        }
        let Some(flight) = self.shared.in_flight.lock().remove(&key) else {
            // No job was handed out for it: there is nothing to record.
            return self.events.push(LaneEvent::Left(key));
        };
        if !self.shared.state.lock().lanes.contains_key(&key.endpoint) {
            // The endpoint was deleted, and its history with it.
            return self.events.push(LaneEvent::Left(key));
        }
        frame.touched.insert(key);
        let current = self.shared.state.lock().delivery(&flight.delivery);
        let waits_for_it =
            matches!(current, Some(DeliveryState::Scheduled(now)) if now.attempt == settlement.outcome.attempt);
        let id = AttemptId(self.id(frame.now, builder.next_position()));
        let (outcome, body) = outcome_record(id, &settlement, flight, !waits_for_it);
        if !self.push(builder, frame, Record::Outcome(outcome, body)) {
            // The next frame has room.
            self.shared.in_flight.lock().insert(key, flight);
            return self.waiting_urgent.push_back(Urgent::Settle(settlement));
        }
        if disable {
            self.stage_config(Command::DisableGone { endpoint: key.endpoint }, builder, frame).ok();
        }
    }

    fn stage_command(
        &mut self,
        command: Command,
        reply: ReplyTo<Reply>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        if frame.config_changed {
            return self.waiting_urgent.push_back(Urgent::Command(command, reply));
        }
        match self.stage_config(command, builder, frame) {
            Ok(done) => frame.answers.push(Answer::Command(reply, done)),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn stage_config(
        &mut self,
        command: Command,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) -> Result<Reply, ControlError> {
        let mut env = CommitEnvironment { shared: &self.shared, now: frame.now, position: builder.next_position() };
        let executed = command::execute(&self.shared.config.read(), command, &mut env)?;
        let (changes, reply) = executed;
        for change in changes {
            frame.config_changed = true;
            if !self.push(builder, frame, Record::Config(ConfigChange::clone(&change))) {
                return Err(Unavailable::DiskFull.into());
            }
        }
        Ok(reply)
    }

    fn stage_deliveries(&mut self, request: DeliveriesRequest, builder: &mut FrameBuilder, frame: &mut Frame) {
        if request.deliveries.iter().any(|delivery| frame.touched.contains(&delivery.key())) {
            return self.waiting_urgent.push_back(Urgent::Deliveries(request));
        }
        let event = match request.what {
            DeliveryChange::Forgotten => return self.stage_forgotten(request, builder, frame),
            DeliveryChange::Cancelled => DeliveryEvent::Cancelled { at: frame.now },
            DeliveryChange::Expired(reason) => DeliveryEvent::Expired { at: frame.now, reason },
            DeliveryChange::Replayed { .. } => DeliveryEvent::Replayed { at: frame.now },
        };
        let ended = match request.what {
            // What a bulk replay means is a dead letter; if it is none any more, it is left alone.
            DeliveryChange::Replayed { attempts_made } if request.task.is_none() => {
                Some(DeliveryState::Delivered { at: frame.now, attempt: attempts_made })
            }
            _ => None,
        };
        // A message that retention has removed since it was looked up cannot come back.
        let there = |position: Position| {
            let segments = self.shared.reader.segments();
            segments.iter().any(|segment| segment.number == position.segment())
        };
        let ended = |delivery: &DeliveryRef| ended.filter(|_| there(delivery.position));
        let mut refusal = ControlError::NotFound { kind: "delivery" };
        let mut legal = Vec::with_capacity(request.deliveries.len());
        {
            let state = self.shared.state.lock();
            for delivery in &request.deliveries {
                let known = || state.delivery(delivery).or_else(|| ended(delivery));
                let known = state.lanes.contains_key(&delivery.endpoint).then(known);
                match known.flatten().map(|before| transition(&before, &event)) {
                    Some(Ok(_)) => legal.push(*delivery),
                    Some(Err(error)) => refusal = error.into(),
                    None => {}
                }
            }
        }
        if legal.is_empty() && request.task.is_none() {
            return request.reply.send(if request.deliveries.len() == 1 { Err(refusal) } else { Ok(0) });
        }
        frame.touched.extend(legal.iter().map(DeliveryRef::key));
        let count = legal.len() as u64;
        let change = Deliveries { at: frame.now, what: request.what, deliveries: legal, task: request.task };
        if self.push(builder, frame, Record::Deliveries(change)) {
            frame.answers.push(Answer::Deliveries(request.reply, count));
        }
    }

    /// W10: the keeper asks for this by the rule of retention; nothing else does.
    fn stage_forgotten(&mut self, request: DeliveriesRequest, builder: &mut FrameBuilder, frame: &mut Frame) {
        let DeliveriesRequest { what, deliveries, task, reply } = request;
        frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
        let count = deliveries.len() as u64;
        if self.push(builder, frame, Record::Deliveries(Deliveries { at: frame.now, what, deliveries, task })) {
            frame.answers.push(Answer::Deliveries(reply, count));
        }
    }

    fn stage_carry(&mut self, request: CarryRequest, builder: &mut FrameBuilder, frame: &mut Frame) {
        let CarryRequest { message, sequence, body, ended, reply } = request;
        let deliveries: Vec<_> =
            message.endpoints.iter().map(|endpoint| message.delivery(*endpoint, sequence, sequence)).collect();
        if deliveries.iter().any(|delivery| frame.touched.contains(&delivery.key())) {
            return self.waiting_urgent.push_back(Urgent::Carry(CarryRequest {
                message,
                sequence,
                body,
                ended,
                reply,
            }));
        }
        frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
        let states: Vec<_> = {
            let state = self.shared.state.lock();
            let known = deliveries.iter().filter_map(|delivery| {
                let ended = || ended.get(&delivery.endpoint).copied();
                Some((delivery.endpoint, state.delivery(delivery).or_else(ended)?))
            });
            known.collect()
        };
        let carried = Carried { message, sequence, states };
        if self.push(builder, frame, Record::Carried(carried, body)) {
            frame.answers.push(Answer::Carried(reply));
        }
    }

    /// Puts a record into the frame. `false` if it does not fit, which only a
    /// bound that is too small can cause; whoever asked then hears that their
    /// request was dropped.
    fn push(&mut self, builder: &mut FrameBuilder, frame: &mut Frame, record: Record) -> bool {
        let position = builder.next_position();
        let fits = builder.push(&[self.encoder.encode(&record), record.raw()]);
        if let Err(error) = fits {
            tracing::error!(%error, "a record is larger than its bound");
            return false;
        }
        frame.records.push((position, record));
        true
    }

    fn id(&mut self, now: UnixMs, position: Position) -> RawId {
        self.mask.id(now, position, self.random.next())
    }
}

fn outcome_record(
    id: AttemptId,
    settlement: &Settlement,
    flight: crate::shared::InFlight,
    stale: bool,
) -> (Outcome, Bytes) {
    let ended = &settlement.outcome;
    let (status, failure, kept) = match &ended.result {
        AttemptResult::Answered(response) => {
            let success = (200..300).contains(&response.status);
            let limit = if success { SUCCESS_RESPONSE_KEPT_BYTES } else { FAILURE_RESPONSE_KEPT_BYTES };
            (Some(response.status), None, response.body.slice(..response.body.len().min(limit)))
        }
        AttemptResult::Failed { kind, detail } => {
            let detail = Bytes::copy_from_slice(detail.as_bytes());
            (None, Some(*kind), detail.slice(..detail.len().min(FAILURE_RESPONSE_KEPT_BYTES)))
        }
    };
    let outcome = Outcome {
        id,
        delivery: flight.delivery,
        ended: flight.scheduled,
        trigger: settlement.trigger,
        started: ended.started,
        duration_ms: u32::try_from(ended.duration.as_millis()).unwrap_or(u32::MAX),
        url: ended.url.to_string(),
        status,
        failure,
        next: settlement.next,
        stale,
    };
    (outcome, kept)
}

/// Time, ids, randomness and the store's key for a command.
struct CommitEnvironment<'a> {
    shared: &'a Shared,
    now: UnixMs,
    position: Position,
}

impl Environment for CommitEnvironment<'_> {
    fn now(&self) -> UnixMs {
        self.now
    }

    fn new_id(&mut self) -> RawId {
        self.shared.mask.clone().id(self.now, self.position, ids::random())
    }

    fn new_secret(&mut self) -> Secret {
        Secret::from_bytes(ids::random::<NEW_SECRET_BYTES>().to_vec()).expect("its length is within the limits")
    }

    fn seal(&mut self, secret: &Secret) -> SealedSecret {
        self.shared.sealer.seal(secret)
    }

    fn endpoint_limit(&self) -> usize {
        self.shared.options.endpoints_per_application
    }
}
