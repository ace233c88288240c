//! A message in a frame: who has sent it before, and whom it goes to (W2).

use postrider_model::fan_out::FanOut;
use postrider_model::filter::HURRIED_STEPS;
use postrider_model::id::MessageId;
use postrider_model::message::Accepted;
use postrider_model::payload::Payload;
use postrider_model::ports::AcceptError;
use postrider_model::time::UnixMs;

use super::{Answer, Committer, Frame, InFrame, KEY_WINDOW};
use crate::committer::request::Ingest;
use crate::journal::FrameBuilder;
use crate::orders::Pointers;
use crate::record::Record;

impl Committer {
    pub(super) fn stage_message(&mut self, mut message: Box<Ingest>, builder: &mut FrameBuilder, frame: &mut Frame) {
        match self.earlier(&message, frame) {
            Ok(None) => {}
            Ok(Some(earlier)) => return frame.answers.push(Answer::Accepted(message.reply, earlier)),
            Err(error) => return drop(message.reply.send(Err(error))),
        }
        // Not before: a message that was accepted once has the same answer again, whatever the schema is now.
        if let Some(mismatch) = message.mismatch.take()
            && let Err(error) = self.shared.mismatches.judge(&message, *mismatch, self.shared.clock.monotonic())
        {
            return drop(message.reply.send(Err(error)));
        }
        if let Err(error) = self.fan_out_again_if_changed(&mut message) {
            return drop(message.reply.send(Err(error)));
        }
        let id = MessageId(self.id(frame.now, builder.next_position()));
        message.meta.id = id;
        message.meta.payload_until = message.payload_retention.map(|retention| frame.now + retention);
        let deliveries = u32::try_from(message.meta.endpoints.len()).unwrap_or(u32::MAX);
        let accepted = Accepted { id, at: frame.now, deliveries, duplicate: false };
        let keys =
            [message.meta.idempotency.map(|key| (key.key, key.content)), message.event_key.map(|key| (key, [0; 16]))];
        let (bytes, limit_bytes) = (message.body.len(), self.shared.options.body_limit_bytes);
        if !self.push(builder, frame, Record::Accepted(message.meta, Some(message.body))) {
            return drop(message.reply.send(Err(AcceptError::TooLarge { bytes, limit_bytes })));
        }
        if !message.held_back.is_empty() {
            self.shared.held_back.count(&message.held_back);
        }
        for (key, content) in keys.into_iter().flatten() {
            frame.keys.insert(key, InFrame { accepted: accepted.clone(), content });
        }
        frame.answers.push(Answer::Accepted(message.reply, accepted));
    }

    /// The answer that an earlier message with the same key has got.
    fn earlier(&self, message: &Ingest, frame: &Frame) -> Result<Option<Accepted>, AcceptError> {
        if let Some(wanted) = message.meta.idempotency {
            let earlier = match frame.keys.get(&wanted.key) {
                Some(found) => Some(found.clone()),
                None => self.recorded(wanted.key, frame.now)?,
            };
            match earlier {
                Some(found) if found.content == wanted.content => {
                    return Ok(Some(Accepted { duplicate: true, ..found.accepted }));
                }
                Some(_) => return Err(AcceptError::KeyReused),
                None => {}
            }
        }
        if let Some(key) = message.event_key {
            let earlier = match frame.keys.get(&key) {
                Some(found) => Some(found.accepted.id),
                None => {
                    let earlier = self.shared.message_with_key(key)?;
                    earlier.filter(|(_, meta)| frame.now.since(meta.at()) < KEY_WINDOW).map(|(_, meta)| meta.id)
                }
            };
            if let Some(existing) = earlier {
                return Err(AcceptError::EventIdTaken { existing });
            }
        }
        Ok(None)
    }

    fn recorded(&self, key: [u8; 16], now: UnixMs) -> Result<Option<InFrame>, AcceptError> {
        let Some((_, meta)) = self.shared.message_with_key(key)? else { return Ok(None) };
        let fresh = now.since(meta.at()) < KEY_WINDOW;
        let Some(content) = meta.idempotency.filter(|_| fresh).map(|key| key.content) else { return Ok(None) };
        let deliveries = u32::try_from(meta.endpoints.len()).unwrap_or(u32::MAX);
        let accepted = Accepted { id: meta.id, at: meta.at(), deliveries, duplicate: true };
        Ok(Some(InFrame { accepted, content }))
    }

    /// W2: the deliveries are those of the configuration at this place of the journal.
    fn fan_out_again_if_changed(&self, message: &mut Ingest) -> Result<(), AcceptError> {
        let config = self.shared.config.read();
        let entry = config.app(message.meta.app).filter(|entry| entry.app.org == message.org);
        let entry = entry.ok_or(AcceptError::UnknownApplication)?;
        if entry.version != message.meta.config_version {
            let channels = message.meta.channels.iter().cloned().collect();
            let candidates = entry.candidates(&message.meta.event_type, &channels, message.only);
            let candidates = candidates.ok_or(AcceptError::UnknownEndpoint)?;
            let pointers = Pointers::of(entry, candidates.endpoints());
            // Others wait for this thread: only what has changed since is asked here, and not for long.
            let payload = Payload::of_type(&message.body, message.meta.content_type.as_deref());
            let payload = payload.with_steps(HURRIED_STEPS);
            let fan_out = candidates.judge_again(&payload, &message.asked, &message.held_back);
            let FanOut { endpoints, held_back } = fan_out;
            message.meta.orders = pointers.read(&payload, message.meta.order_key, &endpoints);
            (message.meta.endpoints, message.held_back) = (endpoints, held_back);
            message.meta.config_version = entry.version;
        }
        Ok(())
    }
}
