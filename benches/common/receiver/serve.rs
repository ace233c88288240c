//! The endpoints: one server verifies every request and answers 204 at once.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::arrivals::Arrivals;
use crate::common::event;
use crate::common::protocol::Protocol;
use crate::common::signature::Key;

/// Takes connections for ever.
pub(super) async fn serve(
    listener: TcpListener,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    arrivals: Arc<Arrivals>,
) {
    let key = Key::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Else a late acknowledgement would be measured, not the sender.
        let _ = stream.set_nodelay(true);
        let (arrivals, key, tls) = (Arc::clone(&arrivals), key.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, protocol, arrivals, key).await,
                Some(tls) => {
                    // One that fails shows as events that do not arrive.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    connection(stream, protocol, arrivals, key).await;
                }
            }
        });
    }
}

async fn connection<S>(stream: S, protocol: Protocol, arrivals: Arc<Arrivals>, key: Key)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, Arc::clone(&arrivals), key.clone()));
    let stream = TokioIo::new(stream);
    // A connection that breaks shows as an event that does not arrive.
    if protocol == Protocol::Http2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    arrivals: Arc<Arrivals>,
    key: Key,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let status = match (event::number(&body), event::endpoint(head.uri.path())) {
        (Some(number), Some(endpoint)) if key.verifies(&head.headers, &body) => {
            arrivals.arrived(number, endpoint);
            StatusCode::NO_CONTENT
        }
        _ => {
            arrivals.refused();
            StatusCode::BAD_REQUEST
        }
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
