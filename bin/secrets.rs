//! The small files beside the store that hold keys, each readable by its owner
//! only: the secret of tokens, the store's key, and a note of the default tenant.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_api::TokenSecret;
use postrider_model::id::OrgId;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::exit::{Exit, Failure};

/// Random bytes of a key that is made here.
const KEY_BYTES: usize = 32;

/// The secret that tokens are signed with, if there is one already.
///
/// # Errors
/// The file cannot be read, or is too short: whoever guesses the secret is every tenant.
pub(crate) fn find_token_secret(config: &Config) -> Result<Option<TokenSecret>, Failure> {
    if let Some(secret) = &config.auth.jwt_secret {
        return Ok(Some(TokenSecret::new(secret.expose().as_bytes().to_vec())));
    }
    let path = token_secret_file(config);
    let Some(text) = read(&path)? else { return Ok(None) };
    if text.len() < KEY_BYTES {
        let error = format!("{} holds no secret of at least {KEY_BYTES} bytes", path.display());
        return Err(Failure::new(Exit::Damaged, error)
            .hint("restore this file from a backup, or delete it: the next start makes another, and old tokens end"));
    }
    Ok(Some(TokenSecret::new(text.as_bytes().to_vec())))
}

/// The secret that tokens are signed with; made if there is none yet.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn find_or_make_token_secret(config: &Config) -> Result<TokenSecret, Failure> {
    if let Some(secret) = find_token_secret(config)? {
        return Ok(secret);
    }
    let text = URL_SAFE_NO_PAD.encode(random_key()?.as_ref());
    write(&token_secret_file(config), &text)?;
    Ok(TokenSecret::new(text.into_bytes()))
}

/// The key that endpoints' secrets are sealed with, if there is one already.
///
/// # Errors
/// The file cannot be read, or holds no key.
pub(crate) fn find_store_key(data_dir: &Path) -> Result<Option<Zeroizing<[u8; KEY_BYTES]>>, Failure> {
    let path = data_dir.join("store.key");
    let Some(text) = read(&path)? else { return Ok(None) };
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    match URL_SAFE_NO_PAD.decode_slice(text.as_bytes(), key.as_mut()) {
        Ok(KEY_BYTES) => Ok(Some(key)),
        _ => Err(Failure::new(Exit::Damaged, format!("{} holds no key of {KEY_BYTES} bytes", path.display()))
            .hint(restore(&path))),
    }
}

/// The key that endpoints' secrets are sealed with; made for a store that is new.
///
/// # Errors
/// The file cannot be read or written, or a store is there without its key.
pub(crate) fn find_or_make_store_key(data_dir: &Path, is_new: bool) -> Result<Zeroizing<[u8; KEY_BYTES]>, Failure> {
    let path = data_dir.join("store.key");
    match find_store_key(data_dir)? {
        Some(key) => Ok(key),
        None if is_new => {
            let key = random_key()?;
            write(&path, &URL_SAFE_NO_PAD.encode(key.as_ref()))?;
            Ok(key)
        }
        None => Err(Failure::new(Exit::Damaged, format!("{} is missing beside a store that needs it", path.display()))
            .hint(restore(&path))),
    }
}

fn restore(store_key: &Path) -> String {
    format!("restore {} from a backup; without it the endpoints' secrets cannot be read", store_key.display())
}

/// The tenant of the sockets and of a plain `token create`, if it is known.
///
/// # Errors
/// The note of it cannot be read.
pub(crate) fn find_default_org(config: &Config) -> Result<Option<OrgId>, Failure> {
    if let Some(org) = config.auth.default_org {
        return Ok(Some(org));
    }
    let path = default_org_file(config);
    let Some(text) = read(&path)? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| Failure::runtime(format!("{}: {error}", path.display())))
}

