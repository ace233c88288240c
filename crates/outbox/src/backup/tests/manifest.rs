//! What a manifest says, and how it is written.

use super::super::error::BackupError;
use super::super::manifest::{CheckpointCopy, FileCopy, Manifest, Snapshot};
use super::*;
use crate::record::{Expunged, ExpungedContent};
use postrider_model::id::{AppId, AttemptId, RawId};

/// As the first release writes it.
const WRITTEN: &str = r#"{"manifest":{
  "format": 1,
  "storeId": "0123456789abcdef",
  "snapshots": [
    {
      "atMs": 10,
      "checkpoint": null,
      "firstSegment": 1,
      "end": "2:4096"
    },
    {
      "atMs": 20,
      "checkpoint": {
        "name": "checkpoint-0000000002-0000001024-cccccccccccc",
        "bytes": 4096,
        "sha256": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
        "position": "2:1024",
        "timeMs": 4
      },
      "firstSegment": 1,
      "end": "2:4096"
    }
  ],
  "segments": [
    {
      "number": 1,
      "name": "segment-0000000001-aaaaaaaaaaaa",
      "bytes": 4096,
      "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "frames": 3,
      "records": 3,
      "firstFrame": 0,
      "lastFrame": 2,
      "firstTimeMs": 0,
      "lastTimeMs": 3,
      "sealed": true,
      "version": "1-2-3-4"
    },
    {
      "number": 2,
      "name": "segment-0000000002-bbbbbbbbbbbb",
      "bytes": 4096,
      "sha256": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
      "frames": 2,
      "records": 2,
      "firstFrame": 3,
      "lastFrame": 4,
      "firstTimeMs": 3,
      "lastTimeMs": 5,
      "sealed": false,
      "damage": [
        [
          64,
          128
        ]
      ]
    }
  ],
  "expunging": {
    "4294967424": {
      "at": 15,
      "last_segment": 2,
      "is_payload": false
    }
  }
},"crc32c":"29a09631"}"#;

fn file(stem: &str, digit: char) -> FileCopy {
    FileCopy::new(stem, 4_096, digit.to_string().repeat(64))
}

/// One with all that there can be in it.
fn sample() -> Manifest {
    let first =
        SegmentCopy { file: file("segment-0000000001", 'a'), version: Some("1-2-3-4".to_owned()), ..segment(1, 0..3) };
    let second = SegmentCopy { file: file("segment-0000000002", 'b'), sealed: false, ..damaged(segment(2, 3..5)) };
    let position = Position::new(2, 1_024);
    let checkpoint =
        CheckpointCopy { file: file("checkpoint-0000000002-0000001024", 'c'), position, time_ms: UnixMs(4) };
    let snapshot =
        |at, checkpoint| Snapshot { at_ms: UnixMs(at), checkpoint, first_segment: 1, end: Position::new(2, 4_096) };
    let mut manifest = Manifest::new(0x0123_4567_89ab_cdef);
    manifest.snapshots = vec![snapshot(10, None), snapshot(20, Some(checkpoint))];
    manifest.put(second);
    manifest.put(first);
    let what =
        ExpungedContent::Response { attempt: AttemptId(RawId::from_bytes([1; 20])), position: Position::new(1, 128) };
    let (app, at) = (AppId(RawId::from_bytes([2; 20])), UnixMs(15));
    manifest.expunging.add(Position::new(2, 512), &Expunged { at, app, what, waiting: vec![], dead: vec![] });
    manifest
}

fn target() -> PathBuf {
    PathBuf::from("/backup")
}

fn written(manifest: &Manifest) -> (SimDisk, String) {
    let (sim, _) = disk();
    sim.create_dir_all(&target()).expect("it works");
    manifest.write(&sim, &target()).expect("it works");
    let text = sim.content(&target().join("manifest.json")).expect("it is there");
    (sim, String::from_utf8(text).expect("it is text"))
}

