//! What lies behind a lane's window: in the journal only, never attempted.
//!
//! ```text
//!   sequences  -->   window | stretch ... | passed it | stretch ... | passed | stretch ...
//!                           ^ cursor      ^ end
//! ```
//!
//! As a rule it is one stretch, from a cursor to the journal's end. Where new
//! deliveries went into the window at once, past those that wait longer, the
//! stretch before them ends, and what comes behind the window again begins
//! another. Deliveries within a stretch that have been dealt with all the same
//! are in `ahead` until the cursor passes them.

use std::collections::{BTreeSet, VecDeque};

use postrider_model::position::Position;
use serde::{Deserialize, Serialize};

/// Stretches at most: with so many, nothing passes until the oldest is read.
const MAX_STRETCHES: usize = 64;

/// Deliveries one after the other in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    /// Where reading goes on.
    from: Position,
    /// The first that is no longer part of it; `None` if it goes on with what comes.
    end: Option<Position>,
    /// Deliveries in it that wait.
    count: u64,
    /// It holds some that are in an order.
    ordered: bool,
}

impl Stretch {
    fn holds(&self, sequence: Position) -> bool {
        self.from <= sequence && self.end.is_none_or(|end| sequence < end)
    }
}

/// The deliveries of one lane that are not in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backlog {
    /// The oldest first.
    stretches: VecDeque<Stretch>,
    ahead: BTreeSet<Position>,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Deliveries in it, in number.
    pub(crate) fn count(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.count).sum()
    }

    /// Where reading goes on, and where it has to stop; nothing if there is nothing.
    pub(crate) fn next(&self) -> Option<(Position, Position)> {
        self.stretches.front().map(|stretch| (stretch.from, stretch.end.unwrap_or(Position::MAX)))
    }

    /// The position from which the journal is read on.
    pub(crate) fn cursor(&self) -> Option<Position> {
        self.next().map(|(from, _)| from)
    }

    /// Whether some of it lies between two positions.
    pub(crate) fn overlaps(&self, from: Position, to: Position) -> bool {
        self.stretches.iter().any(|stretch| stretch.from < to && stretch.end.is_none_or(|end| end > from))
    }

    /// Whether the last stretch has ended: what came last has passed it.
    pub(crate) fn is_passed(&self) -> bool {
        self.stretches.back().is_some_and(|stretch| stretch.end.is_some())
    }

    /// Whether new deliveries that are in no order may pass it. Where some are in an
    /// order, more of them will come and may not pass: stretches would be short and many.
    pub(crate) fn may_be_passed(&self) -> bool {
        self.stretches.len() < MAX_STRETCHES && !self.stretches.iter().any(|stretch| stretch.ordered)
    }

    /// Adds the delivery that was accepted last.
    pub(crate) fn push(&mut self, sequence: Position, ordered: bool) {
        if let Some(open) = self.stretches.back_mut().filter(|stretch| stretch.end.is_none()) {
            open.count += 1;
            open.ordered |= ordered;
        } else {
            self.stretches.push_back(Stretch { from: sequence, end: None, count: 1, ordered });
        }
    }

    /// The delivery that was accepted last passes it.
    pub(crate) fn pass(&mut self, sequence: Position) {
        if let Some(last) = self.stretches.back_mut() {
            last.end.get_or_insert(sequence);
        }
    }

    /// Whether the delivery of the message with this sequence is here, if there is one.
    pub(crate) fn holds(&self, sequence: Position) -> bool {
        self.stretch_of(sequence).is_some() && !self.ahead.contains(&sequence)
    }

    /// A delivery that is here is dealt with before its turn.
    pub(crate) fn skip(&mut self, sequence: Position) {
        let Some(index) = self.stretch_of(sequence) else { return };
        self.ahead.insert(sequence);
        self.drop_one(index);
    }

    /// A delivery was read. Gives whether it was here; it is no longer.
    pub(crate) fn take(&mut self, sequence: Position) -> bool {
        if self.ahead.remove(&sequence) {
            return false;
        }
        let Some(stretch) = self.stretch_of(sequence).and_then(|index| self.stretches.get_mut(index)) else {
            return false;
        };
        let is_here = stretch.count > 0;
        stretch.count -= u64::from(is_here);
        is_here
    }

    /// Everything before `next` was read. What should have been there besides is lost
    /// to damage: gives how many.
    pub(crate) fn advance(&mut self, next: Position) -> u64 {
        let mut lost = 0;
        while let Some(first) = self.stretches.front_mut() {
            let is_over = first.end.is_some_and(|end| end <= next);
            if !is_over && first.count > 0 {
                first.from = first.from.max(next);
                break;
            }
            lost += first.count;
            self.stretches.pop_front();
        }
        // What the cursor has passed is not met again.
        self.ahead = self.ahead.split_off(&next);
        self.forget_ahead_if_empty();
        lost
    }

    /// It holds these and no more: what should be there besides is lost to damage.
    /// Gives how many.
    pub(crate) fn expect(&mut self, found: impl Iterator<Item = Position>) -> u64 {
        let before = self.count();
        self.stretches.iter_mut().for_each(|stretch| stretch.count = 0);
        for sequence in found {
            if let Some(stretch) = self.stretch_of(sequence).and_then(|index| self.stretches.get_mut(index)) {
                stretch.count += 1;
            }
        }
        self.stretches.retain(|stretch| stretch.count > 0);
        self.forget_ahead_if_empty();
        before.saturating_sub(self.count())
    }

    fn stretch_of(&self, sequence: Position) -> Option<usize> {
        let next = self.stretches.partition_point(|stretch| stretch.from <= sequence);
        let index = next.checked_sub(1)?;
        self.stretches.get(index).filter(|stretch| stretch.holds(sequence)).map(|_| index)
    }

    fn drop_one(&mut self, index: usize) {
        let Some(stretch) = self.stretches.get_mut(index) else { return };
        stretch.count = stretch.count.saturating_sub(1);
        if stretch.count > 0 {
            return;
        }
        self.stretches.remove(index);
        self.forget_ahead_if_empty();
    }

    fn forget_ahead_if_empty(&mut self) {
        if self.stretches.is_empty() {
            self.ahead.clear();
        }
    }
}

#[cfg(test)]
mod tests;
