//! Bulk replays: each is a record of what is to be replayed, and batches that
//! say what was. So it goes on after a restart where it was.

use std::collections::BTreeMap;
use std::ops::Bound;

use postrider_model::delivery::DeliveryKey;
use postrider_model::id::{EndpointId, TaskId};
use postrider_model::position::Position;
use tokio::sync::oneshot;

use super::Keeper;
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::matching;
use crate::record::{DeliveryChange, DeliveryRef};
use crate::state::TaskState;

/// Dead letters that one batch looks at.
const BATCH: usize = 1_000;

/// A part of a bulk replay.
struct Batch {
    deliveries: Vec<DeliveryRef>,
    /// The last dead letter that was looked at.
    cursor: DeliveryKey,
}

impl Keeper {
    /// Lets every bulk replay go on as far as its lanes have room. A lane that is
    /// full keeps the others waiting for nothing.
    pub(super) fn replay_some(&mut self) {
        let unfinished: Vec<(TaskId, TaskState)> = {
            let state = self.shared.state.lock();
            state.tasks.iter().filter(|(_, task)| !task.finished).map(|(id, task)| (*id, task.clone())).collect()
        };
        self.replayed.retain(|id, _| unfinished.iter().any(|(unfinished, _)| unfinished == id));
        for (id, task) in unfinished {
            let mut all_done = true;
            for endpoint in matching::lanes(&self.shared, &task.filter) {
                match self.replay_lane(id, &task, endpoint) {
                    Lane::Done => {}
                    // The rest comes when the lane has drained; a later round looks again.
                    Lane::Full => all_done = false,
                    Lane::CommitterIsGone => return,
                }
            }
            if all_done {
                let _ = self.urgent.send(Urgent::FinishTask(id));
            }
        }
    }

    fn replay_lane(&mut self, id: TaskId, task: &TaskState, endpoint: EndpointId) -> Lane {
        while !self.shared.is_stopping() {
            let after = self.replayed.get(&id).and_then(|lanes| lanes.get(&endpoint)).copied();
            let (looked_at, room) = self.dead_of(endpoint, after, task);
            let Some((last, _)) = looked_at.last() else { return Lane::Done };
            if room == 0 {
                return Lane::Full;
            }
            let cursor = last.key();
            let wanted = looked_at
                .iter()
                .filter(|(delivery, died)| matching::matches(&self.shared, &task.filter, delivery, *died))
                .map(|(delivery, _)| *delivery);
            if !self.replay(id, Batch { deliveries: wanted.collect(), cursor }) {
                return Lane::CommitterIsGone;
            }
            self.replayed.entry(id).or_default().insert(endpoint, cursor.message);
        }
        Lane::CommitterIsGone
    }

    fn replay(&self, id: TaskId, batch: Batch) -> bool {
        let (reply, answer) = oneshot::channel();
        let what = DeliveryChange::Replayed { attempts_made: 0 };
        let request = DeliveriesRequest {
            what,
            deliveries: batch.deliveries,
            task: Some((id, batch.cursor)),
            reply: reply.into(),
        };
        self.urgent.send(Urgent::Deliveries(request)).is_ok() && matches!(answer.blocking_recv(), Ok(Ok(_)))
    }

    /// The next dead letters of a lane, with the times of their deaths, and the
    /// room in the lane's window.
    fn dead_of(
        &self,
        endpoint: EndpointId,
        after: Option<Position>,
        task: &TaskState,
    ) -> (Vec<(DeliveryRef, postrider_model::time::UnixMs)>, usize) {
        let state = self.shared.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return (vec![], 0) };
        let room = self.shared.options.lane_window.saturating_sub(lane.window.len());
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let dead = lane.dead.range((start, Bound::Unbounded)).filter(|(_, dead)| dead.died <= task.created);
        let found = dead.take(BATCH.min(room.max(1)));
        (found.map(|(sequence, dead)| (dead.delivery(lane.app, endpoint, *sequence), dead.died)).collect(), room)
    }
}

/// How far a lane is with a bulk replay.
enum Lane {
    Done,
    Full,
    CommitterIsGone,
}

/// How far each bulk replay is in each lane. It need not survive a restart: what
/// was replayed is no dead letter any more, or died again after the replay began.
pub(super) type Replayed = BTreeMap<TaskId, BTreeMap<EndpointId, Position>>;
