//! The secret that tokens are signed with, and where it comes from:
//!
//! ```text
//!   auth.jwt_secret_file > auth.jwt_secret > $CREDENTIALS_DIRECTORY/postrider.jwt-secret > DIR/jwt-secret
//! ```
//!
//! In the data directory it lies sealed with the store's key, so that a copy of the
//! directory without that key opens no door. One in the clear, as earlier builds have
//! made it, is sealed at the first start.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_api::TokenSecret;
use postrider_outbox::MasterKey;
use zeroize::Zeroizing;

use super::{StoreKey, credential, file, find_or_make_store_key, random_key};
use crate::config::{Config, MIN_JWT_SECRET_BYTES};
use crate::exit::{Exit, Failure};

/// What a sealed secret begins with; base64 of its envelope follows. No secret that was made here begins so.
const SEALED: &str = "sealed:";

/// The secret that tokens are signed with, if there is one already. Changes nothing.
///
/// # Errors
/// The file cannot be read, is open to others, is too short, or is sealed with another key: whoever guesses the
/// secret is every tenant.
pub(crate) fn find_token_secret(config: &Config) -> Result<Option<TokenSecret>, Failure> {
    if let Some(path) = &config.auth.jwt_secret_file {
        let missing = || {
            Failure::new(Exit::Damaged, format!("auth.jwt_secret_file: {} is not there", path.display()))
                .hint(format!("a new one ends all tokens: `(umask 077; openssl rand -base64 32 > {})`", path.display()))
        };
        return read_plain(path)?.ok_or_else(missing).map(Some);
    }
    if let Some(secret) = &config.auth.jwt_secret {
        return Ok(Some(TokenSecret::new(secret.expose().as_bytes().to_vec())));
    }
    let given = credential("postrider.jwt-secret").map(|path| read_plain(&path)).transpose()?.flatten();
    if given.is_some() {
        return Ok(given);
    }
    let path = own_file(config);
    let Some(text) = file::read(&path)? else { return Ok(None) };
    let bytes = match text.strip_prefix(SEALED) {
        Some(sealed) => open(config, &path, sealed)?,
        None if is_nearly_sealed(&text) => return Err(damaged(&path)),
        None => Zeroizing::new(text.as_bytes().to_vec()),
    };
    checked(&path, &bytes).map_err(or_delete).map(Some)
}

/// Sees to it that there is a secret, and that one in the data directory is sealed. The store has
/// been opened with this key, so that it is the right one.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn keep_token_secret(config: &Config, store_key: &StoreKey) -> Result<TokenSecret, Failure> {
    let path = own_file(config);
    let found = find_token_secret(config)?;
    // Where it cannot be read another one counts, or this would have failed before.
    let present = file::read(&path).ok().flatten();
    let plain = present.as_ref().filter(|text| !text.starts_with(SEALED) && !is_nearly_sealed(text));
    let plain = plain.filter(|text| checked(&path, text.as_bytes()).is_ok());
    if let Some(plain) = plain {
        // Also where another one counts at present: it may count again.
        seal(&path, plain.as_bytes(), store_key)?;
        tracing::info!(path = %path.display(), "the secret of tokens is sealed with the store's key now");
    }
    if let Some(found) = found {
        return Ok(found);
    }
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random_key()?.as_ref()));
    seal(&path, text.as_bytes(), store_key)?;
    Ok(TokenSecret::new(text.as_bytes().to_vec()))
}

/// The number of the key with which the secret of tokens in the data directory is sealed, if it is.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn number_of_token_secret(config: &Config) -> Result<Option<u32>, Failure> {
    let text = file::read(&own_file(config))?;
    let envelope = text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text.strip_prefix(SEALED)?).ok());
    Ok(envelope.and_then(|envelope| MasterKey::number_of(&envelope)))
}

/// Seals the secret of tokens in the data directory with the key that seals now.
///
/// # Errors
/// The file cannot be read or written, or the keys do not open it.
pub(crate) fn seal_token_secret_anew(config: &Config, store_key: &StoreKey) -> Result<(), Failure> {
    let path = own_file(config);
    let text = file::read(&path)?;
    let Some(sealed) = text.as_ref().and_then(|text| text.strip_prefix(SEALED)) else { return Ok(()) };
    let secret = open_with(store_key, &path, sealed)?;
    seal(&path, &secret, store_key)
}

