//! What the scheduler is told, until it takes it.

use parking_lot::Mutex;
use postrider_model::lane::LaneEvent;
use tokio::sync::Notify;

/// Events in their order. The committer never waits here; what can pile up is
/// bounded by the lanes' windows, since a delivery that waits to be taken is one
/// of those.
#[derive(Default)]
pub(crate) struct Feed {
    events: Mutex<Vec<LaneEvent>>,
    changed: Notify,
}

impl Feed {
    /// Leaves `events` empty, with its room kept for the next time.
    pub(crate) fn push(&self, events: &mut Vec<LaneEvent>) {
        if events.is_empty() {
            return;
        }
        self.events.lock().append(events);
        self.changed.notify_one();
    }

    pub(crate) fn take(&self, into: &mut Vec<LaneEvent>) {
        into.append(&mut self.events.lock());
    }

    /// Ends when there is something to take. For one waiter at a time.
    pub(crate) async fn changed(&self) {
        while self.events.lock().is_empty() {
            self.changed.notified().await;
        }
    }
}
