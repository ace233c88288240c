//! Counting ends where it costs too much, and says so.

use super::*;

#[test]
fn a_count_that_reaches_its_limit_tells_where_it_stopped() {
    let mut count = Count { since: UnixMs(0), until: UnixMs(u64::MAX), rows: 0, counted: 0, stopped_at: None };
    let newest = COUNTED_ROWS as u64;
    for at in 1..newest {
        assert!(count.look(UnixMs(newest - at), at % 2 == 0));
    }
    assert_eq!((count.stopped_at, count.counted), (None, newest / 2 - 1), "there was room for one more");
    count.look(UnixMs(0), true);
    assert_eq!((count.stopped_at, count.counted), (Some(UnixMs(0)), newest / 2));
}

#[test]
fn a_count_goes_on_as_long_as_something_may_have_waited_to_be_recorded() {
    let since = UnixMs(10_000_000);
    let mut count = Count { since, until: UnixMs(u64::MAX), rows: 0, counted: 0, stopped_at: None };
    let looks = |count: &mut Count, early_ms| count.look(UnixMs(since.as_u64() - early_ms), true);
    assert!(looks(&mut count, 0) && looks(&mut count, 1) && looks(&mut count, 600_000));
    assert!(!looks(&mut count, 600_001));
    assert_eq!(count.counted, 1);
}
