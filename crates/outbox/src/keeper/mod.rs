//! The thread that does what nobody waits for.
//!
//! ```text
//!   committer: "a lane runs dry", "a segment is sealed" ---+
//!   doors: "a task was asked for" -------------------------+--> [ one round of each duty ]
//!   a tick every second -----------------------------------+          |
//!                                       Urgent requests to the committer, files
//! ```
//!
//! Each duty is a step that does a bounded amount of work and can be done again
//! after a crash: what it achieves is a record, or can be derived.

mod checkpoints;
mod expiry;
mod expunge;
mod grace;
mod index;
mod lanes;
mod retention;
mod scrub;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use postrider_model::position::Position;
use tokio::sync::oneshot;

use crate::answers::Answers;
use crate::committer::request::{Errand, Urgent};
use crate::disk::Disk;
use crate::open::LastCheckpoint;
use crate::shared::Shared;

/// Wakes the keeper, which then looks at all of its duties. Signals do not pile up.
#[derive(Clone)]
pub(crate) struct KeeperSignal {
    wake: Sender<()>,
    stop: Arc<AtomicBool>,
}

impl KeeperSignal {
    /// A signal and what the keeper waits on.
    pub(crate) fn new() -> (Self, Receiver<()>) {
        let (wake, woken) = crossbeam_channel::bounded(1);
        (Self { wake, stop: Arc::default() }, woken)
    }

    /// There is something to do: a lane runs dry, a task was asked for, room is short.
    pub(crate) fn wake(&self) {
        match self.wake.try_send(()) {
            // Full: it will wake up anyway. Gone: it has ended.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// The keeper is to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }
}

/// How often the duties that depend on time are looked at.
const TICK: Duration = Duration::from_secs(1);

/// The housekeeping. The binary gives it a thread.
pub struct Keeper {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    urgent: Sender<Urgent>,
    errands: Sender<Errand>,
    pub(crate) answers: Answers,
    woken: Receiver<()>,
    signal: KeeperSignal,
    indexing: index::Indexing,
    checkpoints: checkpoints::Checkpoints,
    walked: tasks::Walked,
    /// Where the journal ended when no room could be made, and until when that is not tried again.
    no_room_at: Option<(Position, Duration)>,
    grace: grace::Grace,
    scrub: scrub::Scrub,
    expunging: expunge::Expunging,
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        (urgent, errands): (Sender<Urgent>, Sender<Errand>),
        (signal, woken): (KeeperSignal, Receiver<()>),
        checkpoint: LastCheckpoint,
    ) -> Self {
        let first_live = shared.state.lock().applied.segment();
        Self {
            indexing: index::Indexing::new(first_live),
            checkpoints: checkpoints::Checkpoints::new(checkpoint),
            walked: tasks::Walked::new(),
            no_room_at: None,
            grace: grace::Grace::new(shared.clock.now(), shared.clock.monotonic()),
            scrub: scrub::Scrub::new(shared.clock.monotonic()),
            expunging: expunge::Expunging::default(),
            shared,
            disk,
            urgent,
            errands,
            answers: Answers::default(),
            woken,
            signal,
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        self.round();
        while !self.signal.stop.load(Ordering::Acquire) {
            match self.woken.recv_timeout(TICK) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.round(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One round of each duty.
    pub(crate) fn round(&mut self) {
        lanes::fill(&self.shared);
        self.work_on_tasks();
        self.index_some();
        self.write_checkpoint_if_due();
        self.expunge_some();
        if self.grace.allows(self.shared.clock.now(), self.shared.clock.monotonic(), &self.shared.options) {
            self.expire_held();
            self.forget_dead_letters();
            self.forget_old_entries();
            self.remove_old_segments();
        }
        self.make_room();
        self.scrub_one();
    }

    /// Fills the windows of lanes that run dry.
    #[cfg(feature = "simulation")]
    pub(crate) fn fill_lanes(&self) {
        lanes::fill(&self.shared);
    }

    /// Asks the committer and waits. `None` if it has ended or dropped the request.
    fn ask<T>(&self, errand: impl FnOnce(oneshot::Sender<T>) -> Errand) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let errand = errand(reply);
        if self.shared.hand(&self.errands, errand) { self.answers.wait(answer) } else { None }
    }
}

#[cfg(test)]
mod tests;
