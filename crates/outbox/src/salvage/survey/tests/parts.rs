//! Parts that are missing, by what recovery and the frames around them tell.

use super::*;

#[test]
fn a_part_lies_between_the_frames_around_it() {
    let mut survey = survey();
    let [first, second, third] = [(1, 64, 1), (1, 500, 5), (1, 600, 6)].map(|(segment, at, n)| frame(segment, at, n));
    survey.see(Seen::Frame(first));
    survey.see(Seen::Damage(&damage(1, (164, 300), DamageKind::Frames)));
    survey.see(Seen::Frame(second));
    survey.see(Seen::Frame(third));
    survey.see(Seen::Damage(&damage(1, (700, 900), DamageKind::Frames)));
    let around: Vec<_> = survey.parts.iter().map(|part| (part.missing.before, part.missing.after)).collect();
    assert_eq!(around, [(Some(first), Some(second)), (Some(third), None)]);
}

/// Where nothing is damaged, numbers that do not follow tell that a file was cut or emptied.
#[test]
fn what_is_missing_between_two_segments_shows_by_the_numbers_of_frames() {
    let between = |next: FrameSeen, known: &[Damage]| {
        let mut survey = survey();
        survey.see(Seen::Frame(frame(1, 64, 7)));
        known.iter().for_each(|damage| survey.see(Seen::Damage(damage)));
        survey.see(Seen::Frame(next));
        let new = survey.parts.iter().skip(known.len());
        new.map(|part| (part.missing.segment, part.missing.from, part.missing.what)).collect::<Vec<_>>()
    };
    let missing = DamageKind::MissingFrames;
    assert_eq!(between(frame(2, 64, 8), &[]), []);
    assert_eq!(between(frame(3, 64, 8), &[]), [], "a segment without a frame");
    assert_eq!(between(frame(1, 164, 9), &[]), [], "in one segment its reader tells");
    assert_eq!(between(frame(2, 64, 9), &[]), [(1, 164, missing)]);
    assert_eq!(between(frame(4, 64, 9), &[]), [(2, 64, missing), (3, 64, missing)]);
    let header = damage(2, (0, 64), DamageKind::SegmentHeader);
    assert_eq!(between(frame(2, 64, 9), &[header]), [(1, 164, missing)], "a header holds no frames");
    for what in [DamageKind::Frames, DamageKind::MissingSegment] {
        assert_eq!(between(frame(3, 64, 9), &[damage(2, (64, 500), what)]), [], "{what:?} has told of it");
    }
}

#[test]
fn what_recovery_saw_is_told_in_its_place() {
    let mut survey = survey();
    let seen = [(2, DamageKind::MissingSegment), (3, DamageKind::MissingSegment)];
    survey.seen_by_recovery = seen.map(|(segment, what)| damage(segment, (64, u32::MAX), what)).into();
    let [first, second, third] = [(1, 64, 1), (3, 64, 9), (4, 64, 10)].map(|(segment, at, n)| frame(segment, at, n));
    survey.see(Seen::Frame(first));
    assert!(survey.parts.is_empty());
    survey.see(Seen::Frame(second));
    survey.see(Seen::Frame(third));
    let around: Vec<_> = survey.parts.iter().map(|part| (part.missing.segment, part.missing.before)).collect();
    // It names the very place of the frame that is there.
    assert_eq!(around, [(2, Some(first)), (3, Some(first))]);
    assert_eq!(survey.parts.iter().map(|part| part.missing.after).collect::<Vec<_>>(), [Some(second); 2]);
    assert!(survey.seen_by_recovery.is_empty());
}

#[test]
fn a_part_that_both_readers_saw_is_one() {
    let parts = |second: Damage| {
        let mut survey = with_part();
        survey.see(Seen::Damage(&second));
        survey.parts.iter().map(|part| (part.missing.from, part.missing.to)).collect::<Vec<_>>()
    };
    let frames = DamageKind::Frames;
    assert_eq!(parts(damage(1, (64, 1_000), frames)), [(64, 1_000)]);
    assert_eq!(parts(damage(1, (500, 2_000), frames)), [(64, 2_000)]);
    assert_eq!(parts(damage(1, (1_000, 2_000), frames)), [(64, 2_000)], "they touch");
    assert_eq!(parts(damage(1, (32, 64), frames)), [(32, 1_000)]);
    assert_eq!(parts(damage(1, (1_001, 2_000), frames)), [(64, 1_000), (1_001, 2_000)]);
    assert_eq!(parts(damage(1, (0, 63), frames)), [(64, 1_000), (0, 63)]);
    assert_eq!(parts(damage(2, (64, 1_000), frames)), [(64, 1_000), (64, 1_000)]);
    assert_eq!(parts(damage(1, (64, 1_000), DamageKind::MissingFrames)), [(64, 1_000), (64, 1_000)]);
}

#[test]
fn messages_may_be_missing_before_the_end_of_each_part_but_of_a_header() {
    let mut survey = with_part();
    survey.add_part(&damage(2, (0, 64), DamageKind::SegmentHeader));
    survey.add_part(&damage(3, (64, u32::MAX), DamageKind::MissingSegment));
    assert_eq!(survey.ends(), [Position::new(1, 1_000), Position::new(3, u32::MAX)]);
}
