//! One damaged byte, at every place, and what is reported for it.

use super::*;
use crate::disk::sim::Survival;

/// A frame of the sample.
struct Frame {
    start: Position,
    end: Position,
    rows: Vec<Row>,
}

impl Frame {
    fn append(journal: &mut Journal, records: &[Vec<u8>]) -> Self {
        let rows = append(journal, FrameKind::Synced, records).unwrap();
        journal.provision().unwrap();
        let first = rows.first().unwrap().0;
        Self { start: Position::new(first.segment(), first.offset_bytes() - 64), end: journal.end(), rows }
    }
}

/// Segments of synced frames, then two frames that are not synced, the second
/// one saying so. Evidence of syncs reaches to `synced`.
struct Sample {
    disk: SimDisk,
    frames: Vec<Frame>,
    synced: Position,
}

impl Sample {
    fn new() -> Self {
        let disk = SimDisk::new();
        let (mut opened, _) = open(&disk);
        let journal = &mut opened.journal;
        let mut frames = Vec::new();
        for step in 0..100 {
            journal.sync().unwrap();
            frames.push(Frame::append(journal, &records(step, 1 + step as usize % 3)));
            let end = journal.end();
            if end.segment() == 3 && end.offset_bytes() > 600 {
                break;
            }
        }
        // The first of these two says how far the sync went; no frame speaks for them.
        journal.sync().unwrap();
        frames.extend([7, 8].map(|step| Frame::append(journal, &[vec![step; 70], vec![step; 30]])));
        let synced = frames.iter().rev().nth(1).unwrap().start;
        assert!(synced.segment() == 3 && synced.segment() == journal.end().segment());
        Self { disk: disk.crash(Survival::Everything), frames, synced }
    }

    fn copy(&self) -> SimDisk {
        self.disk.crash(Survival::Everything)
    }

    fn rows(&self, keep: impl Fn(&Frame) -> bool) -> Vec<Row> {
        self.frames.iter().filter(|frame| keep(frame)).flat_map(|frame| frame.rows.clone()).collect()
    }
}

#[test]
fn a_flipped_byte_of_a_synced_frame_is_damage_of_that_frame() {
    let sample = Sample::new();
    for hurt in sample.frames.iter().filter(|frame| frame.end <= sample.synced) {
        let number = hurt.start.segment();
        for offset in hurt.start.offset_bytes()..hurt.end.offset_bytes() {
            let disk = sample.copy();
            disk.flip(&segment_path(number), offset as usize, 0x10).unwrap();
            let expected = Damage {
                segment: number,
                from: hurt.start.offset_bytes(),
                to: hurt.end.offset_bytes(),
                path: segment_path(number),
                what: DamageKind::Frames,
            };
            let (opened, rows) = open(&disk);
            assert_eq!(rows, sample.rows(|frame| frame.start != hurt.start), "{number}:{offset}");
            assert_eq!(opened.report.damage, std::slice::from_ref(&expected));
            assert_eq!(opened.report.torn, []);
            // A record of the frame that is whole can be read, and never the one that is hit.
            let mut unreadable = 0;
            for (position, bytes) in &hurt.rows {
                match opened.reader.read(*position) {
                    Ok(read) => assert_eq!(read, bytes.as_slice(), "{number}:{offset}"),
                    Err(error) => {
                        assert!(matches!(error, ReadError::Damaged { .. }), "{number}:{offset}: {error}");
                        unreadable += 1;
                    }
                }
            }
            assert!(unreadable <= 1, "{number}:{offset}");
            let (again, rows_again) = open(&disk.crash(Survival::Nothing));
            assert_eq!((rows_again, again.report.damage), (rows, vec![expected]), "{number}:{offset}");
        }
    }
}

