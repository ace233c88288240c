//! What the server is compared with: the same signed bodies are posted to the
//! same receiver by one thread, and nothing is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::times::Times;
use crate::common::Failure;
use crate::common::load::Load;
use crate::common::post::Post;
use crate::common::protocol::Protocol;

/// Posts one event after the other.
pub(super) type Direct = Post;

/// One of those that have an event in flight.
pub(super) trait Client: Send + Sized + 'static {
    /// Posts event `n`.
    fn post(&mut self, n: usize, body: Bytes) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl Client for Post {
    async fn post(&mut self, n: usize, body: Bytes) -> Result<(), Failure> {
        Self::post(self, n, body).await
    }
}

/// Opens so many connections, or one with so many in flight.
pub(super) async fn open(
    address: SocketAddr,
    protocol: Protocol,
    certificate: Option<&str>,
    in_flight: usize,
) -> Result<Vec<Direct>, Failure> {
    let mut clients = vec![Post::open(address, protocol, certificate).await?];
    while clients.len() < in_flight {
        let beside = clients.first().and_then(Post::beside);
        clients.push(match beside {
            Some(client) => client,
            None => Post::open(address, protocol, certificate).await?,
        });
    }
    Ok(clients)
}

/// Each client has one event in flight.
pub(super) async fn post_all<C: Client>(clients: &mut Vec<C>, load: Load, times: &Arc<Times>) -> Result<(), Failure> {
    let (next, load) = (Arc::new(AtomicUsize::new(load.numbers.start)), Arc::new(load));
    let mut posting = JoinSet::new();
    for mut client in clients.drain(..) {
        let (next, load, times) = (Arc::clone(&next), Arc::clone(&load), Arc::clone(times));
        posting.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.numbers.end {
                    return Ok::<_, Failure>(client);
                }
                load.pace.wait_for(n).await;
                let mut body = Vec::with_capacity(load.events.body_bytes());
                load.events.push_body(&mut body, n);
                times.sent(n..n + 1);
                client.post(n, body.into()).await?;
                times.answered(n);
            }
        });
    }
    while let Some(ended) = posting.join_next().await {
        clients.push(ended??);
    }
    Ok(())
}
