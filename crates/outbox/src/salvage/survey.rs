//! One look at all that the journal holds: what is missing, and what refers to it.
//!
//! References come later in the journal than what they refer to, so that one pass is enough.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use bytes::Bytes;
use postrider_model::config::{Config, ConfigChange};
use postrider_model::delivery::Next;
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::position::Position;

use super::found::{LostDelivery, LostMessage, LostRecord, Missing, Salvaged, UnknownEndpoint, WhatIsKnown};
use super::homeless::Homeless;
use super::is_readable;
use crate::ids::SequenceMask;
use crate::journal::{Damage, DamageKind, FrameSeen, JournalReader, RecordAt, Seen, between};
use crate::open::{OpenError, Recovered};
use crate::record::{Accepted, DeliveryChange, DeliveryRef, Record, decode};
use crate::seal::Sealer;

/// What is left of a message's record: its id fits to its place, so that its meta part is
/// as it was, as far as that can be told.
pub(super) struct Broken {
    pub(super) position: Position,
    sequence: Position,
    pub(super) record: Record,
}

impl Broken {
    fn message(&self) -> Option<&Accepted> {
        match &self.record {
            Record::Accepted(meta, _) => Some(meta),
            Record::Carried(carried, _) => Some(&carried.message),
            _ => None,
        }
    }

    /// To whom it was to go.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = DeliveryRef> {
        self.message().into_iter().flat_map(move |meta| {
            let to = move |endpoint: &EndpointId| meta.named_delivery(*endpoint, self.sequence, self.position);
            meta.endpoints.iter().map(to)
        })
    }
}

/// A part that is missing, with the whole records in it.
struct Part {
    missing: Missing,
    saved: BTreeSet<Position>,
}

impl Part {
    fn holds(&self, position: Position) -> bool {
        let Missing { segment, from, to, .. } = self.missing;
        position.segment() == segment
            && (from..to).contains(&position.offset_bytes())
            && !self.saved.contains(&position)
    }
}

pub(super) struct Survey {
    mask: SequenceMask,
    sealer: Sealer,
    end: Position,
    /// Damage that recovery saw, the first first. It knows of segments that are not there.
    seen_by_recovery: VecDeque<Damage>,
    parts: Vec<Part>,
    last_frame: Option<FrameSeen>,
    records: u64,
    broken: Vec<Broken>,
    messages: BTreeMap<Position, LostMessage>,
    named: BTreeMap<EndpointId, AppId>,
    gone_endpoints: BTreeSet<EndpointId>,
    gone_apps: BTreeSet<AppId>,
    pub(super) homeless: Homeless,
}

impl Survey {
    pub(super) fn new(recovered: &Recovered, mask: SequenceMask, sealer: Sealer) -> Self {
        let mut damage = recovered.damage.clone();
        damage.sort_by_key(|damage| (damage.segment, damage.from));
        Self {
            mask,
            sealer,
            end: recovered.journal.end(),
            seen_by_recovery: damage.into(),
            parts: Vec::new(),
            last_frame: None,
            records: 0,
            broken: Vec::new(),
            messages: BTreeMap::new(),
            named: BTreeMap::new(),
            gone_endpoints: BTreeSet::new(),
            gone_apps: BTreeSet::new(),
            homeless: Homeless::default(),
        }
    }

    /// Records that are whole.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Messages of whose record something is left, in order.
    pub(super) fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Reads all segments that hold frames.
    pub(super) fn read(
        &mut self,
        reader: &JournalReader,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), OpenError> {
        let segments = reader.segments();
        let count = segments.len();
        for (done, segment) in segments.iter().enumerate() {
            progress(count + done, 2 * count);
            if segment.number > self.end.segment() {
                continue;
            }
            reader.survey(segment.number, &mut |seen| self.see(seen))?;
        }
        while let Some(damage) = self.seen_by_recovery.pop_front() {
            self.add_part(&damage);
        }
        progress(2 * count, 2 * count);
        Ok(())
    }