#[test]
fn a_flipped_byte_of_an_unsynced_frame_ends_the_journal_there() {
    let sample = Sample::new();
    for hurt in sample.frames.iter().filter(|frame| frame.start >= sample.synced) {
        let number = hurt.start.segment();
        for offset in hurt.start.offset_bytes()..hurt.end.offset_bytes() {
            let disk = sample.copy();
            disk.flip(&segment_path(number), offset as usize, 0x01).unwrap();
            let cut = disk.content(&segment_path(number)).unwrap();
            let (mut opened, rows) = open(&disk);
            let expected = sample.rows(|frame| frame.start < hurt.start);
            assert_eq!(rows, expected, "{number}:{offset}");
            assert_eq!(opened.report.damage, []);
            let [torn] = opened.report.torn.as_slice() else { unreachable!("{:?}", opened.report.torn) };
            assert_eq!((torn.segment, torn.offset), (number, hurt.start.offset_bytes()));
            let kept = disk.content(torn.kept.as_ref().unwrap()).unwrap();
            assert_eq!(kept, cut.get(torn.offset as usize..torn.offset as usize + torn.bytes as usize).unwrap());
            assert!(rows.iter().all(|(position, bytes)| opened.reader.read(*position).unwrap() == bytes.as_slice()));
            assert!(matches!(
                opened.reader.read(hurt.rows.first().unwrap().0),
                Err(ReadError::NotFound(_) | ReadError::Damaged { .. })
            ));
            let more = append(&mut opened.journal, FrameKind::Synced, &records(77, 2)).unwrap();
            opened.journal.sync().unwrap();
            let (again, rows_again) = open(&disk.crash(Survival::Nothing));
            assert_eq!(rows_again, [expected, more].concat());
            assert_eq!((again.report.damage, again.report.torn_bytes), (vec![], 0));
        }
    }
}

#[test]
fn damage_that_reaches_into_the_torn_tail_is_told_apart() {
    let sample = Sample::new();
    let [.., synced, lost, evidence] = sample.frames.as_slice() else { unreachable!() };
    let disk = sample.copy();
    for frame in [synced, lost] {
        disk.flip(&segment_path(3), frame.start.offset_bytes() as usize + 20, 1).unwrap();
    }
    let (opened, rows) = open(&disk);
    // The last frame can be read and tells how far the sync went. It stands behind
    // a torn one, so it does not count itself.
    assert_eq!(rows, sample.rows(|frame| frame.start < synced.start));
    let ranges: Vec<_> = opened.report.damage.iter().map(|damage| (damage.segment, damage.from, damage.to)).collect();
    assert_eq!(ranges, [(3, synced.start.offset_bytes(), synced.end.offset_bytes())]);
    let [torn] = opened.report.torn.as_slice() else { unreachable!("{:?}", opened.report.torn) };
    assert_eq!(Position::new(torn.segment, torn.offset), lost.start);
    assert!(matches!(opened.reader.read(evidence.rows.first().unwrap().0), Err(ReadError::NotFound(_))));
    // The evidence was cut, but what it told is known to the next start too.
    let (again, rows_again) = open(&disk.crash(Survival::Nothing));
    assert_eq!((rows_again, again.report.damage), (rows, opened.report.damage));
}

#[test]
fn what_was_recovered_is_never_taken_for_a_torn_tail_later() {
    let sample = Sample::new();
    let last = sample.frames.last().unwrap();
    let disk = sample.copy();
    assert_eq!(open(&disk).1, sample.rows(|_| true));
    let disk = disk.crash(Survival::Nothing);
    disk.flip(&segment_path(3), last.start.offset_bytes() as usize + 70, 1).unwrap();
    let (opened, rows) = open(&disk);
    assert_eq!(rows, sample.rows(|frame| frame.start != last.start));
    assert_eq!((opened.report.damage.len(), opened.report.torn.len()), (1, 0));
}

