//! The beginning and the end of a bulk replay, in a frame.

use postrider_model::id::TaskId;
use postrider_model::ports::DeliveryFilter;

use super::{Answer, Committer, Frame};
use crate::committer::request::ReplyTo;
use crate::journal::FrameBuilder;
use crate::record::{Record, TaskStarted};

impl Committer {
    pub(super) fn stage_task(
        &mut self,
        filter: DeliveryFilter,
        reply: ReplyTo<TaskId>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let id = TaskId(self.id(frame.now, builder.next_position()));
        if self.push(builder, frame, Record::TaskStarted(TaskStarted { id, filter, created: frame.now })) {
            frame.answers.push(Answer::Task(reply, id));
        }
    }

    pub(super) fn stage_task_end(&mut self, id: TaskId, builder: &mut FrameBuilder, frame: &mut Frame) {
        self.push(builder, frame, Record::TaskFinished(id));
    }
}
