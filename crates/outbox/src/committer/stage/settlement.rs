//! Attempts that have ended, in a frame.

use bytes::Bytes;
use postrider_model::attempt::{FAILURE_RESPONSE_KEPT_BYTES, SUCCESS_RESPONSE_KEPT_BYTES};
use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryState, Next, Trigger};
use postrider_model::endpoint::DisabledBy;
use postrider_model::id::{AttemptId, EndpointId};
use postrider_model::job::{AttemptResult, FailureKind, Verdict};
use postrider_model::lane::{LaneEvent, Settlement};
use postrider_model::time::UnixMs;

use super::{Committer, Frame};
use crate::journal::FrameBuilder;
use crate::record::{Outcome, Record};
use crate::shared::InFlight;

/// What is known of an attempt's delivery when its outcome is staged.
struct Flown {
    flight: InFlight,
    current: Option<DeliveryState>,
    /// Its payload was expunged while it was in flight.
    expunged: bool,
}

impl Committer {
    pub(in crate::committer) fn stage_outcomes(&mut self, builder: &mut FrameBuilder, frame: &mut Frame) {
        let mut outcomes = std::mem::take(&mut self.waiting_outcomes);
        let known = self.known_of(&outcomes);
        for (settlement, known) in outcomes.drain(..).zip(known) {
            if let Some(flown) = known {
                self.stage_settlement(settlement, flown, builder, frame);
            } else {
                let key = settlement.outcome.key;
                self.events.push(LaneEvent::Recorded { key, waits: None, dead: false, order_key: 0 });
            }
        }
        if self.waiting_outcomes.is_empty() {
            // Its room is kept for the next ones.
            self.waiting_outcomes = outcomes;
        }
    }

    /// Each lock is taken once for all of them. There is nothing to record where no job
    /// was handed out, or where the endpoint was deleted, and its history with it. The
    /// others are in flight until that is published: who asks how many attempts there
    /// were finds each in flight or on record.
    fn known_of(&self, outcomes: &[Settlement]) -> Vec<Option<Flown>> {
        let state = self.shared.state.lock();
        let mut in_flight = self.shared.in_flight.lock();
        let known = outcomes.iter().map(|settlement| {
            let key = settlement.outcome.key;
            if !state.lanes.contains_key(&key.endpoint) {
                in_flight.remove(&key);
            }
            let flight = *in_flight.get(&key)?;
            let (current, expunged) = (state.delivery(&flight.delivery), state.expunging.contains(key.message));
            Some(Flown { flight, current, expunged })
        });
        known.collect()
    }

    fn stage_settlement(
        &mut self,
        mut settlement: Settlement,
        Flown { flight, current, expunged }: Flown,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let key = settlement.outcome.key;
        let is_known = |_: &DisabledBy| self.shared.config.read().endpoint(key.endpoint).is_some();
        let disable = settlement.disable.filter(is_known);
        if (disable.is_some() && frame.config_changed) || !frame.touched.insert(key) {
            return self.waiting_outcomes.push(settlement);
        }
        let resend = flight.scheduled.trigger == Trigger::Resent;
        let expected = current.is_some_and(|current| current.expects(settlement.outcome.attempt, resend));
        let is_open = current.is_some_and(|current| {
            matches!(current.without_resend(), DeliveryState::Scheduled(_) | DeliveryState::Dead { .. })
        });
        let failed = matches!(settlement.next, Next::Retry { .. } | Next::AsBefore);
        if failed && is_open && expunged {
            settlement.next = Next::Dead { reason: DeadReason::PayloadExpunged };
        }
        let ended = settlement.outcome.started + settlement.outcome.duration;
        let id = AttemptId(self.id(frame.now, builder.next_position()));
        let (outcome, body) = outcome_record(id, &settlement, flight, !expected);
        if !self.push(builder, frame, Record::Outcome(outcome, Some(body))) {
            return self.waiting_outcomes.push(settlement);
        }
        if let Some(by) = disable {
            self.stage_disabling(key.endpoint, by, ended, builder, frame);
        }
    }

    /// Nobody asked for it, so the operator is told.
    fn stage_disabling(
        &mut self,
        id: EndpointId,
        by: DisabledBy,
        ended: UnixMs,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let enabled = self.shared.config.read().endpoint(id).filter(|found| found.disabled.is_none()).cloned();
        let staged = self.stage_config(Command::Disable { endpoint: id, by }, builder, frame);
        let (Ok(_), Some(endpoint), Some(reason)) = (staged, enabled, by.reason()) else { return };
        let since = self.shared.state.lock().lanes.get(&id).and_then(|lane| lane.failing_since);
        let failing_s = ended.since(since.unwrap_or(ended)).as_secs();
        let application = endpoint.app;
        tracing::warn!(%application, endpoint = %id, reason, failing_s, "an endpoint is disabled; its deliveries wait");
    }
}

fn outcome_record(id: AttemptId, settlement: &Settlement, flight: InFlight, stale: bool) -> (Outcome, Bytes) {
    let ended = &settlement.outcome;
    let (status, failure, kept) = match &ended.result {
        AttemptResult::Answered(response) => {
            let success = ended.result.verdict() == Verdict::Success;
            let limit = if success { SUCCESS_RESPONSE_KEPT_BYTES } else { FAILURE_RESPONSE_KEPT_BYTES };
            let failure = match (response.failed.is_empty(), response.took_none) {
                (true, _) => None,
                (false, false) => Some(FailureKind::BatchItem),
                (false, true) => Some(FailureKind::WholeBatch),
            };
            (Some(response.status), failure, response.body.slice(..response.body.len().min(limit)))
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
