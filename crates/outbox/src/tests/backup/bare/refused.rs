//! What is no store, and where no backup and no store may be put.

use super::*;
use crate::backup::{is_backup, is_free_for_a_backup, is_free_for_a_store, is_half_restored};

#[test]
fn what_is_no_store_is_told_from_one_that_cannot_be_read() {
    let world = World::new();
    let no_store = |world: &World| matches!(world.backup(), Err(BackupError::NoStore { dir }) if dir == sim_dir());
    assert!(no_store(&world), "there is no directory");
    world.disk.create_dir_all(&sim_dir().join(JOURNAL)).expect("it works");
    assert!(no_store(&world), "there is no segment");
    let other = sim_dir().join(JOURNAL).join("segment-1.journal");
    world.disk.create(&other).expect("it works");
    assert!(no_store(&world), "there is something else");
    assert!(world.disk.list(&target()).is_err(), "nothing is made for it");
    assert!(no_store(&Bare::new().world), "there is no frame");
    let journal = sim_dir().join(JOURNAL);
    let unreadable = World::new();
    unreadable.disk.create_dir_all(&sim_dir()).expect("it works");
    unreadable.disk.create(&journal).expect("it works");
    let refused = unreadable.backup();
    assert!(matches!(&refused, Err(BackupError::Io { path, .. }) if *path == journal), "{refused:?}");
}

/// A disk with these files and directories in one directory; a name that ends with a slash is that of a directory.
fn with(dir: &Path, names: &[&str]) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(dir).expect("it works");
    for name in names {
        match name.strip_suffix('/') {
            Some(name) => disk.create_dir_all(&dir.join(name)).expect("it works"),
            None => drop(disk.create(&dir.join(name)).expect("it works")),
        }
    }
    disk
}

#[test]
fn a_backup_is_put_only_where_nothing_or_a_backup_is() {
    let target = target();
    is_free_for_a_backup(&SimDisk::new(), &target).expect("there is nothing");
    let free: [&[&str]; 8] = [
        &[],
        &["lock"],
        &["manifest.json.new"],
        &["journal/", "checkpoints/"],
        &["journal/", "journal/segment-0000000001-0123456789ab", "journal/segment-0000000002.new"],
        &["checkpoints/", "checkpoints/checkpoint-0000000001-0000000064-0123456789ab"],
        // Something of a backup is lost.
        &["manifest.json", "journal/", "journal/letters"],
        // A backup, and what somebody has left beside it.
        &["manifest.json", "journal/", "checkpoints/", "letters", "journal/letters"],
    ];
    for names in free {
        is_free_for_a_backup(&with(&target, names), &target).unwrap_or_else(|error| panic!("{names:?}: {error}"));
    }
    let taken: [(&[&str], &str); 6] = [
        (&["letters"], "letters"),
        (&["lock", "store.key"], "store.key"),
        (&["journal/", "journal/letters"], "letters"),
        (&["journal/", "journal/segment-0000000001.journal"], "segment-0000000001.journal"),
        (&["checkpoints/", "checkpoints/letters"], "letters"),
        (&["manifest.json", "journal/", "letters"], "letters"),
    ];
    for (names, refused) in taken {
        let found = is_free_for_a_backup(&with(&target, names), &target);
        assert!(matches!(&found, Err(BackupError::NotABackup { name, .. }) if name == refused), "{names:?}: {found:?}");
    }
    let file = with(Path::new("/"), &["backup"]);
    let found = is_free_for_a_backup(&file, &target);
    assert!(matches!(&found, Err(BackupError::Io { path, .. }) if *path == target), "{found:?}");
}

#[test]
fn a_directory_is_a_backup_with_its_manifest_and_both_directories() {
    let target = target();
    assert!(is_backup(&with(&target, &["manifest.json", "journal/", "checkpoints/"]), &target));
    for less in [&["journal/", "checkpoints/"], &["manifest.json", "journal/"], &["manifest.json", "checkpoints/"]] {
        assert!(!is_backup(&with(&target, less), &target), "{less:?}");
    }
    assert!(!is_backup(&SimDisk::new(), &target));
}

