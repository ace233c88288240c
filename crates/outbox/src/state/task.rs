//! A bulk replay: what it is to replay and how far it is.

use postrider_model::delivery::DeliveryKey;
use postrider_model::id::TaskId;
use postrider_model::ports::{DeliveryFilter, Task};
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::record::TaskStarted;

/// Progress of one bulk replay. The dead letters that it replays are those that
/// died before it began, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskState {
    pub(crate) filter: DeliveryFilter,
    pub(crate) created: UnixMs,
    /// The last delivery that was looked at, for whoever reads the store. The
    /// replay itself goes by what is a dead letter still.
    pub(crate) cursor: Option<DeliveryKey>,
    pub(crate) replayed: u64,
    pub(crate) finished: bool,
}

impl TaskState {
    pub(crate) fn new(started: &TaskStarted) -> Self {
        Self { filter: started.filter.clone(), created: started.created, cursor: None, replayed: 0, finished: false }
    }

    pub(crate) fn advance(&mut self, cursor: DeliveryKey, replayed: u64) {
        self.cursor = Some(cursor);
        self.replayed += replayed;
    }

    pub(crate) fn show(&self, id: TaskId) -> Task {
        Task {
            id,
            filter: self.filter.clone(),
            replayed: self.replayed,
            finished: self.finished,
            created: self.created,
        }
    }
}
