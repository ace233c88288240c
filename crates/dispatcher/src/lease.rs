//! A connection in the hands of one attempt.

use http::{Response, Uri};
use hyper::body::Incoming;

use crate::http1::Http1;
use crate::http2::Http2Lease;
use crate::request::Unsent;

/// The right to one request. An HTTP/1.1 connection that is not given back
/// ([`crate::pool::Pool::give_back`]) closes with it.
pub(crate) struct Lease {
    pub(crate) connection: Leased,
    /// Whether the connection was there before: it may have been closed since
    /// it was last used.
    pub(crate) reused: bool,
}

/// What it is on.
pub(crate) enum Leased {
    Http1(Http1),
    Http2(Http2Lease),
}

impl Lease {
    /// Sends a request for `uri` and waits for the head of its answer. After an
    /// error the request is there again if no byte of it was sent.
    pub(crate) async fn send(&mut self, unsent: &mut Unsent, uri: &Uri) -> hyper::Result<Response<Incoming>> {
        match &mut self.connection {
            Leased::Http1(connection) => connection.send(unsent, uri).await,
            Leased::Http2(lease) => lease.send(unsent, uri).await,
        }
    }
}
