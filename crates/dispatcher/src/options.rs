//! What a dispatcher can be told, and why it cannot be made.

use std::time::Duration;

use ipnet::IpNet;
use postrider_model::proxy::Proxy;

use crate::identity::Identity;
use crate::signature_headers::SignatureHeaders;

/// The smallest buffer in which the HTTP/1.1 client reads an answer's headers, in bytes.
const MIN_RESPONSE_HEADER_BYTES: usize = 8 * 1_024;

/// No attempt may take longer than 30 s, so more than this is a mistake.
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The settings of a dispatcher. The deadline of an attempt is not among them:
/// it belongs to the endpoint and comes with each job.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the address guard is on. Only an operator whose endpoints are all
    /// his own may turn it off.
    pub guard: bool,
    /// Networks that may be connected to although the guard refuses their class.
    pub allow_networks: Vec<IpNet>,
    /// Root certificates that are trusted beside the system's, each as DER.
    pub extra_roots: Vec<Vec<u8>>,
    /// What requests prove who they come from with whose endpoint has no certificate of its
    /// own. Every server that asks gets to see it.
    pub identity: Option<Identity>,
    /// What requests go through whose endpoint names no proxy. It is the operator's, so
    /// it may be at any address.
    pub proxy: Option<Proxy>,
    /// What the headers of the signature are called.
    pub signature_headers: SignatureHeaders,
    /// The time for a free slot, resolving, connecting and the TLS handshake
    /// together, at most one minute. The deadline of the attempt goes on meanwhile.
    pub connect_timeout: Duration,
    /// Bytes of an answer's body that are read; then the connection is dropped.
    pub response_read_bytes: usize,
    /// Bytes of an answer's status line and headers, at least 8 KiB.
    pub response_header_bytes: usize,
    /// How long an unused connection is kept. Common servers close theirs after
    /// 60 s or more; a shorter time here means that a request rarely meets a
    /// connection that is being closed.
    pub pool_idle_timeout: Duration,
    /// Open connections per scheme, host and port. It is large on purpose: what
    /// may be in flight is limited per endpoint, and endpoints on a shared host
    /// must not starve each other (W11).
    pub pool_max_connections_per_host: usize,
    /// Open connections in all above which a new one serves a single request and
    /// is closed. So idle connections to many hosts cannot use up the file
    /// descriptors, and no request waits for them.
    pub pool_max_connections: usize,
    /// Dispatchers beside each other that share these limits, see
    /// [`crate::Dispatcher::beside`]; at most `pool_max_connections_per_host`. Each
    /// keeps its share of idle connections, so that it always has one to a host.
    pub pools: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            guard: true,
            allow_networks: Vec::new(),
            extra_roots: Vec::new(),
            identity: None,
            proxy: None,
            signature_headers: SignatureHeaders::default(),
            connect_timeout: Duration::from_secs(5),
            response_read_bytes: 64 * 1_024,
            response_header_bytes: 32 * 1_024,
            pool_idle_timeout: Duration::from_secs(20),
            pool_max_connections_per_host: 256,
            pool_max_connections: 4_096,
            pools: 1,
        }
    }
}

impl Options {
    /// Refuses values with which nothing could be sent.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let problem = |option, problem| Err(Error::Option { option, problem });
        if self.connect_timeout.is_zero() || self.connect_timeout > MAX_CONNECT_TIMEOUT {
            return problem("connect_timeout", "must be longer than zero and at most one minute");
        }
        if self.response_header_bytes < MIN_RESPONSE_HEADER_BYTES {
            return problem("response_header_bytes", "must be at least 8192");
        }
        if u32::try_from(self.response_header_bytes).is_err() {
            return problem("response_header_bytes", "must be less than 4 GiB");
        }
        if self.pool_max_connections_per_host == 0 {
            return problem("pool_max_connections_per_host", "must be at least 1");
        }
        if self.pool_max_connections_per_host > tokio::sync::Semaphore::MAX_PERMITS {
            return problem("pool_max_connections_per_host", "is too large");
        }
        if !(1..=self.pool_max_connections_per_host).contains(&self.pools) {
            return problem("pools", "must be at least 1 and at most pool_max_connections_per_host");
        }
        Ok(())
    }
}

/// Why a dispatcher cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option has a value with which nothing could be sent.
    #[error("dispatch option {option} {problem}")]
    Option {
        /// The field of [`Options`].
        option: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An extra root certificate is none.
    #[error("extra root certificate {number} is not a usable certificate: {source}")]
    ExtraRoot {
        /// Its place in [`Options::extra_roots`], from 1.
        number: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The TLS client cannot be set up.
    #[error("failed to set up the TLS client: {0}")]
    Tls(#[source] rustls::Error),
    /// The resolver cannot be set up.
    #[error("failed to set up the resolver: {0}")]
    Resolver(#[source] hickory_resolver::net::NetError),
}
