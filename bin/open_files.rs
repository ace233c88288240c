//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files of the store, sockets that wait to be closed, and what libraries need.
const OWN_FILES: u64 = 512;

/// Raises the soft limit, which many systems set to 1,024, to what the
/// configured connections need, and warns if the hard limit is below that.
pub(crate) fn raise_limit(config: &Config) {
    let limits = &config.limits;
    // Two kinds of clients' doors (HTTP and ingest), requests in flight, and as many kept connections.
    let needed = OWN_FILES + 3 * limits.client_connections + 2 * limits.in_flight;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let granted = maximum.map_or(needed, |maximum| needed.min(maximum));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(granted), maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    } else if granted < needed {
        tracing::warn!(granted, needed, "fewer files may be open than the configured connections need");
    }
}
