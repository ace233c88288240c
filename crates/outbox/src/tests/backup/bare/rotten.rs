//! What has rotted, in the store or in the backup.

use super::*;
use crate::disk::{RealDisk, is_out_of_files};

/// Three segments, and a checkpoint in the second.
fn made() -> Bare {
    let mut store = Bare::new();
    store.segment(2);
    let frame = store.segment(2)[0];
    store.frame(1);
    leave_checkpoint(&store.world, frame.end);
    store
}

fn backed_up() -> Bare {
    let store = made();
    store.backup();
    store
}

/// The copies of a segment in the middle and of the checkpoint.
fn two_copies(world: &World) -> [PathBuf; 2] {
    let dir = target().join("checkpoints");
    let checkpoint = world.disk.list(&dir).expect("it is there").pop().expect("there is one");
    [copy_of(world, 2), dir.join(checkpoint)]
}

#[test]
fn a_header_that_has_rotted_in_the_store_stays_whole_in_the_backup() {
    let store = backed_up();
    let world = &store.world;
    let copy = world.disk.content(&copy_of(world, 2)).expect("it is there");
    world.disk.flip(&segment_in(&sim_dir(), 2), 20, 1).expect("it is there");
    for _ in 0..2 {
        let told = world.backup().expect("nothing is wrong with the rest");
        let [damage] = &told.damage[..] else { panic!("{told:?}") };
        assert!(damage.contains("segment-0000000002.journal"), "{damage}");
        assert_eq!(told.copied_files, 0);
    }
    assert_eq!(world.disk.content(&copy_of(world, 2)).expect("it is there"), copy);
    world.assert_sound("the copy is the one from before");
}

/// What was damaged when it was first copied, and is damaged in another way now.
#[test]
fn a_copy_of_what_was_damaged_is_not_better_than_what_is_there() {
    let world = made().world;
    let path = segment_in(&sim_dir(), 2);
    world.disk.flip(&path, 20, 1).expect("it is there");
    assert_eq!(world.backup().expect("it is copied as it is").damage.len(), 1);
    let verified = world.verify();
    assert_eq!((verified.problems.len(), verified.lost_before.len()), (0, 1), "{verified:?}");
    assert_eq!(world.backup().expect("nothing has changed").copied_files, 0);
    // Of the same length, and with the header's other half as it was.
    world.disk.flip(&path, 21, 1).expect("it is there");
    let told = world.backup().expect("it is copied as it is");
    assert_eq!((told.copied_files, told.damage.len()), (1, 1), "{told:?}");
    world.assert_sound("it is what the store has");
}

#[test]
fn damage_is_told_by_each_run_also_where_the_disk_tells_what_has_changed() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (dir, target) = (home.path().join("data"), home.path().join("backup"));
    let store = made();
    std::fs::create_dir_all(dir.join(JOURNAL)).expect("it works");
    for number in 1..=3 {
        let content = store.world.disk.content(&segment_in(&sim_dir(), number)).expect("it is there");
        std::fs::write(segment_in(&dir, number), content).expect("it works");
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let run = || {
        let request = BackupRequest { dir: dir.clone(), target: target.clone(), keep: None };
        let told = backup(&request, &disk, &*store.world.clock, &mut |_, _| {}).expect("nothing is wrong");
        (told.copied_files, told.damage.len())
    };
    assert_eq!(run(), (3, 0));
    assert_eq!(run(), (0, 0), "nothing has changed");
    let path = segment_in(&dir, 1);
    let whole = std::fs::read(&path).expect("it is there");
    let mut rotten = whole.clone();
    rotten[20] ^= 1;
    // In another file, so that it is another version at whatever time of day.
    replace_file(&RealDisk, &path, &rotten).expect("it works");
    for _ in 0..2 {
        assert_eq!(run(), (0, 1), "the copy is the better one");
    }
    replace_file(&RealDisk, &path, &whole).expect("it works");
    assert_eq!(run(), (0, 0), "it is as it was");
}

