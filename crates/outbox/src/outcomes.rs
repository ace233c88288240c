//! Outcomes on their way to the committer, until it takes them.
//!
//! ```text
//!   scheduler --push--> waiting --take--> committer
//!                          |                  ^
//!                          +--- announced ----+   the first one: gather, or come
//!                          +--- hurried ------+   others wait for one in order: come
//! ```

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use postrider_model::lane::Settlement;

/// Outcomes in their order. The scheduler never waits here; there is room for as many
/// as may be in flight or unrecorded. Only the first of those that wait is announced,
/// so the committer is woken once for all of them.
pub(crate) struct Outcomes {
    waiting: Mutex<Vec<Settlement>>,
    limit: usize,
    announce: Sender<()>,
    announced: Receiver<()>,
    hurry: Sender<()>,
    hurried: Receiver<()>,
}

impl Outcomes {
    /// Room for at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        let ((announce, announced), (hurry, hurried)) = (bounded(1), bounded(1));
        Self { waiting: Mutex::default(), limit, announce, announced, hurry, hurried }
    }

    /// Leaves in `outcomes` those for which there is no room, and the room that it has.
    pub(crate) fn push(&self, outcomes: &mut Vec<Settlement>) {
        let mut waiting = self.waiting.lock();
        let fits = self.limit.saturating_sub(waiting.len()).min(outcomes.len());
        let first = waiting.is_empty() && fits > 0;
        let hurried = outcomes.iter().any(|outcome| outcome.ordered);
        waiting.extend(outcomes.drain(..fits));
        // One that is full was not heard yet, which is as good.
        if hurried {
            let _ = self.hurry.try_send(());
        } else if first {
            let _ = self.announce.try_send(());
        }
    }

    /// Takes all that wait; `into` is empty.
    pub(crate) fn take(&self, into: &mut Vec<Settlement>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut *waiting, into);
        let _ = (self.announced.try_recv(), self.hurried.try_recv());
    }

    /// Says that some wait.
    pub(crate) fn announced(&self) -> &Receiver<()> {
        &self.announced
    }

    /// Says that one of those that wait is not to wait any longer.
    pub(crate) fn hurried(&self) -> &Receiver<()> {
        &self.hurried
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}
