//! Through a proxy: from a connection to it to one with the target.
//!
//! The proxy is told the address that the guard has seen, not the name: it would look
//! the name up once more, and may find another address (W12). `socks5h` alone gives
//! the name, which is what it is for.

use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use postrider_model::proxy::{Proxy, ProxyKind};
use tower::Service;

use crate::socket::Socket;

/// Who says where a socket is opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// An endpoint: the guard has its say.
    Customers,
    /// The configuration.
    Operators,
}

/// How an origin is reached.
pub(crate) enum Way<'a> {
    /// At one of these.
    Direct(Vec<IpAddr>),
    Through(Hop<'a>),
}

/// Through a proxy.
pub(crate) struct Hop<'a> {
    pub(crate) proxy: &'a Proxy,
    pub(crate) whose: Whose,
    /// Where the proxy is.
    pub(crate) at: Vec<IpAddr>,
    /// What it is to connect to, one after the other.
    pub(crate) to: Vec<Destination>,
}

/// What the proxy is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An address that the guard has seen.
    Address(SocketAddr),
    /// A name and a port, which the proxy looks up.
    Name(String, u16),
}

impl Destination {
    fn uri(&self) -> Result<Uri, http::uri::InvalidUri> {
        match self {
            Self::Address(address) => format!("http://{address}"),
            Self::Name(name, port) => format!("http://{name}:{port}"),
        }
        .parse()
    }
}

/// Why a proxy does not let anything through.
pub(crate) type Refusal = Box<dyn StdError + Send + Sync>;

/// Asks a proxy, to which `socket` is open, for a connection. Reads no more than a few
/// kilobytes of what it answers.
pub(crate) async fn through(proxy: &Proxy, socket: Socket, to: &Destination) -> Result<Socket, Refusal> {
    let to = to.uri()?;
    // Only what was opened already is used, so nothing is looked up or connected to here.
    let at = Uri::from_static("http://proxy");
    let opened = Opened(Some(TokioIo::new(socket)));
    let io = match proxy.kind() {
        ProxyKind::Http => {
            let mut tunnel = Tunnel::new(at, opened);
            if let Some(credentials) = proxy.basic() {
                tunnel = tunnel.with_auth(credentials);
            }
            tunnel.call(to).await?
        }
        ProxyKind::Socks5 | ProxyKind::Socks5h => {
            let mut socks = SocksV5::new(at, opened);
            if let Some((name, password)) = proxy.user() {
                socks = socks.with_auth(name.to_owned(), password.to_owned());
            }
            socks.call(to).await.map_err(|error| error.to_string())?
        }
    };
    Ok(io.into_inner())
}

/// A connector that gives the one connection which it has.
struct Opened(Option<TokioIo<Socket>>);

impl Service<Uri> for Opened {
    type Response = TokioIo<Socket>;
    type Error = NoConnection;
    type Future = Ready<Result<TokioIo<Socket>, NoConnection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or(NoConnection))
    }
}

/// It was asked for a second one.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the proxy is used already")]
struct NoConnection;
