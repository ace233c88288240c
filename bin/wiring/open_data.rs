//! What others than its owner can get at of the data directory, which holds events and keys.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use crate::config::Config;

/// Read and write, by the group and by others.
const READ_OR_WRITE: u32 = 0o066;
/// Go through a directory to what lies in it.
const PASS: u32 = 0o011;
/// Anything.
const ANY: u32 = 0o077;
/// Keys, which a start looks at more closely, and refuses where others have them.
const KEYS: [&str; 2] = ["store.key", "jwt-secret"];

/// Something in the data directory, or the directory, that others can get at.
#[derive(Debug)]
pub(crate) struct OpenPlace {
    /// What it is.
    pub(crate) says: String,
    /// The command that closes it.
    pub(crate) help: String,
}

impl OpenPlace {
    fn new(path: &Path, mode: u32, chmod: &str) -> Self {
        Self {
            says: format!("{} is open to others than its owner (mode {mode:03o})", path.display()),
            help: format!("{chmod} {}", quoted(path)),
        }
    }
}

/// All of them; in a directory that nobody else can go through it does not matter who could.
pub(crate) fn open_places(config: &Config) -> Vec<OpenPlace> {
    let dir = &config.data_dir;
    let Ok(mode) = fs::metadata(dir).map(|about| mode(&about)) else { return vec![] };
    let leads_to_socket = !config.unreachable_sockets().is_empty();
    let chmod = if leads_to_socket { "chmod go-rw" } else { "chmod go-rwx" };
    let mut places = vec![];
    if mode & READ_OR_WRITE != 0 {
        places.push(OpenPlace::new(dir, mode, chmod));
    }
    // What lies in it is closed with it, unless others are to go through it all the same.
    if mode & PASS != 0 && (leads_to_socket || places.is_empty()) {
        places.extend(within(dir));
    }
    places
}

/// What lies in the directory and is open. Below that it is as here: what is closed closes what lies in it.
fn within(dir: &Path) -> Vec<OpenPlace> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let open = paths.into_iter().filter_map(|path| {
        let about = fs::metadata(&path).ok()?;
        let is_key = KEYS.iter().any(|name| path.ends_with(name));
        let is_open = mode(&about) & ANY != 0 && !about.file_type().is_socket() && !is_key;
        is_open.then(|| OpenPlace::new(&path, mode(&about), "chmod -R go-rwx"))
    });
    open.collect()
}

fn mode(about: &Metadata) -> u32 {
    about.permissions().mode() & 0o777
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    }

    /// The data directory of an earlier build, with a name that a shell would take apart.
    fn earlier(home: &Path) -> Config {
        let config = Config { data_dir: home.join("it's here"), ..Config::default() };
        let dir = &config.data_dir;
        for made in [dir, &dir.join("journal"), &dir.join("index")] {
            fs::create_dir(made).expect("it is new");
            set(made, 0o755);
        }
        for made in ["journal/1", "index/1", "checkpoint", "store.key", "closed"] {
            fs::write(dir.join(made), "").expect("there is room");
            set(&dir.join(made), if made == "closed" { 0o600 } else { 0o644 });
        }
        UnixListener::bind(dir.join("ingest.sock")).expect("a short path");
        set(&dir.join("ingest.sock"), 0o666);
        set(dir, 0o700);
        config
    }

    /// How many places are open, once all that is said was done.
    fn told_and_mended(config: &Config) -> (Vec<String>, usize) {
        let places = open_places(config);
        for place in &places {
            let mended = Command::new("sh").args(["-c", &place.help]).status().expect("there is a shell");
            assert!(mended.success(), "{place:?}");
        }
        (places.into_iter().map(|place| place.says).collect(), open_places(config).len())
    }

    #[test]
    fn a_closed_directory_closes_what_lies_in_it() {
        let home = tempfile::tempdir().expect("there is room");
        let config = earlier(home.path());
        assert!(open_places(&config).is_empty());
    }

    #[test]
    fn behind_a_directory_that_others_go_through_each_open_place_is_named_with_what_closes_it() {
        let home = tempfile::tempdir().expect("there is room");
        let config = earlier(home.path());
        set(&config.data_dir, 0o711);
        let (says, left) = told_and_mended(&config);
        assert_eq!((says.len(), left), (3, 0), "{says:?}");
        for (says, (name, mode)) in says.iter().zip([("checkpoint", "644"), ("index", "755"), ("journal", "755")]) {
            assert!(says.contains(&format!("/{name} is open")) && says.contains(mode), "{says}");
        }
        let kept = fs::metadata(config.data_dir.join("ingest.sock")).expect("it is there");
        assert_eq!(mode(&kept), 0o666);
        assert_eq!(mode(&fs::metadata(&config.data_dir).expect("it is there")), 0o711);
    }

    #[test]
    fn an_open_directory_is_closed_whole_unless_others_go_through_it_to_a_socket() {
        let home = tempfile::tempdir().expect("there is room");
        let mut config = earlier(home.path());
        let mode_of = |config: &Config| mode(&fs::metadata(&config.data_dir).expect("it is there"));
        set(&config.data_dir, 0o755);
        let (says, left) = told_and_mended(&config);
        assert_eq!((says.len(), left, mode_of(&config)), (1, 0, 0o700), "{says:?}");
        set(&config.data_dir, 0o755);
        config.ingest.allow_uids = vec![1];
        let (says, left) = told_and_mended(&config);
        assert_eq!((says.len(), left, mode_of(&config)), (4, 0, 0o711), "{says:?}");
    }
}
