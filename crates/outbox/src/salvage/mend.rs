//! State and configuration out of what is left.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use postrider_model::config::{Config, ConfigChange};
use postrider_model::delivery::{DeadReason, DeliveryEvent, DeliveryState, Scheduled, transition};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::is_readable;
use super::survey::Broken;
use crate::checkpoint;
use crate::disk::Disk;
use crate::journal::JournalReader;
use crate::lookup::{Unreadable, scan};
use crate::open::OpenError;
use crate::options::Options;
use crate::record::{DeliveryRef, Record};
use crate::seal::Sealer;
use crate::state::State;

/// What recovery gave, to be mended.
pub(super) struct Mend<'a> {
    pub(super) state: State,
    pub(super) config: Config,
    pub(super) reader: &'a JournalReader,
    /// Where the journal ends.
    pub(super) end: Position,
    pub(super) now: UnixMs,
}

impl Mend<'_> {
    /// Recovery again, with the whole records of damaged frames, which an ordinary start
    /// does not trust, and with what is left of messages: their deliveries are to be seen
    /// as dead letters. `base` is the configuration out of a damaged checkpoint.
    pub(super) fn apply_whole_records(
        &mut self,
        options: &Options,
        disk: &dyn Disk,
        base: &[ConfigChange],
        sealer: &Sealer,
        broken: &[Broken],
    ) -> Result<(), OpenError> {
        let restored = checkpoint::read(disk, options)?;
        let (mut state, mut config, from) = match restored {
            Some(restored) => (restored.state, restored.config, restored.position),
            None => (State::new(options), Config::default(), Position::ZERO),
        };
        let mut unheard = Vec::new();
        let mut apply = |position, record: &Record| {
            state.apply(&mut config, position, record, &mut unheard);
            unheard.clear();
        };
        for change in base {
            apply(Position::ZERO, &Record::Config(change.clone()));
        }
        let mut broken = broken.iter().filter(|broken| broken.position >= from).peekable();
        let (_, unreadable) = scan(self.reader, from, self.end, &mut |position, record| {
            while let Some(lost) = broken.next_if(|broken| broken.position < position) {
                apply(lost.position, &lost.record);
            }
            if let Ok(record) = sealer.unsealed(record) {
                apply(position, &record);
            }
            ControlFlow::Continue(())
        });
        parts(unreadable)?;
        broken.for_each(|lost| apply(lost.position, &lost.record));
        state.applied = self.end;
        (self.state, self.config) = (state, config);
        Ok(())
    }

    /// Deliveries in memory whose message cannot be read become dead letters.
    pub(super) fn bury_lost_payloads(&mut self) -> Result<Vec<DeliveryRef>, OpenError> {
        let mut lost = Vec::new();
        for (endpoint, lane) in &self.state.lanes {
            let app = lane.app;
            let window = lane.window.iter().map(|(sequence, live)| live.delivery(app, *endpoint, sequence));
            let dead = lane.dead.iter().map(|(sequence, dead)| dead.delivery(app, *endpoint, *sequence));
            // A dead letter that is resent is in both.
            let all: BTreeMap<_, _> = window.chain(dead).map(|delivery| (delivery.sequence, delivery)).collect();
            for delivery in all.into_values() {
                if !is_readable(self.reader, delivery.position)? {
                    lost.push(delivery);
                }
            }
        }
        lost.retain(|delivery| self.bury(delivery, None));
        self.state.recount();
        Ok(lost)
    }

    /// The same for those that wait behind a window, where what is left of their message
    /// says for whom it was.
    pub(super) fn bury_behind(&mut self, broken: &[Broken]) -> Vec<DeliveryRef> {
        let mut lost: Vec<_> = broken.iter().flat_map(Broken::deliveries).collect();
        let waits = |state: &State, delivery: &DeliveryRef| {
            state.lanes.get(&delivery.endpoint).is_some_and(|lane| lane.is_behind(delivery))
        };
        lost.retain(|delivery| {
            let first = DeliveryState::Scheduled(Scheduled::first(delivery.accepted()));
            waits(&self.state, delivery) && self.bury(delivery, Some(first))
        });
        self.state.recount();
        lost
    }

    fn bury(&mut self, delivery: &DeliveryRef, otherwise: Option<DeliveryState>) -> bool {
        let expired = DeliveryEvent::Expired { at: self.now, reason: DeadReason::PayloadDamaged };
        let Some(lane) = self.state.lanes.get_mut(&delivery.endpoint) else { return false };
        let before = lane.state(delivery.sequence).or(otherwise);
        let Some(Ok(buried)) = before.map(|before| transition(&before, &expired)) else { return false };
        lane.put(delivery, &buried);
        true
    }

    /// Lets lanes whose backlog lies around damage read on behind it; `ends` are the ends of all that is
    /// missing. What can be read before it comes into their windows. Gives how many deliveries are lost.
    pub(super) fn step_over_damage(&mut self, ends: &[Position]) -> Result<u64, OpenError> {
        let mut lost = 0;
        for (endpoint, lane) in &mut self.state.lanes {
            let Some(cursor) = lane.backlog.cursor() else { continue };
            let mut behind = Vec::new();
            let (_, unreadable) = scan(self.reader, cursor, self.end, &mut |position, record| {
                if let Record::Accepted(meta, _) = record
                    && meta.endpoints.contains(endpoint)
                {
                    behind.push(meta.named_delivery(*endpoint, position, position));
                }
                ControlFlow::Continue(())
            });
            let ends = ends.iter().copied().filter(|end| *end > cursor);
            let Some(last) = parts(unreadable)?.last().map(|part| part.to).into_iter().chain(ends).max() else {
                continue;
            };
            let (before, after): (Vec<_>, Vec<_>) = behind.into_iter().partition(|delivery| delivery.position < last);
            lost += lane.fill(&before, last).1;
            let behind: Vec<_> = after.iter().filter(|delivery| lane.is_behind(delivery)).collect();
            lost += lane.backlog.expect(behind.into_iter().map(|delivery| delivery.sequence));
        }
        self.state.recount();
        Ok(lost)
    }
}

/// What could not be read, unless it may be read another time: what is missing by that is no damage, and named nowhere.
fn parts(unreadable: Vec<Unreadable>) -> Result<Vec<Unreadable>, OpenError> {
    let (failed, damaged): (Vec<_>, _) = unreadable.into_iter().partition(|part| part.failed.is_some());
    match failed.into_iter().find_map(|part| part.failed) {
        Some(error) => Err(error.into()),
        None => Ok(damaged),
    }
}
