//! Requests with an idempotency key in a frame: each makes its change once, and
//! the reply to it goes on record beside the change.

use bytes::Bytes;
use postrider_model::once::Answered;
use postrider_model::ports::ControlError;
use postrider_model::query::QueryError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{Answer, Committer, Frame};
use crate::committer::request::{Carrying, ReplyTo, Urgent};
use crate::journal::FrameBuilder;
use crate::lookup::Earlier;
use crate::record::{self, IdempotencyKey, Kept, Record};
use crate::stored_json;

impl Committer {
    /// The request, unless there was one with its key: then that one's reply, or
    /// answer, is given, and nothing else happens.
    pub(super) fn first_with_its_key(&mut self, request: Urgent, frame: &Frame) -> Option<Urgent> {
        let Some(once) = request.once() else { return Some(request) };
        if frame.answered.contains(&once.key) {
            self.waiting_urgent.push_back(request);
            return None;
        }
        match (self.shared.earlier(once), &request) {
            (Ok(None), _) | (Ok(Some(Earlier::Reply(_))), Urgent::Keep(..)) => Some(request),
            (Ok(Some(earlier)), _) => {
                request.answer_like(Ok(earlier));
                None
            }
            (Err(error), _) => {
                request.answer_like(Err(error));
                None
            }
        }
    }

    /// Puts the replies of the frame from the nth answer on beside what they are about.
    pub(super) fn keep_replies(&mut self, from: usize, builder: &mut FrameBuilder, frame: &mut Frame) {
        let kept: Vec<_> = frame.answers.iter().skip(from).filter_map(Answer::kept).collect();
        for (once, reply) in kept {
            self.push_answered(once, Kept::Reply, &reply, builder, frame);
        }
    }

    pub(super) fn stage_answer(
        &mut self,
        answered: Answered,
        reply: ReplyTo<Answered>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let kept = Kept::Answer { status: answered.status };
        let fits = reply.once.is_some_and(|once| self.push_answered(once, kept, &answered.body, builder, frame));
        if fits {
            frame.answers.push(Answer::Kept(reply, answered));
        }
    }

    pub(super) fn stage_carried_answer(
        &mut self,
        answered: record::Answered,
        sealed: Bytes,
        reply: oneshot::Sender<Carrying>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        if self.push(builder, frame, Record::Answered(answered, sealed)) {
            frame.answers.push(Answer::Carried(reply));
        }
    }

    fn push_answered(
        &mut self,
        once: IdempotencyKey,
        kept: Kept,
        bytes: &[u8],
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) -> bool {
        frame.answered.insert(once.key);
        let sealed = self.shared.sealer.seal_bytes(bytes).into();
        self.push(builder, frame, Record::Answered(record::Answered { once, at: frame.now, kept }, sealed))
    }
}

impl Urgent {
    fn once(&self) -> Option<IdempotencyKey> {
        match self {
            Self::Command(_, reply) => reply.once,
            Self::Deliveries(request) | Self::SendAgain(request, _) => request.reply.once,
            Self::StartTask(_, reply) => reply.once,
            Self::Keep(_, reply) => reply.once,
            Self::Expunge(request) => request.reply.once,
            Self::Batch(_)
            | Self::FinishTask(_)
            | Self::Carry(_)
            | Self::CarryAnswer(..)
            | Self::Note(..)
            | Self::CarryEntry(..) => None,
        }
    }

    /// Answers the request as the earlier one with its key was.
    fn answer_like(self, earlier: Result<Earlier, ControlError>) {
        match self {
            Self::Command(_, reply) => reply.send_like(earlier),
            Self::Deliveries(request) | Self::SendAgain(request, _) => request.reply.send_like(earlier),
            Self::StartTask(_, reply) => reply.send_like(earlier),
            Self::Expunge(request) => request.reply.send_like(earlier),
            Self::Keep(_, reply) => reply.send(earlier.and_then(|earlier| match earlier {
                Earlier::Answer(answered) => Ok(answered),
                Earlier::Reply(_) => Err(QueryError::Failed("a reply is no answer".to_owned()).into()),
            })),
            // These have no key.
            Self::Batch(_)
            | Self::FinishTask(_)
            | Self::Carry(_)
            | Self::CarryAnswer(..)
            | Self::Note(..)
            | Self::CarryEntry(..) => {}
        }
    }
}

impl<T: DeserializeOwned> ReplyTo<T> {
    fn send_like(self, earlier: Result<Earlier, ControlError>) {
        if let (Ok(_), Some(call)) = (&earlier, &self.call) {
            // The earlier request's entry tells of the change; this one makes none.
            call.tell();
        }
        self.send(earlier.and_then(|earlier| match earlier {
            Earlier::Answer(answered) => Err(ControlError::Answered(answered)),
            Earlier::Reply(json) => {
                stored_json::from_slice(&json).map_err(|problem| QueryError::Failed(problem).into())
            }
        }));
    }
}

impl<T: Serialize> ReplyTo<T> {
    fn kept(&self, reply: &T) -> Option<(IdempotencyKey, Vec<u8>)> {
        let once = self.once?;
        Some((once, serde_json::to_vec(reply).expect("replies have string keys only")))
    }
}

impl Answer {
    /// The reply in JSON, if the request has a key.
    fn kept(&self) -> Option<(IdempotencyKey, Vec<u8>)> {
        match self {
            Self::Command(to, reply) => to.kept(reply),
            Self::Deliveries(to, count) => to.kept(count),
            Self::Task(to, task) => to.kept(task),
            Self::Expunged(to) => to.kept(&()),
            Self::Accepted(..) | Self::Batch(_) | Self::Kept(..) | Self::Carried(_) | Self::Noted(_) => None,
        }
    }
}
