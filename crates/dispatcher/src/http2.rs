//! One HTTP/2 connection: many requests at once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Response, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::metered::Allowance;
use crate::request::Unsent;
use crate::stream::Stream;

/// A connection with requests under way that is silent for so long is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// It is closed when the sign does not come within this time.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that a receiver may send ahead: per stream about what is
/// read of it, and a few times that per connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1_024;
const CONNECTION_WINDOW_BYTES: u32 = 1_024 * 1_024;
/// Bytes of bodies that are on their way through one connection when another one
/// is better: what a receiver takes ahead if it says nothing else (RFC 9113, 6.9.2).
const BUSY_BYTES: usize = 64 * 1_024;

/// An open connection. It closes when all clones and all leases are gone.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    load: Arc<Load>,
    allowance: Allowance,
}

/// What is under way on a connection.
struct Load {
    requests: AtomicUsize,
    body_bytes: AtomicUsize,
    /// Requests that the receiver takes at once.
    limit: AtomicUsize,
    /// A request got no answer that was good for anything. The connection takes no
    /// more of them, and is closed when no other one is under way.
    failed: AtomicBool,
}

impl Http2 {
    /// Speaks HTTP/2 over `stream`. An answer's head may have at most `head_bytes`.
    pub(crate) async fn open(stream: Stream, head_bytes: usize) -> hyper::Result<Self> {
        let allowance = stream.allowance();
        let (sender, mut connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await?;
        let load = Arc::new(Load {
            requests: AtomicUsize::new(0),
            body_bytes: AtomicUsize::new(0),
            limit: AtomicUsize::new(connection.current_max_send_streams()),
            failed: AtomicBool::new(false),
        });
        let known = Arc::clone(&load);
        tokio::spawn(async move {
            let ended = std::future::poll_fn(|cx| {
                let polled = pin!(&mut connection).poll(cx);
                known.limit.store(connection.current_max_send_streams(), Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        Ok(Self { sender, load, allowance })
    }

    /// The right to one request.
    pub(crate) fn lease(&self) -> Http2Lease {
        self.load.requests.fetch_add(1, Ordering::Relaxed);
        Http2Lease { connection: self.clone(), body_bytes: 0, unanswered: false }
    }

    /// Whether it takes requests.
    pub(crate) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.load.failed.load(Ordering::Relaxed)
    }

    /// Whether it is time for another connection: half of the requests that the
    /// receiver takes at once are under way, or more bytes than it takes ahead.
    /// What comes before the other one is there then still finds room.
    pub(crate) fn is_busy(&self) -> bool {
        self.requests().saturating_mul(2) >= self.load.limit.load(Ordering::Relaxed)
            || self.load.body_bytes.load(Ordering::Relaxed) >= BUSY_BYTES
    }

    /// The requests under way.
    pub(crate) fn requests(&self) -> usize {
        self.load.requests.load(Ordering::Relaxed)
    }
}

/// The right to one request on a connection. It counts as long as it lives.
pub(crate) struct Http2Lease {
    connection: Http2,
    body_bytes: usize,
    /// A request was sent, and its answer not read.
    unanswered: bool,
}

impl Http2Lease {
    /// Sends a request for `uri` and waits for the head of its answer.
    pub(crate) async fn send(&mut self, unsent: &mut Unsent, uri: &Uri) -> hyper::Result<Response<Incoming>> {
        let sent = {
            let mut request = unsent.take();
            // It may have been made ready for a connection that had closed.
            request.headers_mut().remove(HOST);
            *request.uri_mut() = uri.clone();
            self.body_bytes = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
            self.connection.load.body_bytes.fetch_add(self.body_bytes, Ordering::Relaxed);
            self.connection.allowance.grant(self.connection.requests());
            self.unanswered = true;
            self.connection.sender.try_send_request(request)
        };
        sent.await.map_err(|error| unsent.put_back(error))
    }
}

impl Http2Lease {
    /// The answer was read, or as much of it as is wanted.
    pub(crate) fn answered(mut self) {
        self.unanswered = false;
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        let load = &self.connection.load;
        load.body_bytes.fetch_sub(self.body_bytes, Ordering::Relaxed);
        load.failed.fetch_or(self.unanswered, Ordering::Relaxed);
        let was_last = load.requests.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && load.failed.load(Ordering::Relaxed) {
            self.connection.allowance.cut();
        }
    }
}
