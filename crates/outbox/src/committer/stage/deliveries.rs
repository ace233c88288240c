//! What a person or a rule does to deliveries, in a frame.

use postrider_model::delivery::{DeliveryEvent, DeliveryState, TransitionError, transition};
use postrider_model::ports::ControlError;
use postrider_model::position::Position;

use super::{Answer, Committer, Frame};
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::journal::FrameBuilder;
use crate::record::{Deliveries, DeliveryChange, DeliveryRef, Record};

impl Committer {
    pub(super) fn stage_deliveries(
        &mut self,
        request: DeliveriesRequest,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
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
            DeliveryChange::Replayed { attempts_made } => {
                Some(DeliveryState::Delivered { at: frame.now, attempt: attempts_made })
            }
            _ => None,
        };
        let ended = |delivery: &DeliveryRef| ended.filter(|_| self.has_segment_of(delivery.position));
        let mut refusal = ControlError::NotFound { kind: "delivery" };
        let mut legal = Vec::with_capacity(request.deliveries.len());
        {
            let state = self.shared.state.lock();
            for delivery in &request.deliveries {
                let known = || state.delivery(delivery).or_else(|| ended(delivery));
                let known = state.lanes.contains_key(&delivery.endpoint).then(known);
                if matches!(event, DeliveryEvent::Replayed { .. }) && state.expunging.contains(delivery.sequence) {
                    refusal = TransitionError::NoPayload.into();
                    continue;
                }
                match known.flatten().map(|before| transition(&before, &event)) {
                    Some(Ok(_)) => legal.push(*delivery),
                    Some(Err(error)) => refusal = error.into(),
                    None => {}
                }
            }
        }
        if legal.is_empty() {
            return request.reply.send(if request.deliveries.len() == 1 { Err(refusal) } else { Ok(0) });
        }
        frame.touched.extend(legal.iter().map(DeliveryRef::key));
        let count = legal.len() as u64;
        let change = Deliveries { at: frame.now, what: request.what, deliveries: legal, task: None };
        if self.push(builder, frame, Record::Deliveries(change)) {
            frame.answers.push(Answer::Deliveries(request.reply, count));
        }
    }

    /// A message that retention has removed since it was looked up cannot come back.
    pub(super) fn has_segment_of(&self, position: Position) -> bool {
        self.shared.reader.segments().iter().any(|segment| segment.number == position.segment())
    }

    /// W10: the keeper asks for this by the rule of retention; nothing else does.
    pub(super) fn stage_forgotten(
        &mut self,
        request: DeliveriesRequest,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let DeliveriesRequest { what, deliveries, reply } = request;
        frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
        let count = deliveries.len() as u64;
        if self.push(builder, frame, Record::Deliveries(Deliveries { at: frame.now, what, deliveries, task: None })) {
            frame.answers.push(Answer::Deliveries(reply, count));
        }
    }
}
