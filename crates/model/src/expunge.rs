//! The port by which a person removes what was sent or answered.

use crate::id::{AppId, AttemptId, MessageId};
use crate::ports::{Answer, ControlError};

/// Removes content for good. What was removed is shown and sent no more from
/// the answer on, and its bytes are gone from disk some time later. Removing
/// it once more is no error.
pub trait Expunge: Send + Sync {
    /// Removes the payload of a message. Its deliveries that wait become dead
    /// letters; an attempt in flight ends as it ends.
    fn expunge_payload(&self, app: AppId, message: MessageId) -> Answer<Result<(), ControlError>>;

    /// Removes what an endpoint answered to an attempt of a message.
    fn expunge_response(&self, app: AppId, message: MessageId, attempt: AttemptId) -> Answer<Result<(), ControlError>>;
}
