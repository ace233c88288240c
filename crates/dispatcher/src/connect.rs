//! From an origin to an open connection: slot -> resolve -> guard -> TCP -> proxy, if
//! there is one -> TLS, within one limit of time.
//!
//! This is the only place that opens a socket, and [`Inner::tcp`] is the only
//! function, so the guard cannot be walked around (W12).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use postrider_model::check_invariant;
use postrider_model::job::FailureKind;
use postrider_model::proxy::{Proxy, ProxyKind};
use postrider_model::via::Via;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::connections::{Connections, Slot};
use crate::guard::{Class, Guard, UrlRefusal, Verdict};
use crate::metered::{Allowance, Metered};
use crate::origin::Origin;
use crate::proxy::{self, Destination, Hop, Way, Whose};
use crate::resolve::{Resolve, ResolveError};
use crate::socket::{Dial, Socket};
use crate::stream::{Stream, Transport};
use crate::tls::Tls;

/// Addresses of one name that are tried, so that a name with hundreds of them
/// costs no more than others.
const MAX_ADDRESSES: usize = 8;
/// An idle connection is probed after this time, so that firewalls keep it and
/// a vanished peer is noticed.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A connection whose peer confirms nothing for so long is closed. No attempt
/// may take longer than this.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens connections for the pools.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Inner>);

struct Inner {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    dial: Dial,
    tls: Tls,
    /// The operator's own.
    proxy: Option<Proxy>,
    connections: Arc<Connections>,
    timeout: Duration,
    /// Bytes of an answer that are read at most.
    answer_bytes: usize,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("failed to resolve {host}: {source}")]
    Resolve { host: String, source: ResolveError },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("every address of {host} is refused; the first is {address}, {class}")]
    Refused { host: String, address: IpAddr, class: Class },
    #[error("failed to connect to {address}: {source}")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("no root certificate is known, so {host} cannot be verified")]
    NoRoots { host: String },
    #[error("TLS handshake with {host} failed: {source}")]
    Tls { host: String, source: io::Error },
    #[error("the client certificate or the authority for {host} cannot be used: {source}")]
    Identity { host: String, source: rustls::Error },
    #[error("{host} {refusal}")]
    RefusedName { host: String, refusal: UrlRefusal },
    #[error("no connection through the proxy {host}:{port}: {source}")]
    Proxy { host: String, port: u16, source: proxy::Refusal },
    #[error("{step} did not end in time ({host}, at most {limit:?} for the whole connection)")]
    TooSlow { step: Step, host: String, limit: Duration },
}

/// What a connection can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Slot,
    Resolve,
    Tcp,
    Proxy,
    Tls,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Slot => "waiting for a free connection",
            Self::Resolve => "resolving",
            Self::Tcp => "connecting",
            Self::Proxy => "connecting through the proxy",
            Self::Tls => "TLS handshake",
        })
    }
}

impl ConnectError {
    /// The class of the failure.
    pub(crate) const fn kind(&self) -> FailureKind {
        match self {
            Self::Resolve { .. } | Self::NoAddress { .. } => FailureKind::Dns,
            Self::Refused { .. } | Self::RefusedName { .. } => FailureKind::AddressRefused,
            Self::Tcp { .. } => FailureKind::Connect,
            Self::NoRoots { .. } | Self::Tls { .. } | Self::Identity { .. } => FailureKind::Tls,
            Self::TooSlow { .. } => FailureKind::Timeout,
            Self::Proxy { .. } => FailureKind::Proxy,
        }
    }

    fn proxy(proxy: &Proxy, source: impl Into<proxy::Refusal>) -> Self {
        Self::Proxy { host: proxy.host().to_owned(), port: proxy.port(), source: source.into() }
    }

    /// What kept us from the proxy. That the guard refuses it stays what it is.
    fn of_proxy(self, proxy: &Proxy) -> Self {
        match self {
            Self::Refused { .. } => self,
            other => Self::proxy(proxy, other),
        }
    }
}

impl Connector {
    pub(crate) fn new(
        guard: Guard,
        resolver: Arc<dyn Resolve>,
        (dial, tls, proxy): (Dial, Tls, Option<Proxy>),
        connections: Arc<Connections>,
        timeout: Duration,
        answer_bytes: usize,
    ) -> Self {
        Self(Arc::new(Inner { guard, resolver, dial, tls, proxy, connections, timeout, answer_bytes }))
    }

