//! Windows are filled from behind as far as they have room, each in one round.

use postrider_model::delivery::Next;

use super::support::{ManualClock, Running, options};
use crate::Options;

const PAID: &str = "order.paid";

#[test]
fn a_round_fills_each_window_that_runs_dry() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let start = Options { lane_window: 20, segment_bytes: 1 << 20, body_limit_bytes: 1 << 10, ..options(dir.path()) };
    let mut running = Running::start(start, &ManualClock::new()).expect("an empty directory opens");
    running.app("shop");
    let endpoints = [(); 2].map(|()| running.endpoint("shop", &[PAID]));
    for n in 0..45 {
        running.send("shop", PAID, &n.to_string());
    }
    let in_windows = |running: &mut Running| {
        let waiting = running.waiting();
        endpoints.each_ref().map(|of| waiting.iter().filter(|(key, _)| key.endpoint == of.id).count())
    };
    let deliver = |running: &mut Running| {
        for (key, _) in running.waiting() {
            running.attempt(key, 200, Next::Delivered);
        }
    };
    // A tenth is for what comes past the backlog.
    let first = in_windows(&mut running);
    assert!(first.iter().all(|count| *count >= 18), "{first:?}");
    deliver(&mut running);
    assert_eq!(in_windows(&mut running), [0, 0]);
    running.keeper.round();
    let filled = in_windows(&mut running);
    assert!(filled.iter().all(|count| *count >= 18), "{filled:?}");
    running.keeper.round();
    assert_eq!(in_windows(&mut running), filled, "there is no room for more");
    while in_windows(&mut running) != [0, 0] {
        deliver(&mut running);
        running.keeper.round();
    }
    assert_eq!(running.outbox.stats().pending, 0);
    running.stop();
}
