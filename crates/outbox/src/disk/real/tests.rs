//! The file system of the machine, in a temporary directory.

#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_is_written_is_read_and_short_at_the_end() {
    let dir = directory();
    let path = dir.path().join("a/b/file");
    RealDisk.create_dir_all(path.parent().unwrap()).unwrap();
    let file = RealDisk.create(&path).unwrap();
    assert_eq!(RealDisk.create(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
    let many: Vec<Vec<u8>> = (0..3000usize).map(|n| vec![n as u8; n % 5]).collect();
    let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    file.write_all_vectored_at(&parts, 7).unwrap();
    let expected = many.concat();
    let mut buffer = vec![1; expected.len() + 100];
    assert_eq!(file.read_at(&mut buffer, 7).unwrap(), expected.len());
    assert_eq!(buffer.get(..expected.len()).unwrap(), expected);
    file.sync_data().unwrap();
    RealDisk.sync_dir(path.parent().unwrap()).unwrap();
    assert_eq!(RealDisk.list(path.parent().unwrap()).unwrap(), ["file"]);
}

#[test]
fn allocated_room_reads_as_zero_and_can_be_cut() {
    let dir = directory();
    let file = RealDisk.create(&dir.path().join("file")).unwrap();
    file.allocate(10_000).unwrap();
    assert_eq!(file.len().unwrap(), 10_000);
    let mut buffer = [1; 10];
    assert_eq!(file.read_at(&mut buffer, 9_990).unwrap(), 10);
    assert_eq!(buffer, [0; 10]);
    file.set_len(5).unwrap();
    assert_eq!(file.len().unwrap(), 5);
    assert!(RealDisk.space(dir.path()).unwrap().total_bytes > 0);
}

#[test]
fn what_was_written_is_never_in_a_hole() {
    let dir = directory();
    let file = RealDisk.create(&dir.path().join("file")).unwrap();
    file.allocate(1 << 20).unwrap();
    for (written, synced) in [(700_000, false), (300_001, true)] {
        file.write_all_at(b"x", written).unwrap();
        if synced {
            file.sync_data().unwrap();
        }
        for offset in [0, written - 1, written] {
            let data = file.next_data(offset).unwrap();
            assert!((offset..=written).contains(&data), "{data} from {offset} on");
        }
    }
    assert!(file.next_data(700_001).unwrap() >= 700_001);
}

#[test]
fn room_that_was_read_and_never_written_is_still_a_hole() {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let dir = directory();
    let file = RealDisk.create(&dir.path().join("file")).unwrap();
    file.allocate(1 << 20).unwrap();
    file.write_all_at(b"x", 100_000).unwrap();
    // In none of the pages of what was written.
    let beyond = 204_800;
    let before = file.next_data(beyond).unwrap();
    let mut buffer = vec![1; 1 << 20];
    file.read_at(&mut buffer, 0).unwrap();
    // There everything is in memory and stays there.
    if rustix::fs::statfs(dir.path()).unwrap().f_type != TMPFS_MAGIC {
        assert!(before > beyond, "{before}");
        assert_eq!(file.next_data(beyond).unwrap(), before);
    }
    let mut byte = [0];
    file.read_at(&mut byte, 100_000).unwrap();
    assert_eq!(byte, *b"x");
}

#[test]
fn zeros_stand_in_for_fallocate() {
    let dir = directory();
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join("file")).unwrap();
    let file = RealFile(file);
    file.write_all_at(b"keep", 0).unwrap();
    file.fill_with_zeros(ZEROS_BYTES as u64 * 2 + 3).unwrap();
    assert_eq!(file.len().unwrap(), ZEROS_BYTES as u64 * 2 + 3);
    let mut buffer = [1; 5];
    file.read_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"keep\0");
}

#[test]
fn a_file_is_replaced_whole() {
    let dir = directory();
    let path = dir.path().join("checkpoint");
    assert_eq!(super::super::read_file(&RealDisk, &path).unwrap(), None);
    for content in [b"one".as_slice(), b"three"] {
        super::super::replace_file(&RealDisk, &path, content).unwrap();
        assert_eq!(super::super::read_file(&RealDisk, &path).unwrap().unwrap(), content);
    }
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["checkpoint"]);
}

#[test]
fn a_directory_is_made_also_where_its_path_goes_up_again() {
    let dir = directory();
    RealDisk.create_dir_all(&dir.path().join("one/../two/three")).unwrap();
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["one", "two"]);
    assert_eq!(RealDisk.list(&dir.path().join("two")).unwrap(), ["three"]);
    RealDisk.create_dir_all(&dir.path().join("two/three")).unwrap();
}

