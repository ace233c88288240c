//! SIGHUP: reads the configuration anew and takes over what can be taken over.

use crate::config::{self, Config, KEYS, Sources};
use crate::logging::LogLevelHandle;

/// Reads the configuration anew. Gives the one that is in effect afterwards:
/// the present one with the reloadable keys of the new one. If anything is
/// wrong, all stays as it is.
pub(crate) fn reload(present: &Config, sources: &Sources, log_level: &LogLevelHandle) -> Config {
    let new = match config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            for problem in problems.0 {
                tracing::error!(problem, "the configuration stays as it is");
            }
            return present.clone();
        }
    };
    let (taken_over, waiting) = changes(present, &new);
    if !waiting.is_empty() {
        tracing::warn!(keys = waiting.join(", "), "these changed keys take effect at the next start");
    }
    let effective = Config { log: new.log, retry: new.retry, breaker: new.breaker, rate: new.rate, ..present.clone() };
    log_level.reload(&effective);
    if !taken_over.is_empty() || waiting.is_empty() {
        tracing::info!(keys = taken_over.join(", "), "configuration reloaded");
    }
    effective
}

/// The names of the changed keys: those that take effect now, and the others.
fn changes(present: &Config, new: &Config) -> (Vec<&'static str>, Vec<&'static str>) {
    let changed = KEYS.iter().filter(|key| !key.is_same(present, new));
    let (now, later): (Vec<_>, Vec<_>) = changed.partition(|key| key.reload);
    (now.iter().map(|key| key.name).collect(), later.iter().map(|key| key.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_are_told_apart_by_when_they_take_effect() {
        let present = Config::default();
        let sources = Sources {
            flags: [("log.level", "debug"), ("limits.in_flight", "5000"), ("auth.jwt_secret", &"x".repeat(32))]
                .map(|(key, value)| ("--set".into(), key.into(), value.into()))
                .to_vec(),
            ..Sources::default()
        };
        let new = config::load(&sources).expect("a good configuration").config;
        assert_eq!(changes(&present, &new), (vec!["log.level"], vec!["auth.jwt_secret", "limits.in_flight"]));
        assert_eq!(changes(&present, &present), (vec![], vec![]));
    }
}
