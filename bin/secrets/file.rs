//! Small files that hold secrets: read with a look at who else may, and written
//! so that only their owner can.

use std::ffi::OsString;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// Bytes of such a file at most.
const MAX_BYTES: u64 = 64 << 10;
/// Random characters in the name of a file that is not whole yet.
const RANDOM_CHARACTERS: usize = 12;
/// What nobody may do but the owner; the group may read, as it may where
/// whoever runs the service hands files to its user.
pub(crate) const FORBIDDEN_MODE: u32 = 0o027;

/// The text of a file without white space at its end; `None` if it is not there.
///
/// # Errors
/// It cannot be read, is no text, or is open to others.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    match try_read(path) {
        Ok((mode, _)) if mode & FORBIDDEN_MODE != 0 => Err(open_to_others(path, mode)),
        Ok((_, bytes)) => match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(Zeroizing::new(text.trim_end().to_owned()))),
            Err(_) => Err(Failure::new(Exit::Damaged, format!("{} is damaged: it is not UTF-8", path.display()))
                .hint(format!("bring back a copy of {}; backups do not hold it", path.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::system(format_args!("failed to read {}", path.display()), &error)),
    }
}

fn try_read(path: &Path) -> io::Result<(u32, Zeroizing<Vec<u8>>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // Room for all of it at once: a vector that grows leaves copies behind.
    let room = usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok((metadata.mode() & 0o777, bytes))
}

fn open_to_others(path: &Path, mode: u32) -> Failure {
    let path = path.display();
    Failure::new(Exit::Damaged, format!("{path} is open to others than its owner (mode {mode:04o})"))
        .hint(format!("`chmod 600 {path}` closes it; whoever may have read it may have what it protects, too"))
}

/// Writes a small file so that after a crash it is there whole or not at all. One in whose place it
/// comes hands down its owner and who may read it; a symbolic link stays, and what it names is replaced.
///
/// # Errors
/// The file system fails.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    try_write(path, text).map_err(|error| Failure::system(format_args!("failed to write {}", path.display()), &error))
}

fn try_write(path: &Path, text: &str) -> io::Result<()> {
    let (path, present) = match std::fs::canonicalize(path) {
        Ok(path) => (path.clone(), Some(std::fs::metadata(&path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // The directory of a bare name is an empty one.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".tmp-");
    // Its owner's alone, under a name that nobody has; taken away again if something fails.
    let temporary = tempfile::Builder::new().prefix(&prefix).rand_bytes(RANDOM_CHARACTERS).tempfile_in(dir)?;
    writeln!(temporary.as_file(), "{text}")?;
    if let Some(present) = present {
        hand_down(temporary.as_file(), &present)?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(&path)?;
    File::open(dir)?.sync_all()
}

/// Gives a file the owner and the mode of the one in whose place it comes, as far as that is not open to others.
fn hand_down(file: &File, present: &Metadata) -> io::Result<()> {
    let mut mode = present.mode() & 0o777 & !FORBIDDEN_MODE;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (present.uid(), present.gid()) {
        match fchown(file, Some(present.uid()), Some(present.gid())) {
            // Only root can. It is its owner's alone then: its group may be another one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => mode &= 0o700,
            done => done?,
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_read_or_write_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("secret");
        write(&path, "hidden").expect("it can be written");
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o440, true),
            (0o644, false),
            (0o604, false),
            (0o620, false),
            (0o602, false),
            (0o601, false),
        ] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            match read(&path) {
                Ok(text) => assert!(good && text.as_deref().map(String::as_str) == Some("hidden"), "{mode:o}"),
                Err(failure) => {
                    assert!(!good && failure.exit == Exit::Damaged, "{mode:o}: {failure:?}");
                    assert!(failure.report().contains(&format!("chmod 600 {}", path.display())), "{failure:?}");
                    assert!(!failure.report().contains("hidden"));
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_the_owners_and_what_lay_beside_it_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, beside) in [("secret", "secret.new"), ("secret.new", "secret.tmp"), ("secret.2026", "secret.new")] {
            let (path, beside) = (dir.path().join(name), dir.path().join(beside));
            std::fs::write(&beside, "another's").expect("it can be written");
            for text in ["hidden", "hidden as well"] {
                write(&path, text).expect("it can be written");
                let mode = std::fs::metadata(&path).expect("it is there").mode();
                assert_eq!(mode & 0o777, 0o600);
                assert_eq!(read(&path).expect("it can be read").as_deref().map(String::as_str), Some(text));
            }
            assert_eq!(std::fs::read_to_string(&beside).expect("it stays"), "another's");
            let left = std::fs::read_dir(dir.path()).expect("it can be listed").count();
            assert_eq!(left, 2, "nothing else is left");
            std::fs::remove_file(&path).and_then(|()| std::fs::remove_file(&beside)).expect("they are there");
        }
    }

    #[test]
    fn a_file_that_is_replaced_hands_down_its_owner_its_mode_and_its_place() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (path, link) = (dir.path().join("secret"), dir.path().join("link"));
        std::fs::write(&path, "before").expect("it can be written");
        std::os::unix::fs::symlink("secret", &link).expect("it can be made");
        // Only root can give it to another one.
        let owner = std::os::unix::fs::chown(&path, Some(4711), Some(4712)).ok().map(|()| (4711, 4712));
        for (mode, handed_down) in [(0o640, 0o640), (0o400, 0o400), (0o666, 0o640)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            write(&link, "hidden").expect("it can be written");
            let about = std::fs::metadata(&path).expect("it is there");
            assert_eq!(about.mode() & 0o777, handed_down, "{mode:o}");
            assert!(owner.is_none_or(|owner| owner == (about.uid(), about.gid())), "{about:?}");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "hidden\n");
            assert!(std::fs::symlink_metadata(&link).expect("it is there").is_symlink());
        }
    }
}
