//! Tasks: each is a record of what is to be done, and batches that say what
//! was. So it goes on after a restart where it was.

mod dead_letters;
mod messages;

use std::collections::BTreeMap;

use postrider_model::delivery::DeliveryKey;
use postrider_model::id::{EndpointId, TaskId};
use postrider_model::position::Position;
use postrider_model::task::{BulkReplay, TaskWork};
use tokio::sync::oneshot;

use super::Keeper;
use crate::committer::request::{Batched, Meant, TaskBatch, Urgent};
use crate::state::{LaneState, TaskState};

/// Deliveries that one batch schedules at most.
const BATCH: usize = 1_000;
/// Batches of one task in one round: other duties wait meanwhile.
const BATCHES_A_ROUND: usize = 16;

/// How far a task is.
enum Progress {
    /// A batch is recorded, and there may be more.
    More,
    /// The rest comes when a lane has drained; a later round looks again.
    Waits,
    /// It has done all that it was to.
    Done,
    /// The committer takes nothing: there is no room on the disk, or it has ended.
    Refused,
}

/// What a batch asks the committer for.
struct Batch {
    deliveries: Vec<Meant>,
    /// The last delivery that was looked at.
    cursor: DeliveryKey,
}

/// How far each task is in each lane with dead letters. It need not survive a
/// restart: what was replayed is no dead letter any more, or died again after
/// the task began.
pub(super) type Walked = BTreeMap<TaskId, BTreeMap<EndpointId, Position>>;

impl Keeper {
    /// Lets every task go on, as far as its lanes have room.
    pub(crate) fn work_on_tasks(&mut self) {
        let unfinished: Vec<TaskId> = {
            let state = self.shared.state.lock();
            state.tasks.iter().filter(|(_, task)| !task.finished).map(|(id, _)| *id).collect()
        };
        self.walked.retain(|id, _| unfinished.contains(id));
        for id in unfinished {
            match self.work_on(id) {
                Progress::More => self.signal.wake(),
                Progress::Waits => {}
                Progress::Done => drop(self.urgent.send(Urgent::FinishTask(id))),
                Progress::Refused => return,
            }
        }
    }

    fn work_on(&mut self, id: TaskId) -> Progress {
        let mut progress = Progress::More;
        for _ in 0..BATCHES_A_ROUND {
            // A batch moves its cursor.
            let Some(task) = self.shared.state.lock().tasks.get(&id).cloned() else { return Progress::Waits };
            if self.shared.is_stopping() {
                return Progress::Refused;
            }
            progress = self.one_batch(id, &task);
            if !matches!(progress, Progress::More) {
                break;
            }
        }
        progress
    }

    fn one_batch(&mut self, id: TaskId, task: &TaskState) -> Progress {
        match &task.work {
            TaskWork::ReplayDeadLetters(_) | TaskWork::Recover(_) => self.dead_letters_of(id, task),
            TaskWork::ReplayMissing(span) | TaskWork::BulkReplay(BulkReplay { span, .. }) => {
                self.messages_of(id, task, span)
            }
        }
    }

    /// Has a batch recorded.
    fn record(&self, task: TaskId, batch: Batch) -> Progress {
        let (reply, answer) = oneshot::channel();
        let Batch { deliveries, cursor } = batch;
        let batch = Urgent::Batch(TaskBatch { task, cursor, deliveries, reply });
        if !self.shared.hand(&self.urgent, batch) {
            return Progress::Refused;
        }
        match self.answers.wait(answer) {
            Some(Batched::Recorded) => Progress::More,
            Some(Batched::NoRoom) => Progress::Waits,
            None => Progress::Refused,
        }
    }

    /// The room in a lane's window, as `room` counts it; `None` if there is no such lane.
    fn room_of(&self, endpoint: EndpointId, room: fn(&LaneState, usize) -> usize) -> Option<usize> {
        let state = self.shared.state.lock();
        Some(room(state.lanes.get(&endpoint)?, self.shared.options.lane_window))
    }
}