/// Notes the default tenant beside the store, for `token create`. The journal
/// has the truth; this is brought up to date at each start, whatever became of it.
///
/// # Errors
/// The note cannot be written.
pub(crate) fn note_default_org(config: &Config, org: OrgId) -> Result<(), Failure> {
    let (path, text) = (default_org_file(config), org.to_string());
    if read(&path).is_ok_and(|known| known.is_some_and(|known| *known == text)) {
        return Ok(());
    }
    write(&path, &text)
}

fn token_secret_file(config: &Config) -> PathBuf {
    config.data_dir.join("jwt-secret")
}

fn default_org_file(config: &Config) -> PathBuf {
    config.data_dir.join("default-org")
}

/// Random bytes of the system, for a key.
///
/// # Errors
/// The system has none.
pub(crate) fn random_key() -> Result<Zeroizing<[u8; KEY_BYTES]>, Failure> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(key.as_mut())
        .map_err(|error| Failure::runtime(format!("failed to get random bytes from the system: {error}")))?;
    Ok(key)
}

/// The text of a file without the line feed at its end; `None` if it is not there.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    match std::fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(Zeroizing::new(text.trim_end().to_owned()))),
            Err(_) => Err(Failure::new(Exit::Damaged, format!("{} is damaged: it is not UTF-8", path.display()))
                .hint(format!("restore {} from a backup", path.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::system(format_args!("failed to read {}", path.display()), &error)),
    }
}

/// Writes a small file so that after a crash it is there whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        std::fs::File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    write().map_err(|error| Failure::system(format_args!("failed to write {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use postrider_api::token::{Subject, create, verify};
    use postrider_model::id::RawId;
    use postrider_model::time::UnixMs;

    use super::*;

    fn config(dir: &Path) -> Config {
        Config { data_dir: dir.to_owned(), ..Config::default() }
    }

    #[test]
    fn a_token_secret_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path());
        assert!(find_token_secret(&config).expect("nothing is wrong").is_none());
        let made = find_or_make_token_secret(&config).expect("it can be written");
        let again = find_or_make_token_secret(&config).expect("it can be read");
        let (org, now) = (OrgId(RawId::from_bytes([7; 20])), UnixMs(1_000_000));
        let token = create(&made, org, std::time::Duration::from_secs(60), now);
        assert_eq!(verify(&again, &token, now), Ok(Subject::Org(org)));
        let mode = std::fs::metadata(dir.path().join("jwt-secret")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_token_secret_that_can_be_guessed_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path());
        for text in ["", "\n", "short", &"x".repeat(31)] {
            std::fs::write(token_secret_file(&config), text).expect("it can be written");
            assert_eq!(find_or_make_token_secret(&config).expect_err(text).exit, Exit::Damaged);
        }
        std::fs::write(token_secret_file(&config), "x".repeat(32)).expect("it can be written");
        assert!(find_token_secret(&config).expect("it is long enough").is_some());
    }

    #[test]
    fn a_store_never_gets_another_key() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let missing = find_or_make_store_key(dir.path(), false).expect_err("there is a store, but no key");
        assert_eq!(missing.exit, Exit::Damaged);
        let made = find_or_make_store_key(dir.path(), true).expect("a new store gets one");
        assert_eq!(find_or_make_store_key(dir.path(), false).expect("it is there"), made);
        let path = dir.path().join("store.key");
        let not_base64 = "!".repeat(43);
        for damage in [b"short".as_slice(), b"\xff\xfe", b"", not_base64.as_bytes(), &[b'A'; 60]] {
            std::fs::write(&path, damage).expect("it can be written");
            let failure = find_store_key(dir.path()).expect_err("no key");
            assert_eq!(failure.exit, Exit::Damaged, "{damage:?}");
            assert!(failure.hints.iter().any(|hint| hint.contains("store.key")), "{failure:?}");
        }
    }

    #[test]
    fn the_default_tenant_is_noted() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (config, org) = (config(dir.path()), OrgId(RawId::from_bytes([9; 20])));
        assert_eq!(find_default_org(&config).expect("nothing is wrong"), None);
        note_default_org(&config, org).expect("it can be written");
        assert_eq!(find_default_org(&config).expect("it can be read"), Some(org));
    }
}
