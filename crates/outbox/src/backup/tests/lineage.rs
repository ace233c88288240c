//! Whether a store is the one that was backed up, and what is missing in it.

use super::super::lineage::{has_more, is_reached, note_missing_frames};
use super::super::manifest::Manifest;
use super::*;
use crate::journal::Survey;

#[test]
fn a_position_is_reached_by_what_ends_there_or_later_or_if_nothing_is_before_it_in_its_segment() {
    let end = Position::new(3, 500);
    let reached = [(1, 900), (3, 64), (3, 499), (3, 500), (4, 64), (4, 0), (9, 64)];
    for (segment, offset) in reached {
        assert!(is_reached(Position::new(segment, offset), end), "{segment}:{offset}");
    }
    for (segment, offset) in [(3, 501), (4, 65), (4, 500)] {
        assert!(!is_reached(Position::new(segment, offset), end), "{segment}:{offset}");
    }
}

#[test]
fn a_whole_copy_of_a_sealed_segment_has_more_if_the_store_has_fewer_frames() {
    let survey = |frames| Survey { frames, ..Survey::default() };
    let copy = segment(1, 0..3);
    assert!(has_more(&copy, &survey(2)) && has_more(&copy, &survey(0)));
    assert!(!has_more(&copy, &survey(3)) && !has_more(&copy, &survey(4)));
    assert!(!has_more(&damaged(segment(1, 0..3)), &survey(2)), "what it has more may be what was torn");
    let open = SegmentCopy { sealed: false, ..copy };
    assert!(!has_more(&open, &survey(2)), "what was at its end may have been torn");
}

#[test]
fn frames_that_are_missing_between_two_segments_are_noted_once() {
    let missing = |segments: &[SegmentCopy]| {
        let mut manifest = Manifest::new(7);
        segments.iter().for_each(|segment| manifest.put(segment.clone()));
        let told = note_missing_frames(&mut manifest, 3, Path::new("/data/third"));
        let damage: Vec<_> = manifest.segments.into_iter().map(|segment| segment.damage).collect();
        let before: Vec<_> = segments.iter().map(|segment| segment.damage.clone()).collect();
        assert_eq!(told.is_some(), damage != before);
        told
    };
    let whole = [segment(2, 5..8), segment(3, 8..9)];
    assert_eq!(missing(&whole), None);
    let gap = [segment(1, 0..5), segment(2, 5..7), segment(3, 8..9)];
    let told = missing(&gap).expect("one is missing");
    assert_eq!(told, "frames 7 to 8 are missing between segment 2 and /data/third");
    assert_eq!(missing(&[segment(2, 5..6), segment(3, 6..7), segment(4, 9..10)]), None, "it is asked of another");
    for cannot_tell in [
        [segment(2, 0..0), segment(3, 8..9)],
        [segment(2, 5..7), segment(3, 0..0)],
        [damaged(segment(2, 5..7)), segment(3, 8..9)],
        // That one is missing was told of the segment, or is to be.
        [segment(1, 5..7), segment(3, 8..9)],
        [segment(2, 5..7), segment(4, 8..9)],
        // Of another course of events.
        [segment(2, 5..9), segment(3, 8..9)],
    ] {
        assert_eq!(missing(&cannot_tell), None, "{cannot_tell:?}");
    }
    let mut manifest = Manifest::new(7);
    gap.into_iter().for_each(|segment| manifest.put(segment));
    let path = Path::new("/data/third");
    assert!(note_missing_frames(&mut manifest, 3, path).is_some());
    let end = manifest.segment(2).expect("it is there").end().offset_bytes();
    assert_eq!(manifest.segment(2).expect("it is there").damage, [(end, end)]);
    assert_eq!(note_missing_frames(&mut manifest, 3, path), None, "it is noted");
}
