//! The keys that the server needs, from where they are kept: files, the
//! environment or systemd's credentials. What is made here lies beside the store,
//! readable by its owner only, as does a note of the default tenant.

mod file;
mod key;
mod store_key;
mod token_secret;

use std::path::{Path, PathBuf};

use postrider_model::id::OrgId;
use zeroize::Zeroizing;

pub(crate) use self::file::FORBIDDEN_MODE;
use self::file::write;
pub(crate) use self::key::{KEY_BYTES, Key, Keys, Ring, RingKey, parse_keys};
pub(crate) use self::store_key::{StoreKey, find_or_make_store_key, find_store_key, write_ring};
pub(crate) use self::token_secret::{
    find_token_secret, keep_token_secret, number_of_token_secret, seal_token_secret_anew,
};
use crate::config::Config;
use crate::exit::Failure;

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
    use postrider_model::id::RawId;

    use super::*;

    fn config(dir: &Path) -> Config {
        Config { data_dir: dir.to_owned(), ..Config::default() }
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
