//! What each delivery of a lane waits for.
//!
//! Nearly all wait for their first attempt and are in no order: of those the time is
//! kept, from which all else follows. Others are kept whole.

use postrider_model::delivery::Scheduled;
use postrider_model::packed::PackedMap;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::Waits;

/// Deliveries that wait, by their messages' sequences.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(PackedMap<Position, Kept>);

/// What is kept of one.
#[derive(Clone, Debug)]
enum Kept {
    /// It was accepted then: see [`untried`].
    Untried(UnixMs),
    Whole(Box<Waits>),
}

/// What waits for its first attempt, in no order, and for no later time than it
/// was accepted.
fn untried(accepted: UnixMs) -> Waits {
    Waits { scheduled: Scheduled::first(accepted), order_key: 0, order: 0, not_before: accepted }
}

impl Kept {
    fn new(waits: Waits) -> Self {
        let accepted = waits.scheduled.due;
        if waits == untried(accepted) { Self::Untried(accepted) } else { Self::Whole(Box::new(waits)) }
    }

    fn waits(&self) -> Waits {
        match self {
            Self::Untried(accepted) => untried(*accepted),
            Self::Whole(waits) => **waits,
        }
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, message: Position) -> Option<Waits> {
        self.0.get(&message).map(Kept::waits)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, Waits)> {
        self.0.iter().map(|(message, kept)| (message, kept.waits()))
    }

    pub(super) fn insert(&mut self, message: Position, waits: Waits) {
        self.0.insert(message, Kept::new(waits));
    }

    pub(super) fn remove(&mut self, message: Position) -> Option<Waits> {
        self.0.remove(&message).map(|kept| kept.waits())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::delivery::Trigger;

    use super::*;

    #[test]
    fn what_is_put_in_comes_out_however_it_is_kept() {
        let first = untried(UnixMs(5));
        let retry = Scheduled { due: UnixMs(5), attempt: 2, step: 1, trigger: Trigger::Scheduled };
        let all = [
            first,
            Waits { scheduled: retry, ..first },
            Waits { order_key: 3, ..first },
            Waits { order: 3, ..first },
            Waits { not_before: UnixMs(4), ..first },
        ];
        let at = |n: usize| Position::new(1, n as u32);
        let mut waiting = Waiting::default();
        all.iter().enumerate().for_each(|(n, waits)| waiting.insert(at(n), *waits));
        assert!(waiting.iter().eq(all.iter().enumerate().map(|(n, waits)| (at(n), *waits))));
        for (n, waits) in all.iter().enumerate() {
            assert_eq!(waiting.get(at(n)), Some(*waits));
            assert_eq!(waiting.remove(at(n)), Some(*waits));
        }
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn one_that_was_not_tried_is_small() {
        assert!(size_of::<(Position, Kept)>() <= 24, "{} bytes", size_of::<(Position, Kept)>());
    }
}
