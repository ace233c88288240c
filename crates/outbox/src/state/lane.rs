//! The live deliveries of one endpoint.
//!
//! ```text
//!   sequences  -->   settled | window (in memory)  | behind (in the journal only)
//!                                                  ^ cursor
//! ```
//!
//! At most `lane_window` deliveries are in memory. What lies behind them has
//! never been attempted, so one cursor into the journal describes it all. The
//! exceptions, deliveries behind the cursor that have been dealt with all the
//! same, are in `ahead` until the cursor passes them.

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::delivery::{DeadReason, DeliveryState, Scheduled};
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::position::Position;
use postrider_model::resend::{Before, Resending};
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::record::DeliveryRef;

/// Dead letters that tasks may put into a lane's window beyond its size: what is in
/// it may be unable to move, held up by just the one that a task would replay.
const ROOM_FOR_DEAD: usize = 1_000;

/// A delivery that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// Where its message's record lies now.
    pub(crate) position: Position,
    pub(crate) message: MessageId,
    pub(crate) order_key: u64,
    pub(crate) scheduled: Scheduled,
    /// A replay added it: its message's record does not name the endpoint.
    pub(crate) added: bool,
}

/// A dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dead {
    /// Where its message's record lies now.
    pub(crate) position: Position,
    pub(crate) message: MessageId,
    pub(crate) order_key: u64,
    pub(crate) died: UnixMs,
    pub(crate) reason: DeadReason,
    pub(crate) attempt: u16,
    /// A replay added it: its message's record does not name the endpoint.
    pub(crate) added: bool,
}

impl Live {
    pub(crate) fn delivery(&self, app: AppId, endpoint: EndpointId, sequence: Position) -> DeliveryRef {
        let Self { position, message, order_key, added, .. } = *self;
        DeliveryRef { app, endpoint, message, sequence, position, order_key, added }
    }
}

impl Dead {
    pub(crate) fn delivery(&self, app: AppId, endpoint: EndpointId, sequence: Position) -> DeliveryRef {
        let Self { position, message, order_key, added, .. } = *self;
        DeliveryRef { app, endpoint, message, sequence, position, order_key, added }
    }

    /// Whether its message can be read, for all that is known.
    pub(crate) fn has_payload(&self) -> bool {
        self.reason.leaves_payload()
    }

    pub(crate) const fn state(&self) -> DeliveryState {
        DeliveryState::Dead { at: self.died, reason: self.reason, attempt: self.attempt }
    }

    const fn before(&self) -> Before {
        Before::Dead { at: self.died, reason: self.reason, attempt: self.attempt }
    }
}

/// One endpoint's deliveries; keys are the messages' sequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneState {
    pub(crate) app: AppId,
    pub(crate) window: BTreeMap<Position, Live>,
    pub(crate) dead: BTreeMap<Position, Dead>,
    /// What those in the window were that are being resent; a dead letter stays
    /// in `dead` meanwhile.
    resending: BTreeMap<Position, Before>,
    /// Deliveries behind the window, in number.
    pub(crate) behind: u64,
    /// The position from which the journal is read on; nothing is behind if `None`.
    pub(crate) cursor: Option<Position>,
    ahead: BTreeSet<Position>,
    /// The first and the last message that a replay added.
    added: Option<(Position, Position)>,
    /// The end of the first attempt that failed after the last success.
    pub(crate) failing_since: Option<UnixMs>,
}

impl LaneState {
    pub(crate) fn new(app: AppId) -> Self {
        let (window, dead, resending, ahead) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { app, window, dead, resending, behind: 0, cursor: None, ahead, added: None, failing_since: None }
    }

    /// How many deliveries a task may add.
    pub(crate) fn room(&self, lane_window: usize) -> usize {
        lane_window.saturating_sub(self.window.len())
    }

    /// The same for dead letters.
    pub(crate) fn room_for_dead(&self, lane_window: usize) -> usize {
        self.room(lane_window.saturating_add(ROOM_FOR_DEAD))
    }

    /// Whether it is time to read on: while a line that cannot move takes up most
    /// of the window, others have to go on with the rest.
    pub(crate) fn is_thirsty(&self, lane_window: usize) -> bool {
        self.behind > 0 && self.window.len() <= lane_window - lane_window.div_ceil(10)
    }

    /// Deliveries that wait, in number.
    pub(crate) fn pending(&self) -> u64 {
        self.window.len() as u64 + self.behind
    }

    /// The same without those that have ended and are resent.
    pub(crate) fn pending_by_schedule(&self) -> u64 {
        self.pending_window().count() as u64 + self.behind
    }

    /// Takes in a delivery that was just accepted. Gives whether it is in the window.
    pub(crate) fn accept(&mut self, delivery: &DeliveryRef, scheduled: Scheduled, lane_window: usize) -> bool {
        if self.behind == 0 && self.window.len() < lane_window {
            self.window.insert(delivery.sequence, live(delivery, scheduled));
            return true;
        }
        self.behind += 1;
        self.cursor.get_or_insert(delivery.sequence);
        false
    }

