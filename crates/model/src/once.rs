//! Idempotency keys of requests that are no messages: asking twice is asking
//! once.
//!
//! ```text
//!   answered(request) -- there is one --> the answer, as it was given
//!      | there is none
//!      v
//!   bind(request) --> ports; the change that is asked of them goes on record
//!      |              together with its reply, and is not made a second time
//!      v
//!   keep(request, answer) --> the answer goes on record, and then to the caller
//! ```
//!
//! After a crash between the last two steps the retry goes through the bound
//! ports again, is given the reply of the change that was made, and makes the
//! answer out of that.

use std::sync::Arc;

use bytes::Bytes;

use crate::audit::Audit;
use crate::id::{AppId, OrgId};
use crate::ports::{Accept, Configure, Control, ControlError};

/// A request with an idempotency key. Of two with the same `org`, `app`,
/// `route` and `key` the second is a retry of the first; if the other fields
/// differ, it is a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The tenant.
    pub org: OrgId,
    /// The one application that the caller may reach, if it is not the whole tenant.
    pub app: Option<AppId>,
    /// The path.
    pub route: String,
    /// The key.
    pub key: String,
    /// The path's parameters.
    pub query: String,
    /// The body.
    pub body: Bytes,
}

/// The answer that a request was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status, of success.
    pub status: u16,
    /// The body: JSON, or empty.
    pub body: Bytes,
}

/// Ports through which one request makes its change at most once. Further
/// changes of the same request are made each time, as if it had no key; but each
/// message gets a key of its own if it has none.
#[derive(Clone)]
pub struct BoundPorts {
    /// Takes in messages.
    pub accept: Arc<dyn Accept>,
    /// Changes the configuration.
    pub configure: Arc<dyn Configure>,
    /// Cancels and replays.
    pub control: Arc<dyn Control>,
    /// Tells of what is changed through ports that are bound to the key, too.
    pub audit: Arc<dyn Audit>,
}

/// Keeps answers for 24 hours.
pub trait Once: Send + Sync {
    /// The answer that the request was given before, if it was. Reads from disk:
    /// call it on a thread that may block.
    ///
    /// # Errors
    /// The key was used with other content, or this is not known at present.
    fn answered(&self, request: &KeyedRequest) -> Result<Option<Answered>, ControlError>;

    /// The ports for answering the request.
    fn bind(&self, request: &KeyedRequest) -> BoundPorts;

    /// Puts an answer on record; gives the one that is to be sent, which is an
    /// earlier one if two equal requests met. Synced to disk by then (W1).
    fn keep(&self, request: &KeyedRequest, answered: Answered) -> crate::ports::Answer<Result<Answered, ControlError>>;
}
