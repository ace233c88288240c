//! The last segment's name, which may not be on disk though its file is there: a start names it anew.

use super::odd_disk::OddDisk;
use super::*;
use crate::disk::sim::Survival;

/// So that there are no segments but the first.
fn one_segment() -> Options {
    Options { max_bytes: SEGMENT_BYTES.into(), ..options() }
}

fn reopen(disk: &SimDisk, options: Options) -> Opened {
    try_open(disk, options, unclean(Position::ZERO)).unwrap().0
}

#[test]
fn what_is_synced_into_a_segment_whose_name_failed_to_be_synced_is_not_lost() {
    // The name of the only one, and that of the fourth.
    for (limit, before) in [(one_segment(), 0), (options(), 1)] {
        let disk = SimDisk::new();
        disk.create_dir_all(&dir()).unwrap();
        let mut rows = Vec::new();
        if before > 0 {
            let mut opened = reopen(&disk, limit);
            for seed in [8, 9] {
                rows.extend(append(&mut opened.journal, FrameKind::Synced, &[vec![seed; 1500]]).unwrap());
            }
            opened.journal.sync().unwrap();
            disk.fail_sync_after(1);
            assert!(matches!(opened.journal.provision(), Err(AppendError::Poisoned { .. })));
        } else {
            disk.fail_sync_after(1);
            let failed = try_open(&disk, limit, unclean(Position::ZERO)).err().unwrap();
            assert!(matches!(failed, OpenError::Io { action: "make a journal segment", .. }), "{failed}");
        }
        assert!(disk.has_failed() && !disk.failure_is_due());
        // The machine goes on, and so the name is still there for the next process.
        let mut opened = reopen(&disk, limit);
        for seed in 0..=before {
            rows.extend(append(&mut opened.journal, FrameKind::Synced, &[vec![seed; 1500]]).unwrap());
        }
        assert_eq!(opened.journal.end().segment(), if before > 0 { 4 } else { 1 });
        opened.journal.sync().unwrap();
        let (again, found) = open(&disk.crash(Survival::Nothing));
        assert_eq!((found, again.report.damage), (rows, vec![]));
    }
}

#[test]
fn a_start_is_refused_where_the_name_cannot_be_synced_and_nothing_is_lost_by_it() {
    let disk = SimDisk::new();
    let (mut opened, _) = open(&disk);
    let rows = append(&mut opened.journal, FrameKind::Synced, &records(3, 3)).unwrap();
    opened.journal.sync().unwrap();
    for count in [0, 1] {
        let disk = disk.crash(Survival::Nothing);
        disk.fail_sync_after(count);
        let failed = try_open(&disk, options(), unclean(Position::ZERO)).err().unwrap();
        assert!(matches!(failed, OpenError::Io { action: "rename journal segment", .. }), "{failed}");
        assert_eq!(open(&disk.crash(Survival::Nothing)).1, rows);
    }
}

/// For a moment it has another name, under which a start would remove it.
#[test]
fn a_segment_with_frames_is_there_at_every_crash_point_of_a_start() {
    let disk = SimDisk::new();
    let mut opened = reopen(&disk, one_segment());
    let rows = append(&mut opened.journal, FrameKind::Synced, &records(3, 3)).unwrap();
    opened.journal.sync().unwrap();
    for free_bytes in [0, 1 << 20] {
        let start = || {
            let disk = disk.crash(Survival::Nothing);
            disk.set_free_bytes(free_bytes);
            disk
        };
        let whole = start();
        reopen(&whole, one_segment());
        assert!(whole.operations() > 2);
        for count in 0..=whole.operations() {
            let disk = start();
            disk.crash_after(count);
            let _ = try_open(&disk, one_segment(), unclean(Position::ZERO));
            for survival in [Survival::Nothing, Survival::Everything] {
                let (again, found) = open(&disk.crash(survival));
                assert_eq!((found, again.report.damage), (rows.clone(), vec![]), "after {count}, {survival:?}");
            }
        }
    }
}

#[test]
fn a_start_gives_up_a_segment_without_frames_for_whose_name_there_is_no_room() {
    let sample = SimDisk::new();
    let (mut opened, _) = open(&sample);
    let rows = append(&mut opened.journal, FrameKind::Synced, &records(3, 3)).unwrap();
    opened.journal.provision().unwrap();
    opened.journal.sync().unwrap();
    assert_eq!(names(&sample).len(), 3);
    for before in [0, 1] {
        let disk = sample.crash(Survival::Nothing);
        let full: Arc<dyn Disk> = Arc::new(OddDisk::without_room_for_name(&disk, before));
        let limited = Options { max_bytes: 2 * u64::from(SEGMENT_BYTES), ..options() };
        let mut found = Vec::new();
        let mut visit = |record: RecordAt<'_>| found.push((record.position, record.bytes.to_vec()));
        let opened = Journal::open(&full, &dir(), limited, unclean(Position::ZERO), &mut visit).unwrap();
        assert_eq!(found, rows);
        let numbers: Vec<_> = opened.reader.segments().iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(names(&disk), [segment_name(1), segment_name(2)]);
        check_reader(&opened, &rows);
    }
}
