//! What is missing between segments, by the numbers of their frames.

use super::super::behind::MISSING_NAMED;
use super::*;

/// What one look at a segment with these frames shows. They begin at 64 and take 100 bytes each.
fn holds(segment: u32, frames: std::ops::RangeInclusive<u64>, damage: Vec<Damage>) -> Reading {
    let place = |number: u64| 64 + 100 * u32::try_from(number - frames.start()).unwrap();
    let seen = |number: u64| FrameSeen {
        position: Position::new(segment, place(number)),
        number,
        time: NOW,
        end: place(number) + 100,
    };
    Reading { damage, ends: Some((seen(*frames.start()), seen(*frames.end()))) }
}

fn nothing(damage: Vec<Damage>) -> Reading {
    Reading { damage, ends: None }
}

fn damage(segment: u32, from: u32, to: u32, what: DamageKind) -> Damage {
    Damage { segment, from, to, path: segment_path(segment), what }
}

/// What is said at each of these segments, read one after the other.
fn said(segments: impl IntoIterator<Item = (u32, Reading)>) -> Vec<Vec<Damage>> {
    let mut sequence = Sequence::default();
    segments.into_iter().map(|(segment, read)| sequence.next(&dir(), segment, &read)).collect()
}

fn missing(segment: u32, from: u32) -> Damage {
    damage(segment, from, u32::MAX, DamageKind::MissingFrames)
}

#[test]
fn frames_that_are_missing_between_two_segments_are_told_at_the_end_of_the_first() {
    let whole = said([(4, holds(4, 10..=12, vec![])), (5, holds(5, 13..=13, vec![])), (6, holds(6, 14..=15, vec![]))]);
    assert_eq!(whole, [vec![], vec![], vec![]]);
    let cut = said([(4, holds(4, 10..=11, vec![])), (5, holds(5, 13..=13, vec![])), (6, holds(6, 14..=15, vec![]))]);
    assert_eq!(cut, [vec![], vec![missing(4, 264)], vec![]]);
    let twice = said([(4, holds(4, 10..=11, vec![])), (5, holds(5, 13..=13, vec![])), (6, holds(6, 15..=15, vec![]))]);
    assert_eq!(twice, [vec![], vec![missing(4, 264)], vec![missing(5, 164)]]);
}

#[test]
fn frames_that_are_missing_are_told_in_the_segments_that_hold_none_any_more() {
    let segments = |last: u64| {
        [
            (4, holds(4, 10..=12, vec![])),
            (5, nothing(vec![])),
            (6, nothing(vec![])),
            (7, holds(7, last..=last, vec![])),
            (8, holds(8, last + 2..=last + 2, vec![])),
        ]
    };
    let missing_after = missing(7, 164);
    let emptied = said(segments(20));
    assert_eq!(emptied, [vec![], vec![], vec![], vec![missing(5, 64), missing(6, 64)], vec![missing_after.clone()]]);
    // They never held any.
    assert_eq!(said(segments(13)), [vec![], vec![], vec![], vec![], vec![missing_after]]);
}

#[test]
fn at_the_end_nothing_is_missed_before_a_frame_follows() {
    let segments = [(4, holds(4, 10..=12, vec![])), (5, nothing(vec![])), (6, nothing(vec![]))];
    assert_eq!(said(segments), [vec![], vec![], vec![]]);
    let first = [(4, nothing(vec![])), (5, holds(5, 70..=80, vec![]))];
    assert_eq!(said(first), [vec![], vec![]], "the oldest segments go when they are not needed any more");
}

/// A start names them, and numbers of segments may have been passed over.
#[test]
fn where_whole_segments_are_missing_nothing_is_said_of_frames() {
    for after in [3, 4, 6, 7, 20] {
        let segments = [(4, holds(4, 10..=12, vec![])), (after, holds(after, 14..=14, vec![]))];
        assert_eq!(said(segments), [vec![], vec![]], "{after}");
    }
    for after in [5, 7, 8] {
        let segments = [(4, holds(4, 10..=12, vec![])), (5, nothing(vec![])), (after, holds(after, 14..=14, vec![]))];
        assert_eq!(said(segments), [vec![], vec![], vec![]], "{after} behind an empty one");
    }
}

#[test]
fn frames_whose_damage_was_told_are_not_told_for_missing() {
    let frames = |segment, from, to| vec![damage(segment, from, to, DamageKind::Frames)];
    // In the first segment the last frame ends at 364, in the second the first begins at 64.
    for (case, before, between, after, is_told) in [
        ("none", vec![], vec![], vec![], false),
        ("right behind the last frame", frames(4, 364, 400), vec![], vec![], true),
        ("some way behind it", frames(4, 372, 400), vec![], vec![], true),
        ("before the last frame", frames(4, 164, 264), vec![], vec![], false),
        ("before and behind", [frames(4, 164, 264), frames(4, 364, 400)].concat(), vec![], vec![], true),
        ("right before the first frame", vec![], vec![], frames(6, 0, 64), true),
        ("behind the first frame", vec![], vec![], frames(6, 164, 264), false),
        ("in one without frames", vec![], frames(5, 64, 100), vec![], true),
        ("a header", vec![damage(4, 364, 400, DamageKind::SegmentHeader)], vec![], vec![], false),
        ("the next header", vec![], vec![], vec![damage(6, 0, 64, DamageKind::SegmentHeader)], false),
        ("a header of one without frames", vec![], vec![damage(5, 0, 64, DamageKind::SegmentHeader)], vec![], false),
    ] {
        let segments = [
            (4, holds(4, 10..=12, before)),
            (5, nothing(between)),
            (6, holds(6, 20..=22, after)),
            (7, holds(7, 30..=30, vec![])),
        ];
        let [_, _, at_gap, later] = said(segments).try_into().unwrap();
        assert_eq!(at_gap, if is_told { vec![] } else { vec![missing(5, 64)] }, "{case}");
        assert_eq!(later, [missing(6, 364)], "{case}: it excuses what is missing there and nothing later");
    }
}

#[test]
fn damage_excuses_across_all_segments_that_hold_no_frames() {
    let broken = vec![damage(4, 364, 400, DamageKind::Frames)];
    let segments =
        [(4, holds(4, 10..=12, broken)), (5, nothing(vec![])), (6, nothing(vec![])), (7, holds(7, 20..=20, vec![]))];
    assert_eq!(said(segments), [vec![], vec![], vec![], vec![]]);
}

#[test]
fn of_many_segments_without_frames_so_many_are_named() {
    let count = u32::try_from(MISSING_NAMED).unwrap() + 1;
    let empty = (2..2 + count).map(|number| (number, nothing(vec![])));
    let last = 2 + count;
    let segments = std::iter::once((1, holds(1, 1..=1, vec![])))
        .chain(empty)
        .chain(std::iter::once((last, holds(last, 9..=9, vec![]))));
    let said = said(segments);
    let named: Vec<_> = said.last().unwrap().iter().map(|damage| damage.segment).collect();
    assert_eq!(named, (2..1 + count).collect::<Vec<_>>());
}
