//! The removal of a payload or of an answer, in a frame.

use postrider_model::delivery::{DeadReason, DeliveryEvent, Trigger, transition};
use postrider_model::ports::ControlError;

use super::{Answer, Committer, Frame};
use crate::committer::request::{ExpungeRequest, Urgent};
use crate::journal::FrameBuilder;
use crate::record::{DeliveryRef, Expunged, ExpungedContent, Record};

impl Committer {
    /// What waits ends by it. What is in flight has been sent: it ends as it
    /// ends, and is not attempted again.
    pub(super) fn stage_expunge(&mut self, mut request: ExpungeRequest, builder: &mut FrameBuilder, frame: &mut Frame) {
        let first = request.what.position();
        self.name_added(&mut request);
        // A replay in this frame may add one that is not known yet.
        let touched = frame.touched.iter().any(|key| key.message == first);
        if touched || frame.contents.contains(&first) {
            return self.waiting_urgent.push_back(Urgent::Expunge(request));
        }
        if let Err(error) = self.knows(&request) {
            return request.reply.send(Err(error));
        }
        if self.shared.state.lock().expunging.contains(first) {
            // That is on record already.
            return request.reply.send(Ok(()));
        }
        let ExpungeRequest { app, what, deliveries, reply, .. } = request;
        frame.contents.insert(first);
        frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
        let (waiting, dead) = self.ended_by_expunge(deliveries, frame);
        if self.push(builder, frame, Record::Expunged(Expunged { at: frame.now, app, what, waiting, dead })) {
            frame.answers.push(Answer::Expunged(reply));
        }
    }

    /// A replay may have added deliveries since the message was found.
    fn name_added(&self, request: &mut ExpungeRequest) {
        let ExpungedContent::Payload { sequence, .. } = request.what else { return };
        let (state, config) = (self.shared.state.lock(), self.shared.config.read());
        let Some(app) = config.app(request.app) else { return };
        for endpoint in state.added_to(app, sequence) {
            let is_named = request.deliveries.iter().any(|delivery| delivery.endpoint == endpoint);
            let added = state.lanes.get(&endpoint).and_then(|lane| lane.known(endpoint, sequence));
            request.deliveries.extend(added.filter(|_| !is_named));
        }
    }

    /// Retention may have removed the record since it was found, or somebody the application.
    fn knows(&self, request: &ExpungeRequest) -> Result<(), ControlError> {
        let kind = match request.what {
            ExpungedContent::Payload { .. } => "message",
            ExpungedContent::Response { .. } => "attempt",
        };
        let segments = self.shared.reader.segments();
        let there = segments.iter().any(|segment| segment.number == request.position.segment());
        let known = there && self.shared.config.read().app(request.app).is_some();
        if known { Ok(()) } else { Err(ControlError::NotFound { kind }) }
    }

    /// The deliveries that wait and are not in flight, and the dead letters; with
    /// those any of which only a resend ends.
    fn ended_by_expunge(&self, deliveries: Vec<DeliveryRef>, frame: &Frame) -> (Vec<DeliveryRef>, Vec<DeliveryRef>) {
        let event = DeliveryEvent::Expired { at: frame.now, reason: DeadReason::PayloadExpunged };
        let state = self.shared.state.lock();
        let in_flight = self.shared.in_flight.lock();
        let (mut waiting, mut dead) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            let Some(before) = state.delivery(&delivery) else { continue };
            if transition(&before, &event).is_err() {
                continue;
            }
            let flight = in_flight.get(&delivery.key()).map(|flight| flight.scheduled);
            if flight.is_some_and(|flight| before.expects(flight.attempt, flight.trigger == Trigger::Resent)) {
                continue;
            }
            if before.is_pending() {
                waiting.push(delivery);
            } else {
                dead.push(delivery);
            }
        }
        (waiting, dead)
    }
}
