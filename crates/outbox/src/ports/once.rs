//! Requests with an idempotency key: what is known of them, and a handle through
//! which each makes its change once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_model::message::NewMessage;
use postrider_model::once::{Answered, BoundPorts, KeyedRequest, Once};
use postrider_model::ports::{Answer, ControlError};

use crate::Outbox;
use crate::committer::request::Urgent;
use crate::keys;
use crate::lookup::Earlier;
use crate::record::IdempotencyKey;

/// The request that a handle is for.
pub(crate) struct Bound {
    once: IdempotencyKey,
    changed: AtomicBool,
}

impl Bound {
    fn to(request: &KeyedRequest) -> Arc<Self> {
        let once = keys::request(request);
        Arc::new(Self { once, changed: AtomicBool::new(false) })
    }

    /// The key, for the first change that the request asks for.
    pub(crate) fn take_change(&self) -> Option<IdempotencyKey> {
        (!self.changed.swap(true, Ordering::AcqRel)).then_some(self.once)
    }

    /// Gives a message of the request a key of its own, by its place: so a retry
    /// with others corrected names it alike. The key is made of a hash, so that no
    /// sender's own key is like it.
    pub(crate) fn name(&self, message: &mut NewMessage) {
        let request = u128::from_be_bytes(self.once.key);
        let place = message.place;
        message.idempotency_key.get_or_insert_with(|| format!("{request:032x}:{place}"));
    }
}

impl Once for Outbox {
    fn answered(&self, request: &KeyedRequest) -> Result<Option<Answered>, ControlError> {
        self.room_for_key()?;
        Ok(match self.shared.earlier(keys::request(request))? {
            Some(Earlier::Answer(answered)) => Some(answered),
            Some(Earlier::Reply(_)) | None => None,
        })
    }

    fn bind(&self, request: &KeyedRequest) -> BoundPorts {
        let outbox = Arc::new(self.bound_to(request));
        BoundPorts {
            accept: Arc::clone(&outbox) as _,
            configure: Arc::clone(&outbox) as _,
            control: Arc::clone(&outbox) as _,
            audit: outbox,
        }
    }

    fn keep(&self, request: &KeyedRequest, answered: Answered) -> Answer<Result<Answered, ControlError>> {
        let outbox = self.bound_to(request);
        Box::pin(async move { outbox.ask(|reply| Urgent::Keep(answered, reply)).await })
    }
}

impl Outbox {
    fn bound_to(&self, request: &KeyedRequest) -> Self {
        Self { bound: Some(Bound::to(request)), ..self.clone() }
    }

    /// For a change in several steps, each of which may be made again.
    pub(super) fn without_key(&self) -> Self {
        Self { bound: None, ..self.clone() }
    }
}
