//! What a request becomes in a frame: its legality is checked here, before a
//! record is written; what is in the frame applies.

mod audit;
mod carry;
mod configuration;
mod deliveries;
mod expunge;
mod message;
mod once;
mod operational;
mod settlement;
mod task;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use postrider_model::command::Reply;
use postrider_model::delivery::DeliveryKey;
use postrider_model::id::RawId;
use postrider_model::message::Accepted;
use postrider_model::once::Answered;
use postrider_model::ports::AcceptError;
use postrider_model::position::Position;
use postrider_model::task::Task;
use postrider_model::time::UnixMs;
use tokio::sync::oneshot;

use super::Committer;
use super::request::{Batched, Carrying, ReplyTo, Urgent};
use crate::journal::FrameBuilder;
use crate::record::{DeliveryRef, Record};

/// An idempotency key is remembered this long.
pub(crate) const KEY_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// A frame on its way to the disk.
pub(super) struct Frame {
    pub(super) now: UnixMs,
    pub(super) records: Vec<(Position, Record)>,
    pub(super) answers: Vec<Answer>,
    /// Deliveries that this frame changes: a second change waits for the next
    /// frame, since it has to be checked against the first one's result.
    touched: HashSet<DeliveryKey>,
    /// The same for payloads and answers, by where they were first recorded.
    contents: HashSet<Position>,
    /// The same for the configuration.
    config_changed: bool,
    /// Keys of messages in this frame: equal ones share one answer.
    keys: HashMap<[u8; 16], InFrame>,
    /// Keys of other requests in this frame: an equal one waits for the next.
    answered: HashSet<[u8; 16]>,
}

#[derive(Clone)]
struct InFrame {
    accepted: Accepted,
    content: [u8; 16],
}

/// Who is to be told what, once the frame is on disk.
pub(super) enum Answer {
    Accepted(oneshot::Sender<Result<Accepted, AcceptError>>, Accepted),
    Command(ReplyTo<Reply>, Reply),
    Deliveries(ReplyTo<u64>, u64),
    Task(ReplyTo<Task>, Task),
    Batch(oneshot::Sender<Batched>),
    Kept(ReplyTo<Answered>, Answered),
    Carried(oneshot::Sender<Carrying>),
    Noted(ReplyTo<()>),
    Expunged(ReplyTo<()>),
}

impl Answer {
    /// Tells whoever asked, once it is on disk.
    pub(super) fn send(self) {
        // Whoever asked may have gone; what was asked for has happened all the same.
        match self {
            Self::Accepted(reply, accepted) => drop(reply.send(Ok(accepted))),
            Self::Command(reply, done) => reply.send(Ok(done)),
            Self::Deliveries(reply, count) => reply.send(Ok(count)),
            Self::Task(reply, task) => reply.send(Ok(task)),
            Self::Batch(reply) => {
                let _ = reply.send(Batched::Recorded);
            }
            Self::Kept(reply, answered) => reply.send(Ok(answered)),
            Self::Carried(reply) => drop(reply.send(Carrying::Done)),
            Self::Expunged(reply) | Self::Noted(reply) => reply.send(Ok(())),
        }
    }
}

impl Frame {
    pub(super) fn new(now: UnixMs) -> Self {
        Self {
            now,
            records: Vec::new(),
            answers: Vec::new(),
            touched: HashSet::new(),
            contents: HashSet::new(),
            config_changed: false,
            keys: HashMap::new(),
            answered: HashSet::new(),
        }
    }

    /// Whether this frame changes a delivery, or expunges or carries its message.
    fn changes(&self, delivery: &DeliveryRef) -> bool {
        self.touched.contains(&delivery.key()) || self.contents.contains(&delivery.sequence)
    }
}

impl Committer {
    pub(super) fn stage_urgent(&mut self, builder: &mut FrameBuilder, frame: &mut Frame) {
        for request in std::mem::take(&mut self.waiting_urgent) {
            let Some(request) = self.first_with_its_key(request, frame) else { continue };
            let (answers, records) = (frame.answers.len(), frame.records.len());
            match request {
                Urgent::Command(command, reply) => self.stage_command(command, reply, builder, frame),
                Urgent::Deliveries(request) => self.stage_deliveries(request, builder, frame),
                Urgent::SendAgain(request, looked_at) => self.stage_again(request, looked_at, builder, frame),
                Urgent::StartTask(work, reply) => self.stage_task(work, reply, builder, frame),
                Urgent::Batch(batch) => self.stage_batch(batch, builder, frame),
                Urgent::FinishTask(id) => self.stage_task_end(id, builder, frame),
                Urgent::Carry(request) => self.stage_carry(request, builder, frame),
                Urgent::Expunge(request) => self.stage_expunge(request, builder, frame),
                Urgent::Keep(answered, reply) => self.stage_answer(answered, reply, builder, frame),
                Urgent::Note(call, reply) => self.stage_note(&call, reply, builder, frame),
                Urgent::CarryEntry(entry, reply) => self.stage_carried_entry(entry, reply, builder, frame),
                Urgent::CarryAnswer(answered, sealed, reply) => {
                    self.stage_carried_answer(answered, sealed, reply, builder, frame);
                }
            }
            self.tell((answers, records), builder, frame);
            self.keep_replies(answers, builder, frame);
        }
    }

    pub(super) fn stage_ingest(&mut self, builder: &mut FrameBuilder, frame: &mut Frame) {
        frame.records.reserve(self.waiting_ingest.len());
        frame.answers.reserve(self.waiting_ingest.len());
        for message in std::mem::take(&mut self.waiting_ingest) {
            self.stage_message(message, builder, frame);
        }
    }

    /// Puts a record into the frame. `false` if it does not fit, which only a
    /// bound that is too small can cause; whoever asked then hears that their
    /// request was dropped.
    fn push(&mut self, builder: &mut FrameBuilder, frame: &mut Frame, record: Record) -> bool {
        let position = builder.next_position();
        let sealed = self.shared.sealer.for_disk(&record);
        let fits = builder.push(&[self.encoder.encode(sealed.as_ref().unwrap_or(&record)), record.raw()]);
        if let Err(error) = fits {
            tracing::error!(%error, "a record is larger than its bound");
            return false;
        }
        frame.records.push((position, record));
        true
    }

    fn id(&mut self, now: UnixMs, position: Position) -> RawId {
        self.mask.id(now, position, self.random.next())
    }
}
