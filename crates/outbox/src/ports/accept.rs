//! A message's way in, up to the committer.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use postrider_model::command::{self, Command, Write};
use postrider_model::fan_out::FanOut;
use postrider_model::filter::{HURRIED_STEPS, MAX_STEPS};
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::payload::Payload;
use postrider_model::ports::{Accept, AcceptError, Answer, Configure as _, ControlError, Receipt, Unavailable};
use postrider_model::schema::CompareError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::unconstrained;

use crate::Outbox;
use crate::committer::request::{FrameBound as _, Ingest, no_id};
use crate::keys;
use crate::meters::UNCHECKED;
use crate::orders::Pointers;
use crate::record::{self, IdempotencyKey};

impl Accept for Outbox {
    fn queue(&self, mut message: NewMessage) -> Answer<Result<Receipt, AcceptError>> {
        let outbox = self.clone();
        if let Some(bound) = &self.bound {
            bound.name(&mut message);
        }
        // Nobody starves by going without tokio's budget: what is done here in one poll
        // is bounded, at most one body is read for an order key, and filters are asked for some 10 ms.
        Box::pin(unconstrained(async move {
            outbox.check(&message).await?;
            let (reply, answer) = oneshot::channel();
            // Waiting for room is what slows the doors down.
            let room = outbox.room(room_bytes(&message)).await?;
            let prepared = outbox.prepare(message, reply, HURRIED_STEPS);
            let mut message = outbox.looked_into(prepared).await?;
            message.room = Some(room);
            outbox.send(message)?;
            let receipt = async { answer.await.unwrap_or_else(|_| Err(Unavailable::Stopping.into())) };
            // Nor here: who waits for many takes all that are there at once.
            Ok(Box::pin(unconstrained(receipt)) as Receipt)
        }))
    }

    fn accept_all(&self, mut messages: Vec<NewMessage>) -> Answer<Vec<Result<Accepted, AcceptError>>> {
        if let Some(bound) = &self.bound {
            messages.iter_mut().for_each(|message| bound.name(message));
        }
        Box::pin(unconstrained(self.clone().accept_group(messages)))
    }
}

/// What the index takes of memory for a key of a sealed segment, in bytes.
const KEY_FILTER_BYTES: usize = 2;
/// When to try again if too many keys are remembered: they go by the day.
const KEYS_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What a waiting message costs besides its body, in bytes.
pub(crate) const MESSAGE_ROOM_BYTES: u32 = 1_024;

/// To whom it is answered what has become of a message.
type Reply = oneshot::Sender<Result<Accepted, AcceptError>>;

/// Why a message has no deliveries yet.
pub(super) enum NotPrepared {
    Refused(AcceptError),
    /// Its filters take more steps than were allowed, or its schema may.
    TakesLong(Box<(NewMessage, Reply)>),
}

impl From<AcceptError> for NotPrepared {
    fn from(error: AcceptError) -> Self {
        Self::Refused(error)
    }
}

/// The room that a message takes while it waits, in bytes.
pub(super) const fn room_bytes(message: &NewMessage) -> usize {
    message.body.len().saturating_add(MESSAGE_ROOM_BYTES as usize)
}

impl Outbox {
    /// Whether a message may be taken in, whose application is made if it asks for that.
    pub(super) async fn check(&self, message: &NewMessage) -> Result<(), AcceptError> {
        message.validate()?;
        let (bytes, limit_bytes) = (message.body.len(), self.shared.options.body_limit_bytes);
        if bytes > limit_bytes {
            return Err(AcceptError::TooLarge { bytes, limit_bytes });
        }
        if self.shared.is_stopping() {
            return Err(Unavailable::Stopping.into());
        }
        if message.idempotency_key.is_some() || message.event_id.is_some() {
            self.room_for_key()?;
        }
        self.ensure_app(message).await
    }

    /// Whether it is known which keys were used, and another may be remembered.
    pub(super) fn room_for_key(&self) -> Result<(), Unavailable> {
        if !self.shared.index.keys_ready() {
            let percent = self.shared.index.progress().unwrap_or(0);
            return Err(Unavailable::IndexRebuilding { percent });
        }
        // By the memory that they take: those of the open segment come on top.
        let keys = self.shared.index.key_filter_bytes() / KEY_FILTER_BYTES;
        if keys >= self.shared.options.idempotency_keys {
            return Err(Unavailable::Overloaded { retry_after: KEYS_RETRY_AFTER });
        }
        Ok(())
    }

