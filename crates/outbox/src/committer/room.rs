//! Room for a frame: in a segment, and on the disk.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use postrider_model::lane::Settlement;

use super::operational::{DISK_FULL, Event, leave_out};
use super::request::{FrameBound as _, Ingest, Urgent};
use super::{Committer, FRAME_BYTES};
use crate::journal::{self, AppendError, FrameClass};
use crate::shared::Shared;

/// What the next frame takes beside what is in the queues.
pub(super) struct Bound {
    /// Its bytes at most.
    pub(super) bytes: usize,
    /// Something may be told in it.
    pub(super) tells: bool,
    /// What was counted before, and is told in it.
    pub(super) counted: Vec<Event>,
}

/// What waits for the frame after the next.
pub(super) struct Later {
    outcomes: Vec<Settlement>,
    urgent: VecDeque<Urgent>,
    ingest: VecDeque<Box<Ingest>>,
}

impl Committer {
    /// A frame has to fit into a segment. Leaves in the queues what does, gives
    /// its bound, and takes out the rest.
    pub(super) fn hold_back_what_does_not_fit(&mut self) -> (Bound, Later) {
        let mut telling = self.telling();
        let Shared { options, .. } = &*self.shared;
        let limit = journal::Options { store_id: 0, segment_bytes: options.segment_bytes, max_bytes: 0 };
        let limit = limit.frame_limit_bytes();
        // Nobody knows the size of an edited object; few are near to their bound.
        let edited = limit / 4;
        let (counted, mut bound) = self.counted(telling.as_ref(), edited.min(FRAME_BYTES));
        let mut fits = |bytes: usize| {
            let fits = bound + bytes <= limit;
            bound += if fits { bytes } else { 0 };
            fits
        };
        let mut share = FRAME_BYTES;
        let state = telling.is_some().then(|| self.shared.state.lock());
        let outcomes = self.waiting_outcomes.iter().position(|outcome| {
            let told =
                telling.as_mut().zip(state.as_deref()).map_or(0, |(telling, state)| telling.of_outcome(state, outcome));
            // Its own part is never cut: it would be tried again for ever if it were given less than it takes.
            let bytes = (outcome.bound_bytes() + told.min(edited)).min(limit);
            let has_share = share == FRAME_BYTES || share >= bytes;
            share = share.saturating_sub(bytes);
            !(has_share && fits(bytes))
        });
        drop(state);
        let outcomes = self.waiting_outcomes.split_off(outcomes.unwrap_or(self.waiting_outcomes.len()));
        let urgent = self.waiting_urgent.iter().position(|request| {
            let most = if matches!(request, Urgent::Command(..)) { edited } else { limit };
            let told = telling.as_mut().map_or(0, |telling| telling.of_request(request));
            !fits((request.bound_bytes() + told).min(most))
        });
        let urgent = self.waiting_urgent.split_off(urgent.unwrap_or(self.waiting_urgent.len()));
        let ingest = self.waiting_ingest.iter().position(|message| !fits(message.bound_bytes().min(limit)));
        let ingest = self.waiting_ingest.split_off(ingest.unwrap_or(self.waiting_ingest.len()));
        let tells = !counted.is_empty() || telling.is_some_and(|telling| telling.may_tell);
        (Bound { bytes: bound, tells, counted }, Later { outcomes, urgent, ingest })
    }

    pub(super) fn take_back(&mut self, later: Later) {
        self.waiting_outcomes.extend(later.outcomes);
        self.waiting_urgent.extend(later.urgent);
        self.waiting_ingest.extend(later.ingest);
    }

    /// There is no room for this frame: what waits at the doors hears so, and
    /// the rest is tried again with the reserved room. `false` if that is used up.
    pub(super) fn give_up_for_want_of_room(
        &mut self,
        class: FrameClass,
        counted: &[Event],
    ) -> Result<bool, AppendError> {
        if !self.shared.full.swap(true, Ordering::AcqRel) {
            tracing::error!("the journal is full: messages are refused until there is room");
        }
        for event in counted {
            leave_out(DISK_FULL, event.times);
        }
        for message in self.waiting_ingest.drain(..) {
            let _ = message.reply.send(Err(postrider_model::ports::Unavailable::DiskFull.into()));
        }
        if class == FrameClass::Reserved {
            // Not even outcomes can be recorded: they wait here, so dispatch pauses by
            // itself.
            tracing::error!("no room in the journal even for outcomes; dispatch waits");
            self.refuse_what_can_be_refused();
        }
        Ok(class == FrameClass::Ingest)
    }

    fn refuse_what_can_be_refused(&mut self) {
        let commands = std::mem::take(&mut self.waiting_commands);
        for request in std::mem::take(&mut self.waiting_urgent).into_iter().chain(commands) {
            let full = postrider_model::ports::Unavailable::DiskFull;
            match request {
                Urgent::Command(_, reply) => reply.send(Err(full.into())),
                Urgent::Deliveries(request) | Urgent::SendAgain(request, _) => request.reply.send(Err(full.into())),
                Urgent::StartTask(_, reply) => reply.send(Err(full.into())),
                Urgent::Expunge(request) => request.reply.send(Err(full.into())),
                Urgent::Keep(_, reply) => reply.send(Err(full.into())),
                Urgent::Note(_, reply) => reply.send(Err(full.into())),
                // The keeper asks again later: dropping the request tells it to.
                Urgent::Batch(_)
                | Urgent::Carry(_)
                | Urgent::CarryAnswer(..)
                | Urgent::CarryEntry(..)
                | Urgent::FinishTask(_) => {}
            }
        }
    }

    fn note_room(&self) {
        if self.shared.full.load(Ordering::Acquire) {
            self.shared.full.store(false, Ordering::Release);
            tracing::info!("there is room in the journal again");
        }
    }

    pub(super) fn provision(&mut self) -> Result<(), AppendError> {
        if !self.journal.wants_provision() {
            // Full for want of a file to open: the segments are there.
            self.note_room();
            return Ok(());
        }
        match self.journal.provision() {
            Ok(()) => {
                self.shared.wants_room.store(false, Ordering::Release);
                self.note_room();
            }
            Err(error @ AppendError::Poisoned { .. }) => return Err(error),
            Err(error) => {
                if !self.shared.wants_room.swap(true, Ordering::AcqRel) {
                    tracing::warn!(%error, "no room for another journal segment");
                }
                self.keeper.wake();
            }
        }
        Ok(())
    }
}
