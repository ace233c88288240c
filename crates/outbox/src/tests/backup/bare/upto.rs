//! Up to which frame a store is restored, by a time or by a position.

use super::*;

/// Three segments of two frames each, and a backup of them.
fn six_frames() -> (Bare, Vec<Frame>) {
    let mut store = Bare::new();
    let mut frames = vec![];
    for number in 0..6 {
        frames.push(store.frame(1 + number % 3));
        if number == 1 || number == 3 {
            store.roll();
        }
    }
    store.backup();
    (store, frames)
}

#[test]
fn the_last_frame_that_is_restored_is_the_one_at_or_before_the_point() {
    let (store, frames) = six_frames();
    let whole = store.world.verify();
    for (index, frame) in frames.iter().enumerate() {
        let within = Position::new(frame.at.segment(), frame.at.offset_bytes() + 64);
        let half_a_second = Duration::from_millis(500);
        let by_time = [frame.time, frame.time + half_a_second].map(Point::Time);
        for point in by_time.into_iter().chain([frame.at, within].map(Point::Position)) {
            if point == Point::Time(frame.time + half_a_second) && index + 1 == frames.len() {
                // The backup was taken before.
                continue;
            }
            let world = store.world.fork();
            let told = world.restore(point).expect("the backup reaches it");
            assert_eq!((told.end, told.restoration.to), (frame.end, frame.time), "{point:?}");
            let left = &frames[index + 1..];
            assert_eq!(told.behind.frames, left.len() as u64, "{point:?}");
            assert_eq!(told.behind.records, left.iter().map(|frame| frame.records).sum::<u64>(), "{point:?}");
            // What is restored and what lies behind it are all that there is.
            assert_eq!(told.bytes + told.behind.bytes, whole.bytes, "{point:?}");
            let last = segment_in(&new_dir(), frame.at.segment());
            let content = world.disk.content(&last).expect("it was restored");
            assert_eq!(content.len(), frame.end.offset_bytes() as usize, "{point:?}: cut behind that frame");
        }
    }
}

#[test]
fn a_point_before_the_first_frame_or_behind_the_last_is_none_of_the_backup() {
    let (store, frames) = six_frames();
    let (first, last) = (frames[0], frames[5]);
    let taken = store.world.clock.now();
    let too_early = [Point::Time(first.time - Duration::from_millis(1)), Point::Position(Position::new(1, 63))];
    for point in too_early {
        let refused = store.world.fork().restore(point);
        let Err(BackupError::TooEarly { earliest }) = refused else { panic!("{point:?}: {refused:?}") };
        assert_eq!(earliest, Some(first.time));
    }
    let before_the_end = Position::from_u64(last.end.as_u64() - 1);
    for point in [Point::Time(taken), Point::Position(before_the_end), Point::End] {
        let told = store.world.fork().restore(point).expect("the backup reaches it");
        assert_eq!(told.end, last.end, "{point:?}");
    }
    for point in [Point::Time(taken + Duration::from_millis(1)), Point::Position(last.end)] {
        let refused = store.world.fork().restore(point);
        assert!(matches!(refused, Err(BackupError::TooLate { latest }) if latest == taken), "{point:?}: {refused:?}");
    }
}

/// A run that was killed may have copied more than the newest backup is of.
#[test]
fn frames_behind_the_end_of_the_newest_backup_are_not_restored() {
    let (mut store, frames) = six_frames();
    let before = manifest_of(&store.world);
    store.frame(1);
    store.roll();
    store.frame(1);
    store.backup();
    let mut manifest = manifest_of(&store.world);
    manifest["snapshots"] = before["snapshots"].clone();
    put_manifest(&store.world, &manifest);
    let told = store.world.restore(Point::End).expect("the backup reaches it");
    assert_eq!((told.end, told.segments), (frames[5].end, 3));
    assert_eq!((told.behind.frames, told.behind.records, told.behind.bytes), (0, 0, 0));
    assert!(told.next_segment > 4, "{told:?}");
}

#[test]
fn whether_a_backup_reaches_a_point_is_told_without_a_change() {
    let (store, frames) = six_frames();
    let world = &store.world;
    let operations = world.disk.operations();
    let early = Point::Time(frames[0].time - Duration::from_secs(1));
    let late = Point::Time(world.clock.now() + Duration::from_secs(1));
    let reaches = |point| {
        let request = RestoreRequest { backup: target(), dir: new_dir(), point, accept_damage: false };
        crate::backup::reaches(&request, &world.arc())
    };
    for point in [Point::End, Point::Time(frames[2].time), Point::Position(frames[4].at)] {
        reaches(point).unwrap_or_else(|error| panic!("{point:?}: {error}"));
    }
    assert!(matches!(reaches(early), Err(BackupError::TooEarly { .. })));
    assert!(matches!(reaches(late), Err(BackupError::TooLate { .. })));
    assert_eq!(world.disk.operations(), operations);
}
