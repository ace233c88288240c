//! Serves routes at one door: a TCP or a Unix listener.
//!
//! ```text
//!   listener --accept--> connection task --handshake--> connection --request--> routes
//!      ^                                      |             |          |
//!   a free slot                               |             |          +-- request_timeout: 503; what is left
//!   (max_connections)     handshake_timeout --+             |              unread: thrown away
//!                                                           +-- header_read_timeout, idle_timeout: closed
//! ```
//!
//! Over the limit clients wait in the listener's backlog, before anything of
//! theirs is read. One address has a quarter of the slots at most, so that it cannot take
//! all: what is more is closed at once. A connection whose first request has not begun within
//! `header_read_timeout`, or that is without a request in progress for
//! `idle_timeout` later on, is closed, whatever it did not send; so a slow client
//! holds its slot for a known time only. A handshake is made in the connection's own task and slot, so
//! who hangs in it holds up nobody. After the stop signal no connection is taken, what is
//! in progress may end within `drain_timeout`, and the rest is cut.

mod browser_headers;
mod client;
mod framing;
mod handshake;
mod places;
mod turns;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::client::Client;
use self::handshake::Handshakes;
use self::places::Places;
use crate::activity::Activity;
use crate::auth::{Door, Peer, Scheme};
use crate::error::ApiError;
use crate::routes::Routes;
use crate::tls::Tls;
use crate::unread::Unread;

/// Bytes of a request's head at most; more is answered 431 (RFC 6585).
const MAX_HEAD_BYTES: u32 = 64 << 10;
/// Header lines of a request.
const MAX_HEADERS: usize = 100;

/// What clients of one door may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections at once; further ones wait to be accepted. One address has a quarter of
    /// them at most; further ones of it are closed at once.
    pub max_connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take to come in: from accepting the
    /// connection or the end of its handshake, and in HTTP/1 from the end of the request before.
    pub header_read_timeout: Duration,
    /// How long a connection may be without a request in progress.
    pub idle_timeout: Duration,
    /// How long a request may take, from its head to the head of its answer.
    pub request_timeout: Duration,
    /// How long requests in progress may go on after the stop signal.
    pub drain_timeout: Duration,
    /// Networks of proxies, which say for whom a request is in `x-forwarded-for`, and
    /// what that client speaks in `x-forwarded-proto`.
    pub proxies: Arc<[IpNet]>,
    /// Whether browsers are told to ask this host over TLS only, where TLS is spoken.
    pub hsts: bool,
    /// Whether connections of this machine itself count for the limit of an address.
    pub counts_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            max_streams: 64,
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            proxies: Arc::default(),
            hsts: false,
            counts_loopback: false,
        }
    }
}

/// The users who need no token at a Unix socket, besides root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedUsers {
    /// The server's own user.
    pub own_uid: u32,
    /// Further users.
    pub allow_uids: Vec<u32>,
}

impl TrustedUsers {
    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid || self.allow_uids.contains(&uid)
    }
}

/// Where clients come in.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A TCP port where only TLS is spoken.
    Tls(TcpListener, Tls),
    /// A Unix socket, and who needs no token there.
    Unix(UnixListener, TrustedUsers),
}

/// One door with what lies behind it.
#[derive(Debug)]
pub struct Service {
    listener: Listener,
    routes: Arc<Routes>,
    options: Options,
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, Door),
}

impl Accepted {
    /// Where it comes from, if it is from another machine, or may be.
    const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) => Some(peer.ip()),
            Self::Unix(..) => None,
        }
    }
}

impl Service {
    /// Serves `routes` at `listener`, once it runs.
    #[must_use]
    pub const fn new(listener: Listener, routes: Arc<Routes>, options: Options) -> Self {
        Self { listener, routes, options }
    }

