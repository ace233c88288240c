//! Tasks that go through dead letters: those that died before the task began,
//! lane by lane, in the order of their messages.

use std::ops::Bound;

use postrider_model::delivery::DeliveryState;
use postrider_model::id::{EndpointId, TaskId};
use postrider_model::position::Position;
use postrider_model::task::TaskWork;
use postrider_model::time::UnixMs;

use super::{BATCH, Batch, Progress};
use crate::committer::request::Meant;
use crate::keeper::Keeper;
use crate::matching;
use crate::record::DeliveryRef;
use crate::shared::Shared;
use crate::state::{LaneState, TaskState};

impl Keeper {
    /// One batch of the first lane that has room. A lane that is full keeps the
    /// others waiting for nothing.
    pub(super) fn dead_letters_of(&mut self, id: TaskId, task: &TaskState) -> Progress {
        let mut progress = Progress::Done;
        for endpoint in lanes(&self.shared, &task.work) {
            let after = self.walked.get(&id).and_then(|lanes| lanes.get(&endpoint)).copied();
            let room = self.room_of(endpoint, LaneState::room_for_dead).unwrap_or(0);
            let looked_at = self.dead_of(endpoint, after, task.created, room.clamp(1, BATCH));
            let Some((last, _)) = looked_at.last() else { continue };
            if room == 0 {
                progress = Progress::Waits;
                continue;
            }
            let cursor = last.key();
            let wanted = looked_at.iter().filter(|(letter, state)| means(&self.shared, &task.work, letter, state));
            // The state of a dead letter tells of its attempts.
            let meant = |&(delivery, state): &_| Meant { delivery, known: Some(state), attempts_made: 0 };
            let deliveries = wanted.map(meant).collect();
            match self.record(id, Batch { deliveries, cursor }) {
                Progress::Waits => progress = Progress::Waits,
                Progress::More => {
                    self.walked.entry(id).or_default().insert(endpoint, cursor.message);
                    return Progress::More;
                }
                other => return other,
            }
        }
        progress
    }

    /// The next dead letters of a lane that have a payload to send.
    fn dead_of(
        &self,
        endpoint: EndpointId,
        after: Option<Position>,
        died_until: UnixMs,
        limit: usize,
    ) -> Vec<(DeliveryRef, DeliveryState)> {
        let state = self.shared.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return vec![] };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let dead = lane.dead.range((start, Bound::Unbounded));
        let dead = dead.filter(|(_, dead)| dead.died <= died_until && dead.has_payload()).take(limit);
        dead.map(|(sequence, dead)| (dead.delivery(lane.app, endpoint, *sequence), dead.state())).collect()
    }
}

fn lanes(shared: &Shared, work: &TaskWork) -> Vec<EndpointId> {
    match work {
        TaskWork::ReplayDeadLetters(filter) => matching::lanes(shared, filter),
        _ => work.endpoint().into_iter().collect(),
    }
}

fn means(shared: &Shared, work: &TaskWork, letter: &DeliveryRef, state: &DeliveryState) -> bool {
    match work {
        TaskWork::ReplayDeadLetters(filter) => matching::matches(shared, filter, letter, state),
        TaskWork::Recover(span) => span.holds(letter.accepted()),
        // They go through messages.
        TaskWork::ReplayMissing(_) | TaskWork::BulkReplay(_) => false,
    }
}