#[test]
fn a_damaged_segment_header_is_reported_and_its_frames_are_read() {
    let sample = Sample::new();
    let last = sample.frames.last().unwrap().start.segment();
    for number in 1..=last {
        for offset in 0..64 {
            let disk = sample.copy();
            disk.flip(&segment_path(number), offset, 0x80).unwrap();
            let (opened, rows) = open(&disk);
            assert_eq!(rows, sample.rows(|_| true), "{number}:{offset}");
            let [damage] = opened.report.damage.as_slice() else { unreachable!("{:?}", opened.report.damage) };
            assert_eq!((damage.segment, damage.what), (number, DamageKind::SegmentHeader));
            check_reader(&opened, &rows);
        }
    }
}

#[test]
fn a_damaged_or_half_made_spare_segment_is_made_again() {
    let sample = Sample::new();
    let spare = sample.frames.last().unwrap().start.segment() + 1;
    for offset in [0, 20, 63] {
        let disk = sample.copy();
        disk.flip(&segment_path(spare), offset, 0x80).unwrap();
        let (opened, rows) = open(&disk);
        assert_eq!(rows, sample.rows(|_| true));
        assert_eq!((opened.report.damage, opened.report.torn), (vec![], vec![]));
        assert!(opened.journal.has_room(FrameClass::Ingest));
    }
    let disk = sample.copy();
    disk.open(&segment_path(spare + 1)).unwrap().set_len(0).unwrap();
    assert_eq!(open(&disk).1, sample.rows(|_| true));
    assert_eq!(disk.content(&segment_path(spare + 1)).unwrap().len(), SEGMENT_BYTES as usize);
}

#[test]
fn bytes_in_a_spare_segment_are_kept_aside_and_it_is_made_again() {
    let sample = Sample::new();
    let spare = sample.frames.last().unwrap().start.segment() + 1;
    let disk = sample.copy();
    disk.flip(&segment_path(spare), 500, 0x80).unwrap();
    let (opened, rows) = open(&disk);
    assert_eq!(rows, sample.rows(|_| true));
    assert_eq!(opened.report.torn.iter().map(|torn| torn.segment).collect::<Vec<_>>(), [spare]);
    assert!(disk.content(&segment_path(spare)).unwrap().iter().skip(64).all(|byte| *byte == 0));
    assert!(names(&disk).contains(&format!("torn-{spare}-64")));
}

#[test]
fn a_missing_segment_is_damage_and_later_ones_are_read() {
    let sample = Sample::new();
    let disk = sample.copy();
    disk.remove_file(&segment_path(2)).unwrap();
    let (opened, rows) = open(&disk);
    assert_eq!(rows, sample.rows(|frame| frame.start.segment() != 2));
    let [damage] = opened.report.damage.as_slice() else { unreachable!("{:?}", opened.report.damage) };
    assert_eq!((damage.segment, damage.what), (2, DamageKind::MissingSegment));
    // Nor is it missed in silence where a checkpoint covers it, but for the oldest, which retention removes.
    let later = sample.frames.iter().find(|frame| frame.start.segment() == 3).unwrap().start;
    let (opened, rows) = open_from(&disk, later);
    assert_eq!(rows, sample.rows(|frame| frame.start >= later));
    let [damage] = opened.report.damage.as_slice() else { unreachable!("{:?}", opened.report.damage) };
    assert_eq!((damage.segment, damage.what), (2, DamageKind::MissingSegment));
    disk.remove_file(&segment_path(1)).unwrap();
    let (opened, _) = open_from(&disk, later);
    assert_eq!(opened.report.damage, []);
}

