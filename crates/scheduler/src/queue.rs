//! What waits in a lane, and which of it comes next.
//!
//! The rule: first attempts go in the order of their sequence, all others by
//! due time. First attempts of messages from before the lane opened, after a start,
//! a hold or a long failure, are its backlog. When there are fresh ones, a backlog and retries,
//! they take turns: so none of them starves the others.
//!
//! Deliveries in the same order stand behind each other by their sequences: only
//! the first of them is in a queue, and none while one of them is in flight. If
//! the endpoint wants that, none is either while an earlier one is a dead letter.
//!
//! Bounded by `lane_window`, which the outbox keeps; some 35 bytes a delivery that was not tried.

mod batch;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::delivery::{Scheduled, Trigger};
use postrider_model::order::OrderBy;
use postrider_model::packed::PackedMap;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use self::waiting::Waiting;
use crate::timers::Timers;

/// A delivery that waits for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    /// What it waits for.
    pub(crate) scheduled: Scheduled,
    /// A hash of its order key, or 0.
    pub(crate) order_key: u64,
    /// The order that it is in by the endpoint's policy, or 0.
    pub(crate) order: u64,
    /// `scheduled.due`, or later when its job could not be read.
    pub(crate) not_before: UnixMs,
}

impl Waits {
    /// As the outbox told it at `now`. The first attempt of a schedule, and one that
    /// a person asked for, is due when it is told, whatever the wall clock says: the
    /// outbox's own time does not go back when the wall clock is set back, and new
    /// messages must not wait for it. Its order is found out when it joins the lane's queue.
    pub(crate) fn told(scheduled: Scheduled, order_key: u64, now: UnixMs) -> Self {
        let at_once = scheduled.step == 0 || scheduled.trigger == Trigger::Resent;
        let not_before = if at_once { scheduled.due.min(now) } else { scheduled.due };
        Self { scheduled, order_key, order: 0, not_before }
    }
}

/// What waits in a lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    waits: Waiting,
    fresh: PackedMap<Position, ()>,
    backlog: PackedMap<Position, ()>,
    timed: Timers<UnixMs, Position>,
    /// Those that wait and are in an order.
    ordered: BTreeSet<(u64, Position)>,
    /// The orders in flight; as short as the lane's list of flights.
    busy: Vec<u64>,
    /// Dead letters behind which others wait, with their order keys' hashes.
    dead: BTreeMap<Position, u64>,
    /// The same by the order that they are in.
    holding: BTreeSet<(u64, Position)>,
    /// First attempts of messages from before this are backlog. By the wall clock:
    /// nothing but turns depends on it.
    opened: UnixMs,
    /// Whose turn it is: the fresh ones' (0), the backlog's or the retries'.
    turn: usize,
}

impl Queue {
    /// One of a lane that opens at this time.
    pub(crate) fn opened(now: UnixMs) -> Self {
        Self { opened: now, ..Self::default() }
    }

    /// The lane opens after a time in which it could not send: what waits for its first attempt is backlog.
    pub(crate) fn open(&mut self, now: UnixMs) {
        self.opened = now;
        for (message, ()) in std::mem::take(&mut self.fresh).iter() {
            self.backlog.insert(message, ());
        }
    }

    /// Adds a delivery, or takes the place of what was known of it.
    pub(crate) fn put(&mut self, message: Position, waits: Waits, now: UnixMs) {
        self.remove(message, now);
        self.waits.insert(message, waits);
        if waits.order == 0 {
            self.enqueue(message, now);
        } else {
            self.ordered.insert((waits.order, message));
            self.enqueue_first_of(waits.order, now);
        }
    }

    /// Takes a delivery out, wherever it stands.
    pub(crate) fn remove(&mut self, message: Position, now: UnixMs) -> Option<Waits> {
        self.dequeue(message);
        let waits = self.waits.remove(message)?;
        if waits.order != 0 {
            self.ordered.remove(&(waits.order, message));
            self.enqueue_first_of(waits.order, now);
        }
        Some(waits)
    }

    /// When the next delivery may go, as far as its due time is concerned: the
    /// past if one is due.
    pub(crate) fn next_due(&self) -> Option<UnixMs> {
        // What was due once stays due, even if the wall clock goes back.
        if self.fresh.is_empty() && self.backlog.is_empty() { self.timed.next() } else { Some(UnixMs(0)) }
    }

    /// Takes out the delivery whose turn it is. Its order key is busy until [`Self::done`].
    pub(crate) fn take(&mut self, now: UnixMs) -> Option<(Position, Waits)> {
        let timed = self.timed.first().filter(|(due, _)| *due <= now).map(|(_, message)| message);
        let mut kinds = [(0, first(&self.fresh)), (1, first(&self.backlog)), (2, timed)];
        kinds.rotate_left(self.turn);
        let mut firsts = kinds.into_iter().filter_map(|(kind, first)| Some((kind, first?)));
        let (kind, message) = firsts.next()?;
        // Who was alone has had no turn.
        if firsts.next().is_some() {
            self.turn = (kind + 1) % kinds.len();
        }
        self.take_out(message)
    }

    /// Takes out a delivery that is in a queue.
    fn take_out(&mut self, message: Position) -> Option<(Position, Waits)> {
        self.dequeue(message);
        let waits = self.waits.remove(message)?;
        if waits.order != 0 {
            self.ordered.remove(&(waits.order, message));
            self.busy.push(waits.order);
        }
        Some((message, waits))
    }

    /// The delivery with this order is in flight no longer. If it waits again it
    /// has been put back before.
    pub(crate) fn done(&mut self, order: u64, now: UnixMs) {
        if let Some(place) = self.busy.iter().position(|busy| *busy == order) {
            self.busy.swap_remove(place);
            self.enqueue_first_of(order, now);
        }
    }

