//! A dispatcher over a network that a simulation gives it.
//!
//! Everything is the product's but the socket: resolving, the guard, the pool, HTTP
//! and the deadlines. There is no TLS, whose records would be random, but for endpoints
//! with authorities of their own.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use postrider_model::time::Clock;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::attempt::Dispatcher;
use crate::options::{Error, Options};
use crate::resolve::Resolve;
use crate::socket::Dial;
use crate::tls::Tls;

/// The bytes of a simulated connection.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What opening a connection gives.
pub type Opening<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send + 'a>>;

/// A simulated network. It is asked behind the guard.
pub trait Network: Send + Sync + 'static {
    /// Opens a connection.
    ///
    /// # Errors
    /// As they come from the network.
    fn open(&self, address: SocketAddr) -> Opening<'_>;
}

impl Dispatcher {
    /// A dispatcher over a simulated network, which trusts no authority by itself.
    ///
    /// # Errors
    /// An option makes no sense.
    pub fn simulated(
        options: Options,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolve>,
        network: Arc<dyn Network>,
    ) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self::over(options, clock, resolver, Tls::none(), Dial::Simulated(network)))
    }
}
