//! Making a store of a backup: what is told of it, and how it goes on where an earlier run has ended.

use super::*;
use crate::backup::key_name;

/// Three segments and a checkpoint in the second, and a backup of them.
fn backed_up() -> (World, Vec<Frame>) {
    let mut store = Bare::new();
    let mut frames = store.segment(2);
    frames.extend(store.segment(2));
    frames.extend([store.frame(1), store.frame(1)]);
    leave_checkpoint(&store.world, frames[3].end);
    store.backup();
    (store.world, frames)
}

/// The same after a restore that did all but to say that it has come to its end.
fn restored_but_for_the_end(world: &World, point: Point) -> (World, RestoredStore) {
    let whole = world.fork();
    let begun = whole.disk.operations();
    let told = whole.restore(point).expect("nothing is wrong");
    let killed = world.fork();
    // Removing what marks it, and the sync of that.
    killed.disk.crash_after(whole.disk.operations() - begun - 2);
    killed.restore(point).expect_err("it was killed");
    (killed.on(killed.disk.crash(Survival::Everything)), told)
}

#[test]
fn what_is_told_of_a_restore_is_what_lies_there() {
    let (world, frames) = backed_up();
    world.clock.forward(Duration::from_secs(10));
    let told = world.restore(Point::Position(frames[4].at)).expect("nothing is wrong");
    let size = |path: PathBuf| world.disk.content(&path).expect("it is there").len() as u64;
    let segments: u64 = (1..=3).map(|number| size(segment_in(&new_dir(), number))).sum();
    assert_eq!(told.bytes, segments + size(new_dir().join(checkpoint::NAME)));
    assert_eq!((told.segments, told.end), (3, frames[4].end));
    assert_eq!(segments_in(&world, &new_dir()), [1, 2, 3, told.next_segment]);
    let now = world.clock.now();
    let said = (told.restoration.at, told.restoration.backup_at, told.restoration.to);
    assert_eq!(said, (now, now - Duration::from_secs(10), frames[4].time));
    assert_eq!(told.key, key_name(STORE_ID));
    let names = world.disk.list(&new_dir()).expect("it is there");
    assert_eq!(names, ["checkpoint", "journal"], "nothing marks it as half of one");
}

#[test]
fn what_an_earlier_run_has_copied_is_not_copied_again() {
    let (world, frames) = backed_up();
    for point in [Point::End, Point::Position(frames[4].at)] {
        let (left, told) = restored_but_for_the_end(&world, point);
        let checkpoints = target().join("checkpoints");
        let checkpoint = left.disk.list(&checkpoints).expect("it is there").pop().expect("there is one");
        for copy in [copy_of(&left, 1), copy_of(&left, 2), checkpoints.join(checkpoint)] {
            left.disk.remove_file(&copy).expect("it is there");
        }
        let again = left.restore(point).expect("they are there already");
        assert_eq!((again.bytes, again.end, again.damage), (told.bytes, told.end, vec![]), "{point:?}");
        assert_eq!(segments_in(&left, &new_dir()), [1, 2, 3, again.next_segment], "{point:?}");
    }
}

#[test]
fn what_an_earlier_run_has_left_is_copied_again_if_it_is_not_the_same() {
    let (world, _) = backed_up();
    let spoiled: [fn(&World, &Path); 3] = [
        |world, path| world.disk.flip(path, 70, 1).expect("it is there"),
        |world, path| {
            let file = world.disk.open(path).expect("it is there");
            file.set_len(file.len().expect("it has one") - 8).expect("it works");
        },
        |world, path| {
            let file = world.disk.open(path).expect("it is there");
            file.set_len(file.len().expect("it has one") + 8).expect("it works");
        },
    ];
    for spoil in spoiled {
        let (left, _) = restored_but_for_the_end(&world, Point::End);
        let path = segment_in(&new_dir(), 1);
        spoil(&left, &path);
        left.restore(Point::End).expect("the backup has it");
        let content = |path: &Path| left.disk.content(path).expect("it is there");
        assert!(content(&path) == content(&copy_of(&left, 1)));
    }
}

/// It may take another number for the segment in which that is said.
#[test]
fn that_a_store_was_restored_is_said_once() {
    let (world, _) = backed_up();
    let (left, told) = restored_but_for_the_end(&world, Point::End);
    left.clock.forward(Duration::from_secs(7));
    let again = left.restore(Point::End).expect("it goes on");
    assert!(again.next_segment > told.next_segment, "{again:?}");
    assert_eq!(segments_in(&left, &new_dir()), [1, 2, 3, again.next_segment]);
}

#[test]
fn a_restored_store_goes_on_far_above_what_the_backup_knows_and_within_what_ids_have_room_for() {
    let (world, frames) = backed_up();
    let next_segment = |now: UnixMs| {
        let world = World { clock: ManualClock::at(now), ..world.fork() };
        let told = world.restore(Point::End).expect("nothing is wrong");
        assert_eq!(told.restoration.at, now.max(frames[5].time), "never before what was restored");
        told.next_segment
    };
    let year_2025 = 1_735_689_600_000;
    let far_above = 3 + 65_536;
    // A clock that was never set, or is set to a time that no number stands for.
    assert_eq!(next_segment(UnixMs(0)), far_above);
    assert_eq!(next_segment(UnixMs(year_2025 + 65_539_999)), far_above);
    assert_eq!(next_segment(UnixMs(year_2025 + 65_540_000)), far_above + 1);
    let highest = (1 << 31) - 1;
    assert_eq!(next_segment(UnixMs(year_2025 + (1 << 31) * 1_000 - 1)), highest);
    assert_eq!(next_segment(UnixMs(year_2025 + (1 << 31) * 1_000)), highest);
    assert_eq!(next_segment(UnixMs(year_2025 + (1 << 32) * 1_000)), far_above);
}

#[test]
fn a_restore_that_was_begun_is_only_continued_as_it_was_begun() {
    let (world, frames) = backed_up();
    let point = Point::Position(frames[4].at);
    let (left, _) = restored_but_for_the_end(&world, point);
    let half = left.disk.list(&new_dir()).expect("it is there");
    assert!(half.contains(&"restoring".to_owned()), "{half:?}");
    let refused = left.restore(Point::End);
    assert!(matches!(&refused, Err(BackupError::OtherRestore { dir }) if *dir == new_dir()), "{refused:?}");
    // The same point by another name.
    left.restore(Point::Time(frames[4].time)).expect("it goes on");
    let refused = left.restore(point);
    assert!(matches!(&refused, Err(BackupError::NotEmpty { .. })), "it has come to its end: {refused:?}");
}
