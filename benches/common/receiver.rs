//! The endpoints: one server verifies every request and answers 204 at once. It has
//! one thread with a runtime of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::ledger::Ledger;
use super::signature::Key;
use super::usage::ThreadId;
use super::{Failure, event};

/// A receiver that runs until it is dropped.
pub(crate) struct Receiver {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its thread.
    pub(crate) thread: ThreadId,
    stop: Option<oneshot::Sender<()>>,
    running: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    /// Starts one on a free port of the loopback.
    pub(crate) fn start(ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let body = move || {
            // If nobody waits for it any more the benchmark is ending.
            let _ = ready.send(ThreadId::here());
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(listener, ledger) => {}
                    _ = stopped => {}
                }
            });
        };
        let running = thread::Builder::new().name("receiver".into()).spawn(body)?;
        let thread = started.recv()??;
        Ok(Self { address, thread, stop: Some(stop), running: Some(running) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(running) = self.running.take() {
            // A panic there was printed already.
            let _ = running.join();
        }
    }
}

async fn serve(listener: TcpListener, ledger: Arc<Ledger>) {
    let key = Key::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Else a late acknowledgement would be measured, not the sender.
        let _ = stream.set_nodelay(true);
        let (ledger, key) = (Arc::clone(&ledger), key.clone());
        let service = service_fn(move |request| answer(request, Arc::clone(&ledger), key.clone()));
        tokio::spawn(async move {
            // A connection that breaks shows as an event that does not arrive.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    ledger: Arc<Ledger>,
    key: Key,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let status = match (event::number(&body), event::endpoint(head.uri.path())) {
        (Some(number), Some(endpoint)) if key.verifies(&head.headers, &body) => {
            ledger.arrived(number, endpoint);
            StatusCode::NO_CONTENT
        }
        _ => {
            ledger.refused();
            StatusCode::BAD_REQUEST
        }
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