    /// When a connection that is begun now must be there. The limit stands here
    /// and not only in the attempt, because the pool lets a connection go on that
    /// its attempt does not need any more.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeout
    }

    /// Waits for the right to a connection to `origin`.
    pub(crate) async fn slot(&self, origin: &Origin, until: Instant) -> Result<Slot, ConnectError> {
        self.0.within(until, Step::Slot, origin.host(), self.0.connections.slot(origin)).await
    }

    /// Uses that right.
    pub(crate) async fn open(&self, origin: &Origin, slot: Slot, until: Instant) -> Result<Stream, ConnectError> {
        Ok(Stream::new(self.0.transport(origin, until).await?, slot))
    }
}

impl Inner {
    async fn transport(&self, origin: &Origin, until: Instant) -> Result<Transport, ConnectError> {
        let host = origin.host();
        let way = self.way(origin, until).await?;
        let tls = origin.secure().then(|| self.tls_or_error(origin)).transpose()?;
        let tcp = match way {
            Way::Direct(allowed) => self.first_open((host, origin.port()), &allowed, Whose::Customers, until).await?,
            Way::Through(hop) => Box::pin(self.through(host, &hop, until)).await?,
        };
        let tcp = Metered::new(tcp, Allowance::new(self.answer_bytes));
        match tls {
            None => Ok(Transport::Plain(tcp)),
            Some(tls) => self.within(until, Step::Tls, host, handshake(&tls, host, tcp)).await?,
        }
    }

    /// Looks up what is to be known before a socket is opened, and asks the guard about all of it.
    async fn way<'a>(&'a self, origin: &'a Origin, until: Instant) -> Result<Way<'a>, ConnectError> {
        let (host, port) = (origin.host(), origin.port());
        let own = origin.via().and_then(Via::proxy).map(|proxy| (proxy, Whose::Customers));
        let Some((proxy, whose)) = own.or_else(|| Some((self.proxy.as_ref()?, Whose::Operators))) else {
            return self.found(host, until).await.map(Way::Direct);
        };
        let to = if proxy.kind() == ProxyKind::Socks5h && host.parse::<IpAddr>().is_err() {
            let refused = |refusal| ConnectError::RefusedName { host: host.to_owned(), refusal };
            self.guard.refuses_name(host).map_or(Ok(()), |refusal| Err(refused(refusal)))?;
            vec![Destination::Name(host.to_owned(), port)]
        } else {
            let found = self.found(host, until).await?;
            found.into_iter().map(|address| Destination::Address(SocketAddr::new(address, port))).collect()
        };
        let at = match whose {
            Whose::Customers => self.found(proxy.host(), until).await,
            Whose::Operators => self.within(until, Step::Resolve, proxy.host(), self.addresses(proxy.host())).await?,
        };
        let at = at.map_err(|error| error.of_proxy(proxy))?;
        Ok(Way::Through(Hop { proxy, whose, at, to }))
    }

    /// The addresses of a host that may be connected to.
    async fn found(&self, host: &str, until: Instant) -> Result<Vec<IpAddr>, ConnectError> {
        let found = self.within(until, Step::Resolve, host, self.addresses(host)).await??;
        self.allowed(host, &found)
    }

