//! What is in a backup: nothing twice, nothing that was expunged, and damage by its name.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_model::expunge::Expunge as _;

use super::*;
use crate::backup::{key_name, try_backup};
use crate::disk::DiskFile;
use crate::disk::below::disk_below;
use crate::index::{Index, IndexOptions};
use crate::journal::segment_path;

#[test]
fn a_second_run_copies_only_what_is_new() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..20 {
        world.send(&mut stepper, number);
    }
    let first = world.backup().expect("nothing is wrong");
    assert!(first.segments > 4 && first.copied_files as usize == first.segments, "{first:?}");
    assert_eq!(world.backup().expect("nothing is wrong").copied_files, 0);
    world.send(&mut stepper, 20);
    let second = world.backup().expect("nothing is wrong");
    assert!((1..=2).contains(&second.copied_files) && second.copied_bytes < 32 << 10, "{second:?}");
    assert!(second.end > first.end);
    let files = world.disk.list(&target().join("journal")).expect("it is there");
    assert_eq!(files.len(), second.segments, "the beginning of the open segment is there once: {files:?}");
}

#[test]
fn what_was_answered_before_it_began_is_in_a_backup_also_if_nothing_was_synced_since() {
    let world = World::new();
    let mut stepper = world.begin();
    let sent = world.send(&mut stepper, 0);
    // Its outcome is not synced yet.
    deliver(&mut stepper, sent);
    let told = world.backup().expect("nothing is wrong");
    assert_eq!(told.end, stepper.outbox.shared.reader.end());
    assert_eq!(world.restored(Point::End).get(&sent.id).map(|seen| seen.1), Some("delivered"));
}

#[test]
fn a_torn_tail_is_not_backed_up() {
    let world = World::new();
    let mut stepper = world.begin();
    let sent = world.send(&mut stepper, 0);
    let end = stepper.outbox.shared.reader.end();
    drop(stepper);
    let path = sim_dir().join("journal/segment-0000000001.journal");
    world
        .disk
        .open(&path)
        .expect("it is there")
        .write_all_at(b"PRFRtorn", end.offset_bytes().into())
        .expect("it works");
    let told = world.backup().expect("nothing is wrong");
    assert_eq!((told.end, told.damage), (end, vec![]));
    assert!(world.restored(Point::End).contains_key(&sent.id));
}

#[test]
fn a_flipped_bit_in_any_file_is_named_and_is_not_restored_unseen() {
    let world = World::stopped_and_backed_up();
    for name in ["journal", "checkpoints"].map(|dir| target().join(dir)) {
        for file in world.disk.list(&name).expect("it is there") {
            let path = name.join(&file);
            let bytes = world.disk.content(&path).expect("it is there").len();
            for offset in [0, 70, bytes / 2, bytes - 1] {
                let rotten = world.fork();
                rotten.disk.flip(&path, offset, 4).expect("it has that many bytes");
                let problems = rotten.verify().problems;
                assert!(problems.iter().any(|problem| problem.contains(&file)), "{file} {offset}: {problems:?}");
                let places = problems.iter().filter(|problem| problem.contains("bytes "));
                assert_eq!(places.count() > 0, file.starts_with("segment"), "{file} {offset}: {problems:?}");
                let error = rotten.restore(Point::End).expect_err("it is damaged");
                assert!(error.is_damage() && error.to_string().contains(&file), "{file} {offset}: {error}");
                let request =
                    RestoreRequest { backup: target(), dir: new_dir(), point: Point::End, accept_damage: true };
                let told = restore(&request, &rotten.arc(), &*rotten.clock, &mut |_, _| {}).expect("as it is");
                assert_eq!(told.damage.len(), 1, "{file} {offset}: {told:?}");
            }
        }
    }
    let (missing, name) = (world.fork(), target().join("journal"));
    let file = world.disk.list(&name).expect("it is there").swap_remove(1);
    missing.disk.remove_file(&name.join(&file)).expect("it is there");
    let error = missing.restore(Point::End).expect_err("it is missing");
    assert!(error.is_damage() && error.to_string().contains(&file), "{error}");
    let request = RestoreRequest { backup: target(), dir: new_dir(), point: Point::End, accept_damage: true };
    let told = restore(&request, &missing.arc(), &*missing.clock, &mut |_, _| {}).expect("without it");
    assert!(told.damage.len() == 1 && told.damage[0].ends_with("is missing"), "{told:?}");
    let manifest = target().join("manifest.json");
    world.disk.flip(&manifest, 200, 1).expect("it has that many bytes");
    let error = verify(&target(), &world.arc(), &mut |_, _| {}).expect_err("it is damaged");
    assert!(matches!(error, BackupError::Manifest { .. }), "{error}");
}