    /// What is known of a delivery here: `None` if it has ended well, was
    /// cancelled, never was, or lies behind the window.
    pub(crate) fn state(&self, sequence: Position) -> Option<DeliveryState> {
        let dead = self.dead.get(&sequence);
        let Some(Live { scheduled, .. }) = self.window.get(&sequence).copied() else { return dead.map(Dead::state) };
        let before = dead.map(Dead::before).or_else(|| self.resending.get(&sequence).copied());
        Some(match before {
            Some(before) => DeliveryState::Resending(Resending { scheduled, before }),
            None => DeliveryState::Scheduled(scheduled),
        })
    }

    /// The deliveries of the window that wait by the schedule: not those that have
    /// ended and are resent.
    pub(crate) fn pending_window(&self) -> impl Iterator<Item = (&Position, &Live)> {
        let is_pending = |sequence| self.state(sequence).is_some_and(|state| state.is_pending());
        self.window.iter().filter(move |(sequence, _)| is_pending(**sequence))
    }

    /// Whether a delivery waits in the journal only, behind the window. A
    /// message that was carried is there no longer: carrying brings its
    /// deliveries into the window.
    pub(crate) fn is_behind(&self, delivery: &DeliveryRef) -> bool {
        !delivery.added && self.would_be_behind(delivery.sequence)
    }

    /// The same for the message with this sequence, if it went to the endpoint.
    pub(crate) fn would_be_behind(&self, sequence: Position) -> bool {
        self.behind > 0
            && self.cursor.is_some_and(|cursor| sequence >= cursor)
            && !self.ahead.contains(&sequence)
            && !self.window.contains_key(&sequence)
            && !self.dead.contains_key(&sequence)
    }

    /// Notes that a replay added the message with this sequence.
    pub(crate) fn note_added(&mut self, sequence: Position) {
        let (first, last) = self.added.unwrap_or((sequence, sequence));
        self.added = Some((first.min(sequence), last.max(sequence)));
    }

    /// Whether a replay may have added the message with this sequence. If it
    /// did, this is true for ever.
    pub(crate) fn may_have_added(&self, sequence: Position) -> bool {
        self.added.is_some_and(|(first, last)| (first..=last).contains(&sequence))
    }

    /// Whether the message with this sequence was added by a replay and is live
    /// or a dead letter.
    pub(crate) fn has_added(&self, sequence: Position) -> bool {
        let live = || self.window.get(&sequence).is_some_and(|live| live.added);
        let dead = || self.dead.get(&sequence).is_some_and(|dead| dead.added);
        self.may_have_added(sequence) && (live() || dead())
    }

    /// Where the records of messages lie that were added by a replay and are live
    /// or dead letters.
    pub(crate) fn added(&self) -> impl Iterator<Item = Position> {
        let any = self.added.is_some();
        let live = self.window.values().filter(move |live| any && live.added).map(|live| live.position);
        live.chain(self.dead.values().filter(move |dead| any && dead.added).map(|dead| dead.position))
    }

    /// Puts a delivery into its new state, wherever it was before.
    pub(crate) fn put(&mut self, delivery: &DeliveryRef, state: &DeliveryState) {
        if self.is_behind(delivery) {
            self.ahead.insert(delivery.sequence);
            self.step_over_one();
        }
        if delivery.added {
            self.note_added(delivery.sequence);
        }
        let live_at = self.window.remove(&delivery.sequence).map(|live| live.position);
        let dead_at = self.dead.remove(&delivery.sequence).map(|dead| dead.position);
        self.resending.remove(&delivery.sequence);
        // Records are carried forward only: an outcome whose attempt began before
        // its message was carried still names the old place.
        let position = live_at.max(dead_at).map_or(delivery.position, |known| known.max(delivery.position));
        let delivery = &DeliveryRef { position, ..*delivery };
        match *state {
            DeliveryState::Scheduled(scheduled) => {
                self.window.insert(delivery.sequence, live(delivery, scheduled));
            }
            DeliveryState::Dead { at, reason, attempt } => self.bury(delivery, at, reason, attempt),
            DeliveryState::Delivered { .. } | DeliveryState::Cancelled { .. } => {}
            DeliveryState::Resending(Resending { scheduled, before }) => {
                self.window.insert(delivery.sequence, live(delivery, scheduled));
                match before {
                    Before::Dead { at, reason, attempt } => self.bury(delivery, at, reason, attempt),
                    before => drop(self.resending.insert(delivery.sequence, before)),
                }
            }
        }
    }

    fn bury(&mut self, delivery: &DeliveryRef, died: UnixMs, reason: DeadReason, attempt: u16) {
        let DeliveryRef { position, message, order_key, added, .. } = *delivery;
        self.dead.insert(delivery.sequence, Dead { position, message, order_key, died, reason, attempt, added });
    }

