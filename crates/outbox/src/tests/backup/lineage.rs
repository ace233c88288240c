//! A backup is that of one course of events: what a restored store does then is another one.

use super::*;
use crate::journal::{Subject, segment_path};

/// A store with a backup of it, and messages in many segments.
fn backed_up() -> (World, Stepper, Vec<Sent>) {
    let world = World::new();
    let mut stepper = world.begin();
    let sent = (0..24).map(|number| world.send(&mut stepper, number)).collect();
    world.backup().expect("nothing is wrong");
    (world, stepper, sent)
}

fn backup_of_the_restored(world: &World) -> Result<BackedUp, BackupError> {
    let request = BackupRequest { dir: new_dir(), target: target(), keep: None };
    backup(&request, &world.arc(), &*world.clock, &mut |_, _| {})
}

#[test]
fn a_restored_store_does_not_go_into_the_backup_that_it_comes_from() {
    let (world, stepper, sent) = backed_up();
    drop(stepper);
    let whole = world.restored(Point::End);
    // Cut in an old segment, and in the last one.
    for at in [9, 22] {
        let world = world.fork();
        world.clock.forward(Duration::from_secs(60));
        world.restore(Point::Time(sent[at].at)).expect("it reaches that");
        let mut restored = world.open(&new_dir());
        world.send(&mut restored, 100);
        let files = world.disk.list(&target().join("journal")).expect("it is there");
        let refused = backup_of_the_restored(&world);
        assert!(matches!(refused, Err(BackupError::Restored { .. })), "{at}: {refused:?}");
        assert_eq!(world.disk.list(&target().join("journal")).expect("it is there"), files, "{at}");
        world.assert_sound("it is as it was");
        drop(restored);
        let left = World { disk: without(&world, &new_dir()), ..world.fork() };
        assert!(left.restored(Point::End) == whole, "{at}");
    }
}

/// The disk without what was restored.
fn without(world: &World, dir: &Path) -> SimDisk {
    let disk = world.fork().disk;
    for dir in [dir.join("journal"), dir.to_owned()] {
        for name in disk.list(&dir).expect("it is there").into_iter().filter(|name| name != "journal") {
            let _ = disk.remove_file(&dir.join(name));
        }
        let _ = disk.remove_dir(&dir);
    }
    disk
}

#[test]
fn a_restored_store_gets_a_backup_of_its_own() {
    let (world, stepper, sent) = backed_up();
    drop(stepper);
    world.clock.forward(Duration::from_secs(60));
    world.restore(Point::Time(sent[9].at)).expect("it reaches that");
    let mut restored = world.open(&new_dir());
    let fresh = world.send(&mut restored, 100);
    let there = seen(&mut restored);
    let request = BackupRequest { dir: new_dir(), target: "/second".into(), keep: None };
    for _ in 0..2 {
        // The second run meets the gap that the first one has copied.
        let told = backup(&request, &world.arc(), &*world.clock, &mut |_, _| {}).expect("nothing is wrong");
        assert_eq!(told.damage, Vec::<String>::new());
    }
    let request =
        RestoreRequest { backup: "/second".into(), dir: "/third".into(), point: Point::End, accept_damage: false };
    restore(&request, &world.arc(), &*world.clock, &mut |_, _| {}).expect("it is whole");
    let found = seen(&mut world.open(Path::new("/third")));
    assert!(found == there && found.contains_key(&fresh.id));
}

fn end_of_first_frame(world: &World, path: &Path, number: u32) -> u64 {
    let file = world.disk.open(path).expect("it is there");
    let store_id = crate::open::store_id(&options(&sim_dir()));
    let subject = Subject { file: &file, path, number, store_id, is_last: false };
    let survey = subject.survey(&mut |_, _| {}).expect("it can be read");
    assert!(survey.frames > 1 && survey.damage.is_empty(), "{survey:?}");
    survey.first.map_or(0, |frame| frame.end.offset_bytes().into())
}

#[test]
fn the_end_of_a_segment_that_has_rotted_stays_in_the_backup() {
    let (world, stepper, sent) = backed_up();
    drop(stepper);
    let path = segment_path(&sim_dir().join("journal"), 2);
    let whole = world.disk.content(&path).expect("it is there");
    let cut = end_of_first_frame(&world, &path, 2);
    for zeros in [false, true] {
        let world = world.fork();
        let file = world.disk.open(&path).expect("it is there");
        file.set_len(cut).expect("it works");
        if zeros {
            file.set_len(whole.len() as u64).expect("it works");
        }
        for _ in 0..2 {
            let told = world.backup().expect("nothing is wrong with the rest");
            assert!(told.damage.iter().any(|told| told.contains("shorter than the copy")), "{told:?}");
        }
        world.assert_sound("the copy is the one from before");
        assert_eq!(world.restored(Point::End).len(), sent.len(), "zeros: {zeros}");
    }
}