    /// Opens a connection to the proxy and has it connect to one address after the other;
    /// each gets an equal share of the time that is left.
    async fn through(&self, host: &str, hop: &Hop<'_>, until: Instant) -> Result<Socket, ConnectError> {
        let Hop { proxy, whose, at, to } = hop;
        let mut error = ConnectError::NoAddress { host: host.to_owned() };
        let shares = (1..=to.len()).rev().filter_map(|left| u32::try_from(left).ok());
        for (to, left) in to.iter().zip(shares) {
            let share = share(until, left);
            let place = (proxy.host(), proxy.port());
            // Without the proxy no other address is reached either.
            let opened = self.first_open(place, at, *whose, share).await.map_err(|error| error.of_proxy(proxy))?;
            match self.within(share, Step::Proxy, host, proxy::through(proxy, opened, to)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(source)) => error = ConnectError::proxy(proxy, source),
                Err(slow) => error = slow,
            }
        }
        Err(error)
    }

    async fn within<T>(
        &self,
        until: Instant,
        step: Step,
        host: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        let too_slow = |_| ConnectError::TooSlow { step, host: host.to_owned(), limit: self.timeout };
        tokio::time::timeout_at(until, work).await.map_err(too_slow)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        if let Ok(literal) = host.parse() {
            return Ok(vec![literal]);
        }
        let resolved = self.resolver.resolve(host).await;
        resolved.map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })
    }

    /// Drops the addresses that the guard refuses; it is an error if none is left.
    fn allowed(&self, host: &str, found: &[IpAddr]) -> Result<Vec<IpAddr>, ConnectError> {
        let mut first_refused = None;
        let mut allowed = Vec::with_capacity(found.len().min(MAX_ADDRESSES));
        for &address in found {
            match self.guard.check(address) {
                Verdict::Allowed if allowed.len() < MAX_ADDRESSES => allowed.push(address),
                Verdict::Allowed => break,
                Verdict::Refused(class) => first_refused = first_refused.or(Some((address, class))),
            }
        }
        match first_refused {
            _ if !allowed.is_empty() => Ok(allowed),
            Some((address, class)) => Err(ConnectError::Refused { host: host.to_owned(), address, class }),
            None => Err(ConnectError::NoAddress { host: host.to_owned() }),
        }
    }

    /// Tries one address after the other. Each gets an equal share of the time
    /// that is left, so that a dead one does not use up that of the living.
    async fn first_open(
        &self,
        (host, port): (&str, u16),
        allowed: &[IpAddr],
        whose: Whose,
        until: Instant,
    ) -> Result<Socket, ConnectError> {
        let mut error = ConnectError::NoAddress { host: host.to_owned() };
        let shares = (1..=allowed.len()).rev().filter_map(|left| u32::try_from(left).ok());
        for (&address, left) in allowed.iter().zip(shares) {
            let tcp = self.tcp(host, SocketAddr::new(address, port), whose);
            match self.within(share(until, left), Step::Tcp, host, tcp).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(failed)) | Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    async fn tcp(&self, host: &str, address: SocketAddr, whose: Whose) -> Result<Socket, ConnectError> {
        if let (Whose::Customers, Verdict::Refused(class)) = (whose, self.guard.check(address.ip())) {
            let _held = check_invariant!("W12", false, "a refused address came as far as the socket");
            return Err(ConnectError::Refused { host: host.to_owned(), address: address.ip(), class });
        }
        let failed = |source| ConnectError::Tcp { address, source };
        match &self.dial {
            Dial::System => {
                let tcp = TcpStream::connect(address).await.map_err(failed)?;
                if let Err(error) = tune(&tcp) {
                    // The connection works without.
                    tracing::debug!(%address, %error, "failed to set socket options");
                }
                Ok(Socket::Tcp(tcp))
            }
            #[cfg(any(test, feature = "simulation"))]
            Dial::Simulated(network) => network.open(address).await.map(Socket::Simulated).map_err(failed),
        }
    }

    fn tls_or_error(&self, origin: &Origin) -> Result<TlsConnector, ConnectError> {
        let host = || origin.host().to_owned();
        let found = self.tls.connector(origin.via());
        let found = found.map_err(|source| ConnectError::Identity { host: host(), source })?;
        found.ok_or_else(|| ConnectError::NoRoots { host: host() })
    }
}

/// An equal share of the time that is left, when so many are to have one.
fn share(until: Instant, left: u32) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / left
}

async fn handshake(tls: &TlsConnector, host: &str, tcp: Metered) -> Result<Transport, ConnectError> {
    let failed = |source| ConnectError::Tls { host: host.to_owned(), source };
    let name = ServerName::try_from(host).map_err(|error| failed(io::Error::other(error)))?.to_owned();
    let stream = tls.connect(name, tcp).await.map_err(failed)?;
    Ok(Transport::Tls(Box::new(stream)))
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE_TIME).with_interval(KEEP_ALIVE_INTERVAL))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Resolving;

    struct Unasked;

    impl Resolve for Unasked {
        fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
            panic!("{name} was looked up")
        }
    }

    async fn connect(per_host: usize, held: Option<&str>, uri: &str) -> Result<Stream, ConnectError> {
        let origin = |uri: &str| Origin::of(&uri.parse().expect("a valid URI")).expect("it has a host");
        let connections = Connections::new(per_host, 10);
        let _held = match held {
            Some(uri) => Some(connections.slot(&origin(uri)).await),
            None => None,
        };
        let guard = Guard::new(false, Vec::new());
        let timeout = Duration::from_millis(50);
        let connector =
            Connector::new(guard, Arc::new(Unasked), (Dial::default(), Tls::none(), None), connections, timeout, 1);
        let (origin, until) = (origin(uri), connector.deadline());
        let slot = connector.slot(&origin, until).await?;
        connector.open(&origin, slot, until).await
    }

    #[tokio::test]
    async fn without_roots_nothing_is_connected_and_the_error_says_why() {
        let error = connect(1, None, "https://127.0.0.1:1/").await.err().expect("nothing can be verified");
        assert!(matches!(error, ConnectError::NoRoots { .. }), "{error}");
        assert_eq!(error.kind(), FailureKind::Tls);
    }

    #[tokio::test]
    async fn waiting_for_a_slot_ends_in_time() {
        let uri = "http://127.0.0.1:1/";
        let error = connect(1, Some(uri), uri).await.err().expect("the only slot is taken");
        assert!(matches!(error, ConnectError::TooSlow { step: Step::Slot, .. }), "{error}");
        assert_eq!(error.kind(), FailureKind::Timeout);
    }
}
