//! Several messages that come together: one place in the committer's channel, and
//! one frame, if they fit into one.

use postrider_model::filter::HURRIED_STEPS;
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::ports::{AcceptError, Unavailable};
use tokio::sync::oneshot;

use super::accept::room_bytes;
use crate::Outbox;

/// What a message of the group is to hear.
enum Outcome {
    Refused(AcceptError),
    Waits(oneshot::Receiver<Result<Accepted, AcceptError>>),
}

impl Outbox {
    pub(super) async fn accept_group(self, messages: Vec<NewMessage>) -> Vec<Result<Accepted, AcceptError>> {
        let bytes = messages.iter().map(room_bytes).sum();
        let room = match self.room(bytes).await {
            Ok(room) => room,
            Err(error) => return messages.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut group = Vec::with_capacity(messages.len());
        for message in messages {
            let (reply, answer) = oneshot::channel();
            let prepared = match self.check(&message).await {
                Ok(()) => self.prepare(message, reply, HURRIED_STEPS),
                Err(error) => Err(error.into()),
            };
            outcomes.push(match self.looked_into(prepared).await {
                Ok(message) => {
                    group.push(message);
                    Outcome::Waits(answer)
                }
                Err(error) => Outcome::Refused(error),
            });
        }
        if let Some(last) = group.last_mut() {
            // They are taken in their order, so the last one gives the room back.
            last.room = Some(room);
        }
        let mut group = group.into_iter();
        if let Some(mut first) = group.next() {
            first.more = group.collect();
            // If it does not get there, each member hears that by losing the other end.
            let _ = self.send(first);
        }
        let mut answers = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            answers.push(match outcome {
                Outcome::Refused(error) => Err(error),
                Outcome::Waits(answer) => answer.await.unwrap_or_else(|_| Err(Unavailable::Stopping.into())),
            });
        }
        answers
    }
}
