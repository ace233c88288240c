//! The beginning of a connection over TLS, up to the first byte of HTTP.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::server::TlsStream;

use super::turns::in_turns;
use crate::tls::Tls;

const FAILED: &str = "postrider_tls_handshakes_failed_total";
/// Bytes of a request without TLS that are taken in before the connection ends.
const MAX_PLAIN_BYTES: u64 = 64 << 10;
/// The answer to a request without TLS, which says in clear what to do.
const PLAIN_REFUSED: &str = concat!(
    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 77\r\nconnection: close\r\n\r\n",
    r#"{"code":"tls_required","detail":"only TLS is spoken here: the URL is https:"}"#
);

/// The handshakes of one door; copies share their turns.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    tls: Tls,
    within: Duration,
    /// A signature takes a worker for up to some milliseconds: half of the workers are
    /// left to those who are inside.
    turns: Arc<Semaphore>,
}

impl Handshakes {
    /// Handshakes that take no longer than this.
    pub(super) fn new(tls: Tls, within: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { tls, within, turns: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    /// Shakes hands; `None` if nothing came of it, or if the service ends.
    pub(super) async fn shake(
        &self,
        stream: TcpStream,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<TlsStream<TcpStream>> {
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.within, self.begin(stream)) => shaken,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => Some(stream),
            Err(error) => {
                // Everybody who scans ports fails here: it is counted, not logged.
                counter!(FAILED).increment(1);
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }

    async fn begin(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        // A method begins with a letter, a handshake with 22 (RFC 8446, section 5.1).
        if stream.peek(&mut first).await? == 1 && first.iter().all(u8::is_ascii_alphabetic) {
            refuse(stream).await?;
            return Err(io::Error::other("the client speaks without TLS"));
        }
        in_turns(&self.turns, self.tls.acceptor().accept(stream)).await
    }
}

/// Answers who speaks without TLS, and takes in what they have sent: a connection that
/// is closed before that is reset, and the answer is lost (RFC 9112, section 9.6).
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_REFUSED.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_PLAIN_BYTES), &mut tokio::io::sink()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_tls_has_the_length_that_it_says() {
        let (head, body) = PLAIN_REFUSED.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
