//! Whatever happens to it, the index answers as a sorted list of all rows would.

use postrider_model::id::AppId;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use proptest::prelude::*;

use super::memory::MemoryPartitions;
use super::rows::{id, plain_message};
use super::world::{APPS, ENDPOINTS, World, day};
use crate::index::partition::{SledPartitions, segment_of_marker};
use crate::index::{Day, Index, IndexError, KeyRow, MessageRow, Row, Seen};

#[derive(Clone, Debug)]
enum Step {
    Accept {
        app: u64,
        count: usize,
    },
    Attempts {
        message: usize,
        endpoint: u64,
        count: usize,
    },
    Settle(usize),
    Carry(usize),
    Roll,
    Seal(usize),
    Reopen,
    DropOldest,
    /// Something is damaged while the index is closed or open.
    Harm {
        at: usize,
        remove: bool,
        reopen: bool,
    },
    /// The next write of a segment fails in its middle.
    FailWrite {
        blocks: usize,
        choice: usize,
    },
}

fn step(with_harm: bool) -> impl Strategy<Value = Step> {
    let harm = u32::from(with_harm);
    prop_oneof![
        6 => (0..APPS, prop_oneof![1..4usize, 100..400usize]).prop_map(|(app, count)| Step::Accept { app, count }),
        6 => (any::<usize>(), 0..ENDPOINTS, 1..40usize)
            .prop_map(|(message, endpoint, count)| Step::Attempts { message, endpoint, count }),
        2 => any::<usize>().prop_map(Step::Settle),
        3 => any::<usize>().prop_map(Step::Carry),
        4 => Just(Step::Roll),
        4 => any::<usize>().prop_map(Step::Seal),
        1 => Just(Step::Reopen),
        1 => Just(Step::DropOldest),
        harm => (any::<usize>(), any::<bool>(), any::<bool>())
            .prop_map(|(at, remove, reopen)| Step::Harm { at, remove, reopen }),
        harm => (0..4usize, any::<usize>()).prop_map(|(blocks, choice)| Step::FailWrite { blocks, choice }),
    ]
}