fn own_file(config: &Config) -> PathBuf {
    config.data_dir.join("jwt-secret")
}

fn seal(path: &Path, secret: &[u8], store_key: &StoreKey) -> Result<(), Failure> {
    let envelope = store_key.master().seal(secret);
    file::write(path, &format!("{SEALED}{}", URL_SAFE_NO_PAD.encode(envelope)))
}

fn open(config: &Config, path: &Path, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let store_key = find_or_make_store_key(config, false)?;
    open_with(&store_key, path, sealed)
}

fn open_with(store_key: &StoreKey, path: &Path, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let envelope = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| damaged(path))?;
    let master = store_key.master();
    let is_there = |number: &u32| master.sealing().iter().any(|key| key.number == *number);
    if let Some(number) = MasterKey::number_of(&envelope).filter(|number| !is_there(number)) {
        let error = format!("{} was sealed with key {number}, which {} lacks", path.display(), store_key.origin);
        return Err(Failure::new(Exit::Damaged, error).hint(
            "give the whole text that `key rotate` has written, or bring back a copy of both; nothing was changed",
        ));
    }
    master.open(&envelope).ok_or_else(|| {
        let (path, origin) = (path.display(), &store_key.origin);
        let error = format!("the key from {origin} and {path} do not belong together, or {path} is damaged");
        Failure::new(Exit::Damaged, error)
            .hint(
                "bring back the key that this store was made with, or a copy of this file; backups hold neither; nothing was \
                 changed",
            )
            .hint(format!("only if the store is the right one with this key: delete {path}; old tokens end by that"))
    })
}

fn read_plain(path: &Path) -> Result<Option<TokenSecret>, Failure> {
    let Some(text) = file::read(path)? else { return Ok(None) };
    checked(path, text.as_bytes()).map(Some)
}

fn checked(path: &Path, secret: &[u8]) -> Result<TokenSecret, Failure> {
    // After a power cut a file may have its length and zeros in it, which anybody can guess.
    let is_damaged = secret.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    let error = match secret.len() {
        0..MIN_JWT_SECRET_BYTES => format!("holds no secret of at least {MIN_JWT_SECRET_BYTES} bytes"),
        _ if is_damaged => "is damaged: it has control characters in it".to_owned(),
        _ => return Ok(TokenSecret::new(secret.to_vec())),
    };
    let error = format!("{} {error}", path.display());
    Err(Failure::new(Exit::Damaged, error).hint("bring back a copy of this file; backups do not hold it"))
}

/// A sealed one of which a byte has changed must not be taken for a secret in the clear, and sealed as such.
fn is_nearly_sealed(text: &str) -> bool {
    text.bytes().zip(SEALED.bytes()).filter(|(one, other)| one == other).count() + 1 == SEALED.len()
}

fn damaged(path: &Path) -> Failure {
    let error = format!("{} is damaged", path.display());
    or_delete(Failure::new(Exit::Damaged, error).hint("bring back a copy of this file; backups do not hold it"))
}