#[test]
fn a_store_is_restored_only_to_where_nothing_but_keys_is() {
    let dir = new_dir();
    is_free_for_a_store(&SimDisk::new(), &dir).expect("there is nothing");
    let free: [&[&str]; 3] =
        [&[], &["lock", "store.key", "jwt-secret", "restoring.new"], &["restoring", "journal/", "checkpoint"]];
    for names in free {
        let disk = with(&dir, names);
        is_free_for_a_store(&disk, &dir).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        assert_eq!(is_half_restored(&disk, &dir), names.contains(&"restoring"), "{names:?}");
    }
    for (names, refused) in [(&["journal/"], "journal"), (&["checkpoint"], "checkpoint"), (&["letters"], "letters")] {
        let found = is_free_for_a_store(&with(&dir, names), &dir);
        assert!(matches!(&found, Err(BackupError::NotEmpty { name, .. }) if name == refused), "{names:?}: {found:?}");
    }
    let found = is_free_for_a_store(&with(Path::new("/"), &["new"]), &dir);
    assert!(matches!(&found, Err(BackupError::Io { path, .. }) if *path == dir), "{found:?}");
}

#[test]
fn a_store_that_was_restored_goes_on_with_its_backup_only_if_nothing_was_lost() {
    let mut store = Bare::new();
    let mut frames = store.segment(2);
    frames.extend(store.segment(2));
    frames.push(store.frame(1));
    frames.push(store.frame(1));
    store.backup();
    // The segment of which the backup has more, for the last frame that was restored.
    let cases = [(0, Some(2)), (1, Some(2)), (2, Some(3)), (3, Some(3)), (4, Some(3)), (5, None)];
    for (index, more) in cases {
        let world = store.world.fork();
        world.restore(Point::Position(frames[index].at)).expect("the backup reaches it");
        let files = world.disk.list(&target().join("journal")).expect("it is there");
        let request = BackupRequest { dir: new_dir(), target: target(), keep: None };
        let result = backup(&request, &world.arc(), &*world.clock, &mut |_, _| {});
        let Some(more) = more else {
            let told = result.expect("nothing was lost");
            assert_eq!((told.segments, told.copied_files, told.damage), (4, 1, vec![]));
            continue;
        };
        let refused = result.expect_err("the backup has more");
        assert!(
            matches!(&refused, BackupError::Restored { dir, segment, .. } if (dir, *segment) == (&new_dir(), more)),
            "{index}: {refused}"
        );
        assert_eq!(world.disk.list(&target().join("journal")).expect("it is there"), files, "{index}");
    }
}

/// A run with the store that was restored.
fn run_with_the_restored(world: &World) -> Result<BackedUp, BackupError> {
    let request = BackupRequest { dir: new_dir(), target: target(), keep: None };
    backup(&request, &world.arc(), &*world.clock, &mut |_, _| {})
}

/// The run was refused for what the backup has of this segment, and left the backup as it was.
fn assert_refused_for(world: &World, run: &dyn Fn(&World) -> Result<BackedUp, BackupError>, segment: u32, case: &str) {
    let held = |world: &World| {
        let names = world.disk.list(&target().join("journal")).expect("it is there");
        (names, world.disk.content(&target().join("manifest.json")).expect("it is there"))
    };
    let before = held(world);
    let refused = run(world).expect_err(case);
    let is_named = matches!(&refused, BackupError::Restored { segment: found, .. } if *found == segment);
    assert!(is_named, "{case}: {refused}");
    assert!(held(world) == before, "{case}: nothing is replaced");
}

/// Three segments, of which the first two are sealed, in a backup that a restored store then goes on in.
fn gone_on_by_the_restored() -> (Bare, u32) {
    let mut store = Bare::new();
    store.segment(2);
    store.segment(2);
    store.frame(1);
    store.backup();
    let next = store.world.restore(Point::End).expect("it is whole").next_segment;
    let told = run_with_the_restored(&store.world).expect("nothing was lost");
    assert_eq!(told.end.segment(), next);
    (store, next)
}

