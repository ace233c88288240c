//! What is told of a call, in the frame of what it has changed: neither is there
//! without the other.

use std::sync::Arc;

use postrider_model::audit::{Call, Entry, Told};
use postrider_model::command::Reply;
use postrider_model::id::AuditId;
use tokio::sync::oneshot;

use super::{Answer, Committer, Frame};
use crate::committer::request::{Carrying, ReplyTo};
use crate::journal::FrameBuilder;
use crate::record::{ExpungedContent, Record};

impl Committer {
    /// Tells of the calls that are answered from the nth answer on, by the records from the nth on.
    pub(super) fn tell(&mut self, from: (usize, usize), builder: &mut FrameBuilder, frame: &mut Frame) {
        let (answers, records) = from;
        let told: Vec<_> = frame.answers.iter().skip(answers).filter_map(Answer::call).collect();
        for (told, created) in told.into_iter().filter(|(told, _)| told.tell()) {
            let mut entry = self.entry(&told.call, builder, frame);
            if created {
                entry.status = told.call.status_if_created;
            }
            for (_, record) in frame.records.iter().skip(records) {
                self.note(&mut entry, record);
            }
            self.push(builder, frame, Record::Audit(Box::new(entry)));
        }
    }

    /// An entry by itself.
    pub(super) fn stage_note(
        &mut self,
        call: &Call,
        reply: ReplyTo<()>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let entry = self.entry(call, builder, frame);
        if self.push(builder, frame, Record::Audit(Box::new(entry))) {
            frame.answers.push(Answer::Noted(reply));
        }
    }

    /// An entry moves to the front of the journal.
    pub(super) fn stage_carried_entry(
        &mut self,
        entry: Box<Entry>,
        reply: oneshot::Sender<Carrying>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        if self.push(builder, frame, Record::Audit(entry)) {
            frame.answers.push(Answer::Carried(reply));
        }
    }

    fn entry(&mut self, call: &Call, builder: &FrameBuilder, frame: &Frame) -> Entry {
        Entry::new(AuditId(self.id(frame.now, builder.next_position())), call)
    }

    /// The configuration is still that before the frame.
    fn note(&self, entry: &mut Entry, record: &Record) {
        match record {
            Record::Config(change) => entry.note_change(&self.shared.config.read(), change),
            Record::Deliveries(change) => {
                let one = change.deliveries.first();
                entry.target.app = one.map(|delivery| delivery.app).or(entry.target.app);
                if let [only] = &*change.deliveries {
                    entry.target.endpoint = Some(only.endpoint);
                    entry.target.message = Some(only.message);
                }
                *entry.deliveries.get_or_insert(0) += change.deliveries.len() as u64;
            }
            Record::TaskStarted(started) => {
                entry.target.task = Some(started.id);
                entry.target.app = started.work.app().or(entry.target.app);
                entry.target.endpoint = started.work.endpoint().or(entry.target.endpoint);
            }
            Record::Expunged(expunged) => {
                entry.target.app = Some(expunged.app);
                match expunged.what {
                    ExpungedContent::Payload { message, .. } => entry.target.message = Some(message),
                    ExpungedContent::Response { attempt, .. } => entry.target.attempt = Some(attempt),
                }
            }
            _ => {}
        }
    }
}

impl Answer {
    /// The call that is answered, and whether something new came of it.
    fn call(&self) -> Option<(Arc<Told>, bool)> {
        match self {
            Self::Command(to, reply) => {
                let created = match reply {
                    Reply::Application { created, .. }
                    | Reply::Endpoint { created, .. }
                    | Reply::EventType { created, .. } => *created,
                    Reply::Done | Reply::Org(_) => false,
                };
                to.call.clone().map(|call| (call, created))
            }
            Self::Deliveries(to, _) => to.call.clone().map(|call| (call, false)),
            Self::Task(to, _) => to.call.clone().map(|call| (call, false)),
            Self::Expunged(to) => to.call.clone().map(|call| (call, false)),
            Self::Accepted(..) | Self::Batch(_) | Self::Kept(..) | Self::Carried(_) | Self::Noted(_) => None,
        }
    }
}
