//! What of a backup makes a store: the checkpoint, and the segments between which nothing is missing.

use super::*;

/// The checkpoint that is restored for a point, and the segments.
fn taken_for(world: &World, point: Point) -> (Option<Position>, Vec<u32>) {
    let world = world.fork();
    let told = world.restore(point).unwrap_or_else(|error| panic!("{point:?}: {error}"));
    let mut segments = segments_in(&world, &new_dir());
    assert_eq!(segments.pop(), Some(told.next_segment), "{point:?}: in the last one it is said that it was restored");
    assert_eq!(segments.len(), told.segments, "{point:?}");
    (restored_checkpoint(&world), segments)
}

#[test]
fn no_checkpoint_is_restored_that_holds_more_than_the_point() {
    let mut store = Bare::new();
    let mut frames = store.segment(2);
    let second = Position::new(2, 64);
    leave_checkpoint(&store.world, second);
    store.backup();
    frames.extend(store.segment(2));
    // One without frames.
    store.roll();
    let fourth = Position::new(4, 64);
    leave_checkpoint(&store.world, fourth);
    store.backup();
    frames.push(store.frame(1));
    let within = frames[4].end;
    leave_checkpoint(&store.world, within);
    store.backup();
    frames.push(store.frame(1));
    store.roll();
    frames.push(store.frame(1));
    store.backup();
    let expected = [
        // The segment begins before the checkpoint, but has another frame.
        (0, None, vec![1]),
        (1, Some(second), vec![1]),
        (2, Some(second), vec![1, 2]),
        // Nothing lies between this frame and the checkpoint.
        (3, Some(fourth), vec![1, 2]),
        (4, Some(within), vec![1, 2, 3, 4]),
        (5, Some(within), vec![1, 2, 3, 4]),
        (6, Some(within), vec![1, 2, 3, 4, 5]),
    ];
    for (index, checkpoint, segments) in expected {
        let found = taken_for(&store.world, Point::Time(frames[index].time));
        assert_eq!(found, (checkpoint, segments), "frame {index}");
    }
}

/// A checkpoint stands for what lies before it, and needs what lies behind it.
#[test]
fn a_checkpoint_serves_where_nothing_is_missing_behind_it() {
    let mut store = Bare::new();
    let mut frames = vec![];
    for _ in 0..4 {
        frames.extend(store.segment(2));
    }
    frames.push(store.frame(1));
    store.world.disk.remove_file(&segment_in(&sim_dir(), 3)).expect("it is there");
    let beginning = |segment| Position::new(segment, 64);
    for unfit in [None, Some(frames[2].end), Some(frames[3].end), Some(beginning(3))] {
        let world = store.world.fork();
        unfit.into_iter().for_each(|position| leave_checkpoint(&world, position));
        let told = world.backup().expect("it is copied all the same");
        assert_eq!(told.earliest, None, "{unfit:?}");
        let problems = world.verify().problems;
        assert!(problems.iter().any(|problem| problem.contains("cannot be restored")), "{unfit:?}: {problems:?}");
        let refused = world.restore(Point::End);
        assert!(matches!(refused, Err(BackupError::TooEarly { earliest: None })), "{unfit:?}: {refused:?}");
    }
    // With the last frame in it.
    let fit = [
        (beginning(4), frames[3]),
        (frames[6].end, frames[6]),
        (beginning(5), frames[7]),
        (frames[8].end, frames[8]),
        (beginning(6), frames[8]),
    ];
    for (position, last) in fit {
        let world = store.world.fork();
        leave_checkpoint(&world, position);
        let told = world.backup().expect("nothing is wrong");
        assert_eq!(told.earliest, Some(last.time), "{position}");
        world.assert_sound("with what the checkpoint needs");
        assert_eq!(taken_for(&world, Point::End), (Some(position), vec![4, 5]), "{position}");
    }
}

#[test]
fn a_segment_without_frames_is_no_gap() {
    let mut store = Bare::new();
    store.segment(1);
    store.roll();
    store.roll();
    store.frame(1);
    store.backup();
    store.world.assert_sound("two segments have no frames");
    assert_eq!(taken_for(&store.world, Point::End), (None, vec![1, 2, 3, 4]));
}

#[test]
fn a_damaged_beginning_is_no_beginning() {
    let mut store = Bare::new();
    let frames = store.segment(2);
    store.frame(1);
    for damaged in &frames {
        let world = store.world.fork();
        let offset = damaged.at.offset_bytes() as usize + 70;
        world.disk.flip(&segment_in(&sim_dir(), 1), offset, 1).expect("it is there");
        let told = world.backup().expect("it is copied as it is");
        assert_eq!((told.damage.len(), told.earliest), (1, None), "{damaged:?}: {told:?}");
        let refused = world.restore(Point::End);
        assert!(matches!(refused, Err(BackupError::TooEarly { earliest: None })), "{damaged:?}: {refused:?}");
        leave_checkpoint(&world, Position::new(2, 64));
        let told = world.backup().expect("it has a checkpoint now");
        let left = frames.iter().find(|frame| frame.at != damaged.at).map(|frame| frame.time);
        assert_eq!(told.earliest, left, "{damaged:?}");
        assert_eq!(taken_for(&world, Point::End).0, Some(Position::new(2, 64)), "{damaged:?}");
    }
}