    /// A dead letter lets those after it in the same order wait.
    pub(crate) fn bury(&mut self, message: Position, order_key: u64, by: OrderBy) {
        let order = by.order(order_key);
        if order == 0 {
            return;
        }
        self.dead.insert(message, order_key);
        self.holding.insert((order, message));
        let later = self.ordered.range((order, message)..=(order, Position::MAX)).next().copied();
        if let Some((_, later)) = later {
            self.dequeue(later);
        }
    }

    /// What was a dead letter holds up nothing any more.
    pub(crate) fn unbury(&mut self, message: Position, by: OrderBy, now: UnixMs) {
        let Some(order_key) = self.dead.remove(&message) else { return };
        let order = by.order(order_key);
        self.holding.remove(&(order, message));
        self.enqueue_first_of(order, now);
    }

    /// No dead letter holds up anything any more.
    pub(crate) fn unbury_all(&mut self, now: UnixMs) {
        self.dead.clear();
        let orders: BTreeSet<_> = std::mem::take(&mut self.holding).into_iter().map(|(order, _)| order).collect();
        for order in orders {
            self.enqueue_first_of(order, now);
        }
    }

    /// Another order counts, also for what is in flight: `busy` are the orders of that.
    pub(crate) fn reorder(&mut self, by: OrderBy, busy: Vec<u64>, now: UnixMs) {
        let waits = std::mem::take(&mut self.waits);
        self.clear();
        self.busy = busy;
        self.holding =
            self.dead.iter().map(|(message, key)| (by.order(*key), *message)).filter(|held| held.0 != 0).collect();
        for (message, waits) in waits.iter() {
            self.put(message, Waits { order: by.order(waits.order_key), ..waits }, now);
        }
    }

    /// Whether a dead letter holds up others.
    pub(crate) fn has_dead(&self) -> bool {
        !self.holding.is_empty()
    }

    /// Whether an earlier one in the same order is a dead letter that holds it up.
    pub(crate) fn is_held_by_dead(&self, message: Position) -> bool {
        self.get(message).is_some_and(|waits| self.is_held(waits.order, message))
    }

    /// Lets what waits for a later attempt wait no longer than until `latest` says
    /// for its step, if it says something.
    pub(crate) fn hasten(&mut self, now: UnixMs, mut latest: impl FnMut(&Scheduled) -> Option<UnixMs>) {
        let late: Vec<_> = self
            .waits
            .iter()
            .filter_map(|(message, waits)| {
                let latest = latest(&waits.scheduled).filter(|latest| *latest < waits.not_before)?;
                Some((message, Waits { not_before: latest, ..waits }))
            })
            .collect();
        for (message, waits) in late {
            self.put(message, waits, now);
        }
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        self.waits.clear();
        self.fresh.clear();
        self.backlog.clear();
        self.timed.clear();
        self.ordered.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.waits.len()
    }

    pub(crate) fn get(&self, message: Position) -> Option<Waits> {
        self.waits.get(message)
    }

    /// Whether it is in a queue: nothing in the same order stands before it.
    pub(crate) fn is_first(&self, message: Position) -> bool {
        let timed = self.get(message).is_some_and(|waits| self.timed.contains(waits.not_before, message));
        timed || self.fresh.contains_key(&message) || self.backlog.contains_key(&message)
    }

    /// The earliest due time of what is in a queue.
    pub(crate) fn oldest_due(&self) -> Option<UnixMs> {
        let firsts = first(&self.fresh).into_iter().chain(first(&self.backlog));
        let dues = firsts.filter_map(|message| self.get(message)).map(|waits| waits.not_before);
        dues.chain(self.timed.next()).min()
    }

    fn enqueue_first_of(&mut self, order: u64, now: UnixMs) {
        if self.busy.contains(&order) {
            return;
        }
        let mut group = self.ordered.range((order, Position::ZERO)..=(order, Position::MAX));
        let (first, second) = (group.next().copied(), group.next().copied());
        // The second was the first until now if an earlier one has been put before it.
        if let Some((_, second)) = second {
            self.dequeue(second);
        }
        if let Some((_, first)) = first.filter(|(order, first)| !self.is_held(*order, *first)) {
            self.enqueue(first, now);
        }
    }

    /// The dead letter that holds up a message in this order.
    pub(crate) fn dead_before(&self, order: u64, message: Position) -> Option<Position> {
        self.holding.range((order, Position::ZERO)..(order, message)).next().map(|(_, dead)| *dead)
    }

    /// The first that waits in this order, if it is another one.
    pub(crate) fn first_before(&self, order: u64, message: Position) -> Option<Position> {
        self.ordered.range((order, Position::ZERO)..(order, message)).next().map(|(_, first)| *first)
    }

    fn is_held(&self, order: u64, message: Position) -> bool {
        self.dead_before(order, message).is_some()
    }

    fn enqueue(&mut self, message: Position, now: UnixMs) {
        if self.is_first(message) {
            return;
        }
        let Some(waits) = self.waits.get(message) else { return };
        if waits.scheduled.attempt != 1 || waits.not_before > now {
            self.timed.insert(waits.not_before, message);
        } else if waits.scheduled.due < self.opened {
            self.backlog.insert(message, ());
        } else {
            self.fresh.insert(message, ());
        }
    }

    fn dequeue(&mut self, message: Position) {
        if self.fresh.remove(&message).is_some() || self.backlog.remove(&message).is_some() {
            return;
        }
        if let Some(waits) = self.waits.get(message) {
            self.timed.remove(waits.not_before, message);
        }
    }
}

fn first(queue: &PackedMap<Position, ()>) -> Option<Position> {
    queue.first().map(|(message, ())| message)
}

#[cfg(test)]
mod tests;
