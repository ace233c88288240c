//! A TCP connection that counts what the receiver sends.
//!
//! Whoever sends frames, records or interim answers without end costs the
//! dispatcher's thread as much as it can read, and the deadline ends that much too
//! late for the others (W11). So each request allows the receiver a number of bytes,
//! many times what an answer has, and a receiver that sends more is cut off.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::Socket;

/// What a handshake or the head of an answer may have beside what is counted by options, in bytes.
const BASE_BYTES: usize = 256 * 1_024;
/// How many bytes may come for each byte that is read of an answer: frames, chunks
/// and records of a few bytes each are mostly their own heads.
const OVERHEAD: usize = 8;

/// How much the receiver may still send.
#[derive(Clone)]
pub(crate) struct Allowance(Arc<State>);

struct State {
    left_bytes: AtomicUsize,
    each_bytes: usize,
    cut: AtomicBool,
    /// Whoever waits for bytes.
    reader: Mutex<Option<Waker>>,
}

impl Allowance {
    /// For a handshake, and then for answers of which at most `answer_bytes` are read.
    pub(crate) fn new(answer_bytes: usize) -> Self {
        let each_bytes = answer_bytes.saturating_mul(OVERHEAD).saturating_add(BASE_BYTES);
        let left_bytes = AtomicUsize::new(each_bytes);
        Self(Arc::new(State { left_bytes, each_bytes, cut: AtomicBool::new(false), reader: Mutex::default() }))
    }

    /// One more request is sent; with it, `requests` are under way.
    pub(crate) fn grant(&self, requests: usize) {
        let State { left_bytes, each_bytes, .. } = &*self.0;
        let most = each_bytes.saturating_mul(requests.max(1));
        let granted = |left: usize| Some(left.saturating_add(*each_bytes).min(most));
        // The function always gives something.
        let _ = left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, granted);
    }

    /// Ends the connection, whatever either side is doing.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        if let Some(reader) = self.0.reader.lock().take() {
            reader.wake();
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.0.cut.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn spend(&self, bytes: usize) {
        let spent = |left: usize| Some(left.saturating_sub(bytes));
        let _ = self.0.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent);
    }

    fn is_spent(&self) -> bool {
        self.0.left_bytes.load(Ordering::Relaxed) == 0
    }

    fn wait(&self, cx: &Context<'_>) {
        let mut reader = self.0.reader.lock();
        if !reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
    }
}

/// The connection.
pub(crate) struct Metered {
    tcp: Socket,
    allowance: Allowance,
}

impl Metered {
    pub(crate) const fn new(tcp: Socket, allowance: Allowance) -> Self {
        Self { tcp, allowance }
    }

    pub(crate) const fn allowance(&self) -> &Allowance {
        &self.allowance
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, allowance } = self.get_mut();
        // Before it is looked whether the connection is cut, so that a cut right after that is heard.
        allowance.wait(cx);
        allowance.check()?;
        if allowance.is_spent() {
            return Poll::Ready(Err(io::Error::other("the receiver sends far more than an answer has")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(tcp).poll_read(cx, buf))?;
        allowance.spend(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.allowance.check()?;
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.allowance.check()?;
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    async fn connected(allowance: Allowance) -> (Metered, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let ours = TcpStream::connect(address).await.expect("it listens");
        let (theirs, _) = listener.accept().await.expect("it is connected");
        (Metered::new(Socket::Tcp(ours), allowance), theirs)
    }

    #[tokio::test]
    async fn a_receiver_that_sends_without_end_is_cut_off() {
        let allowance = Allowance::new(1_000);
        let (mut ours, mut theirs) = connected(allowance.clone()).await;
        let flood = tokio::spawn(async move { while theirs.write_all(&[7; 10_000]).await.is_ok() {} });
        let each = BASE_BYTES + 8_000;
        let (mut read, mut buffer) = (0, vec![0; 4_096]);
        let mut read_on = async || loop {
            match ours.read(&mut buffer).await {
                Ok(bytes) if read < 4 * each => read += bytes,
                _ => return read,
            }
        };
        let first = read_on().await;
        assert!((each..each + 4_096).contains(&first), "{first}");
        allowance.grant(1);
        let second = read_on().await;
        assert!((2 * each..2 * each + 8_192).contains(&second), "{second}");
        drop(ours);
        flood.await.expect("no panic");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let allowance = Allowance::new(0);
        let left = || allowance.0.left_bytes.load(Ordering::Relaxed);
        for _ in 0..10 {
            allowance.grant(1);
            assert_eq!(left(), BASE_BYTES);
        }
        allowance.spend(BASE_BYTES - 1);
        allowance.grant(2);
        assert_eq!(left(), BASE_BYTES + 1);
        for _ in 0..10 {
            allowance.grant(3);
        }
        assert_eq!(left(), 3 * BASE_BYTES);
        allowance.spend(usize::MAX);
        assert!(allowance.is_spent());
    }

    #[tokio::test]
    async fn a_cut_is_heard_by_whoever_reads_and_by_whoever_writes() {
        let allowance = Allowance::new(0);
        let (mut ours, theirs) = connected(allowance.clone()).await;
        let reading = tokio::spawn(async move {
            let read = ours.read_u8().await;
            (read, ours.write_u8(7).await)
        });
        tokio::task::yield_now().await;
        allowance.cut();
        let (read, written) = reading.await.expect("no panic");
        for error in [read.expect_err("it is cut"), written.expect_err("it is cut")] {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
        drop(theirs);
    }
}