fn take(world: &mut World, store: &MemoryPartitions, step: Step) {
    match step {
        Step::Accept { app, count } => (0..count).for_each(|_| world.accept(app)),
        Step::Attempts { message, endpoint, count } => {
            (0..count).for_each(|n| world.attempt(message.wrapping_add(n / 2), endpoint));
        }
        Step::Settle(message) => world.settle(message),
        Step::Carry(message) => world.carry(message),
        Step::Roll => world.roll(),
        Step::Seal(choice) => world.seal(choice).expect("the store works"),
        Step::Reopen => world.reopen(),
        Step::DropOldest => world.drop_oldest(),
        Step::Harm { at, remove, reopen } => {
            if reopen {
                world.close();
            }
            store.harm(at, remove);
            if reopen {
                world.start();
            }
        }
        Step::FailWrite { blocks, choice } => {
            store.fail_after(Some(blocks));
            let result = world.seal(choice);
            store.fail_after(None);
            assert!(matches!(result, Ok(()) | Err(IndexError::Io { .. })), "{result:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_a_sorted_list_would(
        steps in proptest::collection::vec(step(true), 1..40),
        page in prop_oneof![1..5usize, 50..300usize],
    ) {
        let store = MemoryPartitions::default();
        let shared = store.clone();
        let mut world = World::new(Box::new(move || Box::new(shared.clone())));
        for step in steps {
            take(&mut world, &store, step);
        }
        world.check(page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_in_sled(steps in proptest::collection::vec(step(false), 1..40), page in 1..300usize) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_path_buf();
        let open = move || SledPartitions::new(&path, 2, 1 << 20).expect("the directory can be made");
        let mut world = World::new(Box::new(move || Box::new(open())));
        for step in steps {
            take(&mut world, &MemoryPartitions::default(), step);
        }
        world.check(page);
        assert_eq!(world.index.partitions_set_aside(), 0);
    }
}

#[test]
fn a_lost_or_damaged_block_is_noticed_wherever_it_is() {
    let mut at = 0;
    let mut blocks = 1;
    while at < blocks {
        // Changed bytes are all found in the same way, so a few are enough.
        for remove in [true, false].into_iter().take(if at % 4 == 0 { 2 } else { 1 }) {
            let store = MemoryPartitions::default();
            let shared = store.clone();
            let mut world = World::new(Box::new(move || Box::new(shared.clone())));
            (0..600).for_each(|n| world.accept(n % 2));
            (0..500).for_each(|n| world.attempt(n / 2, n as u64 % ENDPOINTS));
            world.carry(3);
            world.seal_all();
            (0..20).for_each(|n| world.settle(n));
            world.carry(3);
            world.seal_all();
            blocks = store.len();
            let is_marker = segment_of_marker(&store.harm(at, remove)).is_some();
            world.reopen();
            world.check(100);
            // Without its marker a segment is read again without a word.
            let expected = if remove && is_marker { 0 } else { 1 };
            assert_eq!(world.index.partitions_set_aside(), expected, "item {at} of {blocks}, removed: {remove}");
        }
        at += 1;
    }
    assert!(blocks > 10, "{blocks} blocks are too few to mean anything");
}

fn empty() -> Index {
    let index = Index::over(Box::new(MemoryPartitions::default()), std::time::Duration::from_secs(86_400));
    index.unindexed(&[], UnixMs(0)).expect("the store works");
    index
}

#[test]
fn a_list_ends_where_the_caller_says() {
    let index = empty();
    index.insert_all(1, (0..10).map(|n| Row::from(plain_message(1, n))));
    let mut count = 0;
    let seen = index.messages(AppId(id(1)), None, false, 100, &mut |_| {
        count += 1;
        count < 3
    });
    assert_eq!((seen.expect("nothing is missing"), count), (Seen::Part, 3));
    let seen = index.messages(AppId(id(1)), Some(Position::MAX), false, 100, &mut |_| true);
    assert_eq!(seen.expect("nothing is missing"), Seen::All);
    let seen = index.messages(AppId(id(1)), Some(Position::ZERO), true, 100, &mut |_| true);
    assert_eq!(seen.expect("nothing is missing"), Seen::All);
}

#[test]
fn rows_that_come_twice_or_out_of_order_count_once_and_in_order() {
    let index = empty();
    for n in [5, 1, 3, 3, 1, 0, 9] {
        index.insert(1, plain_message(1, n));
    }
    let ask = || {
        let mut found = Vec::new();
        let seen = index.messages(AppId(id(1)), None, false, 100, &mut |row| {
            found.push(row.accepted.as_u64() % 100);
            true
        });
        seen.map(|_| found).expect("nothing is missing")
    };
    assert_eq!(ask(), [0, 1, 3, 5, 9]);
    index.seal(1, Day(0)).expect("the store works");
    assert!(index.holds(1) && !index.is_live(1));
    assert_eq!(ask(), [0, 1, 3, 5, 9]);
    index.insert(1, plain_message(1, 3));
    assert_eq!(ask(), [0, 1, 3, 5, 9]);
}

#[test]
fn rows_can_be_read_while_they_are_sealed() {
    let index = empty();
    const ROWS: u64 = 300;
    let count = || {
        let mut count = 0;
        let seen = index.messages(AppId(id(1)), None, true, usize::MAX, &mut |_| {
            count += 1;
            true
        });
        assert_eq!(seen.expect("nothing is missing"), Seen::All);
        count
    };
    for segment in 1..20u32 {
        let rows = (0..ROWS).map(|n| {
            let position = Position::new(segment, n as u32);
            Row::from(MessageRow { sequence: position, position, ..plain_message(1, n) })
        });
        index.insert_all(segment, rows);
        std::thread::scope(|scope| {
            let sealing = scope.spawn(|| index.seal(segment, day(segment)).expect("the store works"));
            while !sealing.is_finished() {
                assert_eq!(count(), ROWS * u64::from(segment));
            }
        });
        assert_eq!(count(), ROWS * u64::from(segment));
    }
}

#[test]
fn keys_are_answered_before_the_old_segments_are_there() {
    let index = empty();
    let (old, new, now) = (UnixMs(0), UnixMs(9 * 86_400_000), UnixMs(10 * 86_400_000));
    let all = [(1, Day::of(old)), (2, Day::of(old)), (3, Day::of(new)), (4, Day::of(now))];
    // The keys of segment 2 may be as new as the first record of segment 3.
    assert_eq!(index.unindexed(&all, now).expect("the store works"), [4, 3, 2, 1]);
    let key = KeyRow { hash: [7; 16], position: Position::new(3, 1), at: new };
    for (segment, rows) in [(4, vec![]), (3, vec![Row::Key(key)]), (2, vec![])] {
        assert!(!index.keys_ready());
        assert!(matches!(index.find_key(&[7; 16]), Err(IndexError::Rebuilding { percent: 0..75 })));
        index.load(segment, day(segment), &rows.into_iter().collect()).expect("the store works");
    }
    assert!(index.keys_ready());
    assert_eq!(index.progress(), Some(75));
    assert_eq!(index.find_key(&[7; 16]).expect("keys are ready"), Some(key));
    index.expire_keys(new + std::time::Duration::from_secs(86_401));
    assert_eq!(index.find_key(&[7; 16]).expect("keys are ready"), None);
    assert_eq!(index.key_filter_bytes(), 0);
}
