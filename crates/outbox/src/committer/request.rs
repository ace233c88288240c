//! What the committer is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::attempt::FAILURE_RESPONSE_KEPT_BYTES;
use postrider_model::audit::{Call, Entry, Told};
use postrider_model::command::{Command, Reply};
use postrider_model::delivery::{DeliveryKey, DeliveryState};
use postrider_model::event_type::Validation;
use postrider_model::filter::Filter;
use postrider_model::id::{AppId, EndpointId, MessageId, OrgId, TaskId};
use postrider_model::job::AttemptResult;
use postrider_model::lane::Settlement;
use postrider_model::message::Accepted;
use postrider_model::once::Answered;
use postrider_model::ports::{AcceptError, ControlError};
use postrider_model::position::Position;
use postrider_model::schema::Mismatch;
use postrider_model::task::{Task, TaskWork};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::record::{self, Content, DeliveryChange, DeliveryRef, ExpungedContent, IdempotencyKey};

/// A message that is validated, with its deliveries computed.
pub(crate) struct Ingest {
    pub(crate) org: OrgId,
    /// The one endpoint that it is for.
    pub(crate) only: Option<EndpointId>,
    /// The id is set by the committer.
    pub(crate) meta: record::Accepted,
    /// The filters that were asked, and of which endpoints.
    pub(crate) asked: Vec<(EndpointId, Filter)>,
    /// The endpoints whose filters did not let it through.
    pub(crate) held_back: Vec<EndpointId>,
    /// How its payload differs from the schema of its type, and what follows.
    pub(crate) mismatch: Option<Box<(Validation, Mismatch)>>,
    pub(crate) event_key: Option<[u8; 16]>,
    pub(crate) body: Bytes,
    /// The time at which it ends is set by the committer.
    pub(crate) payload_retention: Option<Duration>,
    pub(crate) reply: oneshot::Sender<Result<Accepted, AcceptError>>,
    /// The room that the message takes while it waits. That of a group is with its
    /// last member.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// What came together with it, of a group, and goes through the channel with its first member.
    #[expect(clippy::vec_box, reason = "each is taken out, and goes on by itself")]
    pub(crate) more: Vec<Box<Self>>,
}

/// Everything that is neither a message nor an outcome. It goes before messages in a frame.
pub(crate) enum Urgent {
    /// A change of the configuration.
    Command(Command, ReplyTo<Reply>),
    /// A change of deliveries. Those in a state in which it is not legal are left out.
    Deliveries(DeliveriesRequest),
    /// A delivery is to be sent again, as it was when the journal ended there: its attempts may have gone on since.
    SendAgain(DeliveriesRequest, Position),
    /// A task begins.
    StartTask(TaskWork, ReplyTo<Task>),
    /// A part of a task.
    Batch(TaskBatch),
    /// A task has ended.
    FinishTask(TaskId),
    /// A message has to move out of its segment.
    Carry(CarryRequest),
    /// A payload or an answer is to be removed.
    Expunge(ExpungeRequest),
    /// A request with an idempotency key was answered.
    Keep(Answered, ReplyTo<Answered>),
    /// What a request with an idempotency key came to has to move out of its segment.
    CarryAnswer(record::Answered, Bytes, oneshot::Sender<Carrying>),
    /// An entry of the audit log that tells of no change in the store.
    Note(Box<Call>, ReplyTo<()>),
    /// An entry of the audit log has to move out of its segment.
    CarryEntry(Box<Entry>, oneshot::Sender<Carrying>),
}

/// What needs no record. It has a channel of its own, which is looked at first:
/// on a full disk it is this that makes room.
pub(crate) enum Errand {
    /// Everything recorded so far is to be in the checkpoint that is given back.
    Checkpoint(oneshot::Sender<(Position, Vec<u8>)>),
    /// Drops a segment that nothing needs.
    RemoveSegment(u32, oneshot::Sender<()>),
    /// Nothing more is to be appended to a segment.
    SealSegment(u32, oneshot::Sender<()>),
    /// Puts a segment that was written anew in the place of the old one.
    ReplaceSegment(u32, oneshot::Sender<()>),
    /// Removes the torn tails that were kept for people.
    RemoveTornTails(oneshot::Sender<()>),
    /// Record what waits, sync, and end.
    Stop,
}

