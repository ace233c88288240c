//! The keys that the server needs, from where they are kept: files, the
//! environment or systemd's credentials. What is made here lies beside the store,
//! readable by its owner only, as does a note of the default tenant.

mod file;
mod key;
mod store_key;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_api::TokenSecret;
use postrider_model::id::OrgId;
use zeroize::Zeroizing;

pub(crate) use self::file::FORBIDDEN_MODE;
use self::file::{read, write};
pub(crate) use self::key::{KEY_BYTES, Key, parse_key};
pub(crate) use self::store_key::{StoreKey, find_or_make_store_key, find_store_key};
use crate::config::{Config, MIN_JWT_SECRET_BYTES};
use crate::exit::{Exit, Failure};

/// The secret that tokens are signed with, if there is one already.
///
/// # Errors
/// The file cannot be read, is open to others, or is too short: whoever guesses the secret is every tenant.
pub(crate) fn find_token_secret(config: &Config) -> Result<Option<TokenSecret>, Failure> {
    if let Some(path) = &config.auth.jwt_secret_file {
        let missing = || {
            Failure::new(Exit::Damaged, format!("auth.jwt_secret_file: {} is not there", path.display()))
                .hint(format!("a new one ends all tokens: `(umask 077; openssl rand -base64 32 > {})`", path.display()))
        };
        return read_token_secret(path)?.ok_or_else(missing).map(Some);
    }
    if let Some(secret) = &config.auth.jwt_secret {
        return Ok(Some(TokenSecret::new(secret.expose().as_bytes().to_vec())));
    }
    let given = credential("postrider.jwt-secret").map(|path| read_token_secret(&path)).transpose()?.flatten();
    if given.is_some() {
        return Ok(given);
    }
    let path = token_secret_file(config);
    read_token_secret(&path)
        .map_err(|failure| failure.hint("or delete it: the next start makes another, and old tokens end"))
}

fn read_token_secret(path: &Path) -> Result<Option<TokenSecret>, Failure> {
    let Some(text) = read(path)? else { return Ok(None) };
    if text.len() < MIN_JWT_SECRET_BYTES {
        let error = format!("{} holds no secret of at least {MIN_JWT_SECRET_BYTES} bytes", path.display());
        return Err(Failure::new(Exit::Damaged, error).hint("restore this file from a backup"));
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
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random_key()?.as_ref()));
    write(&token_secret_file(config), &text)?;
    Ok(TokenSecret::new(text.as_bytes().to_vec()))
}

/// Where systemd puts a credential of the unit (systemd.exec(5), `LoadCredential=`).
fn credential(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty())?;
    Some(Path::new(&dir).join(name))
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
    // It is no secret, so whoever may read it does not matter.
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::system(format_args!("failed to read {}", path.display()), &error)),
    };
    text.trim_end().parse().map(Some).map_err(|error| Failure::runtime(format!("{}: {error}", path.display())))
}

/// Notes the default tenant beside the store, for `token create`. The journal
/// has the truth; this is brought up to date at each start, whatever became of it.
///
/// # Errors
/// The note cannot be written.
pub(crate) fn note_default_org(config: &Config, org: OrgId) -> Result<(), Failure> {
    let (path, text) = (default_org_file(config), org.to_string());
    if std::fs::read_to_string(&path).is_ok_and(|known| known.trim_end() == text) {
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
pub(crate) fn random_key() -> Result<Key, Failure> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(key.as_mut())
        .map_err(|error| Failure::runtime(format!("failed to get random bytes from the system: {error}")))?;
    Ok(key)
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
            write(&token_secret_file(&config), text).expect("it can be written");
            assert_eq!(find_or_make_token_secret(&config).expect_err(text).exit, Exit::Damaged);
        }
        write(&token_secret_file(&config), &"x".repeat(32)).expect("it can be written");
        assert!(find_token_secret(&config).expect("it is long enough").is_some());
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
