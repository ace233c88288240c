//! What an answer leaves unread of its request.
//!
//! A refusal is often known before the whole body has come in. If the
//! connection were closed then, a client that is still sending would fail at
//! that and never read why (RFC 9112, section 9.6). So the rest is taken in
//! and thrown away, up to a limit, and then the answer is given.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// Bytes that are taken in and thrown away after a refusal.
const MAX_BYTES: usize = 16 << 20;
/// How long that may take.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A request's body that goes back to [`Unread`] when nobody reads on.
#[derive(Debug)]
pub(crate) struct Lent {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((back, body)) = self.back.take().zip(self.body.take()) {
            // Nobody waits for it where the connection is gone.
            let _ = back.send(body);
        }
    }
}

/// The other end of a [`Lent`] body.
#[derive(Debug)]
pub(crate) struct Unread(Option<oneshot::Receiver<Incoming>>);

impl Unread {
    /// Lends the body of a request to whoever answers it.
    pub(crate) fn of(request: Request<Incoming>) -> (Request<Lent>, Self) {
        // On HTTP/2 a stream ends by itself, and who expects `100 Continue` waits
        // with the body until it is asked for.
        let lingers = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        let (back, unread) = oneshot::channel();
        let request = request.map(|body| Lent { body: Some(body), back: Some(back).filter(|_| lingers) });
        (request, Self(Some(unread).filter(|_| lingers)))
    }

    /// Takes in the rest, after the answer is known and before it is given.
    pub(crate) async fn discard(self) {
        let Some(Ok(mut body)) = self.0.map(|mut unread| unread.try_recv()) else { return };
        let rest = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > MAX_BYTES {
                    return;
                }
            }
        };
        // What does not end in time is cut by closing the connection.
        let _ = tokio::time::timeout(MAX_WAIT, rest).await;
    }
}
