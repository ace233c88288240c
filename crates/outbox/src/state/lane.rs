//! The live deliveries of one endpoint.
//!
//! ```text
//!   sequences  -->   settled | window (in memory)  | backlog (in the journal only)
//!                                     ^                    |
//!                                     +--- read on --------+  at most nine tenths
//!                                     +--- just accepted, past the backlog: the rest
//! ```
//!
//! At most `lane_window` deliveries are in memory. What lies behind them has
//! never been attempted, so positions in the journal describe it all, see
//! [`super::backlog`]. A tenth of the window is for what comes while there is a
//! backlog, so that an endpoint that works again gets what is new beside what is old.

mod window;

pub(crate) use window::Window;

use std::collections::BTreeMap;

use postrider_model::config::Config;
use postrider_model::delivery::{DeadReason, DeliveryState, Scheduled};
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::lane::is_long;
use postrider_model::order::OrderBy;
use postrider_model::position::Position;
use postrider_model::resend::{Before, Resending};
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

use super::backlog::Backlog;
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
    /// It was accepted past a backlog.
    passed: bool,
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

/// What an accepted delivery may claim where there is a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// To pass it.
    New,
    /// Nothing: it could not be sent now.
    Old,
    /// Nothing: it is in an order, and has to keep its place.
    Ordered,
}

impl Claim {
    pub(super) fn of(config: &Config, default: OrderBy, delivery: &DeliveryRef) -> Self {
        let Some(endpoint) = config.endpoint(delivery.endpoint) else { return Self::Old };
        let by = endpoint.fields.policy.order.as_ref().map_or(default, |own| own.by);
        match (by.order(delivery.order_key), config.hold(endpoint)) {
            (0, None) => Self::New,
            (0, Some(_)) => Self::Old,
            _ => Self::Ordered,
        }
    }
}

/// One endpoint's deliveries; keys are the messages' sequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneState {
    pub(crate) app: AppId,
    pub(crate) window: Window,
    pub(crate) dead: BTreeMap<Position, Dead>,
    /// What those in the window were that are being resent; a dead letter stays
    /// in `dead` meanwhile.
    resending: BTreeMap<Position, Before>,
    /// Deliveries behind the window.
    pub(crate) backlog: Backlog,
    /// Those of the window that were accepted past it, in number.
    passed: usize,
    /// The first and the last message that a replay added.
    added: Option<(Position, Position)>,
    /// The end of the first attempt that failed after the last success.
    pub(crate) failing_since: Option<UnixMs>,
}

impl LaneState {
    pub(crate) fn new(app: AppId) -> Self {
        Self {
            app,
            window: Window::default(),
            dead: BTreeMap::new(),
            resending: BTreeMap::new(),
            backlog: Backlog::default(),
            passed: 0,
            added: None,
            failing_since: None,
        }
    }

    /// How many deliveries a task may add.
    pub(crate) fn room(&self, lane_window: usize) -> usize {
        lane_window.saturating_sub(self.window.len())
    }

    /// The same for dead letters.
    pub(crate) fn room_for_dead(&self, lane_window: usize) -> usize {
        self.room(lane_window.saturating_add(ROOM_FOR_DEAD))
    }

    /// How many of the backlog may come into the window.
    pub(crate) fn room_for_backlog(&self, lane_window: usize) -> usize {
        let by_share = (lane_window - share(lane_window)).saturating_sub(self.window.len() - self.passed);
        by_share.min(self.room(lane_window))
    }

    /// Whether it is time to read on: while a line that cannot move takes up most
    /// of the window, others have to go on with the rest.
    pub(crate) fn is_thirsty(&self, lane_window: usize) -> bool {
        !self.backlog.is_empty() && self.room_for_backlog(lane_window) >= lane_window.div_ceil(10)
    }

    /// Deliveries that wait, in number.
    pub(crate) fn pending(&self) -> u64 {
        self.window.len() as u64 + self.backlog.count()
    }

    /// The same without those that have ended and are resent.
    pub(crate) fn pending_by_schedule(&self) -> u64 {
        self.pending_window().count() as u64 + self.backlog.count()
    }

    /// Takes in a delivery that was just accepted; `claim` is asked for if there is a
    /// backlog. Gives whether it is in the window.
    pub(crate) fn accept(
        &mut self,
        delivery: &DeliveryRef,
        scheduled: Scheduled,
        claim: impl FnOnce() -> Claim,
        lane_window: usize,
    ) -> bool {
        let passed = !self.backlog.is_empty();
        if passed || self.room_for_backlog(lane_window) == 0 {
            let claim = claim();
            if !passed || claim != Claim::New || !self.has_room_to_pass(lane_window) {
                self.backlog.push(delivery.sequence, claim == Claim::Ordered);
                return false;
            }
            self.backlog.pass(delivery.sequence);
        }
        self.insert(delivery.sequence, Live { passed, ..live(delivery, scheduled) });
        true
    }

    /// Whether what is accepted now may pass the backlog. Once something did not,
    /// nothing does until the endpoint works and half of the share is free, so that
    /// the backlog stays in few pieces.
    fn has_room_to_pass(&self, lane_window: usize) -> bool {
        let share = share(lane_window);
        // What people replay or resend may fill the window, and does not keep out what is new.
        let room = share.saturating_sub(self.passed).min(self.room_for_dead(lane_window + share));
        let goes_on = self.backlog.is_passed() && room > 0;
        let begins = self.failing_since.is_none() && room >= share.div_ceil(2).max(1);
        (goes_on || begins) && self.backlog.may_be_passed()
    }

