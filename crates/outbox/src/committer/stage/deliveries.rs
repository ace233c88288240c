//! What a person or a rule does to deliveries, in a frame.

use postrider_model::delivery::{DeadReason, DeliveryEvent, DeliveryState, TransitionError, transition};
use postrider_model::id::EndpointId;
use postrider_model::ports::ControlError;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::{Answer, Committer, Frame};
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::journal::FrameBuilder;
use crate::record::{Deliveries, DeliveryChange, DeliveryRef, Record};

/// What the keeper asks for where deliveries have waited too long on a held endpoint.
const HELD_TOO_LONG: DeliveryChange = DeliveryChange::Expired(DeadReason::HeldTooLong);

/// Deliveries by what is to be done with them.
struct Sorted {
    legal: Vec<DeliveryRef>,
    /// Of those only a resend ends.
    called_off: Vec<DeliveryRef>,
    /// So many are already what is asked for.
    unchanged: usize,
    /// Why the last of the others cannot be changed.
    refusal: ControlError,
}

impl Committer {
    /// Attempts that were begun since it was looked how many there were count, too: of two replays that
    /// are asked for at the same moment, the attempt of the first may be over when the second comes.
    pub(super) fn stage_again(
        &mut self,
        mut request: DeliveriesRequest,
        looked_at: Position,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        if request.deliveries.iter().any(|delivery| frame.changes(delivery)) {
            return self.waiting_urgent.push_back(Urgent::SendAgain(request, looked_at));
        }
        for delivery in &request.deliveries {
            match self.shared.attempts_after(delivery, Some(looked_at)) {
                Ok(begun) => request.what = request.what.with_attempts_made(begun),
                Err(error) => return request.reply.send(Err(error.into())),
            }
        }
        self.stage_deliveries(request, builder, frame);
    }

    pub(super) fn stage_deliveries(
        &mut self,
        request: DeliveriesRequest,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        // It must still be held, and that may just be changing.
        let is_unsure = request.what == HELD_TOO_LONG && frame.config_changed;
        if is_unsure || request.deliveries.iter().any(|delivery| frame.changes(delivery)) {
            return self.waiting_urgent.push_back(Urgent::Deliveries(request));
        }
        if request.what == DeliveryChange::Forgotten {
            return self.stage_forgotten(request, builder, frame);
        }
        let Sorted { legal, called_off, unchanged, refusal } = self.sort(&request, frame.now);
        let count = (legal.len() + called_off.len() + unchanged) as u64;
        if count == 0 {
            return request.reply.send(if request.deliveries.len() == 1 { Err(refusal) } else { Ok(0) });
        }
        frame.touched.extend(legal.iter().chain(&called_off).map(DeliveryRef::key));
        let DeliveriesRequest { what, reply, .. } = request;
        let changes = [(what, legal), (DeliveryChange::CalledOff, called_off)];
        let written = changes.into_iter().all(|(what, deliveries)| {
            let change = Deliveries { at: frame.now, what, deliveries, task: None };
            change.deliveries.is_empty() || self.push(builder, frame, Record::Deliveries(change))
        });
        if written {
            frame.answers.push(Answer::Deliveries(reply, count));
        }
    }

    /// Which of the deliveries can be changed as it is asked for.
    fn sort(&self, request: &DeliveriesRequest, now: UnixMs) -> Sorted {
        let mut sorted = Sorted {
            legal: Vec::with_capacity(request.deliveries.len()),
            called_off: vec![],
            unchanged: 0,
            refusal: ControlError::NotFound { kind: "delivery" },
        };
        let ended =
            |delivery: &DeliveryRef| request.what.assumes(now).filter(|_| self.has_segment_of(delivery.position));
        let (state, config) = (self.shared.state.lock(), self.shared.config.read());
        let limit = self.shared.options.retain_held;
        let is_held_long = |endpoint: EndpointId| {
            let hold = config.endpoint(endpoint).and_then(|found| config.hold(found));
            hold.is_some_and(|(_, since)| now.since(since) >= limit)
        };
        for delivery in request.deliveries.iter().filter(|delivery| state.lanes.contains_key(&delivery.endpoint)) {
            if request.what == HELD_TOO_LONG && !is_held_long(delivery.endpoint) {
                // Somebody let them go on since the keeper looked, be it for a moment.
                continue;
            }
            let known = state.delivery(delivery).or_else(|| ended(delivery));
            let Some(before) = known else { continue };
            let what = request.what.meant_for(&before);
            let Some(event) = what.event(now) else { continue };
            let after = match event {
                DeliveryEvent::Replayed { .. } | DeliveryEvent::Resent { .. }
                    if state.expunging.contains(delivery.sequence) =>
                {
                    Err(TransitionError::NoPayload)
                }
                event => transition(&before, &event),
            };
            match after {
                Ok(after) if after == before => sorted.unchanged += 1,
                Ok(_) if what == request.what => sorted.legal.push(*delivery),
                Ok(_) => sorted.called_off.push(*delivery),
                Err(error) => sorted.refusal = error.into(),
            }
        }
        sorted
    }

    /// A message that retention has removed since it was looked up cannot come back.
    pub(super) fn has_segment_of(&self, position: Position) -> bool {
        self.shared.reader.segments().iter().any(|segment| segment.number == position.segment())
    }

    /// W10: the keeper asks for this by the rule of retention; nothing else does.
    /// One that is replayed or resent since the keeper looked may yet be delivered, or has died anew.
    fn stage_forgotten(&mut self, request: DeliveriesRequest, builder: &mut FrameBuilder, frame: &mut Frame) {
        let DeliveriesRequest { what, mut deliveries, reply } = request;
        {
            let (state, limit) = (self.shared.state.lock(), self.shared.options.retain_dead_letters);
            deliveries.retain(|delivery| match state.delivery(delivery) {
                Some(DeliveryState::Dead { at, .. }) => frame.now.since(at) >= limit,
                _ => false,
            });
        }
        let count = deliveries.len() as u64;
        if count == 0 {
            return reply.send(Ok(0));
        }
        frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
        if self.push(builder, frame, Record::Deliveries(Deliveries { at: frame.now, what, deliveries, task: None })) {
            frame.answers.push(Answer::Deliveries(reply, count));
        }
    }
}