#[test]
fn what_has_rotted_in_the_store_stays_whole_in_the_backup() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..12 {
        world.send(&mut stepper, number);
    }
    world.backup().expect("nothing is wrong");
    let journal = sim_dir().join("journal");
    world.disk.flip(&journal.join("segment-0000000002.journal"), 900, 1).expect("it is there");
    let told = world.backup().expect("nothing is wrong with the rest");
    assert!(told.damage.iter().any(|damage| damage.contains("segment-0000000002.journal")), "{told:?}");
    assert_eq!(told.copied_files, 0);
    world.assert_sound("the copy is the one from before");
    assert_eq!(world.restored(Point::End).len(), 12);
}

#[test]
fn what_was_expunged_goes_from_the_backup_with_the_next_run() {
    for given_up in [false, true] {
        let world = World::new();
        let mut stepper = world.begin();
        let secret = world.send(&mut stepper, 7_777);
        for number in 0..12 {
            let sent = world.send(&mut stepper, number);
            deliver(&mut stepper, sent);
        }
        world.backup().expect("nothing is wrong");
        if given_up {
            // It waits, so it is carried before its segment goes.
            world.clock.forward(Duration::from_secs(7_200));
            for _ in 0..3 {
                stepper.keeper(crate::Keeper::remove_old_segments);
            }
            world.backup().expect("nothing is wrong");
        }
        assert!(holds(&world, &body(7_777)), "given up: {given_up}");
        let app = stepper.app_id(APP).expect("it is there");
        let outbox = stepper.outbox.clone();
        stepper.ask(outbox.expunge_payload(app, secret.id)).expect("it is there");
        // The backup does not wait for the store, which may give the segment up before.
        let early = world.fork();
        early.backup().expect("nothing is wrong");
        assert!(!holds(&early, &body(7_777)), "given up: {given_up}");
        world.clock.forward(Duration::from_secs(7_200));
        for _ in 0..50 {
            stepper.keeper(crate::Keeper::expunge_some);
        }
        assert_eq!(outbox.stats().expunged_on_disk, 0);
        world.backup().expect("nothing is wrong");
        assert!(!holds(&world, &body(7_777)), "given up: {given_up}");
        world.assert_sound("files that were written anew");
        assert_eq!(world.restored(Point::End).get(&secret.id).map(|seen| seen.0.as_str()), Some(""));
    }
}