    /// Takes in what was read from the journal between the cursor and `next`,
    /// where reading goes on. Gives the deliveries that are new in the window.
    pub(crate) fn fill(&mut self, read: &[DeliveryRef], next: Position) -> Vec<(Position, Live)> {
        let mut filled = Vec::with_capacity(read.len());
        for delivery in read {
            let passed = self.ahead.remove(&delivery.sequence);
            if passed || self.window.contains_key(&delivery.sequence) || self.behind == 0 {
                continue;
            }
            let live = live(delivery, Scheduled::first(delivery.accepted()));
            self.window.insert(delivery.sequence, live);
            filled.push((delivery.sequence, live));
            self.behind -= 1;
        }
        self.cursor = Some(next);
        // What the cursor has passed is not met again.
        self.ahead = self.ahead.split_off(&next);
        self.forget_cursor_if_nothing_is_behind();
        filled
    }

    /// Deliveries that reading on has to look at to fill the window by `room`.
    pub(crate) fn worth_reading(&self, room: usize) -> usize {
        let behind = usize::try_from(self.behind).unwrap_or(usize::MAX);
        room.min(behind).saturating_add(self.ahead.len())
    }

    /// So many deliveries were found behind the window by reading on: what
    /// should be there besides is lost to damage. Gives how many.
    pub(crate) fn expect_behind(&mut self, found: u64) -> u64 {
        let lost = self.behind.saturating_sub(found);
        self.behind -= lost;
        self.forget_cursor_if_nothing_is_behind();
        lost
    }

    fn step_over_one(&mut self) {
        self.behind -= 1;
        self.forget_cursor_if_nothing_is_behind();
    }

    fn forget_cursor_if_nothing_is_behind(&mut self) {
        if self.behind == 0 {
            self.cursor = None;
            self.ahead.clear();
        }
    }
}

fn live(delivery: &DeliveryRef, scheduled: Scheduled) -> Live {
    let DeliveryRef { position, message, order_key, added, .. } = *delivery;
    Live { position, message, order_key, scheduled, added }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::delivery::{DeliveryEvent, Next, transition};
    use postrider_model::id::RawId;
    use proptest::prelude::*;

    fn delivery(n: u32) -> DeliveryRef {
        DeliveryRef {
            app: AppId(RawId::from_bytes([2; 20])),
            endpoint: EndpointId(RawId::from_bytes([1; 20])),
            sequence: Position::new(0, n),
            position: Position::new(0, n),
            message: MessageId(RawId::new(UnixMs(u64::from(n)), 0, [0; 6])),
            order_key: 0,
            added: false,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Accept,
        /// The nth pending one is delivered.
        Deliver(usize),
        Fill(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Accept),
            2 => (0usize..50).prop_map(Step::Deliver),
            1 => (1usize..8).prop_map(Step::Fill),
        ]
    }

    proptest! {
        /// Whatever happens, behind and window together are what was accepted
        /// and has not ended, and reading on brings all of it into the window.
        #[test]
        fn nothing_is_lost_behind_the_window(steps in prop::collection::vec(any_step(), 1..200)) {
            let mut lane = LaneState::new(AppId(RawId::from_bytes([2; 20])));
            let mut journal: Vec<DeliveryRef> = vec![];
            let mut pending: BTreeSet<u32> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Accept => {
                        let n = journal.len() as u32 + 1;
                        journal.push(delivery(n));
                        pending.insert(n);
                        lane.accept(&delivery(n), Scheduled::first(UnixMs(0)), 5);
                    }
                    Step::Deliver(nth) => {
                        let Some(n) = pending.iter().nth(nth % pending.len().max(1)).copied() else { continue };
                        pending.remove(&n);
                        let before = lane.state(Position::new(0, n))
                            .unwrap_or(DeliveryState::Scheduled(Scheduled::first(UnixMs(0))));
                        let event = DeliveryEvent::AttemptEnded { attempt: 1, resend: false, at: UnixMs(9), next: Next::Delivered };
                        let after = transition(&before, &event).expect("it waits for attempt 1");
                        lane.put(&delivery(n), &after);
                    }
                    Step::Fill(count) => {
                        let Some(cursor) = lane.cursor else { continue };
                        let from: Vec<_> = journal.iter().filter(|d| d.position >= cursor).copied().collect();
                        let read: Vec<_> = from.iter().take(count).copied().collect();
                        let next = from.get(count).map_or_else(|| Position::new(0, journal.len() as u32 + 1), |d| d.position);
                        lane.fill(&read, next);
                    }
                }
                prop_assert_eq!(lane.pending(), pending.len() as u64);
            }
            while let Some(cursor) = lane.cursor {
                let read: Vec<_> = journal.iter().filter(|d| d.position >= cursor).copied().collect();
                prop_assert!(!read.is_empty());
                lane.fill(&read, Position::MAX);
            }
            let window: BTreeSet<u32> = lane.window.keys().map(|sequence| sequence.offset_bytes()).collect();
            prop_assert_eq!(window, pending);
        }
    }
}