    /// An attempt that ended at `at` succeeded.
    pub(crate) fn succeeded(&mut self, at: UnixMs) {
        if is_long(self.failing_since, at) {
            self.open();
        }
        self.failing_since = None;
    }

    /// The endpoint can be sent to again: it has not failed, and what has passed its
    /// backlog until now is old as well.
    pub(crate) fn open(&mut self) {
        self.failing_since = None;
        self.window.forget_passed();
        self.passed = 0;
    }

    /// What is known of a delivery here: `None` if it has ended well, was
    /// cancelled, never was, or lies behind the window.
    pub(crate) fn state(&self, sequence: Position) -> Option<DeliveryState> {
        let dead = self.dead.get(&sequence);
        let Some(Live { scheduled, .. }) = self.window.get(&sequence) else { return dead.map(Dead::state) };
        let before = dead.map(Dead::before).or_else(|| self.resending.get(&sequence).copied());
        Some(match before {
            Some(before) => DeliveryState::Resending(Resending { scheduled, before }),
            None => DeliveryState::Scheduled(scheduled),
        })
    }

    /// A delivery to this lane's endpoint that is live or a dead letter.
    pub(crate) fn known(&self, endpoint: EndpointId, sequence: Position) -> Option<DeliveryRef> {
        let live = self.window.get(&sequence).map(|live| live.delivery(self.app, endpoint, sequence));
        live.or_else(|| self.dead.get(&sequence).map(|dead| dead.delivery(self.app, endpoint, sequence)))
    }

    /// The deliveries of the window that wait by the schedule: not those that have
    /// ended and are resent.
    pub(crate) fn pending_window(&self) -> impl Iterator<Item = (Position, Live)> {
        let is_pending = |sequence| self.state(sequence).is_some_and(|state| state.is_pending());
        self.window.iter().filter(move |(sequence, _)| is_pending(*sequence))
    }

    /// Whether a delivery waits in the journal only, behind the window. A
    /// message that was carried is there no longer: carrying brings its
    /// deliveries into the window.
    pub(crate) fn is_behind(&self, delivery: &DeliveryRef) -> bool {
        !delivery.added && self.would_be_behind(delivery.sequence)
    }

    /// The same for the message with this sequence, if it went to the endpoint.
    pub(crate) fn would_be_behind(&self, sequence: Position) -> bool {
        self.backlog.holds(sequence) && !self.window.contains_key(&sequence) && !self.dead.contains_key(&sequence)
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
            self.backlog.skip(delivery.sequence);
        }
        if delivery.added {
            self.note_added(delivery.sequence);
        }
        let known = self.window.remove(&delivery.sequence);
        let (live_at, passed) = (known.map(|live| live.position), known.is_some_and(|live| live.passed));
        self.passed -= usize::from(passed);
        let dead_at = self.dead.remove(&delivery.sequence).map(|dead| dead.position);
        self.resending.remove(&delivery.sequence);
        // Records are carried forward only: an outcome whose attempt began before
        // its message was carried still names the old place.
        let position = live_at.max(dead_at).map_or(delivery.position, |known| known.max(delivery.position));
        let delivery = &DeliveryRef { position, ..*delivery };
        match *state {
            DeliveryState::Scheduled(scheduled) => {
                self.insert(delivery.sequence, Live { passed, ..live(delivery, scheduled) });
            }
            DeliveryState::Dead { at, reason, attempt } => self.bury(delivery, at, reason, attempt),
            DeliveryState::Delivered { .. } | DeliveryState::Cancelled { .. } => {}
            DeliveryState::Resending(Resending { scheduled, before }) => {
                self.insert(delivery.sequence, Live { passed, ..live(delivery, scheduled) });
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
    /// where reading goes on. Gives the deliveries that are new in the window, and
    /// how many should have been there besides: they are lost to damage.
    pub(crate) fn fill(&mut self, read: &[DeliveryRef], next: Position) -> (Vec<(Position, Live)>, u64) {
        let mut filled = Vec::with_capacity(read.len());
        for delivery in read {
            if self.window.contains_key(&delivery.sequence) || !self.backlog.take(delivery.sequence) {
                continue;
            }
            let live = live(delivery, Scheduled::first(delivery.accepted()));
            self.insert(delivery.sequence, live);
            filled.push((delivery.sequence, live));
        }
        (filled, self.backlog.advance(next))
    }

    fn insert(&mut self, sequence: Position, live: Live) {
        self.passed += usize::from(live.passed);
        self.window.insert(sequence, live);
    }
}

/// Deliveries of a window that may have passed the backlog: a tenth.
fn share(lane_window: usize) -> usize {
    lane_window.div_ceil(10).min(lane_window.saturating_sub(1))
}

fn live(delivery: &DeliveryRef, scheduled: Scheduled) -> Live {
    let DeliveryRef { position, message, order_key, added, .. } = *delivery;
    Live { position, message, order_key, scheduled, added, passed: false }
}

#[cfg(test)]
mod tests;
