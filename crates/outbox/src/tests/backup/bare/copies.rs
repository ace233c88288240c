//! Which segments and checkpoints a run copies, and what it gives up.

use super::*;
use crate::backup::is_backup;

#[test]
fn what_a_run_tells_is_what_was_copied() {
    let mut store = Bare::new();
    let mut frames = store.segment(2);
    frames.push(store.frame(3));
    leave_checkpoint(&store.world, frames[1].end);
    let copies = || {
        let dirs = ["journal", "checkpoints"].map(|dir| target().join(dir));
        let paths = dirs.iter().flat_map(|dir| {
            let names = store.world.disk.list(dir).expect("it is there");
            names.into_iter().map(|name| dir.join(name)).collect::<Vec<_>>()
        });
        paths.map(|path| store.world.disk.content(&path).expect("it is there").len() as u64).collect::<Vec<_>>()
    };
    let told = store.backup();
    let sizes = copies();
    assert_eq!((told.copied_files, told.segments), (3, 2));
    assert_eq!((told.copied_bytes, told.bytes), (sizes.iter().sum(), sizes.iter().sum()));
    assert_eq!((told.end, told.at, told.last), (frames[2].end, store.world.clock.now(), frames[2].time));
    let verified = store.world.verify();
    assert_eq!((verified.files, verified.bytes), (3, told.bytes));
    assert_eq!((verified.frames, verified.records), (3, 5));
    assert_eq!((verified.at, verified.end, verified.earliest), (told.at, told.end, told.earliest));
    assert_eq!(verified.key, told.key);
    let again = store.world.backup().expect("nothing is wrong");
    assert_eq!((again.copied_files, again.copied_bytes, again.bytes), (0, 0, told.bytes));
}

/// As where something was expunged: all lengths stay.
#[test]
fn a_segment_that_the_store_has_written_anew_is_copied_again() {
    let mut store = Bare::new();
    store.segment(2);
    store.frame(1);
    store.backup();
    let reader = store.journal.reader();
    let mut edit = |_, record: &mut [u8]| {
        record.fill(b'-');
        true
    };
    reader.rewrite(1, &mut edit).expect("it is sealed");
    store.journal.replace_segment(1).expect("it was written anew");
    let told = store.backup();
    assert_eq!((told.copied_files, told.damage), (1, vec![]));
    let content = |path: PathBuf| store.world.disk.content(&path).expect("it is there");
    assert_eq!(content(copy_of(&store.world, 1)), content(segment_in(&sim_dir(), 1)));
    store.world.assert_sound("with the new content");
}

/// A segment may be complete when it is copied, and be sealed only later.
#[test]
fn a_copy_of_what_was_the_open_segment_is_not_given_up_for_less() {
    for rotten in [false, true] {
        let mut store = Bare::new();
        store.segment(1);
        store.frame(1);
        store.frame(1);
        store.backup();
        let whole = store.world.disk.content(&copy_of(&store.world, 2)).expect("it is there");
        store.roll();
        store.frame(1);
        let path = segment_in(&sim_dir(), 2);
        if rotten {
            // In the segment's header, so that all frames can be read.
            store.world.disk.flip(&path, 20, 1).expect("it is there");
        }
        let told = store.backup();
        assert_eq!((told.copied_files, told.damage.len()), (1, usize::from(rotten)), "nothing was added to it");
        let file = store.world.disk.open(&path).expect("it is there");
        file.set_len(whole.len() as u64 - 8).expect("it works");
        let told = store.backup();
        assert!(told.damage.iter().any(|damage| damage.contains("shorter than the copy")), "{told:?}");
        assert_eq!(store.world.disk.content(&copy_of(&store.world, 2)).expect("it is there"), whole);
        store.world.assert_sound("the copy is the one from before");
    }
}

#[test]
fn a_checkpoint_counts_if_the_store_has_all_behind_it_and_the_copy_all_before_it() {
    let mut store = Bare::new();
    store.segment(2);
    let second = store.segment(2);
    let last = store.frame(1);
    store.retire(1);
    let beginning = |segment| Position::new(segment, 64);
    for fit in [beginning(2), second[0].end, second[1].end, beginning(3), last.end, beginning(4)] {
        let world = store.world.fork();
        leave_checkpoint(&world, fit);
        world.backup().unwrap_or_else(|error| panic!("{fit}: {error}"));
        world.assert_sound(&fit.to_string());
    }
    // The store is further on than what was copied, or than what was listed.
    let behind_the_end = Position::from_u64(last.end.as_u64() + 8);
    for unfit in [beginning(1), Position::new(1, 200), behind_the_end, Position::new(4, 72)] {
        let world = store.world.fork();
        leave_checkpoint(&world, unfit);
        let refused = world.backup();
        assert!(matches!(refused, Err(BackupError::Overtaken { .. })), "{unfit}: {refused:?}");
        assert_eq!(manifest_at(&world), None, "{unfit}: there is no backup");
    }
}

/// The manifest's bytes, if there is one.
fn manifest_at(world: &World) -> Option<Vec<u8>> {
    read_file(&world.disk, &target().join("manifest.json")).expect("it can be read")
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_not_passed_over() {
    let mut store = Bare::new();
    let frame = store.frame(1);
    leave_checkpoint(&store.world, frame.end);
    let path = sim_dir().join(checkpoint::NAME);
    let damaged = store.world.fork();
    damaged.disk.flip(&path, 20, 1).expect("it is there");
    let refused = damaged.backup().expect_err("it is damaged");
    assert!(refused.is_damage() && refused.to_string().contains("checkpoint"), "{refused}");
    let unreadable = store.world.fork();
    make_unreadable(&unreadable, &path);
    let refused = unreadable.backup();
    assert!(matches!(&refused, Err(BackupError::Io { path: at, .. }) if *at == path), "{refused:?}");
    for world in [damaged, unreadable] {
        assert!(!is_backup(&world.disk, &target()) && manifest_at(&world).is_none());
    }
}

#[test]
fn points_within_the_time_that_is_kept_stay_and_older_ones_go() {
    let mut store = Bare::new();
    let (mut reached, mut taken) = (vec![], vec![]);
    for number in 1..=3 {
        store.world.clock.forward(Duration::from_secs(3_600));
        let frame = store.segment(1)[0];
        leave_checkpoint(&store.world, frame.end);
        if number > 1 {
            store.retire(number - 1);
        }
        taken.push(store.backup().at);
        reached.push(frame.time);
    }
    let just_more = Duration::from_millis(1);
    let [since_first, since_second] = [taken[0], taken[1]].map(|at| taken[2].since(at));
    let expected = [
        (since_first * 10, 1, reached[0]),
        (since_first, 1, reached[0]),
        // A point between two backups begins with the one before it.
        (since_second + just_more, 1, reached[0]),
        (since_second, 2, reached[1]),
        (just_more, 2, reached[1]),
        (Duration::ZERO, 3, reached[2]),
    ];
    for (keep, first, earliest) in expected {
        let world = store.world.fork();
        let told = world.backup_that_keeps(Some(keep)).expect("nothing is wrong");
        world.assert_sound("without what was given up");
        let found = manifest_of(&world)["segments"][0]["number"].as_u64();
        assert_eq!((found, told.earliest), (Some(first), Some(earliest)), "{keep:?}");
        let names = world.disk.list(&target().join("journal")).expect("it is there");
        assert_eq!(names.len(), told.segments, "{keep:?}: the files go as well");
    }
}
