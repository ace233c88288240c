//! The store's key, and where it comes from:
//!
//! ```text
//!   store.key_file > store.key (POSTRIDER_STORE__KEY) > $CREDENTIALS_DIRECTORY/postrider.store.key > DIR/store.key
//! ```
//!
//! The first that is there counts, also if it does not fit: a store is never
//! opened by trying keys.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_outbox::{MasterKey, SealingKey};
use zeroize::Zeroizing;

use super::key::{KEY_BYTES, Keys, Ring, RingKey, parse_keys};
use super::{credential, file, random_key};
use crate::config::Config;
use crate::exit::{Exit, Failure};

/// The store's keys and where they came from.
pub(crate) struct StoreKey {
    /// The keys.
    pub(crate) keys: Keys,
    /// A file, or the name of the setting; for people.
    pub(crate) origin: String,
    /// The file, if it is one that we may replace: systemd's credentials are not ours.
    pub(crate) file: Option<PathBuf>,
}

impl StoreKey {
    /// What the store is opened with.
    pub(crate) fn master(&self) -> MasterKey {
        match &self.keys {
            Keys::One(key) => MasterKey::new(**key),
            Keys::Ring(ring) => {
                let sealing = |RingKey { number, key, .. }: &RingKey| SealingKey { number: *number, key: key.clone() };
                let sealing = ring.keys.iter().map(sealing).collect();
                MasterKey::of_parts(&ring.identity, sealing).expect("a ring is never empty")
            }
        }
    }

    /// The keys as a ring, also where there is only the first one.
    pub(crate) fn ring(&self) -> Ring {
        match &self.keys {
            Keys::Ring(ring) => ring.clone(),
            Keys::One(_) => {
                let master = self.master();
                let first = |key: &SealingKey| RingKey { number: key.number, created_ms: 0, key: key.key.clone() };
                let keys = master.sealing().iter().map(first).collect();
                Ring { identity: Zeroizing::new(*master.identity()), keys }
            }
        }
    }

    /// Puts other keys into the file from which these came.
    ///
    /// # Errors
    /// They came from no file of ours, or the file system fails.
    pub(crate) fn replace(&self, ring: &Ring) -> Result<(), Failure> {
        match &self.file {
            Some(path) => file::write(path, &ring.text()),
            None => {
                Err(Failure::runtime(format!("the key from {} is in no file that can be replaced here", self.origin)))
            }
        }
    }
}

/// Writes keys into a file for their owner only.
///
/// # Errors
/// There is such a file, or the file system fails.
pub(crate) fn write_ring(path: &Path, ring: &Ring) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{} is there already", path.display())));
    }
    file::write(path, &ring.text())
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreKey").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The key that endpoints are sealed with, if there is one already.
///
/// # Errors
/// It cannot be read, is no key, or is open to others.
pub(crate) fn find_store_key(config: &Config) -> Result<Option<StoreKey>, Failure> {
    if let Some(path) = &config.store.key_file {
        return match read_key(path)? {
            Some(found) => Ok(Some(found)),
            // None is made in its place: it could be a disk that is not mounted yet.
            None => Err(Failure::new(Exit::Damaged, format!("store.key_file: {} is not there", path.display()))
                .hint(bring_back(&path.display().to_string()))
                .hint(format!("for a new store: `(umask 077; openssl rand -base64 32 > {})`", path.display()))),
        };
    }
    if let Some(key) = &config.store.key {
        return Ok(Some(StoreKey {
            keys: key.expose().clone(),
            origin: "`store.key` (POSTRIDER_STORE__KEY)".to_owned(),
            file: None,
        }));
    }
    if let Some(found) = credential("postrider.store.key").map(|path| read_key(&path)).transpose()?.flatten() {
        return Ok(Some(StoreKey { file: None, ..found }));
    }
    read_key(&config.data_dir.join("store.key"))
}

/// The key that endpoints are sealed with; made for a store that is new.
///
/// # Errors
/// The file cannot be read or written, or a store is there without its key.
pub(crate) fn find_or_make_store_key(config: &Config, is_new: bool) -> Result<StoreKey, Failure> {
    if let Some(found) = find_store_key(config)? {
        return Ok(found);
    }
    let path = config.data_dir.join("store.key");
    let origin = path.display().to_string();
    if !is_new {
        return Err(Failure::new(Exit::Damaged, format!("{origin} is missing beside a store that needs it"))
            .hint(bring_back(&origin))
            .hint("if it is kept elsewhere: `store.key_file`, POSTRIDER_STORE__KEY, or a credential of systemd"));
    }
    let key = random_key()?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_ref()));
    file::write(&path, &text)?;
    Ok(StoreKey { keys: Keys::One(key), origin, file: Some(path) })
}