#[test]
fn a_manifest_is_written_and_read_as_its_format_says() {
    assert_eq!(written(&sample()).1, WRITTEN);
    let (sim, _) = disk();
    sim.create_dir_all(&target()).expect("it works");
    assert!(Manifest::read(&sim, &target()).expect("nothing is wrong").is_none());
    put(&sim, &target().join("manifest.json"), WRITTEN.as_bytes());
    let read = Manifest::read(&sim, &target()).expect("nothing is wrong").expect("it is there");
    assert_eq!(read.store_id, 0x0123_4567_89ab_cdef);
    assert_eq!((&read.snapshots, &read.segments), (&sample().snapshots, &sample().segments));
    assert_eq!(read.expunging, sample().expunging);
    // Its checksum is of the text, whatever the text says.
    let other = WRITTEN.replacen("\"records\": 3", "\"records\": 4", 1);
    assert_ne!(other, WRITTEN);
    sim.remove_file(&target().join("manifest.json")).expect("it is there");
    put(&sim, &target().join("manifest.json"), other.as_bytes());
    let refused = Manifest::read(&sim, &target());
    assert!(matches!(&refused, Err(BackupError::Manifest { .. })), "{refused:?}");
}

#[test]
fn a_backup_is_there_once_one_has_come_to_its_end() {
    let (sim, _) = disk();
    let missing = |sim: &SimDisk| match Manifest::existing(sim, &target()) {
        Err(BackupError::NoBackup { dir }) => dir == target(),
        _ => false,
    };
    assert!(missing(&sim));
    // A first run that was killed had saved what it had copied.
    let (sim, _) = written(&Manifest { snapshots: vec![], ..sample() });
    assert!(missing(&sim));
    let (sim, _) = written(&sample());
    let (manifest, newest) = Manifest::existing(&sim, &target()).expect("it is there");
    assert_eq!((manifest.segments.len(), newest.at_ms), (2, UnixMs(20)));
}

#[test]
fn segments_lie_by_their_numbers_and_a_new_copy_takes_the_place_of_the_old_one() {
    let mut manifest = Manifest::new(7);
    for number in [3, 1, 2] {
        manifest.put(segment(number, 0..1));
    }
    let newer = SegmentCopy { file: file("segment-0000000002", 'd'), ..segment(2, 0..9) };
    assert!(manifest.names(&segment(2, 0..1).file.name) && !manifest.names(&newer.file.name));
    manifest.put(newer.clone());
    assert!(!manifest.names(&segment(2, 0..1).file.name) && manifest.names(&newer.file.name));
    assert_eq!(manifest.segments.iter().map(|segment| segment.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(manifest.segment(2), Some(&newer));
    assert_eq!(manifest.segment(4), None);
    assert_eq!(newer.end(), Position::new(2, 4_096));
    assert!(sample().names("checkpoint-0000000002-0000001024-cccccccccccc"));
}

#[test]
fn a_segment_is_followed_by_one_that_goes_on_with_the_next_frame_or_that_cannot_tell() {
    let whole = segment(1, 0..5);
    let follow = [
        segment(2, 5..7),
        // After a restore.
        segment(70_000, 5..7),
        segment(2, 0..0),
        damaged(segment(2, 6..7)),
        damaged(segment(2, 0..0)),
    ];
    for next in follow {
        assert!(whole.is_followed_by(&next), "{next:?}");
    }
    for next in [segment(2, 6..7), segment(2, 4..5), segment(3, 6..7), segment(3, 0..0), damaged(segment(3, 6..7))] {
        assert!(!whole.is_followed_by(&next), "{next:?}");
    }
    for cannot_tell in [segment(1, 0..0), damaged(segment(1, 0..5)), damaged(segment(1, 0..0))] {
        assert!(cannot_tell.is_followed_by(&segment(2, 8..9)), "{cannot_tell:?}");
        assert!(!cannot_tell.is_followed_by(&segment(3, 8..9)), "{cannot_tell:?}");
    }
    let last = segment(u32::MAX, 0..5);
    assert!(!last.is_followed_by(&segment(0, 0..0)), "no number comes after the last one");
}
