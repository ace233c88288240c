//! The one thread that writes the journal.
//!
//! ```text
//!   doors ------- Ingest ----------+
//!   doors, keeper -- Urgent -----+ |       one frame: outcomes, then urgent, then messages
//!                                v v
//!   scheduler --- Outcomes ---> [ stage -> append -> sync -> apply -> answer ]
//!                                                             |        |
//!                                 State, Config, Feed, Index <+        +-> whoever asked
//! ```
//!
//! It takes all that waits, makes one frame of it, syncs it, and answers
//! everyone: under load many messages share one sync, and alone one waits for
//! nobody. A frame that holds only outcomes is not synced at once; the next
//! frame's sync, or a timer, does that. Nobody waits for them, so they may gather for a
//! moment, for many to share a frame; whatever else comes takes them along. An outcome behind which others wait in
//! order is: they are told of it when it is on disk, so that after a crash only
//! the last one sent may come again.
//!
//! W1: no answer before the sync. W4: first the record, then the change in
//! memory. W8: after a failed write or sync nothing more is accepted.

mod errand;
mod operational;
pub(crate) mod request;
mod room;
mod stage;
mod thread;

pub(crate) use stage::KEY_WINDOW;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use thread::leave_clean_stop;
pub use thread::{CommitError, CommitterThread};

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use postrider_model::lane::{LaneEvent, Settlement};
use postrider_model::position::Position;

use crate::ids::{IdRandom, SequenceMask};
use crate::journal::{AppendError, FrameClass, FrameKind, Journal};
use crate::keeper::KeeperSignal;
use crate::meters::Meters;
use crate::record::{Encoder, Record};
use crate::rows::{self, FrameRows};
use crate::shared::Shared;
use operational::Quiet;
use request::{Errand, FrameBound as _, Ingest, Urgent};
use room::Bound;
use stage::Frame;

/// Outcomes, requests and messages that one frame takes at most of each, in bytes. More
/// wait for the next.
const FRAME_BYTES: usize = 4 << 20;
/// The same in number, of requests and messages.
const FRAME_REQUESTS: usize = 8_192;

/// Between two tries when there is no room for a segment, or not even for outcomes.
const WITHOUT_ROOM: Duration = Duration::from_millis(500);
/// The longest wait for something to do. Whoever has something wakes the committer.
const IDLE: Duration = Duration::from_secs(60);

/// What has ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// Outcomes for which nobody waits.
    Outcomes,
    /// Something else, or nothing in time.
    Else,
}

pub(crate) struct Committer {
    pub(crate) journal: Journal,
    pub(crate) shared: Arc<Shared>,
    pub(crate) keeper: KeeperSignal,
    pub(crate) errands: Receiver<Errand>,
    pub(crate) urgent: Receiver<Urgent>,
    pub(crate) ingest: Receiver<Box<Ingest>>,
    /// Taken from where they came, not yet in a frame.
    waiting_outcomes: Vec<Settlement>,
    waiting_urgent: VecDeque<Urgent>,
    /// Commands, of which a frame takes one: the next is checked against its result.
    waiting_commands: VecDeque<Urgent>,
    waiting_ingest: VecDeque<Box<Ingest>>,
    encoder: Encoder,
    mask: SequenceMask,
    random: IdRandom,
    events: Vec<LaneEvent>,
    /// Messages of which lanes were told in a frame.
    told: HashSet<Position>,
    rows: FrameRows,
    meters: Meters,
    quiet: Quiet,
    /// Since when a frame of outcomes waits to be synced.
    unsynced_since: Option<Instant>,
    stop: bool,
}

impl Committer {
    pub(crate) fn new(
        journal: Journal,
        shared: Arc<Shared>,
        keeper: KeeperSignal,
        (errands, urgent, ingest): (Receiver<Errand>, Receiver<Urgent>, Receiver<Box<Ingest>>),
    ) -> Self {
        let mask = shared.mask.clone();
        Self {
            journal,
            shared,
            keeper,
            errands,
            urgent,
            ingest,
            waiting_outcomes: Vec::new(),
            waiting_urgent: VecDeque::new(),
            waiting_commands: VecDeque::new(),
            waiting_ingest: VecDeque::new(),
            encoder: Encoder::default(),
            mask,
            random: IdRandom::default(),
            events: Vec::new(),
            told: HashSet::new(),
            rows: FrameRows::default(),
            meters: Meters::new(),
            quiet: Quiet::default(),
            unsynced_since: None,
            stop: false,
        }
    }

    /// Works until it is told to stop. Gives the journal back, synced.
    ///
    /// # Errors
    /// The journal is poisoned; nothing more was answered.
    pub(crate) fn run_until_stopped(mut self) -> Result<Journal, CommitError> {
        let result = self.work();
        self.end();
        result.map(|()| self.journal).map_err(CommitError::Poisoned)
    }