fn read_key(path: &Path) -> Result<Option<StoreKey>, Failure> {
    let Some(text) = file::read(path)? else { return Ok(None) };
    let origin = path.display().to_string();
    match parse_keys(&text) {
        Some(keys) => Ok(Some(StoreKey { keys, origin, file: Some(path.to_owned()) })),
        None => Err(Failure::new(Exit::Damaged, format!("{origin} holds no key of {KEY_BYTES} bytes in base64"))
            .hint(bring_back(&origin))),
    }
}

fn bring_back(origin: &str) -> String {
    format!(
        "bring back the copy of {origin} that you keep apart from the backups, which do not hold it; without it the \
         endpoints' secrets cannot be read"
    )
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn config(dir: &Path) -> Config {
        Config { data_dir: dir.to_owned(), ..Config::default() }
    }

    fn write(path: &Path, content: &[u8]) {
        std::fs::write(path, content).expect("it can be written");
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it is ours");
    }

    #[test]
    fn a_key_is_read_in_both_forms_and_in_no_other_length() {
        let key = [0xfb; KEY_BYTES];
        let (ours, theirs) = (URL_SAFE_NO_PAD.encode(key), STANDARD.encode(key));
        assert_ne!(ours, theirs);
        for text in [&ours, &theirs] {
            assert!(parse_keys(text) == Some(Keys::One(Zeroizing::new(key))), "{text}");
        }
        for bytes in [0, 31, 33, 34, 64] {
            assert!(parse_keys(&STANDARD.encode(vec![7; bytes])).is_none(), "{bytes} bytes");
        }
        assert!(parse_keys(&"!".repeat(43)).is_none());
    }

    #[test]
    fn a_store_never_gets_another_key() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path());
        let missing = find_or_make_store_key(&config, false).expect_err("there is a store, but no key");
        assert_eq!(missing.exit, Exit::Damaged);
        let made = find_or_make_store_key(&config, true).expect("a new store gets one");
        assert!(find_or_make_store_key(&config, false).expect("it is there").keys == made.keys);
        let path = dir.path().join("store.key");
        let not_base64 = "!".repeat(43);
        for damage in [b"short".as_slice(), b"\xff\xfe", b"", not_base64.as_bytes(), &[b'A'; 60]] {
            write(&path, damage);
            let failure = find_store_key(&config).expect_err("no key");
            assert_eq!(failure.exit, Exit::Damaged, "{damage:?}");
            assert!(failure.hints.iter().any(|hint| hint.contains("store.key")), "{failure:?}");
        }
    }

    #[test]
    fn a_file_that_is_named_counts_first_and_is_never_made() {
        let (dir, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
        let mut config = config(dir.path());
        let made = find_or_make_store_key(&config, true).expect("a new store gets one");
        let named = other.path().join("key");
        config.store.key_file = Some(named.clone());
        for is_new in [true, false] {
            let failure = find_or_make_store_key(&config, is_new).expect_err("it is not there");
            assert!(failure.exit == Exit::Damaged && !named.exists(), "{failure:?}");
            assert!(failure.error.contains("store.key_file"), "{failure:?}");
        }
        write(&named, format!("{}\n", STANDARD.encode([9; KEY_BYTES])).as_bytes());
        let found = find_or_make_store_key(&config, false).expect("it is there now");
        assert!(found.keys == Keys::One(Zeroizing::new([9; KEY_BYTES])));
        assert_eq!((Some(found.origin.as_str()), &found.file), (named.to_str(), &Some(named.clone())));
        assert!(found.keys != made.keys);
        let shown = format!("{found:?}");
        assert!(!shown.contains('9') || !shown.contains("[9"), "{shown}");
    }

    #[test]
    fn a_ring_is_read_as_it_was_written_on_many_lines_and_on_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut ring = find_or_make_store_key(&config(dir.path()), true).expect("a new store gets one").ring();
        assert_eq!((ring.keys.len(), ring.keys[0].number, ring.keys[0].created_ms), (1, 0, 0));
        ring.keys.insert(0, RingKey { number: 7, created_ms: 1_800, key: Zeroizing::new([9; KEY_BYTES]) });
        let text = ring.text();
        assert_eq!(text.lines().count(), 4);
        for form in [text.to_string(), text.replace('\n', " "), format!("{}\n", *text)] {
            assert!(parse_keys(&form) == Some(Keys::Ring(ring.clone())), "{form}");
        }
        let lines: Vec<_> = text.lines().collect();
        for bad in [
            lines[..2].join("\n"),
            lines[1..].join("\n"),
            format!("{}\n{}", *text, lines[2]),
            text.replace("key:7:", "key:x:"),
            text.replace("identity:", "identity:A"),
            text.replace("key:7:1800:", "key:7:"),
            text.replace("postrider-keys:2", "postrider-keys:3"),
        ] {
            assert!(parse_keys(&bad).is_none(), "{bad}");
        }
    }
}