    /// Serves until `stop` is true or its sender is gone, then drains. Ends
    /// when the last connection has ended.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { listener, routes, options } = self;
        let slots = Arc::new(Semaphore::new(options.max_connections));
        let places = Places::new(&options);
        let handshakes = listener.tls().map(|tls| Handshakes::new(tls.clone(), options.handshake_timeout));
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, accept(&listener).await)
            };
            let (slot, accepted) = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                next = next => next,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    after_failed_accept(&error).await;
                    continue;
                }
            };
            let Some(place) = places.take(accepted.address()) else { continue };
            let handshakes = handshakes.clone();
            let (routes, options, stop) = (Arc::clone(&routes), options.clone(), stop.clone());
            let serving = serve(accepted, handshakes, routes, options, stop);
            connections.spawn(async move { (serving.await, place, slot).0 });
            while let Some(ended) = connections.try_join_next() {
                report(ended);
            }
        }
        drop(listener);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }
}

impl Listener {
    const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(_, tls) => Some(tls),
            Self::Tcp(_) | Self::Unix(..) => None,
        }
    }
}

async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match listener {
        Listener::Tcp(listener) | Listener::Tls(listener, _) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Accepted::Tcp(stream, peer))
        }
        Listener::Unix(listener, users) => {
            let (stream, _) = listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
            Ok(Accepted::Unix(stream, Door::Unix { trusted: users.trusts(peer.uid), peer }))
        }
    }
}

/// A client that is gone again is no matter. Too many open files is: then the
/// same error would come at once, again and again.
async fn after_failed_accept(error: &io::Error) {
    let gone = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::NotConnected];
    if !gone.contains(&error.kind()) {
        tracing::warn!(%error, "failed to accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended abnormally");
    }
}

async fn serve(
    accepted: Accepted,
    handshakes: Option<Handshakes>,
    routes: Arc<Routes>,
    options: Options,
    mut stop: watch::Receiver<bool>,
) {
    match (accepted, handshakes) {
        (Accepted::Unix(stream, door), _) => {
            serve_connection(stream, Client { door, over_tls: false }, routes, options, stop).await;
        }
        (Accepted::Tcp(stream, peer), None) => {
            let client = Client { door: Door::TcpFrom(peer.ip()), over_tls: false };
            serve_connection(stream, client, routes, options, stop).await;
        }
        (Accepted::Tcp(stream, peer), Some(handshakes)) => {
            let client = Client { door: Door::TcpFrom(peer.ip()), over_tls: true };
            // Boxed, so that a connection without TLS does not take the room of one with it.
            let shaking = Box::pin(handshakes.shake(stream, &mut stop));
            if let Some(stream) = shaking.await {
                serve_connection(Box::new(stream), client, routes, options, stop).await;
            }
        }
    }
}

async fn serve_connection<IO>(
    io: IO,
    client: Client,
    routes: Arc<Routes>,
    options: Options,
    mut stop: watch::Receiver<bool>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::default();
    let service = service_fn(|request| {
        let in_progress = activity.begin();
        let door = client.door(request.headers(), &options.proxies);
        let scheme = client.scheme(request.headers(), &options.proxies);
        let routes = Arc::clone(&routes);
        let answer = answer(routes, door, scheme, client.over_tls && options.hsts, options.request_timeout, request);
        async move { (answer.await, in_progress).0 }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read_timeout)
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(MAX_HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = activity.idle_for(options.header_read_timeout, options.idle_timeout) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    if tokio::time::timeout(options.drain_timeout, connection).await.is_err() {
        tracing::debug!(?client, "connection cut: it did not end in time");
    }
}

async fn answer(
    routes: Arc<Routes>,
    door: Door,
    scheme: Scheme,
    only_tls: bool,
    limit: Duration,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let refusal = framing::refusal(request.headers());
    let (request, unread) = Unread::of(request);
    let answering = async {
        match refusal {
            Some(refusal) => {
                drop(request);
                refusal
            }
            None => routes.answer(door, scheme, request).await,
        }
    };
    let answered = tokio::time::timeout(limit, answering).await;
    unread.discard().await;
    let mut answer = answered.unwrap_or_else(|_| {
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "timeout");
        let detail = "the request took too long; it may have been carried out".to_owned();
        let retry_after = Some(Duration::from_secs(1));
        ApiError::Problem { status, code, detail, retry_after }.into_response()
    });
    browser_headers::add(answer.headers_mut(), only_tls);
    Ok(answer)
}

#[cfg(test)]
mod tests;
