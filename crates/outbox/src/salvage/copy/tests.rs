//! What is copied of files that are read in full, in part or not at all.

use rustix::io::Errno;

use super::*;
use crate::MasterKey;
use crate::disk::RealDisk;
use crate::disk::sim::SimDisk;
use crate::tests::bad_disk::{Bad, BadDisk};

const CHUNK: u64 = CHUNK_BYTES as u64;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A directory with these files as its segments, from number 1 on, and an empty one beside it.
struct Dirs {
    from: tempfile::TempDir,
    to: tempfile::TempDir,
    options: Options,
}

impl Dirs {
    fn new(segments: &[Vec<u8>]) -> Self {
        let (from, to) = (tempfile::tempdir(), tempfile::tempdir());
        let (from, to) = (from.expect("a temporary directory"), to.expect("a temporary directory"));
        let options = Options::new(from.path(), MasterKey::new([7; 32]));
        std::fs::create_dir(from.path().join(JOURNAL)).expect("it is free");
        let dirs = Self { from, to, options };
        for (number, bytes) in (1..).zip(segments) {
            std::fs::write(dirs.segment(number), bytes).expect("it can be written");
        }
        dirs
    }

    fn segment(&self, number: u32) -> std::path::PathBuf {
        self.from.path().join(JOURNAL).join(journal::segment_name(number))
    }

    fn copied(&self, number: u32) -> Vec<u8> {
        std::fs::read(self.to.path().join(JOURNAL).join(journal::segment_name(number))).expect("it was copied")
    }

    /// Copies all, from a disk of which some parts fail.
    fn copy(&self, bad: Vec<Bad>) -> Result<Vec<Unread>, OpenError> {
        let disk = BadDisk::new(self.from.path(), bad);
        copy(&self.options, self.to.path(), &disk, true, &mut |_, _| {})
    }
}

/// Bytes of which none is zero.
fn full(len: u64) -> Vec<u8> {
    (1..=251u8).cycle().take(usize::try_from(len).expect("it is small")).collect()
}

/// The same with zeros in these parts.
fn zeroed(mut bytes: Vec<u8>, parts: &[(u64, u64)]) -> Vec<u8> {
    for (from, to) in parts {
        bytes[*from as usize..*to as usize].fill(0);
    }
    bytes
}

#[test]
fn a_segment_of_any_length_is_copied_whole() {
    let segments: Vec<_> = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1]
        .map(full)
        .into_iter()
        .chain([zeroed(full(3 * CHUNK + 17), &[(CHUNK, 2 * CHUNK)]), zeroed(full(2 * CHUNK), &[(0, 2 * CHUNK)])])
        .collect();
    let dirs = Dirs::new(&segments);
    assert_eq!(dirs.copy(vec![]).expect("all of it is read"), []);
    for (number, bytes) in (1..).zip(&segments) {
        assert!(dirs.copied(number) == *bytes, "segment {number}, {} bytes", bytes.len());
    }
}

#[test]
fn torn_tails_and_what_is_no_segment_stay_behind() {
    let dirs = Dirs::new(&[full(10), full(20)]);
    for name in ["torn-0000000002-64.bytes", "something"] {
        std::fs::write(dirs.from.path().join(JOURNAL).join(name), "x").expect("it can be written");
    }
    std::fs::create_dir(dirs.from.path().join("index")).expect("it is free");
    std::fs::write(dirs.from.path().join("clean-stop"), "x").expect("it can be written");
    let mut told = vec![];
    copy(&dirs.options, dirs.to.path(), &RealDisk, true, &mut |done, of| told.push((done, of))).expect("it is read");
    assert_eq!(told, [(0, 4), (1, 4)], "each is read once more afterwards");
    assert_eq!(RealDisk.list(dirs.to.path()).expect("it is there"), [JOURNAL]);
    let names = [1, 2].map(journal::segment_name);
    assert_eq!(RealDisk.list(&dirs.to.path().join(JOURNAL)).expect("it is there"), names);
}

/// Neighbours are one part, also where one chunk ends and the next one begins.
#[test]
fn blocks_that_are_not_read_are_zeros_in_the_copy_and_named_in_parts() {
    let len = 3 * CHUNK + 100;
    let dirs = Dirs::new(&[full(len)]);
    let bad = |part| Bad::part(dirs.segment(1), part, Errno::IO);
    let parts = [
        (5 * BLOCK, 6 * BLOCK),
        (8 * BLOCK, 10 * BLOCK),
        (CHUNK - BLOCK, CHUNK + 2 * BLOCK),
        // The last block is a short one.
        (3 * CHUNK, len),
    ];
    let unread = dirs.copy(vec![
        bad(5 * BLOCK + 10..5 * BLOCK + 20),
        bad(8 * BLOCK + 1..9 * BLOCK + 1),
        bad(CHUNK - 1..CHUNK + BLOCK + 1),
        bad(len - 1..len),
    ]);
    let named = parts.map(|(from, to)| Unread { path: dirs.segment(1), from, to });
    assert_eq!(unread.expect("the rest is read"), named);
    assert!(dirs.copied(1) == zeroed(full(len), &parts));
}

