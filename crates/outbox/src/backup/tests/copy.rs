//! Copying files, and telling whether they are what they were.

use sha2::{Digest as _, Sha256};

use super::super::copy::{Counter, Making, read_hashed};
use super::super::error::BackupError;
use super::super::manifest::FileCopy;
use super::*;

/// More than is read at once.
const LONG: usize = (1 << 20) + 24;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_to_come_is_counted_from_where_the_work_is() {
    let mut told = vec![];
    let mut progress = |done, of| told.push((done, of));
    let mut counter = Counter::new(&mut progress);
    counter.expect(10);
    counter.add(4);
    counter.expect(5);
    counter.add(3);
    // It was estimated too low.
    counter.add(4);
    assert_eq!(told, [(4, 10), (7, 9), (11, 11)]);
}

#[test]
fn so_much_of_a_file_is_read_as_was_asked_for_and_in_pieces() {
    let (sim, shared) = disk();
    let (path, content) = (PathBuf::from("/file"), (0..LONG).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    put(&sim, &path, &content);
    let file = shared.open(&path).expect("it is there");
    for len in [0, 1, 1 << 20, (1 << 20) + 7, LONG] {
        let mut parts = vec![];
        let found = read_hashed(&*file, len as u64, &mut |part, at| {
            assert_eq!(at, parts.len() as u64, "one piece after the other");
            assert!(part.len() <= 1 << 20, "{}", part.len());
            parts.extend_from_slice(part);
            Ok(())
        });
        let wanted = content.get(..len).expect("it is that long");
        assert_eq!(found.expect("it can be read"), sha256(wanted), "{len}");
        assert!(parts == wanted, "{len}");
    }
    let short = read_hashed(&*file, LONG as u64 + 1, &mut |_, _| Ok(())).expect_err("it is not that long");
    assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    let full = read_hashed(&*file, 1, &mut |_, _| Err(io::ErrorKind::StorageFull.into())).expect_err("it says so");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_file_has_a_content_if_it_is_as_long_and_the_same() {
    let (sim, shared) = disk();
    let known = FileCopy::of("segment-0000000001", b"content");
    assert_eq!((known.bytes, known.sha256.as_str()), (7, sha256(b"content").as_str()));
    assert_eq!(known.name, format!("segment-0000000001-{}", &sha256(b"content")[..12]));
    let cases: [(&[u8], bool); 5] =
        [(b"content", true), (b"Content", false), (b"conten", false), (b"contents", false), (b"", false)];
    for (content, is_in) in cases {
        let path = PathBuf::from(format!("/{}", String::from_utf8_lossy(content)));
        let path = path.join(format!("{}-bytes", content.len()));
        sim.create_dir_all(path.parent().expect("it has one")).expect("it works");
        put(&sim, &path, content);
        let file = shared.open(&path).expect("it is there");
        assert_eq!(known.is_in(&*file).expect("it can be read"), is_in, "{content:?}");
    }
}

#[test]
fn of_what_is_read_the_beginning_is_kept_and_has_its_name_only_when_all_is_durable() {
    let (sim, shared) = disk();
    let (from, to) = (PathBuf::from("/from"), PathBuf::from("/to"));
    put(&sim, &from, b"0123456789");
    let source = shared.open(&from).expect("it is there");
    let mut told = vec![];
    let mut progress = |done, _| told.push(done);
    let mut counter = Counter::new(&mut progress);
    // What was left by a run that was killed is no obstacle.
    put(&sim, &PathBuf::from("/to.new"), b"left by another run");
    let making = Making::beside(&*shared, &to).expect("it works");
    let found = making.copy((&*source, &from), (8, 5), &mut counter).expect("it works");
    assert_eq!(found, sha256(b"01234567"));
    sim.content(&to).expect_err("it has another name");
    making.name(&to).expect("it works");
    let left = sim.crash(crate::disk::sim::Survival::Nothing);
    assert_eq!(left.content(&to).expect("its name is durable"), b"01234");
    let making = Making::beside(&*shared, &to).expect("it works");
    making.write(b"in memory").expect("it works");
    making.name(&to).expect("it works");
    let left = sim.crash(crate::disk::sim::Survival::Nothing);
    assert_eq!(left.content(&to).expect("its name is durable"), b"in memory");
    assert_eq!(told, [8], "what was read is told");
}

#[test]
fn a_copy_that_fails_names_what_could_not_be_read_or_written() {
    let (sim, shared) = disk();
    let (from, to) = (PathBuf::from("/from"), PathBuf::from("/to"));
    put(&sim, &from, b"0123456789");
    let source = shared.open(&from).expect("it is there");
    let mut progress = |_, _| {};
    let mut counter = Counter::new(&mut progress);
    let mut copy = |len| {
        let making = Making::beside(&*shared, &to).expect("it works");
        match making.copy((&*source, &from), (len, len), &mut counter) {
            Err(BackupError::Io { what, path, .. }) => (what, path),
            other => panic!("an error was expected, not {other:?}"),
        }
    };
    assert_eq!(copy(11), ("read", from.clone()));
    sim.fail_write_after(0);
    assert_eq!(copy(10), ("write", PathBuf::from("/to.new")));
    sim.fail_sync_after(0);
    assert_eq!(copy(10), ("sync", PathBuf::from("/to.new")));
}
