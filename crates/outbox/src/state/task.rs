//! A task: what it is to do and how far it is.

use postrider_model::delivery::DeliveryKey;
use postrider_model::id::TaskId;
use postrider_model::task::{Task, TaskWork};
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::record::TaskStarted;

/// Progress of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskState {
    pub(crate) work: TaskWork,
    pub(crate) created: UnixMs,
    /// The last delivery that was looked at: those that go through messages go on
    /// after it. Tasks that go through dead letters do not need it: what they have
    /// replayed is a dead letter no more, or died again after they began.
    pub(crate) cursor: Option<DeliveryKey>,
    pub(crate) sent: u64,
    pub(crate) updated: UnixMs,
    pub(crate) finished: bool,
}

impl TaskState {
    pub(crate) fn new(started: &TaskStarted) -> Self {
        Self {
            work: started.work.clone(),
            created: started.created,
            cursor: None,
            sent: 0,
            updated: started.created,
            finished: false,
        }
    }

    pub(crate) fn advance(&mut self, cursor: DeliveryKey, sent: u64, at: UnixMs) {
        self.cursor = Some(cursor);
        self.sent += sent;
        self.updated = at;
    }

    pub(crate) fn finish(&mut self, at: UnixMs) {
        self.finished = true;
        self.updated = at;
    }

    pub(crate) fn show(&self, id: TaskId) -> Task {
        let Self { created, sent, updated, finished, .. } = *self;
        Task { id, work: self.work.clone(), sent, finished, created, updated }
    }
}
