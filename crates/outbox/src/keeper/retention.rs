//! Old segments go whole; what is live in them is carried forward first.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_model::delivery::DeliveryState;
use postrider_model::id::EndpointId;
use postrider_model::position::Position;
use tokio::sync::oneshot;

use super::Keeper;
use crate::committer::KEY_WINDOW;
use crate::committer::request::{CarryRequest, Carrying, Errand, Urgent};
use crate::journal::SegmentInfo;
use crate::lookup::{Found, scan};
use crate::meters;
use crate::record::Record;
use crate::shared::Shared;

/// Segments that are looked at for history when room is short.
const LOOK_AHEAD: usize = 16;
/// What keeps room from being made may pass, as where no more files may be open.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Records that are carried with one wait.
const CARRY_BATCH: usize = 256;

impl Keeper {
    /// Removes segments in which everything is older than the history is kept.
    pub(crate) fn remove_old_segments(&mut self) {
        // The clock itself: one record of the future must not make all history old.
        let now = self.shared.clock.now();
        let segments = self.shared.reader.segments();
        for pair in segments.windows(2) {
            let [oldest, next] = pair else { return };
            // A segment ends where the next begins.
            let Some(ended) = next.first_frame_time else { return };
            let old = now.since(ended) >= self.shared.options.retain_history;
            // What was never attempted stays where it is; only want of room carries it.
            let needed = first_cursor(&self.shared).is_some_and(|cursor| cursor.segment() <= oldest.number);
            if !oldest.sealed || !old || needed || !self.retire(oldest) {
                return;
            }
        }
    }

    /// Removes the oldest history when there is no room for more, before
    /// anything is refused for long.
    pub(super) fn make_room(&mut self) {
        if !self.shared.wants_room.load(Ordering::Acquire) {
            return;
        }
        let applied = self.shared.state.lock().applied;
        let monotonic = self.shared.clock.monotonic();
        if self.no_room_at.is_some_and(|(at, until)| at == applied && monotonic < until) {
            // Nothing has been recorded since the last look, so nothing has become history.
            return;
        }
        let mut segments = self.shared.reader.segments();
        segments.retain(|segment| segment.sealed);
        let Some(oldest) = segments.first() else { return };
        // Carrying what is live needs room itself, the reserve: it pays if there
        // is a segment soon that is mostly history.
        let pays = segments
            .iter()
            .take(LOOK_AHEAD)
            .any(|segment| self.live_bytes(segment).saturating_mul(2) <= segment.bytes_used);
        if !pays || !self.retire(oldest) {
            // What was carried for it is no news either.
            self.no_room_at = Some((self.shared.state.lock().applied, monotonic + LOOK_AGAIN_AFTER));
            return;
        }
        // The committer looks again when it is idle; a later round sees whether that was enough.
        tracing::info!(segment = oldest.number, "removed history early to make room");
    }

    /// Carries what is live out of a segment and removes it. `false` if it has to stay.
    fn retire(&mut self, segment: &SegmentInfo) -> bool {
        // In this order: what a backup keeps of this checkpoint on must not need the segment.
        if !self.carry_out(segment) || !self.cover(segment.number) {
            return false;
        }
        if self.ask(|reply| Errand::RemoveSegment(segment.number, reply)).is_none() {
            return false;
        }
        if let Err(error) = self.shared.index.drop_segment(segment.number) {
            tracing::warn!(segment = segment.number, %error, "a removed segment's rows stay in the index for now");
        }
        metrics::counter!(meters::SEGMENTS_REMOVED).increment(1);
        true
    }

    fn carry_out(&self, segment: &SegmentInfo) -> bool {
        let mut found = Vec::new();
        if !self.each_needed(segment, &mut |position, _| found.push(position)) {
            return false;
        }
        found.chunks(CARRY_BATCH).all(|batch| self.carry_all(batch))
    }

    /// Carries these records, with one wait for all of them as a rule.
    fn carry_all(&self, batch: &[Position]) -> bool {
        let mut left = batch.to_vec();
        while !left.is_empty() {
            let asked: Vec<_> = left.iter().filter_map(|position| Some((*position, self.carry(*position)?))).collect();
            if asked.len() < left.len() {
                return false;
            }
            left.clear();
            for (position, answer) in asked {
                match self.answers.wait(answer) {
                    Some(Carrying::Done) => {}
                    Some(Carrying::LookAgain) => left.push(position),
                    None => return false,
                }
            }
        }
        true
    }

