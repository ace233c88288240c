//! Several messages in one request: its id, its body, and what an answer says of each.
//!
//! ```text
//!   [{"id":"msg_..","type":"order.paid","timestamp":"2027-01-15T08:00:00.007Z","data":{..}},
//!    {"id":"msg_..","type":"order.sent","timestamp":"2027-01-15T08:00:00.009Z","data":{..}}]
//! ```
//!
//! By the formats of CloudEvents it is an array of those instead, whether single ones
//! would be structured or binary. An element is made of its message alone, so that it
//! has the same bytes in every attempt, whoever goes with it (W7).

use bytes::Bytes;
use postrider_model::batch::element_bytes;
use postrider_model::format::Format;
use postrider_model::id::{ID_BYTES, RawId};
use postrider_model::job::Job;
use postrider_model::position::Position;
use postrider_model::target::Target;
use sha2::{Digest as _, Sha256};

use crate::request;

/// The members of a batch in the order of their acceptance, and the endpoint that all
/// go to.
pub(crate) struct Batch<'a> {
    members: Vec<&'a Job>,
    target: &'a Target,
}

impl<'a> Batch<'a> {
    /// The batch that a job stands for, if it is one of a batch.
    pub(crate) fn of(job: &'a Job) -> Option<Self> {
        let mut members: Vec<_> = std::iter::once(job).chain(job.others.as_ref()?).collect();
        members.sort_by_key(|member| member.key.message);
        Some(Self { members, target: &job.target })
    }

    /// Messages in it.
    pub(crate) const fn len(&self) -> usize {
        self.members.len()
    }

    /// Sent as `webhook-id`: the same for the same members. In the form of other ids, the
    /// beginning of a hash over theirs.
    pub(crate) fn id(&self) -> String {
        let mut hash = Sha256::new();
        self.members.iter().for_each(|member| hash.update(member.message.0.as_bytes()));
        let mut bytes = [0; ID_BYTES];
        bytes.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        format!("batch_{}", RawId::from_bytes(bytes))
    }

    /// The body, a JSON array.
    pub(crate) fn body(&self) -> Bytes {
        let room = |job: &&Job| element_bytes(&job.event_type, job.content_type.as_deref(), job.body.len());
        let mut body = Vec::with_capacity(2 + self.members.iter().map(room).sum::<usize>());
        body.push(b'[');
        for (place, job) in self.members.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            let event = request::event(job);
            match self.target.format {
                Format::Payload | Format::Standard => event.write_element(&mut body),
                Format::CloudEventsBinary | Format::CloudEventsStructured => {
                    event.write_cloudevent(&self.target.source, &mut body);
                }
            }
        }
        body.push(b']');
        body.into()
    }

    /// The messages that an answer with success names as failed, by their sequences. All of
    /// them if it says that some failed and not which of ours, or broke off before it could.
    /// `is_whole` says that nothing was left unread.
    pub(crate) fn failed(&self, answer: &[u8], broke_off: bool, is_whole: bool) -> Vec<Position> {
        let members: Vec<_> = self.members.iter().map(|member| (member.message, member.key.message)).collect();
        answer::failed(&members, answer, broke_off, is_whole)
    }
}

mod answer;
#[cfg(test)]
mod fuzzing;
#[cfg(test)]
mod tests;
