//! An open connection, with TLS or without, that holds its slot.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::connections::Slot;
use crate::metered::{Allowance, Metered};

/// ALPN's name of HTTP/2 over TLS (RFC 9113, 3.2).
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// The bytes of a connection.
pub(crate) enum Transport {
    Plain(Metered),
    Tls(Box<TlsStream<Metered>>),
}

/// An open connection. Its slot is free again when it is closed.
pub(crate) struct Stream {
    transport: Transport,
    slot: Slot,
}

impl Stream {
    pub(crate) const fn new(transport: Transport, slot: Slot) -> Self {
        Self { transport, slot }
    }

    /// Whether both sides have agreed on HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        match &self.transport {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(ALPN_H2),
        }
    }

    /// How much the receiver may send.
    pub(crate) fn allowance(&self) -> Allowance {
        let metered = match &self.transport {
            Transport::Plain(metered) => metered,
            Transport::Tls(tls) => tls.get_ref().0,
        };
        metered.allowance().clone()
    }

    /// Whether it may be kept for further requests.
    pub(crate) const fn keep(&self) -> bool {
        self.slot.keep
    }
}

/// Runs an expression on whichever transport there is.
macro_rules! either {
    ($transport:expr, $io:ident => $call:expr) => {
        match $transport {
            Transport::Plain($io) => $call,
            Transport::Tls($io) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.get_mut().transport, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut self.get_mut().transport, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.get_mut().transport, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.get_mut().transport, io => Pin::new(io).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        either!(&self.transport, io => io.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut self.get_mut().transport, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }
}