    fn carry(&self, position: Position) -> Option<oneshot::Receiver<Carrying>> {
        let found = match self.shared.read_record(position).ok()? {
            Record::Answered(answered, sealed) => {
                return self.hand(|reply| Urgent::CarryAnswer(answered, sealed, reply));
            }
            Record::Audit(entry) => return self.hand(|reply| Urgent::CarryEntry(entry, reply)),
            record => message(position, record)?,
        };
        let mut endpoints = self.shared.endpoints_of(&found);
        let known = known_of(&self.shared, &found, &endpoints);
        let mut ended = self.shared.ended_states(&found).ok()?;
        // Dead letters are told by the state alone: one that is not there any more stays away (W10).
        ended.retain(|_, state| matches!(state, DeliveryState::Delivered { .. } | DeliveryState::Cancelled { .. }));
        endpoints.extend(ended.keys().filter(|endpoint| !endpoints.contains(endpoint)).copied().collect::<Vec<_>>());
        let Found { sequence, meta: message, body, .. } = found;
        self.hand(|reply| Urgent::Carry(CarryRequest { message, sequence, endpoints, known, body, ended, reply }))
    }

    fn hand(&self, carry: impl FnOnce(oneshot::Sender<Carrying>) -> Urgent) -> Option<oneshot::Receiver<Carrying>> {
        let (reply, answer) = oneshot::channel();
        self.shared.hand(&self.urgent, carry(reply)).then_some(answer)
    }

    /// All that may be, if it cannot be read.
    fn live_bytes(&self, segment: &SegmentInfo) -> u64 {
        let mut bytes = 0;
        if self.each_needed(segment, &mut |_, record_bytes| bytes += record_bytes) { bytes } else { u64::MAX }
    }

    /// The messages, answers and entries of the audit log in a segment that something still needs in this
    /// place: where they are, and about how many bytes each has. `false` if reading
    /// failed, as it does where no more files may be open: then there may be more.
    fn each_needed(&self, segment: &SegmentInfo, take: &mut dyn FnMut(Position, u64)) -> bool {
        let now = self.shared.now();
        let (from, to) = (Position::new(segment.number, 0), Position::new(segment.number + 1, 0));
        let added = self.shared.state.lock().added_within(from, to);
        let (next, unreadable) = scan(&self.shared.reader, from, to, &mut |position, record| {
            let record_bytes = record.raw().len() as u64 + 256;
            let needed = match &record {
                Record::Answered(answered, _) => {
                    now.since(answered.at) < KEY_WINDOW && is_newest(&self.shared, position, &answered.once.key)
                }
                Record::Audit(entry) => self.shared.state.lock().audit.is_at(entry.id, position),
                _ => message(position, record).is_some_and(|message| {
                    let has_key = message.meta.idempotency.is_some() || message.meta.event_id.is_some();
                    let keyed = has_key && now.since(message.meta.at()) < KEY_WINDOW;
                    keyed || added.contains(&position) || is_needed(&self.shared, &message)
                }),
            };
            if needed {
                take(position, record_bytes);
            }
            ControlFlow::Continue(())
        });
        if next < to {
            let detail = unreadable.last().map(|part| part.detail.as_str()).unwrap_or_default();
            tracing::warn!(segment = segment.number, detail, "a segment stays, since it cannot be read at present");
        }
        next >= to
    }
}

fn message(position: Position, record: Record) -> Option<Found> {
    match record {
        Record::Accepted(meta, body) => Some(Found { sequence: position, position, meta, body }),
        Record::Carried(carried, body) => {
            Some(Found { sequence: carried.sequence, position, meta: carried.message, body })
        }
        _ => None,
    }
}

/// Those of a message's endpoints where it is live or a dead letter.
fn known_of(shared: &Shared, message: &Found, endpoints: &[EndpointId]) -> Vec<EndpointId> {
    let state = shared.state.lock();
    endpoints.iter().copied().filter(|endpoint| state.delivery(&message.delivery(*endpoint)).is_some()).collect()
}

/// Whether nothing later is known of a key. What is known first is replaced by
/// the answer, and must not come after it.
fn is_newest(shared: &Shared, position: Position, key: &[u8; 16]) -> bool {
    shared.index.find_key(key).ok().flatten().is_none_or(|row| row.position <= position)
}

/// Whether a delivery that the message names is live or a dead letter, and not carried already.
fn is_needed(shared: &Shared, message: &Found) -> bool {
    let state = shared.state.lock();
    message.meta.endpoints.iter().any(|endpoint| {
        let delivery = message.delivery(*endpoint);
        let known = state.delivery(&delivery);
        let live =
            known.is_some_and(|known| known.waits_for().is_some() || matches!(known, DeliveryState::Dead { .. }));
        live && state.position(&delivery).is_none_or(|position| position == message.position)
    })
}

/// The first position that some lane still has to read.
fn first_cursor(shared: &Shared) -> Option<Position> {
    shared.state.lock().lanes.values().filter_map(|lane| lane.backlog.cursor()).min()
}