fn or_delete(failure: Failure) -> Failure {
    failure.hint("or delete it: the next start makes another, and old tokens end")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use postrider_api::token::{Subject, create, verify};
    use postrider_model::id::{OrgId, RawId};
    use postrider_model::time::UnixMs;

    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn made() -> (tempfile::TempDir, Config, StoreKey) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let key = find_or_make_store_key(&config, true).expect("a new store gets one");
        (dir, config, key)
    }

    fn is_one(one: &TokenSecret, other: &TokenSecret) -> bool {
        let org = OrgId(RawId::from_bytes([7; 20]));
        verify(other, &create(one, org, Duration::from_secs(60), NOW), NOW) == Ok(Subject::Org(org))
    }

    #[test]
    fn a_secret_is_made_once_lies_sealed_and_only_its_owner_reads_it() {
        let (dir, config, key) = made();
        assert!(find_token_secret(&config).expect("nothing is wrong").is_none());
        let made = keep_token_secret(&config, &key).expect("it can be written");
        let path = dir.path().join("jwt-secret");
        let before = std::fs::read_to_string(&path).expect("it is there");
        assert!(before.starts_with(SEALED), "{before}");
        for again in [keep_token_secret(&config, &key).ok(), find_token_secret(&config).ok().flatten()] {
            assert!(is_one(&made, &again.expect("it can be read")));
        }
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), before, "it is not sealed anew");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn one_in_the_clear_is_sealed_and_stays_the_same_whatever_a_crash_left() {
        let (dir, config, key) = made();
        let (path, plain) = (dir.path().join("jwt-secret"), "x".repeat(43));
        file::write(&path, &plain).expect("it can be written");
        // A crash before the new file takes the old one's place.
        std::fs::write(path.with_file_name(".jwt-secret.tmp-0"), "sealed:half").expect("it can be written");
        let before = find_token_secret(&config).expect("it is readable").expect("it is there");
        assert!(is_one(&before, &TokenSecret::new(plain.clone().into_bytes())));
        let kept = keep_token_secret(&config, &key).expect("it is sealed");
        assert!(is_one(&before, &kept));
        let now = std::fs::read_to_string(&path).expect("it is there");
        assert!(now.starts_with(SEALED) && !now.contains(&plain), "{now}");
        assert!(is_one(&before, &find_token_secret(&config).expect("it is readable").expect("it is there")));
    }

    #[test]
    fn another_key_or_a_changed_file_is_refused_and_stays() {
        let (dir, config, key) = made();
        keep_token_secret(&config, &key).expect("it can be written");
        let path = dir.path().join("jwt-secret");
        let good = std::fs::read_to_string(&path).expect("it is there");
        for bad in [
            good.replace("sealed:", "sealed:A"),
            good.replace("sealed:", "seeled:"),
            format!("{}!", good.trim_end()),
            "sealed:".to_owned(),
        ] {
            file::write(&path, bad.trim_end()).expect("it can be written");
            let failure = find_token_secret(&config).expect_err("it is damaged");
            assert!(failure.exit == Exit::Damaged && failure.error.contains("jwt-secret"), "{failure:?}");
            assert!(keep_token_secret(&config, &key).is_err());
            assert_eq!(std::fs::read_to_string(&path).expect("it is there").trim_end(), bad.trim_end());
        }
        file::write(&path, good.trim_end()).expect("it can be written");
        file::write(&dir.path().join("store.key"), &URL_SAFE_NO_PAD.encode([9; 32])).expect("it can be written");
        let failure = find_token_secret(&config).expect_err("it is another key");
        assert!(failure.error.contains("do not belong together") && failure.error.contains("store.key"), "{failure:?}");
        std::fs::remove_file(dir.path().join("store.key")).expect("it is there");
        let failure = find_token_secret(&config).expect_err("there is no key");
        assert!(failure.exit == Exit::Damaged && failure.error.contains("missing"), "{failure:?}");
    }

    #[test]
    fn a_damaged_envelope_stays_as_it_is_where_another_secret_counts() {
        let (dir, config, key) = made();
        keep_token_secret(&config, &key).expect("it can be written");
        let (path, given) = (dir.path().join("jwt-secret"), dir.path().join("given"));
        file::write(&given, &"x".repeat(43)).expect("it can be written");
        let damaged = std::fs::read_to_string(&path).expect("it is there").replace("sealed:", "seeled:");
        file::write(&path, damaged.trim_end()).expect("it can be written");
        let mut other = config;
        other.auth.jwt_secret_file = Some(given);
        keep_token_secret(&other, &key).expect("the other one counts");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), damaged);
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let (dir, config, key) = made();
        let path = dir.path().join("jwt-secret");
        let cut = format!("{}\0\0\0\0", "x".repeat(39));
        for text in ["", "\n", "short", &"x".repeat(31), &"\0".repeat(120), &cut] {
            file::write(&path, text).expect("it can be written");
            assert_eq!(keep_token_secret(&config, &key).expect_err(text).exit, Exit::Damaged);
            assert_eq!(std::fs::read_to_string(&path).expect("it is there").trim_end(), text.trim_end(), "it stays");
        }
        file::write(&path, &"x".repeat(32)).expect("it can be written");
        assert!(find_token_secret(&config).expect("it is long enough").is_some());
    }
}