#[test]
fn segments_that_the_store_had_given_up_before_the_point_are_not_restored() {
    let mut store = Bare::new();
    let mut frames = store.segment(2);
    frames.extend(store.segment(2));
    frames.push(store.frame(1));
    let old = frames[3].end;
    leave_checkpoint(&store.world, old);
    store.backup();
    frames.push(store.frame(1));
    store.roll();
    let new = Position::new(4, 64);
    leave_checkpoint(&store.world, new);
    store.retire(1);
    store.retire(2);
    frames.push(store.frame(1));
    let told = store.backup();
    assert_eq!((told.segments, told.earliest), (4, Some(frames[0].time)), "the backup keeps what is given up");
    let expected = [
        (0, None, vec![1]),
        (3, Some(old), vec![1, 2]),
        (4, Some(old), vec![1, 2, 3]),
        (5, Some(new), vec![1, 2, 3]),
        (6, Some(new), vec![3, 4]),
    ];
    for (index, checkpoint, segments) in &expected {
        let found = taken_for(&store.world, Point::Time(frames[*index].time));
        assert_eq!(found, (*checkpoint, segments.clone()), "frame {index}");
    }
    // Another backup with the same checkpoint reaches the same points as the one before.
    store.retire(3);
    frames.push(store.frame(1));
    store.backup();
    // What comes with a point in between may be more than is needed.
    let after = expected.into_iter().filter(|(index, ..)| *index < 6).chain([(7, Some(new), vec![3, 4])]);
    for (index, checkpoint, segments) in after {
        let found = taken_for(&store.world, Point::Time(frames[index].time));
        assert_eq!(found, (checkpoint, segments), "frame {index}, after another backup");
    }
}

/// What the checkpoint holds ended with a frame that the backup has never seen.
#[test]
fn a_checkpoint_before_the_first_frame_of_a_backup_reaches_back_to_that_frame() {
    let mut store = Bare::new();
    store.segment(1);
    leave_checkpoint(&store.world, Position::new(2, 64));
    store.retire(1);
    let first = store.frame(1);
    store.frame(1);
    let told = store.backup();
    assert_eq!(told.earliest, Some(first.time));
    assert_eq!(taken_for(&store.world, Point::Time(first.time)), (Some(Position::new(2, 64)), vec![2]));
}

#[test]
fn the_last_frame_before_a_checkpoint_may_lie_some_segments_before_it() {
    let mut store = Bare::new();
    store.segment(1);
    let last = store.segment(2)[1];
    store.roll();
    leave_checkpoint(&store.world, Position::new(4, 64));
    store.retire(1);
    store.frame(1);
    assert_eq!(store.backup().earliest, Some(last.time), "the segment between has no frames");
    assert_eq!(taken_for(&store.world, Point::Time(last.time)), (Some(Position::new(4, 64)), vec![2]));
}

#[test]
fn a_segment_of_which_nothing_can_be_read_hides_no_point_before_it() {
    let mut store = Bare::new();
    let mut frames = store.segment(1);
    frames.extend(store.segment(1));
    frames.push(store.frame(1));
    store.world.disk.flip(&segment_in(&sim_dir(), 2), 140, 1).expect("it is there");
    let told = store.backup();
    assert_eq!((told.damage.len(), told.earliest), (1, Some(frames[0].time)), "{told:?}");
    let points =
        [(Point::Time(frames[0].time), 0), (Point::Time(frames[1].time), 0), (Point::Position(frames[1].at), 0)];
    for (point, index) in points.into_iter().chain([(Point::Time(frames[2].time), 2), (Point::End, 2)]) {
        let told = store.world.fork().restore(point).unwrap_or_else(|error| panic!("{point:?}: {error}"));
        assert_eq!(told.end, frames[index].end, "{point:?}");
        // What cannot be read may have been recorded before the point, too.
        assert_eq!(told.damage.len(), usize::from(index == 0), "{point:?}: {told:?}");
        let is_named = |line: &String| line.contains("segment-0000000002") && line.ends_with("it is left out");
        assert!(told.damage.iter().all(is_named), "{point:?}: {told:?}");
    }
}

/// What it holds is recorded before the checkpoint, and perhaps after the point.
#[test]
fn no_checkpoint_is_restored_behind_what_cannot_be_read() {
    let mut store = Bare::new();
    let mut frames = store.segment(2);
    frames.extend(store.segment(1));
    store.world.disk.flip(&segment_in(&sim_dir(), 2), 140, 1).expect("it is there");
    leave_checkpoint(&store.world, Position::new(3, 64));
    frames.push(store.frame(1));
    store.backup();
    assert_eq!(taken_for(&store.world, Point::Time(frames[1].time)), (None, vec![1]));
    // Nothing that is behind the last frame of its segment is earlier than the one that follows it there.
    for (index, left_out) in [(0, 0), (1, 1)] {
        let told = store.world.fork().restore(Point::Time(frames[index].time)).expect("it is there");
        assert_eq!((told.end, told.damage.len()), (frames[index].end, left_out), "{told:?}");
    }
}

/// Nor is what the store had given up before in it.
#[test]
fn a_segment_without_frames_is_no_beginning() {
    let mut store = Bare::new();
    store.segment(1);
    store.roll();
    store.retire(1);
    let first = store.frame(1);
    let second = store.frame(1);
    leave_checkpoint(&store.world, first.end);
    let told = store.backup();
    assert_eq!(told.earliest, Some(first.time));
    let refused = store.world.fork().restore(Point::Time(first.time - Duration::from_millis(1)));
    assert!(matches!(refused, Err(BackupError::TooEarly { .. })), "{refused:?}");
    assert_eq!(taken_for(&store.world, Point::Time(second.time)).0, Some(first.end));
    // Where nothing was before it, it is.
    let mut store = Bare::new();
    // The first segment, and one more.
    store.roll();
    store.roll();
    let first = store.frame(1);
    assert_eq!(store.backup().earliest, Some(first.time));
    assert_eq!(taken_for(&store.world, Point::End), (None, vec![1, 2]));
}
