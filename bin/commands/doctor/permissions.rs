//! Whether others can get at the events, or at the keys that lie beside them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Finding, Level};
use crate::config::Config;
use crate::{secrets, wiring};

/// What is open, one finding a place.
pub(super) fn permissions(config: &Config) -> Vec<Finding> {
    let places = wiring::open_places(config).into_iter();
    let places = places.map(|place| Finding::new(Level::Problem, place.says).help(place.help));
    // A start refuses these, whatever directory they lie in.
    let keys = ["store.key", "jwt-secret"].into_iter().filter_map(|name| open_key(&config.data_dir.join(name)));
    places.chain(keys).collect()
}

fn open_key(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & secrets::FORBIDDEN_MODE != 0).then(|| {
        let says = format!("{} can be read or written by others (mode {mode:03o})", path.display());
        Finding::new(Level::Problem, says).help(format!("chmod 600 {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_open_is_named_with_the_command_that_closes_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let key = dir.path().join("store.key");
        std::fs::write(&key, "key").expect("it can be written");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        set(dir.path(), 0o700);
        set(&key, 0o600);
        assert!(permissions(&config).is_empty());
        set(&key, 0o640);
        assert!(permissions(&config).is_empty(), "its group may read it, as a start allows");
        set(dir.path(), 0o711);
        assert!(permissions(&config).is_empty(), "a socket in it may be reached");
        set(&key, 0o644);
        let found = permissions(&config);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert!(finding.says.contains("mode 644") && finding.help[0].contains("store.key"), "{finding:?}");
    }
}