/// Where an answer goes, with the room that its request takes until it is
/// answered: whoever asked may be gone long before.
pub(crate) struct ReplyTo<T> {
    sender: oneshot::Sender<Result<T, ControlError>>,
    _room: Option<OwnedSemaphorePermit>,
    /// The request had an idempotency key: the reply goes on record for a retry.
    pub(crate) once: Option<IdempotencyKey>,
    /// The call that the request is a part of: it is told of together with what the request changes.
    pub(crate) call: Option<Arc<Told>>,
}

impl<T> ReplyTo<T> {
    pub(crate) fn new(
        sender: oneshot::Sender<Result<T, ControlError>>,
        room: OwnedSemaphorePermit,
        once: Option<IdempotencyKey>,
        call: Option<Arc<Told>>,
    ) -> Self {
        Self { sender, _room: Some(room), once, call }
    }

    /// Bytes of the entry that tells of the call, at most.
    fn entry_bytes(&self) -> usize {
        if self.call.is_some() { ENTRY_BYTES } else { 0 }
    }

    /// Nobody may hear it any more; what was asked for has happened all the same.
    pub(crate) fn send(self, answer: Result<T, ControlError>) {
        let _ = self.sender.send(answer);
    }
}

/// For the keeper, which waits for each answer.
impl<T> From<oneshot::Sender<Result<T, ControlError>>> for ReplyTo<T> {
    fn from(sender: oneshot::Sender<Result<T, ControlError>>) -> Self {
        Self { sender, _room: None, once: None, call: None }
    }
}

pub(crate) struct DeliveriesRequest {
    pub(crate) what: DeliveryChange,
    pub(crate) deliveries: Vec<DeliveryRef>,
    /// How many were changed; for a single one, why it was not.
    pub(crate) reply: ReplyTo<u64>,
}

/// A part of a task: deliveries to one endpoint that it schedules. Those that
/// are not any more what the task has seen are left out.
pub(crate) struct TaskBatch {
    pub(crate) task: TaskId,
    /// The last delivery that was looked at.
    pub(crate) cursor: DeliveryKey,
    pub(crate) deliveries: Vec<Meant>,
    /// Dropped if the batch was not recorded.
    pub(crate) reply: oneshot::Sender<Batched>,
}

/// A delivery that a task schedules, as it was when the task looked at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meant {
    pub(crate) delivery: DeliveryRef,
    /// The dead letter that it is; `None` if it is neither that nor live.
    pub(crate) known: Option<DeliveryState>,
    /// The number of its last attempt, where nothing is known.
    pub(crate) attempts_made: u16,
}

/// What became of a part of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batched {
    /// It is on disk.
    Recorded,
    /// The lane's window has no room for so many, or the index cannot be read; nothing has happened.
    NoRoom,
}

/// The committer writes the states as they are when it writes the record.
pub(crate) struct CarryRequest {
    pub(crate) message: record::Accepted,
    pub(crate) sequence: Position,
    /// Those that the message names, and those to which a replay added it.
    pub(crate) endpoints: Vec<EndpointId>,
    pub(crate) body: Content,
    /// Those of them whose delivery was live or a dead letter, before it was looked how the others ended.
    pub(crate) known: Vec<EndpointId>,
    /// How the others ended.
    pub(crate) ended: BTreeMap<EndpointId, DeliveryState>,
    pub(crate) reply: oneshot::Sender<Carrying>,
}

/// What came of it that a record was to be carried.
pub(crate) enum Carrying {
    Done,
    /// One of the message's deliveries has ended since it was looked how they stand. Carried
    /// without that, its end would be forgotten with the segment that tells of it.
    LookAgain,
}

/// The record with the content was found.
pub(crate) struct ExpungeRequest {
    pub(crate) app: AppId,
    pub(crate) what: ExpungedContent,
    /// Where the record lies.
    pub(crate) position: Position,
    /// All deliveries of the message; none for an answer.
    pub(crate) deliveries: Vec<DeliveryRef>,
    pub(crate) reply: ReplyTo<()>,
}

/// Bytes that a request may take in a frame at most, head and padding included.
pub(crate) trait FrameBound {
    fn bound_bytes(&self) -> usize;
}

