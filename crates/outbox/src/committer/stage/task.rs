//! A task in a frame: its beginning, its parts, its end.

use std::collections::BTreeMap;

use postrider_model::command::CommandError;
use postrider_model::id::TaskId;
use postrider_model::ports::ControlError;
use postrider_model::query::QueryError;
use postrider_model::task::{MAX_RUNNING_TASKS, Task, TaskWork};

use super::{Answer, Committer, Frame};
use crate::committer::request::{Batched, Meant, ReplyTo, TaskBatch, Urgent};
use crate::journal::FrameBuilder;
use crate::record::{Deliveries, DeliveryChange, DeliveryRef, Record, TaskFinished, TaskStarted};

impl Committer {
    pub(super) fn stage_task(
        &mut self,
        work: TaskWork,
        reply: ReplyTo<Task>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        if let Err(error) = self.may_start(&work, frame) {
            return reply.send(Err(error));
        }
        let (id, created) = (TaskId(self.id(frame.now, builder.next_position())), frame.now);
        let started = TaskStarted { id, work: work.clone(), created };
        if self.push(builder, frame, Record::TaskStarted(started)) {
            let task = Task { id, work, sent: 0, finished: false, created, updated: created };
            frame.answers.push(Answer::Task(reply, task));
        }
    }

    fn may_start(&self, work: &TaskWork, frame: &Frame) -> Result<(), ControlError> {
        let state = self.shared.state.lock();
        if work.endpoint().is_some_and(|endpoint| !state.lanes.contains_key(&endpoint)) {
            return Err(ControlError::NotFound { kind: "endpoint" });
        }
        let running = state.tasks.values().filter(|task| !task.finished && task.work.app() == work.app()).count();
        let in_frame = frame
            .records
            .iter()
            .filter(|(_, record)| matches!(record, Record::TaskStarted(started) if started.work.app() == work.app()));
        if running + in_frame.count() >= MAX_RUNNING_TASKS {
            let what = "running tasks of one application";
            return Err(CommandError::Limit { what, limit: MAX_RUNNING_TASKS }.into());
        }
        Ok(())
    }

    pub(super) fn stage_batch(&mut self, mut batch: TaskBatch, builder: &mut FrameBuilder, frame: &mut Frame) {
        if batch.deliveries.iter().any(|meant| frame.changes(&meant.delivery)) {
            return self.waiting_urgent.push_back(Urgent::Batch(batch));
        }
        let looked = self.leave_out_what_was_begun(&mut batch);
        let Some(by_number) = looked.ok().and_then(|()| self.meant_of(&batch)) else {
            // The keeper has ended if it does not hear it.
            let _ = batch.reply.send(Batched::NoRoom);
            return;
        };
        let task = Some((batch.task, batch.cursor));
        // All of them stand in one frame: the cursor and what it passed are on disk together.
        for (attempts_made, deliveries) in by_number {
            frame.touched.extend(deliveries.iter().map(DeliveryRef::key));
            let what = DeliveryChange::Replayed { attempts_made };
            if !self.push(builder, frame, Record::Deliveries(Deliveries { at: frame.now, what, deliveries, task })) {
                return;
            }
        }
        frame.answers.push(Answer::Batch(batch.reply));
    }

    /// Leaves out those that had ended and of which an attempt was begun since their task looked. Its outcome is
    /// in memory if it is on record: the keeper, which alone moves rows to disk, waits for what becomes of the batch.
    fn leave_out_what_was_begun(&self, batch: &mut TaskBatch) -> Result<(), QueryError> {
        let in_memory = Some(self.shared.index.in_memory());
        for Meant { delivery, known, attempts_made } in std::mem::take(&mut batch.deliveries) {
            if known.is_some() || self.shared.attempts_after(&delivery, in_memory)? <= attempts_made {
                batch.deliveries.push(Meant { delivery, known, attempts_made });
            }
        }
        Ok(())
    }

    /// The deliveries of a batch that are still what its task has seen, by the
    /// number of the last attempt. `None` if the lane's window has no room for them.
    fn meant_of(&self, batch: &TaskBatch) -> Option<BTreeMap<u16, Vec<DeliveryRef>>> {
        // Without a delivery there is a record all the same, for the cursor.
        let mut by_number = BTreeMap::from([(0, vec![])]);
        let state = self.shared.state.lock();
        let Some(lane) = state.lanes.get(&batch.cursor.endpoint) else { return Some(by_number) };
        let lane_window = self.shared.options.lane_window;
        let mut added = 0;
        for Meant { delivery, known, attempts_made } in &batch.deliveries {
            let has_payload = !state.expunging.contains(delivery.sequence);
            let but_for_resend = state.delivery(delivery).map(|state| state.without_resend());
            if has_payload && but_for_resend == *known {
                let room = if known.is_some() { lane.room_for_dead(lane_window) } else { lane.room(lane_window) };
                if added == room {
                    return None;
                }
                added += 1;
                by_number.entry(*attempts_made).or_default().push(*delivery);
            }
        }
        by_number.retain(|number, deliveries| *number == 0 || !deliveries.is_empty());
        Some(by_number)
    }

    pub(super) fn stage_task_end(&mut self, id: TaskId, builder: &mut FrameBuilder, frame: &mut Frame) {
        self.push(builder, frame, Record::TaskFinished(TaskFinished { id, at: frame.now }));
    }
}
