//! The deliveries of a lane that are in memory.
//!
//! There may be a million of them, and nearly all wait for their first attempt: then
//! everything but the message's id follows from that and from the sequence, and
//! the id is all that is kept. Others are kept whole.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use postrider_model::delivery::Scheduled;
use postrider_model::id::MessageId;
use postrider_model::packed::PackedMap;
use postrider_model::position::Position;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Live;

/// Deliveries that wait, by their messages' sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window(PackedMap<Position, Kept>);

/// What is kept of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// As it was accepted: see [`untried`].
    Untried {
        message: MessageId,
        passed: bool,
    },
    Whole(Box<Live>),
}

/// A delivery that waits for its first attempt, in no order, where it was accepted.
fn untried(sequence: Position, message: MessageId, passed: bool) -> Live {
    let scheduled = Scheduled::first(message.0.time());
    Live { position: sequence, message, order_key: 0, scheduled, added: false, passed }
}

impl Kept {
    fn new(sequence: Position, live: Live) -> Self {
        let Live { message, passed, .. } = live;
        if live == untried(sequence, message, passed) {
            Self::Untried { message, passed }
        } else {
            Self::Whole(Box::new(live))
        }
    }

    fn live(&self, sequence: Position) -> Live {
        match self {
            Self::Untried { message, passed } => untried(sequence, *message, *passed),
            Self::Whole(live) => **live,
        }
    }
}

impl Window {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains_key(&self, sequence: &Position) -> bool {
        self.0.contains_key(sequence)
    }

    pub(crate) fn get(&self, sequence: &Position) -> Option<Live> {
        self.0.get(sequence).map(|kept| kept.live(*sequence))
    }

    /// All of them, by sequence.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Position, Live)> {
        self.0.iter().map(|(sequence, kept)| (sequence, kept.live(sequence)))
    }

    /// The same without their sequences.
    pub(crate) fn values(&self) -> impl Iterator<Item = Live> {
        self.iter().map(|(_, live)| live)
    }

    /// Those with sequences in a range.
    pub(crate) fn range(
        &self,
        sequences: impl RangeBounds<Position>,
    ) -> impl DoubleEndedIterator<Item = (Position, Live)> {
        self.0.range(sequences).map(|(sequence, kept)| (sequence, kept.live(sequence)))
    }

    pub(super) fn insert(&mut self, sequence: Position, live: Live) {
        self.0.insert(sequence, Kept::new(sequence, live));
    }

    pub(super) fn remove(&mut self, sequence: &Position) -> Option<Live> {
        self.0.remove(sequence).map(|kept| kept.live(*sequence))
    }

    /// None has passed the backlog any more.
    pub(super) fn forget_passed(&mut self) {
        for kept in self.0.values_mut() {
            match kept {
                Kept::Untried { passed, .. } => *passed = false,
                Kept::Whole(live) => live.passed = false,
            }
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (sequence, live) in self.iter() {
            map.serialize_entry(&sequence, &live)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = BTreeMap::<Position, Live>::deserialize(deserializer)?;
        Ok(Self(all.into_iter().map(|(sequence, live)| (sequence, Kept::new(sequence, live))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::delivery::Trigger;
    use postrider_model::id::RawId;
    use postrider_model::time::UnixMs;

    use super::*;
    use crate::record::{from_checked_bincode, to_bincode};

    fn lives() -> BTreeMap<Position, Live> {
        let plain = |n: u32| {
            let at = Position::new(1, n);
            (at, untried(at, MessageId(RawId::new(UnixMs(u64::from(n)), u64::from(n), [7; 6])), n.is_multiple_of(5)))
        };
        let mut lives: BTreeMap<_, _> = (0..100).map(plain).collect();
        for (n, live) in lives.values_mut().enumerate() {
            match n % 7 {
                1 => live.scheduled = Scheduled { due: UnixMs(9), attempt: 2, step: 1, trigger: Trigger::Scheduled },
                2 => live.position = Position::new(3, 4),
                3 => live.order_key = 8,
                4 => live.added = true,
                5 => live.scheduled.trigger = Trigger::Manual,
                _ => {}
            }
        }
        lives
    }

    #[test]
    fn what_is_put_in_comes_out_however_it_is_kept() {
        let mut window = Window::default();
        for (sequence, live) in lives() {
            window.insert(sequence, live);
        }
        assert!(window.iter().eq(lives()));
        assert!(window.values().eq(lives().into_values()));
        assert!(lives().iter().all(|(sequence, live)| window.get(sequence) == Some(*live)));
        window.forget_passed();
        assert!(window.values().all(|live| !live.passed));
        assert!(lives().iter().all(|(sequence, _)| window.remove(sequence).is_some()));
        assert_eq!(window, Window::default());
    }

    #[test]
    fn its_bytes_are_those_of_a_map() {
        let window =
            Window(lives().into_iter().map(|(sequence, live)| (sequence, Kept::new(sequence, live))).collect());
        let bytes = to_bincode(&lives());
        assert_eq!(to_bincode(&window), bytes);
        assert_eq!(from_checked_bincode::<Window>(&bytes), Ok(window));
    }

    #[test]
    fn one_that_was_not_tried_is_small() {
        assert!(size_of::<(Position, Kept)>() <= 32, "{} bytes", size_of::<(Position, Kept)>());
    }
}
