//! A kill or a power cut at each operation of a backup and of a restore.

use super::*;

const SURVIVALS: [Survival; 3] = [Survival::Nothing, Survival::Everything, Survival::Mixed { seed: 17 }];

/// A store with some segments and a backup of it, to which something was added since.
fn changed_since_a_backup() -> (World, Seen, Seen) {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..10 {
        let sent = world.send(&mut stepper, number);
        if number % 2 == 0 {
            deliver(&mut stepper, sent);
        }
    }
    let before = seen(&mut stepper);
    world.backup().expect("nothing is wrong");
    for number in 10..18 {
        world.send(&mut stepper, number);
    }
    stepper.keeper(|keeper| {
        keeper.write_checkpoint();
    });
    let sent = world.send(&mut stepper, 18);
    deliver(&mut stepper, sent);
    stepper.step();
    let after = seen(&mut stepper);
    (world, before, after)
}

#[test]
fn a_backup_that_is_killed_leaves_the_one_before_and_the_next_run_completes_it() {
    let (world, before, after) = changed_since_a_backup();
    let whole = world.fork();
    let begun = whole.disk.operations();
    whole.backup().expect("nothing is wrong");
    let operations = whole.disk.operations() - begun;
    assert!(operations > 15, "{operations}");
    for at in 0..operations {
        for survival in SURVIVALS {
            let case = format!("operation {at}, {survival:?}");
            let killed = world.fork();
            killed.disk.crash_after(at);
            killed.backup().expect_err("it was killed");
            let left = killed.on(killed.disk.crash(survival));
            left.assert_sound(&case);
            let found = left.restored(Point::End);
            assert!(found == before || found == after, "{case}");
            left.backup().unwrap_or_else(|error| panic!("{case}: {error}"));
            left.assert_sound(&case);
            assert!(left.restored(Point::End) == after, "{case}: after the next run");
        }
    }
}

#[test]
fn a_first_backup_that_is_killed_is_none_or_whole() {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..6 {
        world.send(&mut stepper, number);
    }
    let there = seen(&mut stepper);
    let whole = world.fork();
    let begun = whole.disk.operations();
    whole.backup().expect("nothing is wrong");
    for at in 0..whole.disk.operations() - begun {
        let killed = world.fork();
        killed.disk.crash_after(at);
        killed.backup().expect_err("it was killed");
        let left = killed.on(killed.disk.crash(Survival::Mixed { seed: at }));
        match verify(&target(), &left.arc(), &mut |_, _| {}) {
            Ok(verified) => assert!(verified.problems.is_empty() && left.restored(Point::End) == there, "{at}"),
            Err(error) => assert!(matches!(error, BackupError::NoBackup { .. }), "{at}: {error}"),
        }
        left.backup().unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(left.restored(Point::End) == there, "{at}: after the next run");
    }
}

#[test]
fn a_restore_that_is_killed_is_refused_by_a_start_and_completed_by_the_next_run() {
    let (world, ..) = changed_since_a_backup();
    world.backup().expect("nothing is wrong");
    let wanted = world.restored(Point::End);
    let whole = world.fork();
    let begun = whole.disk.operations();
    whole.restore(Point::End).expect("nothing is wrong");
    let operations = whole.disk.operations() - begun;
    let mut refused = 0;
    for at in 0..operations {
        for survival in SURVIVALS {
            let case = format!("operation {at}, {survival:?}");
            let killed = world.fork();
            killed.disk.crash_after(at);
            killed.restore(Point::End).expect_err("it was killed");
            let left = killed.on(killed.disk.crash(survival));
            let tried = left.fork();
            match tried.try_open(&new_dir()) {
                Err(error) => {
                    assert!(matches!(error, OpenError::HalfRestored { .. }), "{case}: {error}");
                    refused += 1;
                }
                // It had not begun, or it was finished.
                Ok(mut stepper) => {
                    let found = seen(&mut stepper);
                    let journal = left.disk.list(&new_dir().join("journal")).unwrap_or_default();
                    assert!(found == wanted || (found.is_empty() && journal.is_empty()), "{case}");
                    assert_eq!(found.is_empty(), stepper.outbox.restoration().is_none(), "{case}");
                }
            }
            // It would go on in a segment of another number.
            left.clock.forward(Duration::from_secs(7));
            match left.restore(Point::End) {
                Ok(_) => {}
                Err(BackupError::NotEmpty { .. }) => assert!(at + 2 >= operations, "{case}: it was finished"),
                Err(error) => panic!("{case}: {error}"),
            }
            let mut stepper = left.open(&new_dir());
            assert!(seen(&mut stepper) == wanted, "{case}");
            assert!(stepper.outbox.restoration().is_some(), "{case}");
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_restore_that_has_ended_is_not_half_of_one_after_a_power_cut() {
    let (world, ..) = changed_since_a_backup();
    world.backup().expect("nothing is wrong");
    let wanted = world.restored(Point::End);
    let whole = world.fork();
    whole.restore(Point::End).expect("nothing is wrong");
    for survival in SURVIVALS {
        let left = whole.on(whole.disk.crash(survival));
        let mut stepper = left.try_open(&new_dir()).unwrap_or_else(|error| panic!("{survival:?}: {error}"));
        assert!(seen(&mut stepper) == wanted, "{survival:?}");
    }
}

#[test]
fn a_restore_to_another_point_does_not_take_over_one_that_was_begun() {
    let (world, ..) = changed_since_a_backup();
    world.backup().expect("nothing is wrong");
    let whole = world.fork();
    let begun = whole.disk.operations();
    whole.restore(Point::End).expect("nothing is wrong");
    let before_the_end = whole.disk.operations() - begun - 2;
    world.disk.crash_after(before_the_end);
    world.restore(Point::End).expect_err("it was killed");
    let left = world.on(world.disk.crash(Survival::Everything));
    let other = Point::Time(left.clock.now() - Duration::from_secs(12));
    assert!(matches!(left.restore(other), Err(BackupError::OtherRestore { .. })));
    left.clock.forward(Duration::from_secs(7));
    left.backup().expect("nothing has come");
    left.restore(Point::End).expect("the one that was begun goes on");
}

#[test]
fn what_a_backup_has_given_up_does_not_come_back_with_a_power_cut() {
    let (world, ..) = changed_since_a_backup();
    let copies = |disk: &SimDisk| {
        ["journal", "checkpoints"].map(|name| disk.list(&target().join(name)).expect("it is there")).concat()
    };
    let before = copies(&world.disk);
    world.clock.forward(Duration::from_secs(60));
    world.backup_that_keeps(Some(Duration::ZERO)).expect("nothing is wrong");
    let after = copies(&world.disk);
    assert!(before.iter().any(|name| !after.contains(name)), "{before:?}: the open segment has another copy now");
    assert_eq!(copies(&world.disk.crash(Survival::Nothing)), after);
}