/// A restore from a backup does so.
#[test]
fn numbers_of_segments_may_be_passed_over_but_not_those_of_frames() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let mut rows = append(&mut opened.journal, FrameKind::Synced, &records(1, 2)).unwrap();
    opened.journal.sync().unwrap();
    let next_frame = opened.journal.next_frame;
    drop(opened);
    for spare in [2, 3] {
        disk.remove_file(&segment_path(spare)).unwrap();
    }
    for missing in [0, 1] {
        let disk = disk.crash(Survival::Everything);
        let bytes = segment_of_one_frame((70_000, STORE), next_frame + missing, NOW, &[b"further"]).unwrap();
        crate::disk::replace_file(&disk, &segment_path(70_000), &bytes).unwrap();
        let (mut opened, found) = open(&disk);
        assert_eq!(found.last().unwrap().1, b"further");
        let damage = opened.report.damage.clone();
        assert!(damage.len() <= 1_024, "not one for each number");
        assert_eq!(damage.is_empty(), missing == 0, "{:?}", damage.first());
        let more = append(&mut opened.journal, FrameKind::Synced, &records(2, 1)).unwrap();
        assert_eq!(more.first().unwrap().0.segment(), 70_000);
        if missing == 0 {
            rows.push(found.last().unwrap().clone());
            rows.extend(more);
            check_reader(&opened, &rows);
        }
    }
}

#[test]
fn a_journal_that_vanished_is_damage_and_its_numbers_are_not_used_again() {
    let checkpoint = Position::new(5, 640);
    let (mut opened, rows) = open_from(&SimDisk::new(), checkpoint);
    assert_eq!((rows.len(), opened.journal.end()), (0, checkpoint));
    let [damage] = opened.report.damage.as_slice() else { unreachable!("{:?}", opened.report.damage) };
    assert_eq!((damage.segment, damage.from, damage.what), (5, 640, DamageKind::MissingSegment));
    let rows = append(&mut opened.journal, FrameKind::Synced, &records(1, 1)).unwrap();
    assert_eq!(rows.first().unwrap().0.segment(), 6);
}

#[test]
fn a_lost_end_of_a_sealed_segment_is_damage() {
    let sample = Sample::new();
    let last = sample.frames.iter().rfind(|frame| frame.start.segment() == 1).unwrap();
    let disk = sample.copy();
    let zeros = vec![0; (last.end.offset_bytes() - last.start.offset_bytes()) as usize];
    disk.open(&segment_path(1)).unwrap().write_all_at(&zeros, last.start.offset_bytes().into()).unwrap();
    let (opened, rows) = open(&disk);
    assert_eq!(rows, sample.rows(|frame| frame.start != last.start));
    let [damage] = opened.report.damage.as_slice() else { unreachable!("{:?}", opened.report.damage) };
    assert_eq!((damage.segment, damage.from, damage.what), (1, last.start.offset_bytes(), DamageKind::MissingFrames));
    // If the file is cut there, the numbers of the frames still tell.
    disk.open(&segment_path(1)).unwrap().set_len(last.start.offset_bytes().into()).unwrap();
    let (opened, rows) = open(&disk);
    assert_eq!(rows, sample.rows(|frame| frame.start != last.start));
    assert_eq!(opened.report.damage.first().unwrap().what, DamageKind::MissingFrames);
}

#[test]
fn damage_before_the_start_does_not_hide_the_frames_after() {
    let sample = Sample::new();
    let [.., before, from, _] = sample.frames.as_slice() else { unreachable!() };
    assert_eq!(from.start.segment(), before.start.segment());
    for offset in before.start.offset_bytes()..before.end.offset_bytes() {
        let disk = sample.copy();
        disk.flip(&segment_path(before.start.segment()), offset as usize, 0xff).unwrap();
        let (mut opened, rows) = open_from(&disk, from.start);
        assert_eq!(rows, sample.rows(|frame| frame.start >= from.start), "{offset}");
        let more = append(&mut opened.journal, FrameKind::Synced, &records(5, 1)).unwrap();
        opened.journal.sync().unwrap();
        let (again, rows) = open(&disk.crash(Survival::Nothing));
        let kept = sample.rows(|frame| frame.start != before.start);
        assert_eq!(rows, [kept, more].concat(), "{offset}");
        assert_eq!(again.report.damage.len(), 1);
    }
}