    fn see(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Frame(frame) => self.see_frame(frame),
            Seen::Damage(damage) => self.add_part(damage),
            Seen::Record(record) => {
                self.records += 1;
                if let Some(part) = self.parts.last_mut().filter(|part| part.holds(record.position)) {
                    part.missing.saved += 1;
                    part.saved.insert(record.position);
                }
                let decoded = decode(&Bytes::copy_from_slice(record.bytes));
                if let Some(decoded) = decoded.ok().and_then(|decoded| self.sealer.unsealed(decoded).ok()) {
                    self.see_record(&decoded);
                    self.homeless.see(record.position, &decoded);
                }
            }
            Seen::Broken(record) => self.see_broken(&record),
        }
    }

    fn see_frame(&mut self, frame: FrameSeen) {
        while let Some(damage) = self.seen_by_recovery.front() {
            if Position::new(damage.segment, damage.from) > frame.position {
                break;
            }
            if let Some(damage) = self.seen_by_recovery.pop_front() {
                self.add_part(&damage);
            }
        }
        self.add_gap_before(&frame);
        for part in self.parts.iter_mut().rev().take_while(|part| part.missing.after.is_none()) {
            part.missing.after = Some(frame);
        }
        self.last_frame = Some(frame);
    }

    /// Adds what is missing between two segments by the numbers of their frames alone.
    fn add_gap_before(&mut self, frame: &FrameSeen) {
        let before = self.last_frame.filter(|before| before.position.segment() != frame.position.segment());
        let Some(before) = before.filter(|before| !before.goes_on_with(frame)) else { return };
        let since = self.parts.iter().rev().take_while(|part| part.missing.after.is_none());
        if since.map(|part| part.missing.what).any(|what| what != DamageKind::SegmentHeader) {
            return;
        }
        let empty = before.position.segment() + 1..frame.position.segment();
        for damage in between(Path::new(""), &before, empty) {
            self.add_part(&damage);
        }
    }

    /// Where each part ends in which messages may be missing, so not in headers.
    pub(super) fn ends(&self) -> Vec<Position> {
        let parts = self.parts.iter().map(|part| &part.missing);
        let parts = parts.filter(|missing| missing.what != DamageKind::SegmentHeader);
        parts.map(|missing| Position::new(missing.segment, missing.to)).collect()
    }

    /// Adds a part, unless the other reader has told of it already.
    fn add_part(&mut self, damage: &Damage) {
        let Damage { segment, from, to, what, .. } = *damage;
        let is_same = |part: &&mut Part| {
            let known = &part.missing;
            known.segment == segment && known.what == what && known.from <= to && from <= known.to
        };
        if let Some(part) = self.parts.iter_mut().rev().take(2).find(is_same) {
            part.missing.from = part.missing.from.min(from);
            part.missing.to = part.missing.to.max(to);
            return;
        }
        let (before, after, saved, broken) = (self.last_frame, None, 0, Vec::new());
        let missing = Missing { segment, from, to, what, before, after, is_covered: false, saved, broken };
        self.parts.push(Part { missing, saved: BTreeSet::new() });
    }

    fn see_broken(&mut self, at: &RecordAt<'_>) {
        let decoded = decode(&Bytes::copy_from_slice(at.bytes)).ok();
        let message = decoded.as_ref().and_then(|record| self.proven(at.position, record));
        let kind = at.bytes.first().map_or("nothing", |kind| kind_name(*kind));
        if let Some(part) = self.parts.last_mut() {
            let (position, bytes) = (at.position, at.bytes.len());
            part.missing.broken.push(LostRecord { position, bytes, kind, message: message.map(|(id, _)| id) });
        }
        if let (Some((_, sequence)), Some(record @ (Record::Accepted(..) | Record::Carried(..)))) = (message, decoded) {
            let broken = Broken { position: at.position, sequence, record };
            self.see_lost_message(&broken);
            self.broken.push(broken);
        }
    }

    /// The message of a record that is not whole, if its id fits to its place.
    fn proven(&self, at: Position, record: &Record) -> Option<(MessageId, Position)> {
        let (id, sequence) = match record {
            Record::Accepted(meta, _) => (meta.id, at),
            Record::Carried(carried, _) => (carried.message.id, carried.sequence),
            Record::Outcome(outcome, _) => (outcome.delivery.message, outcome.delivery.sequence),
            _ => return None,
        };
        (self.mask.position(id.0) == sequence).then_some((id, sequence))
    }

    fn see_lost_message(&mut self, broken: &Broken) {
        let Some(meta) = broken.message() else { return };
        let lost = self.messages.entry(broken.sequence).or_insert_with(|| LostMessage {
            id: meta.id,
            app: meta.app,
            sequence: broken.sequence,
            event_type: None,
            deliveries: BTreeMap::new(),
        });
        lost.event_type = Some(meta.event_type.clone());
        for endpoint in &meta.endpoints {
            let named = LostDelivery { known: WhatIsKnown::Named, is_dead_letter: false };
            lost.deliveries.entry(*endpoint).or_insert(named);
        }
    }

    fn see_record(&mut self, record: &Record) {
        match record {
            Record::Accepted(meta, _) => self.named.extend(meta.endpoints.iter().map(|endpoint| (*endpoint, meta.app))),
            Record::Outcome(outcome, _) => {
                let known = match outcome.next {
                    _ if outcome.stale => WhatIsKnown::Open,
                    Next::Delivered => WhatIsKnown::Delivered,
                    Next::Dead { .. } => WhatIsKnown::Ended,
                    _ => WhatIsKnown::Open,
                };
                self.refer(&outcome.delivery, known);
            }
            Record::Deliveries(change) => {
                let known = match change.what {
                    DeliveryChange::Replayed { .. } | DeliveryChange::Resent { .. } | DeliveryChange::CalledOff => {
                        WhatIsKnown::Open
                    }
                    _ => WhatIsKnown::Ended,
                };
                change.deliveries.iter().for_each(|delivery| self.refer(delivery, known));
            }
            Record::Expunged(expunged) => {
                let all = expunged.waiting.iter().chain(&expunged.dead);
                all.for_each(|delivery| self.refer(delivery, WhatIsKnown::Ended));
            }
            // It lies elsewhere now.
            Record::Carried(carried, _) => {
                self.named.extend(carried.states.iter().map(|(endpoint, _)| (*endpoint, carried.message.app)));
                self.messages.remove(&carried.sequence);
            }
            Record::Config(ConfigChange::EndpointDeleted(id)) => drop(self.gone_endpoints.insert(*id)),
            Record::Config(ConfigChange::ApplicationDeleted(id)) => drop(self.gone_apps.insert(*id)),
            _ => {}
        }
    }

    /// Something tells of a delivery.
    fn refer(&mut self, delivery: &DeliveryRef, known: WhatIsKnown) {
        self.named.insert(delivery.endpoint, delivery.app);
        if !self.parts.iter().any(|part| part.holds(delivery.position)) {
            return;
        }
        let lost = self.messages.entry(delivery.sequence).or_insert_with(|| LostMessage::of(delivery));
        lost.deliveries.insert(delivery.endpoint, LostDelivery { known, is_dead_letter: false });
    }

    /// Endpoints that are named and are nowhere defined.
    pub(super) fn unknown_endpoints(&self, config: &Config) -> Vec<UnknownEndpoint> {
        let is_unknown = |(id, app): &(&EndpointId, &AppId)| {
            config.endpoint(**id).is_none() && !self.gone_endpoints.contains(id) && !self.gone_apps.contains(app)
        };
        self.named.iter().filter(is_unknown).map(|(id, app)| UnknownEndpoint { id: *id, app: *app }).collect()
    }

    /// Puts all of it into what is said.
    pub(super) fn finish(
        mut self,
        salvaged: &mut Salvaged,
        buried: &[DeliveryRef],
        config: &Config,
        reader: &JournalReader,
        checkpoint: Position,
    ) -> Result<(), OpenError> {
        for delivery in buried {
            let known = self.messages.get(&delivery.sequence).and_then(|lost| lost.deliveries.get(&delivery.endpoint));
            let known = known.map_or(WhatIsKnown::Open, |known| known.known);
            let lost = self.messages.entry(delivery.sequence).or_insert_with(|| LostMessage::of(delivery));
            lost.deliveries.insert(delivery.endpoint, LostDelivery { known, is_dead_letter: true });
        }
        let mut lost = BTreeMap::new();
        for (sequence, message) in self.messages {
            if !is_readable(reader, sequence)? {
                lost.insert(sequence, message);
            }
        }
        for message in self.homeless.into_lost(config, &self.gone_apps) {
            lost.insert(message.sequence, message);
        }
        salvaged.messages = lost.into_values().collect();
        salvaged.missing = self.parts.into_iter().map(|part| part.missing).collect();
        salvaged.missing.sort_by_key(|missing| (missing.segment, missing.from));
        for missing in &mut salvaged.missing {
            missing.is_covered = Position::new(missing.segment, missing.to) <= checkpoint;
        }
        Ok(())
    }
}

const fn kind_name(kind: u8) -> &'static str {
    match kind & 0x7f {
        1 => "message",
        2 => "outcome",
        3 => "configuration",
        4 => "deliveries",
        5 => "task_started",
        6 => "task_finished",
        7 => "carried_message",
        8 => "expunged",
        9 => "answered",
        10 => "audit",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