/// Whether a file of the backup holds the text.
fn holds(world: &World, text: &str) -> bool {
    let dir = target().join("journal");
    world.disk.list(&dir).expect("it is there").iter().any(|name| {
        let content = world.disk.content(&dir.join(name)).expect("it is there");
        content.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A disk from which the oldest segments go at the moment at which one of them is to be read.
struct Retiring {
    disk: SimDisk,
    gone: AtomicBool,
}

impl Disk for Retiring {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if path.ends_with("segment-0000000003.journal") && !self.gone.swap(true, Ordering::SeqCst) {
            for number in 1..=3 {
                self.disk.remove_file(&segment_path(&sim_dir().join("journal"), number))?;
            }
        }
        self.disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    disk_below!();
}

#[test]
fn segments_that_go_while_they_are_copied_are_not_needed() {
    let world = World::new();
    let mut stepper = world.begin();
    let mut last = None;
    for number in 0..24 {
        let sent = world.send(&mut stepper, number);
        deliver(&mut stepper, sent);
        last = Some(sent);
    }
    stepper.stop();
    let request = BackupRequest { dir: sim_dir(), target: target(), keep: None };
    let retiring = Retiring { disk: world.disk.clone(), gone: AtomicBool::new(false) };
    let disk: Arc<dyn Disk> = Arc::new(retiring);
    let told = backup(&request, &disk, &*world.clock, &mut |_, _| {}).expect("it begins anew");
    let left = crate::journal::segment_numbers(&world.disk, &sim_dir().join("journal")).expect("it is there");
    assert_eq!(left.first(), Some(&4), "they went");
    assert!(told.segments >= 2 && told.damage.is_empty(), "{told:?}");
    world.assert_sound("without what had gone");
    assert!(last.is_some_and(|last| world.restored(Point::End).contains_key(&last.id)));
}

#[test]
fn nothing_is_put_where_something_else_lies() {
    let world = World::new();
    let stepper = world.begin();
    world.disk.create_dir_all(&target()).expect("it works");
    world.disk.create(&target().join("letters")).expect("it works");
    assert!(matches!(world.backup(), Err(BackupError::NotABackup { name, .. }) if name == "letters"));
    world.disk.remove_file(&target().join("letters")).expect("it works");
    world.backup().expect("it is empty");
    world.disk.create_dir_all(&new_dir()).expect("it works");
    for name in ["store.key", "letters"] {
        world.disk.create(&new_dir().join(name)).expect("it works");
    }
    assert!(matches!(world.restore(Point::End), Err(BackupError::NotEmpty { name, .. }) if name == "letters"));
    drop(stepper);
    let other = World::new();
    let options = Options { master_key: MasterKey::new([8; 32]), ..options(Path::new("/other")) };
    let started = Stepper::start(options, other.index.path(), &other.clock, world.arc(), &other.runtime);
    let mut stepper = started.expect("it is another store");
    stepper.ask(stepper.outbox.clone().execute(stepper::app(APP))).expect("it is legal");
    let request = BackupRequest { dir: "/other".into(), target: target(), keep: None };
    let refused = backup(&request, &world.arc(), &*world.clock, &mut |_, _| {});
    assert!(matches!(refused, Err(BackupError::OtherStore { .. })), "{refused:?}");
}

#[test]
fn a_start_from_a_backup_is_tried_without_restoring_it() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..12 {
        let sent = world.send(&mut stepper, number);
        if number < 5 {
            deliver(&mut stepper, sent);
        }
    }
    stepper.stop();
    let told = world.backup().expect("nothing is wrong");
    let operations = world.disk.operations();
    let home = tempfile::tempdir().expect("a temporary directory");
    let tried = |options: &Options, name: &str| {
        let index = Index::open(&IndexOptions::new(home.path().join(name))).expect("a directory can be made");
        let clock = Arc::clone(&world.clock) as Arc<dyn postrider_model::time::Clock>;
        try_backup(&target(), options, &world.arc(), clock, index).expect("it can be read")
    };
    let found = tried(&options(Path::new("/nowhere")), "one").expect("a start would work");
    assert_eq!((found.waiting, found.dead_letters, found.without_payload), (7, 0, 0));
    let other = Options { master_key: MasterKey::new([8; 32]), ..options(Path::new("/nowhere")) };
    assert!(tried(&other, "two").is_err(), "another key does not open it");
    assert_eq!(world.disk.operations(), operations, "nothing is changed");
    assert_eq!(told.key, key_name(crate::open::store_id(&options(Path::new("/")))));
    assert_ne!(told.key, key_name(crate::open::store_id(&other)));
}