#[test]
fn parts_of_two_files_are_two() {
    let dirs = Dirs::new(&[full(BLOCK), full(2 * BLOCK)]);
    let bad = [(1, 0..BLOCK), (2, BLOCK..2 * BLOCK)].map(|(n, part)| Bad::part(dirs.segment(n), part, Errno::IO));
    let unread = dirs.copy(bad.to_vec()).expect("the rest is read");
    let named = [(1, 0), (2, BLOCK)].map(|(n, from)| Unread { path: dirs.segment(n), from, to: from + BLOCK });
    assert_eq!(unread, named);
    assert_eq!(dirs.copied(1), zeroed(full(BLOCK), &[(0, BLOCK)]));
    assert_eq!(dirs.copied(2), zeroed(full(2 * BLOCK), &[(BLOCK, 2 * BLOCK)]));
}

#[test]
fn a_file_that_the_disk_does_not_open_is_named_and_missing() {
    let dirs = Dirs::new(&[full(10), full(20), full(30)]);
    let unread = dirs.copy(vec![Bad::file(dirs.segment(2), Errno::IO)]).expect("the rest is read");
    assert_eq!(unread, [Unread { path: dirs.segment(2), from: 0, to: 0 }]);
    assert_eq!((dirs.copied(1), dirs.copied(3)), (full(10), full(30)));
    let names = [1, 3].map(journal::segment_name);
    assert_eq!(RealDisk.list(&dirs.to.path().join(JOURNAL)).expect("it is there"), names);
}

/// A salvage would leave out what is there and could be read at another time, by another user.
#[test]
fn what_fails_otherwise_than_by_the_medium_ends_the_salvage() {
    let dirs = || Dirs::new(&[full(3 * BLOCK)]);
    let ends = |of: &dyn Fn(&Dirs) -> Vec<Bad>| {
        let dirs = dirs();
        let copied = dirs.copy(of(&dirs));
        assert!(
            matches!(&copied, Err(OpenError::Io { what: "copy", path, .. }) if *path == dirs.segment(1)),
            "{copied:?}"
        );
    };
    ends(&|dirs| vec![Bad::file(dirs.segment(1), Errno::ACCESS)]);
    ends(&|dirs| vec![Bad::part(dirs.segment(1), 0..1, Errno::NOMEM)]);
    let one_by_one = |dirs: &Dirs| {
        let part = |from, error| Bad::part(dirs.segment(1), from..from + 1, error);
        vec![part(0, Errno::IO), part(BLOCK, Errno::NOMEM)]
    };
    ends(&one_by_one);
}

#[test]
fn a_checkpoint_comes_along_where_it_is_of_use() {
    for (with_checkpoint, copied) in [(true, Some("derived")), (false, None)] {
        let dirs = Dirs::new(&[full(10)]);
        std::fs::write(dirs.from.path().join(checkpoint::NAME), "derived").expect("it can be written");
        copy(&dirs.options, dirs.to.path(), &RealDisk, with_checkpoint, &mut |_, _| {}).expect("it is read");
        let found = std::fs::read_to_string(dirs.to.path().join(checkpoint::NAME)).ok();
        assert_eq!(found.as_deref(), copied);
    }
    let dirs = Dirs::new(&[full(10)]);
    assert_eq!(dirs.copy(vec![]).expect("there need not be one"), []);
    let dirs = Dirs::new(&[full(10)]);
    let whole = dirs.from.path().join(checkpoint::NAME);
    std::fs::write(&whole, "derived").expect("it can be written");
    let copied = dirs.copy(vec![Bad::file(whole.clone(), Errno::ACCESS)]);
    assert!(matches!(&copied, Err(OpenError::Io { what: "copy", path, .. }) if *path == whole), "{copied:?}");
}

#[test]
fn without_room_for_all_there_is_no_copy() {
    let disk = SimDisk::new();
    let options = Options::new("/from", MasterKey::new([7; 32]));
    let segment = options.dir.join(JOURNAL).join(journal::segment_name(1));
    for dir in [&options.dir.join(JOURNAL), Path::new("/to")] {
        disk.create_dir_all(dir).expect("it is free");
    }
    disk.create(&segment).and_then(|file| file.write_all_at(&full(1_000), 0)).expect("there is room");
    disk.set_free_bytes(999);
    let copied = copy(&options, Path::new("/to"), &disk, true, &mut |_, _| {});
    assert!(
        matches!(&copied, Err(OpenError::Io { what: "copy", source, .. }) if crate::disk::is_full(source)),
        "{copied:?}"
    );
}

#[test]
fn only_what_the_medium_does_not_give_is_unreadable() {
    assert!(is_unreadable(&Errno::IO.into()));
    for other in [Errno::NOENT, Errno::ACCESS, Errno::NOSPC, Errno::MFILE] {
        assert!(!is_unreadable(&other.into()), "{other}");
    }
    assert!(!is_unreadable(&io::ErrorKind::Other.into()));
}