#[test]
fn a_segment_that_had_lost_its_end_before_the_first_backup_is_told() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..24 {
        world.send(&mut stepper, number);
    }
    stepper.keeper(|keeper| {
        keeper.write_checkpoint();
    });
    drop(stepper);
    let path = segment_path(&sim_dir().join("journal"), 2);
    let cut = end_of_first_frame(&world, &path, 2);
    world.disk.open(&path).expect("it is there").set_len(cut).expect("it works");
    let told = world.backup().expect("nothing is wrong with the rest");
    assert!(told.damage.iter().any(|told| told.contains("missing between segment 2")), "{told:?}");
    world.assert_sound("it is what the store has");
    world.restore(Point::End).expect("what is there is restored");
    let refused = world.try_open(&new_dir()).err().expect("they wait");
    assert!(refused.is_damage() && refused.to_string().contains("frames are missing"), "{refused}");
}

/// Of the open segment only what was synced can be damaged; the frames after it say how far that is.
#[test]
fn damage_of_what_was_synced_in_the_open_segment_is_told() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..3 {
        world.send(&mut stepper, number);
    }
    drop(stepper);
    let path = segment_path(&sim_dir().join("journal"), 1);
    let at = end_of_first_frame(&world, &path, 1) + 100;
    let byte = world.disk.content(&path).expect("it is there")[at as usize];
    world.disk.open(&path).expect("it is there").write_all_at(&[byte ^ 1], at).expect("it works");
    let told = world.backup().expect("nothing is wrong with the rest");
    assert!(told.damage.iter().any(|told| told.contains("frames are damaged")), "{told:?}");
}

#[test]
fn a_checkpoint_may_stand_behind_the_last_frame() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..6 {
        world.send(&mut stepper, number);
    }
    let app = stepper.app_id(APP).expect("it is there");
    let secret = world.send(&mut stepper, 7_777);
    let outbox = stepper.outbox.clone();
    stepper.ask(postrider_model::expunge::Expunge::expunge_payload(&outbox, app, secret.id)).expect("it is there");
    world.clock.forward(Duration::from_secs(7_200));
    // The segment is sealed, and nothing is written to the next one.
    for _ in 0..50 {
        stepper.keeper(crate::Keeper::expunge_some);
    }
    stepper.keeper(|keeper| {
        keeper.write_checkpoint();
    });
    let end = stepper.outbox.shared.reader.end();
    assert_eq!(end.offset_bytes(), 64, "{end}");
    let there = seen(&mut stepper);
    world.backup().expect("all of it is copied");
    world.assert_sound("with a checkpoint behind the end");
    assert!(world.restored(Point::End) == there);
    let next = world.send(&mut stepper, 8);
    let there = seen(&mut stepper);
    world.backup().expect("it goes on");
    let restored = world.restored(Point::End);
    assert!(restored == there && restored.contains_key(&next.id));
}

#[test]
fn a_store_is_no_place_for_a_backup() {
    let (world, ..) = backed_up();
    let other = World::on(&world, world.fork().disk);
    other.disk.remove_file(&target().join("manifest.json")).expect("it is there");
    let letter = target().join("journal/letter");
    other.disk.create(&letter).expect("it works");
    let refused = other.backup();
    assert!(matches!(&refused, Err(BackupError::NotABackup { name, .. }) if name == "letter"), "{refused:?}");
    other.disk.remove_file(&letter).expect("it is there");
    let segment = segment_path(&target().join("journal"), 1);
    other.disk.create(&segment).expect("it works");
    assert!(matches!(other.backup(), Err(BackupError::NotABackup { .. })), "a store's segment");
    other.disk.remove_file(&segment).expect("it is there");
    other.backup().expect("what a killed first run left is no obstacle");
    // What lies there beside a backup is not removed.
    let beside = [letter, target().join("api.sock")];
    for path in &beside {
        other.disk.create(path).expect("it works");
    }
    other.backup().expect("it is a backup");
    for path in &beside {
        other.disk.open(path).expect("it is still there");
    }
}
