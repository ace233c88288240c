//! Names, addresses and connections of the simulated network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use postrider_dispatcher::resolve::{Resolve, ResolveError, Resolving};
use postrider_dispatcher::simulation::{Network, Opening, Wire};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use crate::world::World;

/// A name that resolves to an address which it must not be delivered to, to
/// another, or to both.
pub(crate) const REBINDING: &str = "rebinding.test";

/// Asks the simulation's hosts.
pub(crate) struct Names(pub(crate) Arc<World>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            if name == REBINDING {
                return Ok(self.rebound());
            }
            let host = name.strip_suffix(".test").unwrap_or(name);
            let known = self.0.addresses.lock().iter().find(|(known, _)| known == host).map(|(_, address)| *address);
            known.map(|address| vec![address]).ok_or_else(|| ResolveError::new("there is no such name"))
        })
    }
}

impl Names {
    fn rebound(&self) -> Vec<IpAddr> {
        let addresses = self.0.addresses.lock();
        let of = |host: &str| addresses.iter().find(|(known, _)| known == host).map(|(_, address)| *address);
        let (inside, outside) = (of("inside"), of("good"));
        let chosen = match self.0.ledger.lock().dice.below(3) {
            0 => [inside, None],
            1 => [outside, None],
            _ => [inside, outside],
        };
        chosen.into_iter().flatten().collect()
    }
}

/// Opens connections through turmoil.
pub(crate) struct Wires(pub(crate) Arc<World>);

impl Network for Wires {
    fn open(&self, address: SocketAddr) -> Opening<'_> {
        if self.0.addresses.lock().iter().any(|(host, known)| host == "inside" && *known == address.ip()) {
            self.0
                .ledger
                .lock()
                .broken("W12", format_args!("a connection to {address} is opened, which is not allowed"));
        }
        self.0.ledger.lock().note(format_args!("a connection to {address} is opened"));
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(Connection { stream: Some(stream), world: Arc::clone(&self.0) }) as Box<dyn Wire>)
        })
    }
}

/// A connection of the server.
///
/// tokio ends the tasks of a runtime in an order that depends on how many there were
/// before in the process. So what is open when the server is killed is closed by the
/// next one, in the order in which it was opened, and equal seeds give equal runs.
struct Connection {
    /// There until it is dropped.
    stream: Option<TcpStream>,
    world: Arc<World>,
}

impl Connection {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(self.get_mut().stream.as_mut().expect("it is there until the drop"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.world.is_killed.load(Ordering::Relaxed) {
            self.world.left_open.lock().extend(self.stream.take());
        }
    }
}

/// Closes what the server before had open.
pub(crate) fn close_what_was_left(world: &World) {
    let mut left = std::mem::take(&mut *world.left_open.lock());
    left.sort_by_key(|stream| stream.local_addr().map(|address| address.port()).unwrap_or_default());
    left.into_iter().for_each(drop);
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
