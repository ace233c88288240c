//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files of the store, sockets that wait to be closed, and what libraries need.
const OWN_FILES: u64 = 512;

/// Raises the soft limit, which many systems set to 1,024, to what the configured
/// connections need. If the hard limit is below that, gives a configuration with
/// fewer connections, and says so: else clients or endpoints could take the files
/// that the store needs.
pub(crate) fn fit(config: &Config) -> Config {
    let needed = needed(config);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut granted = current.unwrap_or(u64::MAX);
    if granted < needed {
        let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
            Ok(()) => granted = wanted,
            Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
        }
    }
    let fitted = fit_to(config, granted);
    if granted < needed {
        tracing::warn!(
            granted,
            needed,
            "limits.client_connections" = fitted.limits.client_connections,
            "limits.in_flight" = fitted.limits.in_flight,
            "fewer files may be open than the configured connections need, so these limits are lower; raise the hard \
             limit of open files (LimitNOFILE= of systemd) or lower them in the configuration"
        );
    }
    fitted
}

/// Two kinds of clients' doors (HTTP and ingest), requests in flight, and as many kept connections.
fn needed(config: &Config) -> u64 {
    OWN_FILES + 3 * config.limits.client_connections + 2 * config.limits.in_flight
}

/// With as many connections as so many files allow: half of what is left for the
/// doors, half for requests.
fn fit_to(config: &Config, granted: u64) -> Config {
    let mut fitted = config.clone();
    if granted < needed(config) {
        let left = granted - OWN_FILES.min(granted / 2);
        let limits = &mut fitted.limits;
        limits.client_connections = limits.client_connections.min((left / 6).max(1));
        limits.in_flight = limits.in_flight.min((left / 4).max(1));
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_store_its_files() {
        let config = Config::default();
        let fit = |granted| {
            let limits = fit_to(&config, granted).limits;
            (limits.client_connections, limits.in_flight)
        };
        let usual = (config.limits.client_connections, config.limits.in_flight);
        assert_eq!(fit(needed(&config)), usual, "enough is enough");
        assert_eq!(fit(256), (21, 32));
        assert_eq!(fit(1_024), (85, 128));
        assert_eq!(fit(1), (1, 1), "whatever comes of it");
        for granted in (64..needed(&config)).step_by(97) {
            let (client_connections, in_flight) = fit(granted);
            let own = granted.saturating_sub(3 * client_connections + 2 * in_flight);
            assert!(own >= OWN_FILES.min(granted / 2), "{granted}: {own}");
        }
    }
}
