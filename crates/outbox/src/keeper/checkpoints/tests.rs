//! When a checkpoint is written, and what it covers.

use super::*;
use crate::Options;
use crate::checkpoint::NAME;
use crate::tests::support::{ManualClock, Running, options};

const MIB: u32 = 1 << 20;

fn found(position: Position, bytes: u64, clean: bool) -> Checkpoints {
    Checkpoints::new(LastCheckpoint { position, bytes, clean })
}

#[test]
fn one_is_due_when_the_journal_has_grown_by_ten_times_the_last_but_by_64_mib() {
    for (last_mib, last_at, due_at) in [
        (0, (3, 64), (7, 64)),
        (6, (3, 64), (7, 64)),
        (7, (3, 64), (7, 64 + 6 * MIB)),
        (20, (3, 64), (15, 64 + 8 * MIB)),
        (0, (3, 15 * MIB), (7, 15 * MIB)),
        (7, (3, 15 * MIB), (8, 5 * MIB)),
    ] {
        let checkpoints = found(Position::new(last_at.0, last_at.1), last_mib << 20, true);
        let before = Position::new(due_at.0, due_at.1 - 1);
        let due_at = Position::new(due_at.0, due_at.1);
        assert!(checkpoints.is_due(due_at, 16 * MIB), "{last_mib} MiB at {last_at:?}: {due_at}");
        assert!(!checkpoints.is_due(before, 16 * MIB), "{last_mib} MiB at {last_at:?}: {before}");
        assert!(!checkpoints.is_due(Position::new(last_at.0, last_at.1), 16 * MIB), "nothing has come");
    }
}

#[test]
fn one_covers_the_segments_before_its_own_if_it_is_sure_to_stay() {
    let at = Position::new(3, 64);
    for (segment, covered) in [(1, true), (2, true), (3, false), (4, false)] {
        assert_eq!(found(at, 0, true).covers(segment), covered, "{segment}");
        assert!(!found(at, 0, false).covers(segment), "its name may be lost yet: {segment}");
    }
}

#[test]
fn one_is_written_when_the_journal_has_grown_and_then_not_before_it_has_grown_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let segment_bytes = 64 * MIB;
    let one_segment = Options { segment_bytes, max_bytes: Some(segment_bytes.into()), ..options(dir.path()) };
    let mut running = Running::start(one_segment, &ManualClock::new()).expect("an empty directory opens");
    let path = dir.path().join(NAME);
    running.app("shop");
    // Where there is none, the first segment counts whole.
    running.keeper.round();
    let bytes = std::fs::metadata(&path).expect("it is due").len();
    let end = running.outbox.shared.state.lock().applied;
    let Checkpoints { checkpoint_bytes, covered, tried_at, .. } = running.keeper.checkpoints;
    assert_eq!((checkpoint_bytes, covered, tried_at), (bytes, end, end));
    std::fs::remove_file(&path).expect("it is there");
    running.keeper.round();
    assert!(!path.exists(), "nothing has come since");
    running.stop();
}

#[test]
fn a_segment_is_covered_by_a_new_one_if_by_none_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut running = Running::start(options(dir.path()), &ManualClock::new()).expect("an empty directory opens");
    running.app("shop");
    let path = dir.path().join(NAME);
    assert!(running.keeper.cover(0), "all before the open segment is in it");
    assert!(path.exists());
    std::fs::remove_file(&path).expect("it is there");
    assert!(running.keeper.cover(0) && !path.exists(), "the one that there is has it");
    assert!(!running.keeper.cover(1) && path.exists(), "one was tried, but more may come into the open segment");
    running.stop();
}
