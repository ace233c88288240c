//! One signed POST after the other over a connection of its own: what a sender
//! must do at least.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_model::id::{MessageId, RawId};
use postrider_model::message::JSON;
use postrider_model::time::UnixMs;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::protocol::Protocol;
use super::signature::Key;
use super::{Failure, event};

/// A connection to the receiver.
pub(crate) struct Post {
    connection: Connection,
    /// The value of `host`, or the beginning of every URL.
    host: String,
    key: Key,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Post {
    /// Opens one.
    pub(crate) async fn open(
        address: SocketAddr,
        protocol: Protocol,
        certificate: Option<&str>,
    ) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connection = match certificate {
            None => handshake(stream, protocol).await?,
            Some(certificate) => {
                let name = ServerName::try_from(address.ip().to_string())?;
                handshake(protocol.connector(certificate)?.connect(name, stream).await?, protocol).await?
            }
        };
        let host = match protocol {
            Protocol::Http2 => format!("https://{address}"),
            Protocol::Http | Protocol::Https => address.to_string(),
        };
        Ok(Self { connection, host, key: Key::new() })
    }

    /// One more on the same connection, where it can have many requests in flight.
    pub(crate) fn beside(&self) -> Option<Self> {
        let Connection::Http2(connection) = &self.connection else { return None };
        let connection = Connection::Http2(connection.clone());
        Some(Self { connection, host: self.host.clone(), key: self.key.clone() })
    }

    /// Posts event `n`. It is an error if the answer is not the receiver's.
    pub(crate) async fn post(&mut self, n: usize, body: Bytes) -> Result<(), Failure> {
        let message = MessageId(RawId::new(now(), n as u64, [0; 6]));
        let (id, timestamp_s) = (message.to_string(), now().as_secs().to_string());
        let request = Request::post(match self.connection {
            Connection::Http1(_) => event::path(0),
            Connection::Http2(_) => format!("{}{}", self.host, event::path(0)),
        });
        let request = match self.connection {
            Connection::Http1(_) => request.header(header::HOST, self.host.as_str()),
            Connection::Http2(_) => request,
        };
        let request = request
            .header("webhook-signature", self.key.sign(&id, &timestamp_s, &body))
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-id", id)
            .header(header::CONTENT_TYPE, JSON)
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, "postrider-bench")
            .body(Full::new(body))?;
        let (head, body) = self.connection.send(request).await?.into_parts();
        body.collect().await?;
        succeeded(head.status.as_u16(), n)
    }
}

impl Connection {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        match self {
            Self::Http1(connection) => {
                connection.ready().await?;
                Ok(connection.send_request(request).await?)
            }
            Self::Http2(connection) => {
                connection.ready().await?;
                Ok(connection.send_request(request).await?)
            }
        }
    }
}

async fn handshake<S>(stream: S, protocol: Protocol) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    // If a connection breaks, the next request on it says so.
    Ok(if protocol == Protocol::Http2 {
        let (connection, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(driver);
        Connection::Http2(connection)
    } else {
        let (connection, driver) = http1::handshake(stream).await?;
        tokio::spawn(driver);
        Connection::Http1(connection)
    })
}

/// Whether this is the answer that every receiver here gives.
pub(crate) fn succeeded(status: u16, n: usize) -> Result<(), Failure> {
    let no_content = StatusCode::NO_CONTENT.as_u16();
    if status == no_content { Ok(()) } else { Err(format!("event {n} was answered with {status}").into()) }
}

/// The time by the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the receiver's clock is the system's, too")]
pub(crate) fn now() -> UnixMs {
    UnixMs(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
