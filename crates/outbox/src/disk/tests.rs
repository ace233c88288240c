//! What every disk does alike, and what is built on that.

#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

use proptest::prelude::*;

use super::sim::{SimDisk, Survival};
use super::*;

const DIR: &str = "/d";

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn os(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}

#[test]
fn a_file_system_that_tells_nothing_of_a_file_may_have_written_everywhere() {
    let file = disk().create(&path("a")).unwrap();
    assert!(file.is_empty().unwrap());
    file.allocate(100).unwrap();
    assert!(!file.is_empty().unwrap());
    for offset in [0, 1, 7, 100] {
        assert_eq!(file.next_data(offset).unwrap(), offset);
    }
    assert_eq!(file.version().unwrap(), None);
}

#[test]
fn only_a_full_disk_or_quota_is_full() {
    use rustix::io::Errno;
    let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| is_full(&os(errno)));
    assert_eq!(full, [true, true]);
    let other = [Errno::IO, Errno::NOENT, Errno::MFILE, Errno::FBIG, Errno::ROFS].map(|errno| is_full(&os(errno)));
    assert_eq!(other, [false; 5]);
}

#[test]
fn only_too_many_open_files_are_too_many() {
    use rustix::io::Errno;
    let out_of_files = [Errno::MFILE, Errno::NFILE].map(|errno| is_out_of_files(&os(errno)));
    assert_eq!(out_of_files, [true, true]);
    let other = [Errno::IO, Errno::NOENT, Errno::NOSPC].map(|errno| is_out_of_files(&os(errno)));
    assert_eq!(other, [false; 3]);
    assert!(!is_out_of_files(&io::ErrorKind::NotFound.into()));
}

#[test]
fn what_takes_a_files_place_is_written_beside_it() {
    assert_eq!(temporary_name(&path("checkpoint")), path("checkpoint.new"));
    assert_eq!(temporary_name(Path::new("a.b")), Path::new("a.b.new"));
}

#[test]
fn a_file_that_was_replaced_is_the_new_one_after_a_power_cut() {
    let disk = disk();
    for content in [b"one".as_slice(), b"", b"three"] {
        // What another process left when it died.
        disk.create(&path("a.new")).unwrap().write_all_at(b"left over, and longer", 0).unwrap();
        replace_file(&disk, &path("a"), content).unwrap();
        let left = disk.crash(Survival::Nothing);
        assert_eq!(left.content(&path("a")).unwrap(), content);
        assert_eq!(disk.list(Path::new(DIR)).unwrap(), ["a"]);
    }
}

#[test]
fn a_file_is_read_whole_or_is_not_there_or_cannot_be_read() {
    let disk = disk();
    assert_eq!(read_file(&disk, &path("a")).unwrap(), None);
    for content in [b"".as_slice(), b"x", b"some bytes"] {
        replace_file(&disk, &path("a"), content).unwrap();
        assert_eq!(read_file(&disk, &path("a")).unwrap().unwrap(), content);
        assert_eq!(read_whole(&*disk.open(&path("a")).unwrap()).unwrap(), content);
    }
    disk.set_out_of_files(true);
    assert!(is_out_of_files(&read_file(&disk, &path("a")).unwrap_err()), "it is there for all that");
}

#[test]
fn a_removal_says_whether_there_was_anything_and_when_it_failed() {
    let disk = disk();
    assert!(!remove_if_there(&disk, &path("a")).unwrap());
    disk.create(&path("a")).unwrap();
    assert!(remove_if_there(&disk, &path("a")).unwrap());
    assert!(!remove_if_there(&disk, &path("a")).unwrap());
    disk.create(&path("a")).unwrap();
    disk.crash_after(0);
    assert!(remove_if_there(&disk, &path("a")).is_err());
}

proptest! {
    /// What one call does not write the next one begins with.
    #[test]
    fn the_slices_of_a_vectored_write_are_what_is_left_of_the_parts(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..12),
        skip in 0usize..40,
        limit in 1usize..6,
    ) {
        let whole = parts.concat();
        let skip = skip.min(whole.len());
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let slices = slices_from(&parts, skip, limit);
        prop_assert!(slices.len() <= limit);
        prop_assert!(slices.iter().all(|slice| !slice.is_empty()), "an empty one takes a place for nothing");
        let written: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        prop_assert_eq!(&whole[skip..skip + written.len()], &written[..]);
        prop_assert!(slices.len() == limit || skip + written.len() == whole.len(), "all that has room");
    }
}
