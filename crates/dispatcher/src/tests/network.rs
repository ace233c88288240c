//! Names and connections in memory, and what becomes of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::endpoint::{Endpoint, Way};
use crate::resolve::{Resolve, Resolving};
use crate::simulation::{Network, Opening, Wire};

/// Where each name leads: inward, so that it shows if it is told to anybody.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 11, 12, 13);
/// What lies between both ends of a connection, as in the buffers of a kernel.
const PIPE_BYTES: usize = 64 * 1_024;

/// The first connection leads to the endpoint, and all others to a good one in its place.
#[derive(Clone)]
pub(crate) struct Net(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    held: Mutex<Vec<Arc<Line>>>,
}

/// What becomes of a lookup or a connection that the dispatcher holds.
pub(crate) struct Line {
    taken_bytes: AtomicUsize,
    is_reset: AtomicBool,
    let_go: watch::Sender<Option<Instant>>,
}

impl Net {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(Inner { endpoint, held: Mutex::default() }))
    }

    /// All that the dispatcher has begun.
    pub(crate) fn lines(&self) -> Vec<Arc<Line>> {
        self.0.held.lock().clone()
    }

    /// One more thing in the hands of the dispatcher, and the endpoint if it is the first.
    fn hold(&self) -> (Held, Option<&Endpoint>) {
        let (let_go, _) = watch::channel(None);
        let line = Arc::new(Line { taken_bytes: AtomicUsize::new(0), is_reset: AtomicBool::new(false), let_go });
        let mut held = self.0.held.lock();
        held.push(Arc::clone(&line));
        (Held(line), (held.len() == 1).then_some(&self.0.endpoint))
    }
}

impl Line {
    /// Bytes that were taken of what the endpoint has sent.
    pub(crate) fn taken_bytes(&self) -> usize {
        self.taken_bytes.load(Ordering::SeqCst)
    }

    /// Its end is not that of a stream, but a reset.
    pub(crate) fn reset(&self) {
        self.is_reset.store(true, Ordering::SeqCst);
    }

    /// Waits until it is let go, and tells when that was.
    pub(crate) async fn let_go(&self) -> Instant {
        let mut watched = self.let_go.subscribe();
        let seen = watched.wait_for(Option::is_some).await.expect("the line sends");
        seen.expect("it was waited for")
    }
}

/// Something in the hands of the dispatcher.
struct Held(Arc<Line>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.let_go.send_replace(Some(Instant::now()));
    }
}

impl Resolve for Net {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            if !matches!(self.0.endpoint.way, Way::Nameless) || !self.lines().is_empty() {
                return Ok(vec![IpAddr::V4(ADDRESS)]);
            }
            let _held = self.hold();
            std::future::pending().await
        })
    }
}

impl Network for Net {
    fn open(&self, address: SocketAddr) -> Opening<'_> {
        assert_eq!(address.ip(), IpAddr::V4(ADDRESS));
        Box::pin(async move {
            let (held, endpoint) = self.hold();
            if endpoint.is_some_and(|endpoint| matches!(endpoint.way, Way::Absent)) {
                std::future::pending::<()>().await;
            }
            let (pipe, theirs) = tokio::io::duplex(PIPE_BYTES);
            let endpoint = endpoint.cloned().unwrap_or_else(|| self.0.endpoint.good());
            tokio::spawn(endpoint.live(theirs, Arc::clone(&held.0)));
            Ok(Box::new(Connection { pipe, held }) as Box<dyn Wire>)
        })
    }
}

/// The dispatcher's end of a connection.
struct Connection {
    pipe: DuplexStream,
    held: Held,
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { pipe, held: Held(line) } = self.get_mut();
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(pipe).poll_read(cx, buf))?;
        let taken = buf.filled().len() - before;
        line.taken_bytes.fetch_add(taken, Ordering::SeqCst);
        let is_over = taken == 0 && room > 0;
        if is_over && line.is_reset.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().pipe).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_shutdown(cx)
    }
}
