//! Sealed segments are read again, one now and then, and what is damaged there is counted.

use std::time::Duration;

use super::counted::Counted;
use super::damage::flip;
use super::support::{ManualClock, Running, options};
use crate::Options;
use crate::meters;

const PACE: Duration = Duration::from_secs(600);
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn every_ten_minutes_the_next_sealed_segment_is_read_and_after_the_last_the_first() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
    let mut running = Running::start(small, &clock).expect("an empty directory opens");
    running.app("shop");
    for n in 0..30 {
        running.send("shop", "order.seen", &format!("body-{n} {}", "x".repeat(7_000)));
    }
    let segments = running.outbox.shared.reader.segments();
    let sealed = segments.iter().filter(|segment| segment.sealed).count();
    assert!(sealed >= 3, "{segments:?}");
    // Each segment has eight or nine of them.
    flip(&dir.path().join("journal/segment-0000000002.journal"), "body-12 ");

    let counted = Counted::default();
    metrics::with_local_recorder(&counted, || {
        let mut after = |time| {
            clock.forward(time);
            running.keeper.round();
            counted.counter(meters::DAMAGE)
        };
        assert_eq!(after(PACE - MOMENT), 0);
        assert_eq!(after(MOMENT), 0, "the first one is whole");
        assert_eq!(after(PACE - MOMENT), 0);
        assert_eq!(after(MOMENT), 1, "the second one is not");
        assert_eq!(after(MOMENT), 1, "it is not read again at once");
        for _ in 2..sealed {
            assert_eq!(after(PACE), 1, "the others are whole");
        }
        assert_eq!((after(PACE), after(PACE)), (1, 2), "from the first one on again");
    });
    running.stop();
}