    /// Nobody is answered any more: whoever still waits hears that by losing
    /// the other end. A bounded channel keeps what is in it when its receiver
    /// goes, so it has to be emptied, and nothing may come into it after that.
    pub(crate) fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        *self.shared.ended.write() = true;
        self.waiting_outcomes.clear();
        self.waiting_urgent.clear();
        self.waiting_commands.clear();
        self.waiting_ingest.clear();
        self.errands.try_iter().for_each(drop);
        self.urgent.try_iter().for_each(drop);
        self.ingest.try_iter().for_each(drop);
    }

    fn work(&mut self) -> Result<(), AppendError> {
        // What waits when the stop comes is recorded, if there is room for it.
        while !(self.stop && self.has_taken_all()) {
            self.provision()?;
            if self.is_idle() && !self.stop {
                self.wait()?;
            }
            if !self.step_once()? {
                if self.stop {
                    break;
                }
                // Look again soon.
                std::thread::sleep(WITHOUT_ROOM);
            }
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= self.shared.options.outcome_sync) {
                self.sync()?;
            }
        }
        self.sync()
    }

    /// One round of work without waiting. `false` if there is no room for it.
    fn step_once(&mut self) -> Result<bool, AppendError> {
        while let Ok(errand) = self.errands.try_recv() {
            self.run(errand)?;
        }
        self.collect();
        if self.is_idle() {
            self.sync()?;
            return Ok(true);
        }
        self.commit()
    }

    /// How much is kept of when events were told last.
    #[cfg(test)]
    pub(crate) fn quiet_len(&self) -> usize {
        self.quiet.len()
    }

    /// One round of work without waiting.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn step(&mut self) -> Result<(), AppendError> {
        self.provision()?;
        self.step_once().map(drop)
    }

    /// A frame of outcomes is written and not synced.
    #[cfg(feature = "simulation")]
    pub(crate) const fn is_unsynced(&self) -> bool {
        self.unsynced_since.is_some()
    }

    /// Nothing waits that was taken from the channels, and nothing is to be told by itself.
    pub(crate) fn is_idle(&self) -> bool {
        let requests = self.waiting_urgent.len() + self.waiting_commands.len();
        let waits = !self.waiting_outcomes.is_empty() || requests > 0 || !self.waiting_ingest.is_empty();
        !waits && !self.has_counted()
    }

    fn has_taken_all(&self) -> bool {
        let channels = self.errands.is_empty() && self.urgent.is_empty() && self.ingest.is_empty();
        self.is_idle() && channels && self.shared.outcomes.is_empty()
    }

    /// Takes what waits in the channels, as much as one frame may hold. Requests
    /// and messages have a share each, so that neither keeps the other out; so have
    /// outcomes, of which there are never many.
    fn collect(&mut self) {
        if self.waiting_outcomes.is_empty() {
            self.shared.outcomes.take(&mut self.waiting_outcomes);
        }
        let mut bytes: usize = self.waiting_urgent.iter().map(Urgent::bound_bytes).sum();
        while bytes < FRAME_BYTES && self.waiting_urgent.len() < FRAME_REQUESTS {
            let Ok(request) = self.urgent.try_recv() else { break };
            if !matches!(request, Urgent::Command(..)) {
                bytes += request.bound_bytes();
            }
            self.take(request);
        }
        if !self.waiting_urgent.iter().any(|request| matches!(request, Urgent::Command(..))) {
            self.waiting_urgent.extend(self.waiting_commands.pop_front());
        }
        let mut bytes = self.waiting_ingest.iter().map(|message| message.bound_bytes()).sum::<usize>();
        while bytes < FRAME_BYTES && self.waiting_ingest.len() < FRAME_REQUESTS {
            let Ok(arrival) = self.ingest.try_recv() else { break };
            bytes += self.take_in(arrival);
        }
    }

    /// What came together stays together, so that one sync is enough for it. Gives
    /// its bound in bytes.
    fn take_in(&mut self, mut first: Box<Ingest>) -> usize {
        let (before, more) = (self.waiting_ingest.len(), std::mem::take(&mut first.more));
        self.waiting_ingest.push_back(first);
        self.waiting_ingest.extend(more);
        self.waiting_ingest.range(before..).map(|message| message.bound_bytes()).sum()
    }

    fn take(&mut self, request: Urgent) {
        let queue =
            if matches!(request, Urgent::Command(..)) { &mut self.waiting_commands } else { &mut self.waiting_urgent };
        queue.push_back(request);
    }

    fn wait(&mut self) -> Result<(), AppendError> {
        // Idle, it looks for space ahead now and then if it found none, so that a full disk heals by itself.
        let patience = match self.unsynced_since {
            Some(since) => self.shared.options.outcome_sync.saturating_sub(since.elapsed()),
            None if self.journal.wants_provision() => WITHOUT_ROOM,
            None => IDLE,
        };
        // What was counted of operational events is told when its minute is over, though nothing comes.
        let counted = self.quiet.next().map(|at| at.since(self.shared.now()));
        let patience = counted.map_or(patience, |counted| counted.min(patience));
        if self.wait_for(patience, true)? == Came::Outcomes {
            self.wait_for(self.shared.options.outcome_gather, false)?;
        }
        Ok(())
    }

    /// Waits until something comes, for so long at most. While outcomes gather, more
    /// of them wake nobody, unless others wait for one.
    fn wait_for(&mut self, patience: Duration, outcomes: bool) -> Result<Came, AppendError> {
        let never = crossbeam_channel::never();
        let gathering = if outcomes { self.shared.outcomes.announced() } else { &never };
        select! {
            recv(gathering) -> _ => return Ok(Came::Outcomes),
            recv(self.shared.outcomes.hurried()) -> _ => {}
            recv(self.errands) -> errand => match errand {
                Ok(errand) => self.run(errand)?,
                Err(_) => self.stop = true,
            },
            recv(self.urgent) -> request => match request {
                Ok(request) => self.take(request),
                Err(_) => self.stop = true,
            },
            recv(self.ingest) -> arrival => match arrival {
                Ok(arrival) => drop(self.take_in(arrival)),
                Err(_) => self.stop = true,
            },
            default(patience) => {}
        }
        Ok(Came::Else)
    }

    /// One frame out of what was taken. `false` if there is no room for it, not
    /// even in the reserve.
    fn commit(&mut self) -> Result<bool, AppendError> {
        let (Bound { bytes, tells, counted }, later) = self.hold_back_what_does_not_fit();
        let class = if self.waiting_ingest.is_empty() { FrameClass::Reserved } else { FrameClass::Ingest };
        let only_outcomes = self.waiting_ingest.is_empty() && self.waiting_urgent.is_empty();
        // What is told is delivered: its cause must not be lost after that.
        let lazy = only_outcomes && !tells && !self.waiting_outcomes.iter().any(|outcome| outcome.ordered);
        let kind = if lazy { FrameKind::Lazy } else { FrameKind::Synced };
        let mut builder = match self.journal.begin_frame(kind, class, bytes, self.shared.now()) {
            Ok(builder) => builder,
            Err(AppendError::Full) => {
                self.take_back(later);
                return self.give_up_for_want_of_room(class, &counted);
            }
            Err(error) => return Err(error),
        };
        let mut frame = Frame::new(builder.time());
        self.stage_outcomes(&mut builder, &mut frame);
        self.stage_urgent(&mut builder, &mut frame);
        self.stage_operational(counted, &mut builder, &mut frame);
        self.stage_ingest(&mut builder, &mut frame);
        self.take_back(later);
        if !frame.records.is_empty() {
            let began = Instant::now();
            let appended = self.journal.append(builder)?;
            self.meters.appended(frame.records.len(), appended.bytes);
            if lazy {
                self.unsynced_since.get_or_insert(began);
            } else {
                self.sync_now()?;
            }
        }
        self.publish(frame);
        Ok(true)
    }

    pub(crate) fn sync(&mut self) -> Result<(), AppendError> {
        if self.unsynced_since.is_some() { self.sync_now() } else { Ok(()) }
    }

    fn sync_now(&mut self) -> Result<(), AppendError> {
        let began = Instant::now();
        self.journal.sync()?;
        self.unsynced_since = None;
        self.meters.synced(began.elapsed());
        Ok(())
    }

    /// Everything is on disk: now it happens in memory too, and is answered.
    fn publish(&mut self, mut frame: Frame) {
        self.rows.take_from(&frame.records);
        rows::index(&self.shared.index, &frame.records, &mut self.rows.ends);
        {
            let mut state = self.shared.state.lock();
            let mut config = self.shared.config.write();
            let mut in_flight = self.shared.in_flight.lock();
            for (position, record) in &frame.records {
                state.apply(&mut config, *position, record, &mut self.events);
                if let Record::Outcome(outcome, _) = record {
                    in_flight.remove(&outcome.delivery.key());
                }
            }
            state.applied = self.journal.end();
            self.shared.note_record(state.last_record);
            if !state.thirsty.is_empty() {
                self.keeper.wake();
            }
        }
        if frame.records.iter().any(|(_, record)| matches!(record, Record::Config(_))) {
            self.shared.forget_changed_targets(&self.events);
            self.shared.configured.notify_one();
        }
        self.told.clear();
        self.told.extend(self.events.iter().filter_map(|event| match event {
            LaneEvent::Waiting { key, .. } => Some(key.message),
            _ => None,
        }));
        for (_, record) in &frame.records {
            self.meters.count(record);
        }
        self.shared.bodies.follow(&frame.records, &self.told);
        rows::index(&self.shared.index, &frame.records, &mut self.rows.begins);
        self.shared.feed.push(&mut self.events);
        // The newest first: who waits for many in order is woken by the oldest, once, and
        // finds all of them. The other way round it would take them one by one as they come.
        for answer in frame.answers.drain(..).rev() {
            answer.send();
        }
    }
}
