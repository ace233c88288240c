//! A message that moves to the front of the journal, in a frame.

use postrider_model::id::EndpointId;

use super::{Answer, Committer, Frame};
use crate::committer::request::{CarryRequest, Carrying, Urgent};
use crate::journal::FrameBuilder;
use crate::record::{Carried, DeliveryRef, Record};

impl Committer {
    pub(super) fn stage_carry(&mut self, request: CarryRequest, builder: &mut FrameBuilder, frame: &mut Frame) {
        let CarryRequest { message, sequence, endpoints, known, mut body, ended, reply } = request;
        let delivery = |endpoint: &EndpointId| message.delivery(*endpoint, sequence, sequence);
        let deliveries: Vec<_> = endpoints.iter().map(delivery).collect();
        let touched = deliveries.iter().any(|delivery| frame.touched.contains(&delivery.key()));
        if touched || !frame.contents.insert(sequence) {
            return self.waiting_urgent.push_back(Urgent::Carry(CarryRequest {
                message,
                sequence,
                endpoints,
                known,
                body,
                ended,
                reply,
            }));
        }
        frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
        let states: Vec<_> = {
            let state = self.shared.state.lock();
            if state.expunging.contains(sequence) {
                // Perhaps since the body was read.
                body = None;
            }
            if known.iter().any(|endpoint| state.delivery(&delivery(endpoint)).is_none()) {
                let _ = reply.send(Carrying::LookAgain);
                return;
            }
            let stands = deliveries.iter().filter_map(|delivery| {
                let ended = || ended.get(&delivery.endpoint).copied();
                Some((delivery.endpoint, state.delivery(delivery).or_else(ended)?))
            });
            stands.collect()
        };
        let carried = Carried { message, sequence, states };
        if self.push(builder, frame, Record::Carried(carried, body)) {
            frame.answers.push(Answer::Carried(reply));
        }
    }
}