/// Head, padding and the fixed-size fields of a record, generously.
const FIXED_BYTES: usize = 1_024;
/// A command's record is the whole object as JSON; an event type may bring schemas.
const COMMAND_BYTES: usize = 512 << 10;
const EVENT_TYPE_BYTES: usize = 3 << 20;
/// A delivery in a list of deliveries.
const DELIVERY_BYTES: usize = 96;
/// An entry of the audit log: names, ids, and the names of fields.
const ENTRY_BYTES: usize = 8 << 10;
/// A record of a task's batch without its deliveries.
const BATCH_RECORD_BYTES: usize = 128;

impl FrameBound for Ingest {
    fn bound_bytes(&self) -> usize {
        accepted_bytes(&self.meta) + self.body.len()
    }
}

impl FrameBound for Settlement {
    fn bound_bytes(&self) -> usize {
        let kept = match &self.outcome.result {
            AttemptResult::Answered(response) => response.body.len(),
            AttemptResult::Failed { detail, .. } => detail.len(),
        };
        // One that disables its endpoint writes that too.
        let disables = if self.disable.is_some() { COMMAND_BYTES } else { 0 };
        FIXED_BYTES + self.outcome.url.as_str().len() + kept.min(FAILURE_RESPONSE_KEPT_BYTES) + disables
    }
}

impl FrameBound for Urgent {
    fn bound_bytes(&self) -> usize {
        match self {
            // Where the reply goes on record, it holds the object once more.
            Self::Command(command, reply) => {
                let object = if let Command::EventType { .. } = command { EVENT_TYPE_BYTES } else { COMMAND_BYTES };
                (object << usize::from(reply.once.is_some())) + reply.entry_bytes()
            }
            Self::Deliveries(request) | Self::SendAgain(request, _) => {
                2 * FIXED_BYTES + request.deliveries.len() * DELIVERY_BYTES + request.reply.entry_bytes()
            }
            // The reply holds the work once more.
            Self::StartTask(work, reply) => {
                ((FIXED_BYTES + work_bytes(work)) << usize::from(reply.once.is_some())) + reply.entry_bytes()
            }
            // At worst each stands in a record of its own.
            Self::Batch(batch) => FIXED_BYTES + batch.deliveries.len() * (DELIVERY_BYTES + BATCH_RECORD_BYTES),
            Self::Carry(request) => {
                let states = request.endpoints.len() * DELIVERY_BYTES;
                accepted_bytes(&request.message) + states + request.body.as_ref().map_or(0, Bytes::len)
            }
            Self::Expunge(request) => {
                FIXED_BYTES + request.deliveries.len() * DELIVERY_BYTES + request.reply.entry_bytes()
            }
            Self::FinishTask(_) => FIXED_BYTES,
            Self::Note(..) | Self::CarryEntry(..) => ENTRY_BYTES,
            Self::Keep(answered, _) => FIXED_BYTES + answered.body.len(),
            Self::CarryAnswer(_, sealed, _) => FIXED_BYTES + sealed.len(),
        }
    }
}

fn work_bytes(work: &TaskWork) -> usize {
    let (types, labels) = match work {
        TaskWork::ReplayDeadLetters(filter) => (filter.event_types.as_ref(), [None, None]),
        TaskWork::Recover(_) | TaskWork::ReplayMissing(_) => (None, [None, None]),
        TaskWork::BulkReplay(bulk) => (bulk.event_types.as_ref(), [bulk.channel.as_ref(), bulk.tag.as_ref()]),
    };
    let texts = types.into_iter().flatten().chain(labels.into_iter().flatten());
    texts.map(|text| text.len() + 8).sum()
}

fn accepted_bytes(meta: &record::Accepted) -> usize {
    let texts = meta.channels.iter().chain(&meta.tags).map(|text| text.len() + 8).sum::<usize>();
    let named = [&meta.content_type, &meta.event_id].into_iter().flatten().map(String::len).sum::<usize>();
    FIXED_BYTES + meta.event_type.len() + texts + named + meta.endpoints.len() * 34
}

/// A message's id before the committer has given it one.
pub(crate) fn no_id() -> MessageId {
    MessageId(postrider_model::id::RawId::from_bytes([0; 20]))
}

#[cfg(test)]
mod tests;
