//! Small files that hold secrets: read with a look at who else may, and written
//! so that only their owner can.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// Bytes of such a file at most.
const MAX_BYTES: u64 = 64 << 10;
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
                .hint(format!("restore {} from a backup", path.display()))),
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

/// Writes a small file so that after a crash it is there whole or not at all.
///
/// # Errors
/// The file system fails.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let temporary = path.with_extension("new");
    let write = || {
        // One that is there from before could have another mode.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    write().map_err(|error| Failure::system(format_args!("failed to write {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

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
    fn what_is_written_is_the_owners_whatever_lay_there_before() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (path, left) = (dir.path().join("secret"), dir.path().join("secret.new"));
        std::fs::write(&left, "left by a crash").expect("it can be written");
        std::fs::set_permissions(&left, Permissions::from_mode(0o666)).expect("it is ours");
        write(&path, "hidden").expect("it can be written");
        let mode = std::fs::metadata(&path).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!left.exists());
    }
}