    /// Makes the application that the message is for, if it asks for that.
    async fn ensure_app(&self, message: &NewMessage) -> Result<(), AcceptError> {
        let Some(name) = message.create_app.clone() else { return Ok(()) };
        if self.shared.config.read().find_app(message.org, &message.app).is_some() {
            return Ok(());
        }
        let uid = message.app.clone();
        let command = Command::Application {
            org: message.org,
            app: uid.clone(),
            write: Write::CreateOrGet,
            edit: Box::new(move |fields| {
                fields.name = name;
                fields.uid = Some(uid);
            }),
        };
        match self.execute(command).await {
            Ok(command::Reply::Application { .. }) => Ok(()),
            Err(ControlError::Unavailable(unavailable)) => Err(unavailable.into()),
            Err(ControlError::Command(command::CommandError::Invalid(errors))) => Err(errors.into()),
            _ => Err(AcceptError::UnknownApplication),
        }
    }

    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AcceptError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.shared.options.waiting_bytes);
        let room = Arc::clone(&self.room);
        let wait = self.shared.options.overload_wait;
        match tokio::time::timeout(wait, room.acquire_many_owned(bytes)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Unavailable::Stopping.into()),
            Err(_) => Err(Unavailable::Overloaded { retry_after: wait }.into()),
        }
    }

    /// What [`Self::prepare`] gives; where filters or a schema take long, that is done on a thread that may block (W11).
    pub(super) async fn looked_into(
        &self,
        prepared: Result<Box<Ingest>, NotPrepared>,
    ) -> Result<Box<Ingest>, AcceptError> {
        match prepared {
            Ok(ingest) => Ok(ingest),
            Err(NotPrepared::Refused(error)) => Err(error),
            Err(NotPrepared::TakesLong(waiting)) => {
                let turn = Arc::clone(&self.looking).acquire_owned().await.map_err(|_| Unavailable::Stopping)?;
                let outbox = self.clone();
                let work = move || {
                    let (message, reply) = *waiting;
                    let prepared = outbox.prepare(message, reply, MAX_STEPS);
                    // Held until here: a sender that went away does not make room for another one.
                    drop(turn);
                    prepared
                };
                match self.shared.reading(work).await {
                    Ok(Ok(ingest)) => Ok(ingest),
                    Ok(Err(NotPrepared::Refused(error))) => Err(error),
                    // It has panicked: with all steps there is nothing that takes too long.
                    Ok(Err(NotPrepared::TakesLong(_))) | Err(_) => Err(Unavailable::Stopping.into()),
                }
            }
        }
    }

    /// Computes the deliveries, against the configuration of this moment; the
    /// committer does it again if that has changed by then (W2).
    pub(super) fn prepare(&self, message: NewMessage, reply: Reply, steps: u64) -> Result<Box<Ingest>, NotPrepared> {
        let (app, config_version, candidates, pointers, described) = {
            let config = self.shared.config.read();
            let entry = config.find_app(message.org, &message.app).ok_or(AcceptError::UnknownApplication)?;
            let candidates = entry.candidates(&message.event_type, &message.channels, message.only);
            let candidates = candidates.ok_or(AcceptError::UnknownEndpoint)?;
            let pointers = Pointers::of(entry, candidates.endpoints());
            let default = self.shared.options.default_validation;
            // What a person sends to one endpoint is no event.
            let described =
                if message.only.is_some() { None } else { config.described(message.org, &message.event_type, default) };
            let described = described.map(|(event_type, validation)| (Arc::clone(event_type), validation));
            (entry.app.id, entry.version, candidates, pointers, described)
        };
        let payload = Payload::of_type(&message.body, message.content_type.as_deref()).with_steps(steps);
        let asked = candidates.filters();
        let FanOut { endpoints, held_back } = candidates.judge(&payload);
        let schemas = described.as_ref().and_then(|(event_type, _)| event_type.fields.schemas.as_ref());
        let compared = match schemas {
            None => Some(Ok(())),
            Some(schemas) if steps < MAX_STEPS => schemas.compare_at_once(&payload),
            Some(schemas) => Some(schemas.compare(&payload)),
        };
        let Some(compared) = compared.filter(|_| !payload.ran_out() || steps == MAX_STEPS) else {
            return Err(NotPrepared::TakesLong(Box::new((message, reply))));
        };
        if payload.ran_out() {
            counter!(UNCHECKED, "by" => "filter").increment(1);
        }
        let mismatch = match compared {
            Ok(()) => None,
            Err(CompareError::TakesTooLong | CompareError::CannotBeRead) => {
                counter!(UNCHECKED, "by" => "schema").increment(1);
                None
            }
            Err(CompareError::Differs(mismatch)) => described.map(|(_, validation)| Box::new((validation, mismatch))),
            Err(error @ CompareError::NoThread(_)) => {
                tracing::warn!(%error, "a message cannot be accepted at the moment");
                let retry_after = self.shared.options.overload_wait;
                return Err(AcceptError::from(Unavailable::Overloaded { retry_after }).into());
            }
        };
        let limit = self.shared.options.pending_per_application;
        if self.shared.state.lock().pending_of(app) + endpoints.len() as u64 > limit {
            return Err(AcceptError::from(Unavailable::TooManyPending { limit }).into());
        }
        let idempotency = message.idempotency_key.as_deref().map(|key| IdempotencyKey {
            key: keys::idempotency(message.org, app, key),
            content: keys::content(&message),
        });
        let order_key = keys::order_key(message.order_key.as_deref());
        let orders = pointers.read(&payload, order_key, &endpoints);
        let meta = record::Accepted {
            id: no_id(),
            app,
            config_version,
            idempotency,
            order_key,
            orders,
            event_type: message.event_type,
            content_type: message.content_type.filter(|text| text != postrider_model::message::JSON),
            channels: message.channels.into_iter().collect(),
            tags: message.tags.into_iter().collect(),
            endpoints,
            event_id: message.event_id,
            payload_until: None,
        };
        let event_key = meta.event_id.as_deref().map(|event_id| keys::event_id(app, event_id));
        let NewMessage { org, body, only, payload_retention, .. } = message;
        // On the heap from here on: it goes through some hands.
        let ingest = Box::new(Ingest {
            org,
            only,
            meta,
            asked,
            held_back,
            mismatch,
            event_key,
            body,
            payload_retention,
            reply,
            room: None,
            more: vec![],
        });
        debug_assert!(ingest.bound_bytes() < u32::MAX as usize);
        Ok(ingest)
    }

    /// Hands a message to the committer, and those with it. The room that was granted is
    /// room in the channel too.
    pub(super) fn send(&self, first: Box<Ingest>) -> Result<(), AcceptError> {
        if self.shared.hand(&self.ingest, first) { Ok(()) } else { Err(Unavailable::Stopping.into()) }
    }
}
