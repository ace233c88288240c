//! One HTTP/1.1 connection: one request after the other.

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

use crate::metered::Allowance;
use crate::origin::Origin;
use crate::request::Unsent;
use crate::stream::Stream;

/// An open connection. Dropping it closes it.
pub(crate) struct Http1 {
    sender: SendRequest<Full<Bytes>>,
    /// The header `host`, the same in all its requests.
    host: HeaderValue,
    allowance: Allowance,
    keep: bool,
}

impl Http1 {
    /// Speaks HTTP/1.1 to `origin` over `stream`. An answer's head may have at
    /// most `head_bytes`.
    pub(crate) async fn open(origin: &Origin, stream: Stream, head_bytes: usize) -> hyper::Result<Self> {
        let (keep, allowance) = (stream.keep(), stream.allowance());
        let (mut sender, connection) = Builder::new().max_buf_size(head_bytes).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        // Before its task has run for the first time it is not ready, and would not be kept.
        sender.ready().await?;
        // An authority consists of visible ASCII, so this does not fail.
        let host = HeaderValue::from_str(origin.authority()).unwrap_or(HeaderValue::from_static(""));
        Ok(Self { sender, host, allowance, keep })
    }

    /// Sends a request for `uri` and waits for the head of its answer.
    pub(crate) async fn send(&mut self, unsent: &mut Unsent, uri: &Uri) -> hyper::Result<Response<Incoming>> {
        self.allowance.grant(1);
        let sent = {
            let mut request = unsent.take();
            request.headers_mut().insert(HOST, self.host.clone());
            let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from(target);
            self.sender.try_send_request(request)
        };
        sent.await.map_err(|error| unsent.put_back(error))
    }

    /// Whether it can take a request: it is open, and nothing of the last one is under way.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it may serve more than one request.
    pub(crate) const fn keep(&self) -> bool {
        self.keep
    }
}