#[test]
fn scrub_and_salvage_tell_damage_and_save_the_whole_records() {
    let sample = Sample::new();
    let hurt = sample.frames.iter().find(|frame| frame.rows.len() == 3).unwrap();
    let number = hurt.start.segment();
    let (opened, _) = open(&sample.disk);
    assert_eq!(opened.reader.scrub(number).unwrap(), []);
    let (second, _) = hurt.rows.get(1).unwrap();
    sample.disk.flip(&segment_path(number), second.offset_bytes() as usize + 8, 1).unwrap();
    let damage = opened.reader.scrub(number).unwrap();
    assert_eq!(damage.iter().map(|damage| damage.from).collect::<Vec<_>>(), [hurt.start.offset_bytes()]);

    let mut saved = Vec::new();
    let mut visit = |record: RecordAt<'_>| saved.push((record.position, record.bytes.to_vec()));
    let again = salvage_segment(&sample.disk, &dir(), number, STORE, &mut visit).unwrap();
    assert_eq!(again, damage);
    let expected = sample.rows(|frame| frame.start.segment() == number);
    assert_eq!(saved, expected.into_iter().filter(|(position, _)| position != second).collect::<Vec<_>>());

    assert!(matches!(opened.reader.read(*second), Err(ReadError::Damaged { .. })));
    let (intact, bytes) = hurt.rows.get(2).unwrap();
    assert_eq!(opened.reader.read(*intact).unwrap(), bytes.as_slice());
    let scanned = scan_all(&opened.reader, Position::ZERO, Position::MAX);
    let Err(ReadError::Damaged { position, resume, .. }) = scanned else { unreachable!("{scanned:?}") };
    assert_eq!((position, resume), (hurt.start, hurt.end));
    assert_eq!(scan_all(&opened.reader, resume, Position::MAX).unwrap(), sample.rows(|frame| frame.start >= resume));
}

#[test]
fn another_store_and_a_newer_format_are_refused() {
    let sample = Sample::new();
    let other = Options { store_id: STORE + 1, ..options() };
    let refused = try_open(&sample.disk, other, unclean(Position::ZERO)).err().unwrap();
    assert!(matches!(refused, OpenError::ForeignStore { path } if path == segment_path(1)));
    assert_eq!(store_id(&sample.disk, &dir()).unwrap(), Some(STORE));

    let path = segment_path(1);
    let untouched = sample.disk.content(&segment_path(3)).unwrap();
    let mut header = sample.disk.content(&path).unwrap();
    header.truncate(60);
    *header.get_mut(8).unwrap() = 2;
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    sample.disk.open(&path).unwrap().write_all_at(&header, 0).unwrap();
    let refused = try_open(&sample.disk, options(), unclean(Position::ZERO)).err().unwrap();
    assert!(matches!(refused, OpenError::Version { version: 2, .. }));
    assert_eq!(sample.disk.content(&segment_path(3)).unwrap(), untouched, "nothing is cut or added");
    assert_eq!(sample.disk.content(&path).unwrap().get(..64), Some(header.as_slice()));
}

#[test]
fn a_start_inside_of_a_frame_is_refused() {
    let sample = Sample::new();
    let record = sample.frames.get(3).unwrap().rows.first().unwrap().0;
    let refused = try_open(&sample.disk, options(), unclean(record)).err().unwrap();
    assert!(matches!(refused, OpenError::NotAFrame(position) if position == record));
}

/// A file that something else cut ends anywhere, and frames do not.
#[test]
fn what_comes_after_a_segment_that_was_cut_anywhere_is_found_again() {
    let sample = Sample::new();
    let last = segment_path(3);
    let end = sample.frames.last().unwrap().end.offset_bytes();
    for len in 64..=end {
        let disk = sample.copy();
        disk.open(&last).unwrap().set_len(len.into()).unwrap();
        let (mut opened, mut rows) = open(&disk);
        rows.extend(append(&mut opened.journal, FrameKind::Synced, &[vec![9; 40]]).unwrap());
        opened.journal.sync().unwrap();
        let (again, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!(found, rows, "{len} bytes: {:?}", again.report);
        assert_eq!(again.report.torn, [], "{len} bytes");
    }
}
