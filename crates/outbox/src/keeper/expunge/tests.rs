//! Which segments a pass looks at.

use postrider_model::id::{AppId, AttemptId, MessageId, RawId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::*;
use crate::record::{Expunged, ExpungedContent};

fn segments(numbers: std::ops::RangeInclusive<u32>) -> Vec<SegmentInfo> {
    let info = |number| SegmentInfo {
        number,
        bytes_used: 64,
        bytes_allocated: 64,
        first_frame_time: None,
        sealed: true,
        damaged: false,
    };
    numbers.map(info).collect()
}

/// The payload, or an answer, that was first recorded in `first`; segment `said` says that it is expunged.
fn gone(is_payload: bool, first: u32, said: u32) -> state::Expunging {
    let raw = RawId::from_bytes([1; 20]);
    let position = Position::new(first, 64);
    let what = if is_payload {
        ExpungedContent::Payload { message: MessageId(raw), sequence: position }
    } else {
        ExpungedContent::Response { attempt: AttemptId(raw), position }
    };
    let expunged = Expunged { at: UnixMs(1), app: AppId(raw), what, waiting: vec![], dead: vec![] };
    let mut expunging = state::Expunging::new();
    expunging.add(Position::new(said, 640), &expunged);
    expunging
}

#[test]
fn what_may_have_been_carried_is_looked_for_wherever_it_may_have_come() {
    for (is_payload, first, said, there, looked_at) in [
        // Nothing is carried out of a segment that is not the oldest.
        (true, 5, 8, 3..=9, vec![5]),
        (true, 3, 5, 3..=9, vec![3, 4, 5]),
        (true, 2, 5, 3..=9, vec![3, 4, 5]),
        // An answer goes with its segment.
        (false, 5, 8, 3..=9, vec![5]),
        (false, 3, 5, 3..=9, vec![3]),
        (false, 2, 5, 3..=9, vec![]),
        (true, 2, 5, 6..=9, vec![]),
    ] {
        let found = segments_that_may_hold(&gone(is_payload, first, said), &segments(there.clone()));
        let case = format!("payload: {is_payload}, {first} expunged in {said}, there are {there:?}");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), looked_at, "{case}");
    }
    assert_eq!(segments_that_may_hold(&gone(true, 1, 1), &[]), BTreeSet::new());
}
