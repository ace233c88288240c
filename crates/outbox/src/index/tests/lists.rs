//! The lists, small enough to be written down: the same rows in memory, on disk,
//! and partly here and partly there.

use std::collections::BTreeSet;
use std::sync::Arc;

use postrider_model::id::{AppId, EndpointId, ID_BYTES, RawId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::memory::MemoryPartitions;
use super::rows::{id, message_at, plain_attempt, plain_key, plain_message, plain_settled};
use super::world::{ENDPOINTS, World, shown};
use crate::index::{Day, EndpointMask, Index, MessageRow, Row, Seen, SegmentRows, SettledRow};

const APP: AppId = AppId(RawId::from_bytes([7; ID_BYTES]));

/// Asks an index that has these rows in memory, and again whenever one more of
/// the segments has gone to disk.
fn in_memory_and_on_disk(rows: &[(u32, Row)], ask: impl Fn(&Index)) {
    let index = MemoryPartitions::default().fresh_index();
    for (segment, row) in rows {
        index.insert(*segment, *row);
    }
    ask(&index);
    for segment in rows.iter().map(|(segment, _)| *segment).collect::<BTreeSet<_>>() {
        index.seal(segment, Day(0)).expect("the store works");
        ask(&index);
    }
}

fn message(sequence: Position) -> MessageRow {
    MessageRow { app: APP, ..message_at(0, sequence) }
}

#[test]
fn every_list_is_right_before_and_after_its_rows_go_to_disk() {
    let store = MemoryPartitions::default();
    let mut world = World::new(Box::new(move || Box::new(store.clone())));
    for round in 0..3 {
        (0..8).for_each(|n| world.accept(n % 2));
        (0..12).for_each(|n| world.attempt(n * 5 + round, n as u64 % ENDPOINTS));
        world.settle(round);
        // The second carries what this segment has carried already.
        (0..2).for_each(|_| world.carry(round * 7));
        world.check(3);
        world.roll();
    }
    world.check(4);
    world.seal(1).expect("the store works");
    world.check(4);
    world.seal_all();
    world.check(4);
    world.reopen();
    world.check(100);
    world.drop_oldest();
    world.check(3);
    assert_eq!(world.index.partitions_set_aside(), 0);
}

#[test]
fn of_all_places_of_a_message_the_latest_counts_in_whatever_order_they_come() {
    let first = message(Position::new(1, 500));
    let at = |segment, offset| (segment, MessageRow { position: Position::new(segment, offset), ..first });
    let places = [(1, first), at(2, 100), at(3, 100), at(3, 900), at(3, 400)];
    let others = [Position::new(1, 400), Position::new(1, 600)].map(|sequence| (1, message(sequence)));
    for turn in 0..places.len() {
        let mut turned = places;
        turned.rotate_left(turn);
        let rows: Vec<_> = turned.iter().chain(&others).map(|(segment, row)| (*segment, Row::from(*row))).collect();
        in_memory_and_on_disk(&rows, |index| {
            for descending in [false, true] {
                let (mut found, seen) = shown(|each| index.messages(APP, None, descending, 100, each));
                found.sort_by_key(|row| row.sequence);
                assert_eq!((found, seen), (vec![others[0].1, places[3].1, others[1].1], Seen::All));
            }
            let found = index.message(APP, first.sequence).expect("nothing is missing");
            assert_eq!(found, Some(places[3].1));
        });
    }
}

#[test]
fn rows_are_shown_in_order_and_from_the_place_that_was_asked_for() {
    let sequences = [1, 2, 3, 4].map(|n| Position::new(n, 64));
    let rows: Vec<_> = sequences.iter().map(|sequence| (sequence.segment(), Row::from(message(*sequence)))).collect();
    in_memory_and_on_disk(&rows, |index| {
        let ask = |after: Option<Position>, descending| {
            let (rows, seen) = shown(|each| index.messages(APP, after, descending, 100, each));
            assert_eq!(seen, Seen::All);
            rows.iter().map(|row| row.sequence.segment()).collect::<Vec<_>>()
        };
        let after = |segment, offset| Some(Position::new(segment, offset));
        assert_eq!(ask(None, false), [1, 2, 3, 4]);
        assert_eq!(ask(None, true), [4, 3, 2, 1]);
        assert_eq!(ask(after(2, 63), false), [2, 3, 4]);
        assert_eq!(ask(after(2, 64), false), [3, 4]);
        assert_eq!(ask(after(2, 64), true), [1]);
        assert_eq!(ask(after(2, 65), true), [2, 1]);
        assert_eq!(ask(Some(Position::ZERO), false), [1, 2, 3, 4]);
        assert_eq!(ask(Some(Position::MAX), true), [4, 3, 2, 1]);
        assert!(ask(after(4, 64), false).is_empty() && ask(after(1, 64), true).is_empty());
    });
}

#[test]
fn a_list_is_known_to_be_at_its_end_only_when_the_end_was_seen() {
    let rows = [1, 2, 3].map(|n| (n, Row::from(message(Position::new(n, 64)))));
    in_memory_and_on_disk(&rows, |index| {
        let counts = [0, 1, 2, 3, 4].map(|limit| {
            let (rows, seen) =
                shown(|each: &mut dyn FnMut(&MessageRow) -> bool| index.messages(APP, None, false, limit, each));
            (rows.len(), seen)
        });
        assert_eq!(counts, [(0, Seen::Part), (1, Seen::Part), (2, Seen::Part), (3, Seen::Part), (3, Seen::All)]);
    });
}

#[test]
fn rows_that_are_more_than_are_taken_at_once_are_all_shown() {
    let message = message(Position::new(1, 64));
    for count in [1, 127, 128, 129, 256, 257] {
        // They lie as close to each other as can be, from the very first place on.
        let places = || (0..count).map(Position::from_u64);
        let rows: Vec<_> = places().map(|place| (1, Row::from(plain_attempt(&message, 1, place)))).collect();
        in_memory_and_on_disk(&rows, |index| {
            for descending in [false, true] {
                let (of_message, _) =
                    shown(|each| index.attempts_of_message(APP, message.sequence, None, descending, usize::MAX, each));
                let (of_endpoint, _) =
                    shown(|each| index.attempts_of_endpoint(EndpointId(id(1)), None, descending, usize::MAX, each));
                assert_eq!(of_message, of_endpoint);
                let mut found: Vec<_> = of_message.iter().map(|row| row.position).collect();
                if descending {
                    found.reverse();
                }
                assert_eq!(found, places().collect::<Vec<_>>(), "descending: {descending}");
            }
        });
    }
}

#[test]
fn places_that_count_no_more_do_not_hide_the_latest_where_rows_are_many() {
    let rows: Vec<_> = (1..=300).map(|n| message(Position::new(1, n * 64))).collect();
    let carried: Vec<_> =
        (1u32..).zip(&rows).map(|(n, row)| MessageRow { position: Position::new(1, 1 << 20 | n), ..*row }).collect();
    // The first is not carried, so that pairs begin at odd places.
    let all = rows.iter().chain(&carried[1..]).map(|row| (1, Row::from(*row))).collect::<Vec<_>>();
    in_memory_and_on_disk(&all, |index| {
        for descending in [false, true] {
            let (mut found, seen) = shown(|each| index.messages(APP, None, descending, usize::MAX, each));
            if descending {
                found.reverse();
            }
            assert_eq!((found[0], &found[1..], seen), (rows[0], &carried[1..], Seen::All));
        }
    });
}

#[test]
fn one_record_may_end_the_deliveries_of_many_messages_to_many_endpoints() {
    let messages = [64, 128, 192].map(|offset| message(Position::new(1, offset)));
    let (early, late) = (Position::new(2, 64), Position::new(3, 64));
    let settled = |place: Position| {
        let of = move |message: MessageRow| [2, 1, 3].map(|endpoint| plain_settled(&message, endpoint, place));
        messages.into_iter().flat_map(of)
    };
    let rows: Vec<_> =
        settled(late).chain(settled(early)).map(|row| (row.position.segment(), Row::from(row))).collect();
    in_memory_and_on_disk(&rows, |index| {
        for message in messages {
            let found = index.settled_of_message(APP, message.sequence).expect("nothing is missing");
            let newest = [1, 2, 3].map(|endpoint| plain_settled(&message, endpoint, late));
            assert_eq!(found, newest, "the newest of each endpoint, in the order of their ids");
        }
        assert_eq!(index.settled_of_message(APP, late).expect("nothing is missing"), []);
        for endpoint in 1..=3 {
            let (found, seen) = shown(|each| index.settled_of_endpoint(EndpointId(id(endpoint)), 100, each));
            let expected = [late, early].into_iter().flat_map(|place| {
                messages.into_iter().rev().map(move |message| plain_settled(&message, endpoint, place))
            });
            assert_eq!((found, seen), (expected.collect::<Vec<SettledRow>>(), Seen::All));
        }
    });
}

#[test]
fn the_messages_of_a_time_begin_where_they_do_wherever_they_lie() {
    // The places that a search by halves looks at first, and those beside them.
    let places = (17..=63u32).flat_map(|bits| [(1u64 << bits) - 2, (1 << bits) - 1, 1 << bits]);
    let rows: Vec<_> = (1_000..)
        .zip(places)
        .map(|(at, place)| MessageRow { accepted: UnixMs(at), ..message(Position::from_u64(place)) })
        .collect();
    let index = MemoryPartitions::default().fresh_index();
    index.insert_all(1, rows.iter().copied().map(Row::from));
    for at in [UnixMs(0), UnixMs(1_000_000)].into_iter().chain(rows.iter().map(|row| row.accepted)) {
        let (low, high) = index.messages_since(APP, at).expect("nothing is missing");
        assert!(rows.iter().all(|row| row.sequence >= low || row.accepted < at), "{at}: before {low}");
        assert!(rows.iter().all(|row| row.sequence < high || row.accepted >= at), "{at}: from {high}");
        let between = high.as_u64().checked_sub(low.as_u64());
        assert!(between.is_some_and(|bytes| bytes <= 64 << 10), "{at}: {low} to {high}");
    }
}

#[test]
fn a_row_that_comes_while_its_segment_is_written_is_not_lost() {
    let place = |n: u32| Position::new(1, n * 64);
    let about = message(place(1));
    let rows: [fn(&MessageRow, Position) -> Row; 4] = [
        |about, place| MessageRow { sequence: place, position: place, ..*about }.into(),
        |about, place| plain_attempt(about, 1, place).into(),
        |about, place| plain_settled(about, 1, place).into(),
        |_, place| plain_key(place.as_u64(), place).into(),
    ];
    for first in rows {
        for later in rows {
            let store = MemoryPartitions::default();
            let index = Arc::new(store.fresh_index());
            index.insert_all(1, [first(&about, place(2)), first(&about, place(3))]);
            let (late, writer) = (later(&about, place(4)), Arc::clone(&index));
            store.meanwhile(move || writer.insert(1, late));
            index.seal(1, Day(0)).expect("the store works");
            assert!(index.holds(1) && !index.is_live(1));
            let found = match late {
                Row::Message(row) => index.message(APP, row.sequence).map(|found| found.map(Row::from)),
                Row::Key(row) => index.find_key(&row.hash).map(|found| found.map(Row::from)),
                Row::Settled(_) => {
                    index.settled_of_message(APP, about.sequence).map(|rows| rows.last().copied().map(Row::from))
                }
                Row::Attempt(_) => {
                    let (rows, _) = shown(|each| index.attempts_of_message(APP, about.sequence, None, true, 1, each));
                    Ok(rows.first().copied().map(Row::from))
                }
            };
            assert_eq!(found.expect("nothing is missing"), Some(late));
        }
    }
}

#[test]
fn rows_in_memory_are_counted_each_once() {
    let place = |n: u32| Position::new(1, n * 64);
    let message = message(place(1));
    let mut rows = SegmentRows::default();
    assert!(rows.is_empty());
    rows.extend((0..2).map(|n| Row::from(plain_message(1, n))));
    assert!(!rows.is_empty());
    rows.extend((0..3).map(|n| Row::from(plain_attempt(&message, 1, place(n)))));
    rows.extend((0..5).map(|n| Row::from(plain_settled(&message, 1, place(n)))));
    rows.extend((0..7).map(|n| Row::from(plain_key(n, place(1)))));
    assert_eq!((rows.len(), rows.is_empty()), (17, false));
}

#[test]
fn a_mask_holds_what_it_was_made_of_and_tells_most_others_apart() {
    let endpoint = |last: u8| {
        let mut bytes = [0xee; ID_BYTES];
        bytes[ID_BYTES - 1] = last;
        EndpointId(RawId::from_bytes(bytes))
    };
    let none = EndpointMask::of(&[]);
    assert!(none.is_empty() && !none.may_hold(endpoint(0)));
    for last in 0..=255 {
        let one = EndpointMask::of(&[endpoint(last)]);
        assert!(!one.is_empty());
        let held = (0..=255).filter(|other| one.may_hold(endpoint(*other))).count();
        assert_eq!((held, one.may_hold(endpoint(last))), (256 / 32, true), "{last}");
        // Two that share a bit do not take it from each other.
        let three = EndpointMask::of(&[endpoint(last), endpoint(last ^ 1), endpoint(last ^ 32)]);
        assert!([0, 1, 32].iter().all(|other| three.may_hold(endpoint(last ^ other))), "{last}");
        assert!(!three.may_hold(endpoint(last ^ 2)), "{last}");
    }
}

#[test]
fn a_day_ends_where_the_next_begins() {
    const DAY_MS: u64 = 86_400_000;
    let days = [0, DAY_MS - 1, DAY_MS, 2 * DAY_MS - 1, 20_000 * DAY_MS].map(|at| Day::of(UnixMs(at)).0);
    assert_eq!(days, [0, 0, 1, 1, 20_000]);
}
