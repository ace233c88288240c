//! Requests over the pool's connections.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use postrider_model::via::Via;

use crate::failure::Failure;
use crate::lease::Lease;
use crate::origin::Origin;
use crate::pool::Pool;
use crate::request::Unsent;

/// HTTP/1.1 and HTTP/2, whichever the connection speaks. It follows no redirect.
#[derive(Clone)]
pub(crate) struct Client {
    pool: Pool,
}

/// The head of an answer, and its body as it comes.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    origin: Origin,
    lease: Lease,
}

impl Client {
    pub(crate) const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Sends a request for `uri`, which has a scheme and a host, and waits for the
    /// head of its answer. It is built when there is a connection for it, so that what
    /// waits for one is small. A request that met a closing connection is sent again
    /// only if no byte of it was written; any other failure is an outcome.
    pub(crate) async fn send(
        &self,
        uri: &Uri,
        via: Option<&Arc<Via>>,
        build: impl FnOnce() -> Result<Request<Full<Bytes>>, Failure>,
    ) -> Result<Answer, Failure> {
        let origin = Origin::of(uri).ok_or_else(|| Failure::internal(format!("`{uri}` has no host")))?;
        let origin = origin.through(via);
        let mut lease = self.pool.lease(&origin).await?;
        let mut unsent = match build() {
            Ok(request) => Unsent::new(request),
            Err(failure) => {
                self.pool.give_back(&origin, lease);
                return Err(failure);
            }
        };
        loop {
            match lease.send(&mut unsent, uri).await {
                Ok(response) => return Ok(Answer { response, origin, lease }),
                Err(_) if lease.reused && unsent.is_there() => {
                    drop(lease);
                    lease = self.pool.lease(&origin).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The answer was read, or as much of it as is wanted.
    pub(crate) fn finish(&self, answer: Answer) {
        let Answer { response, origin, lease } = answer;
        drop(response);
        self.pool.give_back(&origin, lease);
    }
}
