//! From a host name to addresses.
//!
//! Names are looked up as they stand: the search list of `resolv.conf` is not
//! applied, so a customer's name never turns into one of the operator's network.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};
use parking_lot::Mutex;

/// The time for one query to one name server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a query is sent before it fails.
const QUERY_ATTEMPTS: usize = 2;
/// Queries under way at once to one name server. Each new connection asks two,
/// and names that hang must not keep others from being asked for (W11), so this
/// is more than twice the 4,096 attempts that may be in flight.
const MAX_ACTIVE_QUERIES: usize = 10_000;
/// Names whose answers are remembered.
const CACHED_NAMES: u64 = 16_384;
/// How long an answer is remembered at most, whatever its TTL says.
const MAX_TTL: Duration = Duration::from_secs(3_600);
/// How long it is remembered at most that a name has no address.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// After a failure the system's configuration is read again, but not more often than this.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// What a lookup gives back.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'a>>;

/// Finds the addresses of a name. Asked once for every new connection; what it
/// answers goes through the guard.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `name`, best first. `name` is no literal address.
    ///
    /// # Errors
    /// The name has none, or it cannot be found out.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// Why a name gave no address.
#[derive(Debug)]
pub struct ResolveError(Box<dyn std::error::Error + Send + Sync>);

impl ResolveError {
    /// From the error of whatever was asked.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ResolveError {}

/// The hosts file, then the name servers of `resolv.conf`, with a cache that
/// keeps to the TTLs. Both files are read again after a failure, so a server
/// that started before its network was there recovers by itself.
pub(crate) struct SystemResolver(Mutex<Loaded>);

#[derive(Clone)]
struct Loaded {
    hosts: Arc<Hosts>,
    dns: TokioResolver,
    at: Instant,
}

impl SystemResolver {
    pub(crate) fn new() -> Result<Self, NetError> {
        load().map(|loaded| Self(Mutex::new(loaded)))
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut fqdn = Name::from_utf8(name).map_err(ResolveError::new)?;
        fqdn.set_fqdn(true);
        let loaded = self.0.lock().clone();
        let known = in_hosts(&loaded.hosts, &fqdn);
        if !known.is_empty() {
            return Ok(known);
        }
        match loaded.dns.lookup_ip(fqdn).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) => {
                self.reload();
                Err(ResolveError::new(error))
            }
        }
    }

    /// One caller reads the files, the others go on with what there is.
    fn reload(&self) {
        {
            let mut loaded = self.0.lock();
            if loaded.at.elapsed() < RELOAD_INTERVAL {
                return;
            }
            loaded.at = Instant::now();
        }
        match load() {
            Ok(new) => *self.0.lock() = new,
            Err(error) => tracing::warn!(%error, "failed to read the resolver's configuration again"),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(self.lookup(name))
    }
}

fn load() -> Result<Loaded, NetError> {
    let provider = TokioRuntimeProvider::default();
    let builder = TokioResolver::builder(provider.clone()).unwrap_or_else(|error| {
        tracing::warn!(%error, "no usable resolv.conf: only addresses and names of the hosts file can be reached");
        TokioResolver::builder_with_config(ResolverConfig::from_name_servers(Vec::new()), provider)
    });
    let hosts = Hosts::from_system().unwrap_or_else(|error| {
        tracing::warn!(%error, "failed to read the hosts file");
        Hosts::default()
    });
    build(builder, hosts)
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>, hosts: Hosts) -> Result<Loaded, NetError> {
    let options = builder.options_mut();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_ATTEMPTS;
    options.max_active_requests = MAX_ACTIVE_QUERIES;
    options.cache_size = CACHED_NAMES;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Looked at before DNS is asked, so that a name with only one family in the
    // hosts file does not wait for a name server to deny the other.
    options.use_hosts_file = ResolveHosts::Never;
    Ok(Loaded { hosts: Arc::new(hosts), dns: builder.build()?, at: Instant::now() })
}

fn in_hosts(hosts: &Hosts, name: &Name) -> Vec<IpAddr> {
    [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)))
        .flat_map(|lookup| lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests;