#[test]
fn no_directory_is_made_where_a_file_is() {
    let dir = directory();
    let file = dir.path().join("file");
    RealDisk.create(&file).unwrap();
    for path in [file.clone(), file.join("below")] {
        assert!(RealDisk.create_dir_all(&path).is_err(), "{}", path.display());
    }
    assert!(file.is_file());
}

#[test]
fn a_relative_path_is_below_the_working_directory() {
    assert!(is_present(Path::new("")) && is_present(Path::new(".")) && is_present(Path::new("/")));
    let dir = directory();
    assert!(!is_present(&dir.path().join("missing")));
    RealDisk.create(&dir.path().join("file")).unwrap();
    assert!(!is_present(&dir.path().join("file")), "a file is no directory");
    let parents = ["a", "a/b", "/a", "/"].map(|path| parent_of(Path::new(path)));
    assert_eq!(parents, [".", "a", "/", "/"].map(PathBuf::from));
}

#[test]
fn what_is_made_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = directory();
    let below = dir.path().join("a/b");
    RealDisk.create_dir_all(&below).unwrap();
    RealDisk.create(&below.join("file")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!([&below, &dir.path().join("a"), &below.join("file")].map(|path| mode(path)), [0; 3]);
}

#[test]
fn names_are_changed_and_removed() {
    let dir = directory();
    let path = |name: &str| dir.path().join(name);
    RealDisk.create(&path("b")).unwrap().write_all_at(b"b", 0).unwrap();
    RealDisk.create(&path("a")).unwrap().write_all_at(b"a", 0).unwrap();
    RealDisk.create_dir_all(&path("dir/below")).unwrap();
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["a", "b", "dir"], "in order");
    RealDisk.rename(&path("a"), &path("b")).unwrap();
    assert_eq!(super::super::read_file(&RealDisk, &path("b")).unwrap().unwrap(), b"a", "it replaces the other");
    assert!(RealDisk.remove_dir(&path("dir")).is_err(), "it is not empty");
    RealDisk.remove_dir(&path("dir/below")).unwrap();
    RealDisk.remove_dir(&path("dir")).unwrap();
    RealDisk.remove_file(&path("b")).unwrap();
    assert_eq!(RealDisk.list(dir.path()).unwrap(), [""; 0]);
    let missing = [RealDisk.remove_file(&path("b")), RealDisk.rename(&path("b"), &path("c"))];
    assert!(missing.iter().all(|result| result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)));
}

/// What the system did not do must not pass for done: an answer would follow (W1).
#[test]
fn what_the_system_refuses_is_an_error() {
    let dir = directory();
    assert!(RealDisk.sync_dir(&dir.path().join("missing")).is_err());
    // Nothing of a device like this can be synced or given room.
    let device = RealDisk.open(Path::new("/dev/null")).unwrap();
    assert!(device.sync_data().is_err());
    assert!(matches!(device.allocate(1), Err(AllocateError::Io(_))), "it is not full");
    let no_file = RealDisk.open_to_read(dir.path()).unwrap();
    assert!(no_file.read_at(&mut [0; 8], 0).is_err());
    RealDisk.create(&dir.path().join("file")).unwrap().write_all_at(b"kept", 0).unwrap();
    let only_read = RealDisk.open_to_read(&dir.path().join("file")).unwrap();
    assert!(only_read.write_all_at(b"x", 0).is_err());
    assert!(only_read.write_all_vectored_at(&[b"x"], 0).is_err());
    assert!(only_read.set_len(0).is_err());
    assert_eq!(only_read.len().unwrap(), 4);
}

#[test]
fn a_version_is_another_one_for_another_file_and_for_other_content() {
    let dir = directory();
    let path = dir.path().join("file");
    let version = || RealDisk.open_to_read(&path).unwrap().version().unwrap().unwrap();
    let file = RealDisk.create(&path).unwrap();
    let empty = version();
    assert_eq!(empty, version());
    file.write_all_at(b"x", 0).unwrap();
    let written = version();
    assert_ne!(written, empty);
    RealDisk.create(&dir.path().join("other")).unwrap().write_all_at(b"y", 0).unwrap();
    RealDisk.rename(&dir.path().join("other"), &path).unwrap();
    assert_ne!(version(), written);
}

#[test]
fn an_empty_file_is_filled_with_zeros_up_to_its_length_and_a_longer_one_stays() {
    let dir = directory();
    let path = dir.path().join("file");
    let file = RealFile(OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap());
    for (len, expected) in [(0, 0), (3, 3), (2, 3)] {
        file.fill_with_zeros(len).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![0; expected], "up to {len}");
    }
}
