//! One HTTP connection to the server.

use std::net::SocketAddr;

use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failure;

/// A connection that is kept.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Connection {
    /// Opens one. The metrics need no token.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // If it breaks, the next request says so.
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string(), authorization: format!("Bearer {token}") })
    }

    /// Makes a request; gives status and body of the answer.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        self.send(Request::builder().method(method).uri(path), body).await
    }

    /// The same with `POST` and, where there is one, an idempotency key.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::post(path);
        self.send(key.into_iter().fold(request, |request, key| request.header("idempotency-key", key)), body).await
    }

    async fn send(&mut self, request: Builder, body: Vec<u8>) -> Result<(StatusCode, Bytes), Failure> {
        let request = request
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }

    /// Makes something; it is an error if it is not made.
    pub(crate) async fn create(&mut self, path: &str, what: serde_json::Value) -> Result<(), Failure> {
        let (status, body) = self.call(Method::POST, path, what.to_string().into_bytes()).await?;
        if status.is_success() { Ok(()) } else { Err(refused(path, status, &body)) }
    }
}

impl Connection {
    /// Changes something; it is an error if it is not changed.
    pub(crate) async fn change(&mut self, path: &str, what: serde_json::Value) -> Result<(), Failure> {
        let (status, body) = self.call(Method::PATCH, path, what.to_string().into_bytes()).await?;
        if status.is_success() { Ok(()) } else { Err(refused(path, status, &body)) }
    }
}

/// An answer that is no success.
pub(crate) fn refused(path: &str, status: StatusCode, body: &[u8]) -> Failure {
    format!("{path} was answered with {status}: {}", String::from_utf8_lossy(body)).into()
}
