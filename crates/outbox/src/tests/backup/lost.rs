//! Files that a backup has lost: copied again while the store has them, and named by each run if not.

use postrider_model::expunge::Expunge as _;

use super::*;

/// All that lies in the directories of the backup.
fn copies(world: &World) -> Vec<PathBuf> {
    let dirs = ["journal", "checkpoints"].map(|dir| target().join(dir));
    let within = |dir: &PathBuf| {
        let names = world.disk.list(dir).expect("it is there").into_iter();
        names.map(|name| dir.join(name)).collect::<Vec<_>>()
    };
    dirs.iter().flat_map(within).collect()
}

/// The copy of the oldest segment.
fn first_copy(world: &World) -> PathBuf {
    copies(world).into_iter().next().expect("there is one")
}

/// How a file gets lost.
fn lose(world: &World, path: &Path, cut: bool) {
    if cut {
        let file = world.disk.open(path).expect("it is there");
        file.set_len(file.len().expect("it has one") - 1).expect("it works");
    } else {
        world.disk.remove_file(path).expect("it is there");
    }
}

/// Makes a backup of some segments, after which the store gives up the oldest.
fn back_up_what_is_given_up(world: &World, stepper: &mut Stepper) {
    for number in 0..12 {
        let sent = world.send(stepper, number);
        deliver(stepper, sent);
    }
    world.backup().expect("nothing is wrong");
    world.clock.forward(Duration::from_secs(7_200));
    for _ in 0..3 {
        stepper.keeper(crate::Keeper::remove_old_segments);
    }
}

/// A store and a backup of it, after which the store has given up its oldest segments.
fn given_up() -> (World, Stepper) {
    let world = World::new();
    let mut stepper = world.begin();
    back_up_what_is_given_up(&world, &mut stepper);
    let left = crate::journal::segment_numbers(&world.disk, &sim_dir().join("journal")).expect("it is there");
    assert!(left.first() > Some(&1), "{left:?}");
    world.send(&mut stepper, 100);
    (world, stepper)
}

#[test]
fn a_file_that_is_gone_or_cut_is_copied_again_while_the_store_has_it() {
    let world = World::stopped_and_backed_up();
    let (there, whole) = (copies(&world), world.restored(Point::End));
    assert!(there.len() > 3 && there.iter().any(|path| path.starts_with("/backup/checkpoints")), "{there:?}");
    for path in &there {
        for cut in [false, true] {
            let world = world.fork();
            lose(&world, path, cut);
            let told = world.backup().expect("the store has it");
            let [again] = &told.copied_again[..] else { panic!("{told:?}") };
            assert!(again.starts_with(&path.display().to_string()), "{again}");
            assert_eq!((told.copied_files, told.damage.len()), (1, 0), "{told:?}");
            assert_eq!(copies(&world), there, "{again}");
            world.assert_sound(again);
            assert!(world.restored(Point::End) == whole, "{again}");
            assert_eq!(world.backup().expect("nothing is wrong").copied_files, 0, "{again}");
        }
    }
    for path in &there {
        lose(&world, path, false);
    }
    let told = world.backup().expect("the store has all");
    assert_eq!((told.copied_again.len(), told.copied_files as usize), (there.len(), there.len()), "{told:?}");
    world.assert_sound("all of it");
}

#[test]
fn a_file_that_the_store_has_given_up_is_named_and_all_else_is_copied() {
    for cut in [false, true] {
        let (world, _stepper) = given_up();
        let whole = world.fork();
        whole.backup().expect("nothing is lost");
        let (lost, before) = (first_copy(&world), copies(&world));
        lose(&world, &lost, cut);
        for _ in 0..2 {
            let refused = world.backup().expect_err("it is lost");
            assert!(refused.is_damage() && refused.to_string().starts_with(&lost.display().to_string()), "{refused}");
        }
        assert!(copies(&world).iter().any(|path| !before.contains(path)), "what had come is copied");
        let problems = world.verify().problems;
        assert!(problems.iter().all(|problem| problem.contains("segment-0000000001")), "{problems:?}");
        assert!(world.restored(Point::End) == whole.restored(Point::End), "what does not need it is restored");

        // Who gives up the points that need it is through.
        let request = BackupRequest { dir: sim_dir(), target: target(), keep: Some(Duration::ZERO) };
        backup(&request, &world.arc(), &*world.clock, &mut |_, _| {}).expect("nothing needs it");
        world.assert_sound("without the points that need it");
        world.backup().expect("nor later");
    }
}

#[test]
fn what_has_rotted_in_the_store_is_copied_as_it_is_in_place_of_what_is_lost() {
    let world = World::stopped_and_backed_up();
    world.disk.flip(&sim_dir().join("journal/segment-0000000002.journal"), 900, 1).expect("it is there");
    lose(&world, &copies(&world)[1], false);
    let told = world.backup().expect("the store has the rest of it");
    assert_eq!((told.copied_again.len(), told.copied_files), (1, 1), "{told:?}");
    assert!(told.damage.iter().any(|damage| damage.contains("segment-0000000002.journal")), "{told:?}");
    world.assert_sound("it is what the store has");
}

#[test]
fn what_was_expunged_goes_from_a_backup_that_has_lost_a_file_and_from_the_file_when_it_is_put_back() {
    let world = World::new();
    let mut stepper = world.begin();
    let secret = world.send(&mut stepper, 7_777);
    back_up_what_is_given_up(&world, &mut stepper);
    let holds = |path: &PathBuf| {
        let (content, text) = (world.disk.content(path).expect("it is there"), body(7_777));
        content.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let lost = first_copy(&world);
    assert!(holds(&lost), "it is where it was recorded first");
    let app = stepper.app_id(APP).expect("it is there");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.expunge_payload(app, secret.id)).expect("it is there");
    let elsewhere = PathBuf::from("/elsewhere");
    world.disk.rename(&lost, &elsewhere).expect("it works");
    world.backup().expect_err("the store does not have it any more");
    assert!(!copies(&world).iter().any(holds), "it is gone from all that is there");
    world.disk.rename(&elsewhere, &lost).expect("it works");
    world.backup().expect("it is there again");
    assert!(!copies(&world).iter().any(holds), "and from what was put back");
    world.assert_sound("written anew");
}