#[test]
fn of_two_stores_that_go_on_from_one_backup_one_goes_into_it() {
    let (mut store, next) = gone_on_by_the_restored();
    assert_refused_for(&store.world, &World::backup, next, "the lost store comes back");
    store.frame(1);
    assert_refused_for(&store.world, &World::backup, next, "and accepts something");
    store.roll();
    store.frame(1);
    assert_refused_for(&store.world, &World::backup, next, "in another segment");
    let told = run_with_the_restored(&store.world).expect("the backup is its own now");
    assert_eq!((told.copied_files, told.end.segment()), (0, next));
    store.world.assert_sound("it has one course of events");
}

#[test]
fn a_backup_in_which_two_courses_were_mixed_is_not_gone_on_with() {
    let (store, _) = gone_on_by_the_restored();
    let mut manifest = manifest_of(&store.world);
    // The store that was lost has come back and was let in.
    let last = manifest["segments"][2]["lastFrame"].as_u64().expect("it is a number");
    manifest["segments"][2]["lastFrame"] = (last + 1).into();
    put_manifest(&store.world, &manifest);
    assert_refused_for(&store.world, &run_with_the_restored, 3, "it would lose a frame");
}

#[test]
fn a_restored_store_that_has_given_up_what_it_came_with_is_told_by_its_first_frame() {
    let mut store = Bare::new();
    store.segment(2);
    store.frame(1);
    store.backup();
    let next = store.world.restore(Point::End).expect("it is whole").next_segment;
    for number in [1, 2] {
        store.world.disk.remove_file(&segment_in(&new_dir(), number)).expect("it is there");
    }
    let alone = store.world.fork();
    assert_eq!(run_with_the_restored(&alone).expect("nothing was lost").end.segment(), next);
    store.frame(1);
    store.backup();
    assert_refused_for(&store.world, &run_with_the_restored, 2, "the lost store has gone on there");
}

#[test]
fn a_store_that_has_given_up_all_that_was_backed_up_goes_on() {
    let mut store = Bare::new();
    store.segment(2);
    store.frame(1);
    store.backup();
    store.roll();
    store.segment(1);
    store.frame(1);
    for number in 1..=3 {
        store.retire(number);
    }
    assert_eq!(store.backup().segments, 3);
}

/// As where a snapshot of its file system was brought back.
#[test]
fn a_store_that_was_set_back_does_not_go_on_with_its_backup() {
    let mut store = Bare::new();
    store.segment(2);
    store.segment(1);
    store.segment(1);
    store.frame(1);
    store.backup();
    let set_back = |number: u32, content: &[u8]| {
        replace_file(&store.world.disk, &segment_in(&sim_dir(), number), content).expect("it can be written");
    };
    let whole = store.world.disk.content(&segment_in(&sim_dir(), 2)).expect("it is there");
    for number in 2..=4 {
        set_back(number, &[]);
    }
    assert_refused_for(&store.world, &World::backup, 2, "nothing is written to the segments that stand ready");
    set_back(2, &whole);
    // Frames of the same numbers, at another time.
    for number in [3, 4] {
        let frame =
            journal::segment_of_one_frame((number, STORE_ID), number.into(), UnixMs(7), &[&[b'x'; RECORD_BYTES]]);
        set_back(number, &frame.expect("there is room"));
    }
    assert_refused_for(&store.world, &World::backup, 3, "it has gone on otherwise");
}

/// Two that were restored within a day may go on in segments of one number.
#[test]
fn two_restored_stores_with_segments_of_one_number_are_told_apart() {
    let (store, next) = gone_on_by_the_restored();
    let path = segment_in(&new_dir(), next);
    let frame = journal::segment_of_one_frame((next, STORE_ID), 5, UnixMs(7), &[&[b'x'; RECORD_BYTES]]);
    replace_file(&store.world.disk, &path, &frame.expect("there is room")).expect("it can be written");
    assert_refused_for(&store.world, &run_with_the_restored, next, "its first frame is another");
}
