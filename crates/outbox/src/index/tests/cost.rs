//! What is not read: a page costs what its own rows do, whatever else is there.

use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::memory::MemoryPartitions;
use super::rows::{id, message_at, plain_attempt, plain_key, plain_message, plain_settled};
use super::world::shown;
use crate::index::{Day, MessageRow, Row};

/// Finding the rows of one run takes this many reads at most: the block that they
/// begin in, the key behind it, and the block behind it.
const READS_OF_A_RUN: usize = 4;

#[test]
fn a_page_costs_the_same_wherever_it_begins_and_whatever_lies_behind_it() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    // The list that is read lies between two others.
    let of_app = |app| (0..1_000).map(move |n| Row::from(message_at(app, Position::new(1, n * 10))));
    index.insert_all(1, (0..3).flat_map(of_app));
    index.seal(1, Day(0)).expect("the store works");
    let blocks = store.len() - 1;
    assert!(blocks > 15, "{blocks} blocks are too few to mean anything");
    let app = AppId(id(1));
    for descending in [false, true] {
        for after in [0, 10, 1_000, 5_000, 9_900, 9_990] {
            store.reads();
            let after = Some(Position::new(1, after));
            let _ = shown(|each: &mut dyn FnMut(&MessageRow) -> bool| index.messages(app, after, descending, 5, each));
            let reads = store.reads();
            assert!(reads <= READS_OF_A_RUN, "{reads} reads of {blocks} blocks after {after:?}");
        }
        let (rows, _) = shown(|each| index.messages(app, None, descending, usize::MAX, each));
        assert_eq!(rows.len(), 1_000);
        let reads = store.reads();
        assert!(reads <= blocks / 3 + 1 + READS_OF_A_RUN, "{reads} reads, where {blocks} blocks are of three lists");
    }
}

#[test]
fn a_segment_that_has_nothing_of_a_list_is_not_read() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    const SEGMENTS: u32 = 8;
    let message = |segment: u32| message_at(segment.into(), Position::new(segment, 64));
    for segment in 1..=SEGMENTS {
        let place = Position::new(segment, 128);
        index.insert(segment, message(segment));
        index.insert(segment, plain_attempt(&message(segment), segment.into(), place));
        index.insert(segment, plain_settled(&message(segment), segment.into(), place));
        index.seal(segment, Day(0)).expect("the store works");
    }
    store.reads();
    for segment in 1..=SEGMENTS {
        let MessageRow { app, sequence, .. } = message(segment);
        let (rows, _) = shown(|each| index.messages(app, None, false, 10, each));
        assert_eq!((rows.len(), store.reads() <= READS_OF_A_RUN), (1, true), "messages");
        let (rows, _) = shown(|each| index.attempts_of_message(app, sequence, None, false, 10, each));
        assert_eq!((rows.len(), store.reads() <= READS_OF_A_RUN), (1, true), "attempts at a message");
        let endpoint = EndpointId(id(segment.into()));
        let (rows, _) = shown(|each| index.attempts_of_endpoint(endpoint, None, true, 10, each));
        assert_eq!((rows.len(), store.reads() <= READS_OF_A_RUN), (1, true), "attempts at an endpoint");
        let rows = index.settled_of_message(app, sequence).expect("nothing is missing");
        assert_eq!((rows.len(), store.reads() <= READS_OF_A_RUN), (1, true), "ended by a record");
    }
}

/// What comes late lies in other segments than its message does.
#[test]
fn a_segment_without_late_rows_of_a_message_is_not_read() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    let message = |n: u32| plain_message(1, n.into());
    for segment in 2..=9 {
        // Between the first and the last message it may be any, but it is one.
        for (place, n) in [(64, 0), (128, segment), (192, 20)] {
            let place = Position::new(segment, place);
            index.insert(segment, plain_attempt(&message(n), 1, place));
            index.insert(segment, plain_settled(&message(n), 1, place));
        }
        // Its own have a run of their own.
        let own = message_at(1, Position::new(segment, 256));
        index.insert(segment, plain_attempt(&own, 1, Position::new(segment, 320)));
        index.insert(segment, plain_settled(&own, 1, Position::new(segment, 320)));
        index.seal(segment, Day(0)).expect("the store works");
    }
    store.reads();
    for n in 2..=9 {
        let MessageRow { app, sequence, .. } = message(n);
        let (rows, _) = shown(|each| index.attempts_of_message(app, sequence, None, false, 10, each));
        assert_eq!((rows.len(), store.reads() <= READS_OF_A_RUN), (1, true), "attempts at {n}");
        let rows = index.settled_of_message(app, sequence).expect("nothing is missing");
        assert_eq!((rows.len(), store.reads() <= READS_OF_A_RUN), (1, true), "{n} ended by a record");
    }
    let MessageRow { app, sequence, .. } = message(0);
    let (rows, _) = shown(|each| index.attempts_of_message(app, sequence, None, false, 10, each));
    assert_eq!(rows.len(), 8);
    let MessageRow { app, sequence, .. } = message(30);
    assert_eq!(index.settled_of_message(app, sequence).expect("nothing is missing"), []);
}

#[test]
fn a_key_is_found_by_a_few_reads_and_one_that_is_not_there_by_hardly_any() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    for segment in 0..3u32 {
        let key = |n: u32| Row::from(plain_key((segment * 2_000 + n).into(), Position::new(segment, n)));
        index.insert_all(segment, (0..2_000).map(key));
        index.seal(segment, Day(0)).expect("the store works");
    }
    assert!(store.len() > 45, "{} blocks are too few to mean anything", store.len());
    store.reads();
    const ASKED: usize = 100;
    for n in (0..6_000).step_by(6_000 / ASKED) {
        let key = plain_key(n, Position::new((n / 2_000) as u32, (n % 2_000) as u32));
        assert_eq!(index.find_key(&key.hash).expect("nothing is missing"), Some(key));
    }
    let reads = store.reads();
    assert!(reads <= READS_OF_A_RUN * ASKED, "{reads} reads for {ASKED} keys");
    for n in (1 << 30..).take(ASKED) {
        let key = plain_key(n, Position::ZERO);
        assert_eq!(index.find_key(&key.hash).expect("nothing is missing"), None);
    }
    let reads = store.reads();
    assert!(reads <= ASKED / 4, "{reads} reads for {ASKED} keys that are not there");
}

#[test]
fn where_the_messages_of_a_time_begin_is_found_by_some_dozen_look_ups() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    for segment in 1..=4 {
        let message = |n: u32| {
            let accepted = UnixMs(u64::from(segment * 1_000 + n));
            Row::from(MessageRow { accepted, ..message_at(1, Position::new(segment, n * 100_000)) })
        };
        index.insert_all(segment, (0..500).map(message));
        index.seal(segment, Day(0)).expect("the store works");
    }
    store.reads();
    let (low, high) = index.messages_since(AppId(id(1)), UnixMs(3_123)).expect("nothing is missing");
    let [last_before, first] = [122, 123].map(|n| Position::new(3, n * 100_000));
    assert!(low <= high && low <= first && last_before < high, "{low} to {high}");
    let reads = store.reads();
    assert!(reads <= 64 * READS_OF_A_RUN, "{reads} reads");
}