/// What is done to a file, and its name.
type Case = (&'static str, fn(&World, &Path));

#[test]
fn each_copy_that_is_not_what_was_copied_is_named_and_is_restored_only_if_that_is_accepted() {
    let store = backed_up();
    let restored = |world: &World, accept_damage| {
        let request = RestoreRequest { backup: target(), dir: new_dir(), point: Point::End, accept_damage };
        restore(&request, &world.arc(), &*world.clock, &mut |_, _| {})
    };
    for path in two_copies(&store.world) {
        let name = path.display().to_string();
        let cases: [Case; 3] = [
            ("flipped", |world, path| world.disk.flip(path, 22, 1).expect("it is there")),
            ("cut", |world, path| {
                let file = world.disk.open(path).expect("it is there");
                file.set_len(file.len().expect("it has one") - 1).expect("it works");
            }),
            ("removed", |world, path| world.disk.remove_file(path).expect("it is there")),
        ];
        for (case, spoil) in cases {
            let world = store.world.fork();
            spoil(&world, &path);
            let problems = world.verify().problems;
            assert!(problems.iter().any(|problem| problem.contains(&name)), "{case}: {problems:?}");
            let refused = restored(&world, false).expect_err("it is damaged");
            assert!(matches!(&refused, BackupError::Damaged { what } if what.contains(&name)), "{case}: {refused}");
            let told = restored(&world, true).unwrap_or_else(|error| panic!("{case} {name}: {error}"));
            let [damage] = &told.damage[..] else { panic!("{case} {name}: {told:?}") };
            assert!(damage.contains(&name), "{case}: {damage}");
        }
        // What cannot be opened may be as it was.
        let world = store.world.fork();
        make_unreadable(&world, &path);
        for accept_damage in [false, true] {
            let refused = restored(&world, accept_damage);
            assert!(matches!(&refused, Err(BackupError::Io { path: at, .. }) if *at == path), "{refused:?}");
        }
        let refused = verify(&target(), &world.arc(), &mut |_, _| {});
        assert!(matches!(&refused, Err(BackupError::Io { path: at, .. }) if *at == path), "{refused:?}");
        let refused = world.backup();
        assert!(matches!(&refused, Err(BackupError::Io { path: at, .. }) if *at == path), "{refused:?}");
    }
    store.world.disk.set_out_of_files(true);
    let Err(BackupError::Io { source, .. }) = store.world.restore(Point::End) else { panic!("nothing can be read") };
    assert!(is_out_of_files(&source), "{source}");
}

/// The checkpoint lies behind what is left of it.
#[test]
fn a_newest_segment_that_is_cut_is_damage_and_is_restored_as_it_is_if_that_is_accepted() {
    let mut store = made();
    let end = store.frame(1).end;
    leave_checkpoint(&store.world, end);
    // The backup does not reach back to the beginning, so the checkpoint is needed.
    store.retire(1);
    store.backup();
    let path = copy_of(&store.world, 3);
    let (name, whole) = (path.display().to_string(), store.world.disk.content(&path).expect("it is there"));
    let other = store.world.disk.content(&copy_of(&store.world, 2)).expect("it is there");
    let without_last = &whole[..whole.len() - 8];
    for content in [Some(&whole[..30]), Some(&whole[..100]), Some(without_last), Some(&other[..]), Some(&[]), None] {
        let case = format!("{:?} bytes", content.map(<[u8]>::len));
        let world = store.world.fork();
        match content {
            Some(content) => replace_file(&world.disk, &path, content).expect("it can be written"),
            None => world.disk.remove_file(&path).expect("it is there"),
        }
        let request =
            |accept_damage| RestoreRequest { backup: target(), dir: new_dir(), point: Point::End, accept_damage };
        let run = |accept_damage| restore(&request(accept_damage), &world.arc(), &*world.clock, &mut |_, _| {});
        let refused = run(false).expect_err("it is damaged");
        assert!(refused.is_damage() && refused.to_string().contains(&name), "{case}: {refused}");
        let told = run(true).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(told.damage.iter().any(|damage| damage.contains(&name)), "{case}: {told:?}");
        assert_eq!((told.end, restored_checkpoint(&world)), (end, Some(end)), "{case}");
        let restored = read_file(&world.disk, &segment_in(&new_dir(), 3)).expect("it can be read");
        assert!(restored.as_deref() == content.map(|content| &content[..content.len().min(whole.len())]), "{case}");
    }
}

#[test]
fn a_manifest_that_says_something_else_is_refused() {
    let store = backed_up();
    let path = target().join("manifest.json");
    let text = String::from_utf8(store.world.disk.content(&path).expect("it is there")).expect("it is text");
    // What is still a manifest: one digit of the size of a segment.
    let at = text.find("\"bytes\"").expect("it is in it") + "\"bytes\": ".len();
    let world = store.world.fork();
    world.disk.flip(&path, at, 1).expect("it is there");
    let damaged = verify(&target(), &world.arc(), &mut |_, _| {});
    assert!(matches!(&damaged, Err(error @ BackupError::Manifest { .. }) if error.is_damage()), "{damaged:?}");
    let world = store.world.fork();
    let mut manifest = manifest_of(&world);
    put_manifest(&world, &manifest);
    world.assert_sound("the same in other words");
    manifest["format"] = 2.into();
    put_manifest(&world, &manifest);
    let newer = world.backup();
    assert!(matches!(newer, Err(BackupError::Newer { format: 2, .. })), "{newer:?}");
    assert!(matches!(world.restore(Point::End), Err(BackupError::Newer { .. })));
}
