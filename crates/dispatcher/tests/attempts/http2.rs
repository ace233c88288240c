//! HTTP/2 connections that take little at once, or that leave.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_dispatcher::Dispatcher;
use postrider_model::job::{FailureKind, Job, Outcome};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::*;
use crate::tls::{BOTH, HOST, authority, params, server, trusting};

/// Answers `/held` once `gate` lets it, all else at once; leaves (GOAWAY) when it is told to.
#[derive(Clone)]
struct Slow {
    tls: TlsAcceptor,
    at_once: u32,
    gate: Arc<Semaphore>,
    leave: Arc<Notify>,
    connections: Arc<AtomicUsize>,
    connected: Arc<Notify>,
    /// One permit for each connection that has ended.
    ended: Arc<Semaphore>,
    /// One for each request that has arrived.
    arrived: mpsc::UnboundedSender<()>,
}

impl Slow {
    async fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                self.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(self.clone().serve(tcp));
            }
        });
        format!("https://{HOST}:{port}")
    }

    async fn serve(self, tcp: TcpStream) {
        let Ok(stream) = self.tls.accept(tcp).await else { return };
        self.connected.notify_one();
        let slow = self.clone();
        let service = service_fn(move |request: Request<Incoming>| slow.clone().respond(request));
        let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2.max_concurrent_streams(self.at_once);
        let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            _ = &mut connection => true,
            () = self.leave.notified() => false,
        };
        if !ended {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        self.ended.add_permits(1);
    }

    async fn respond(self, request: Request<Incoming>) -> hyper::Result<Response<Empty<Bytes>>> {
        let held = request.uri().path() == "/held";
        request.into_body().collect().await?;
        // A test that has seen enough does not listen any more.
        let _ = self.arrived.send(());
        if held {
            self.gate.acquire().await.expect("it is never closed").forget();
        }
        Ok(Response::new(Empty::new()))
    }
}

struct Stage {
    slow: Slow,
    url: String,
    dispatcher: Dispatcher,
    arrivals: mpsc::UnboundedReceiver<()>,
}

impl Stage {
    async fn new(at_once: u32) -> Self {
        let (issuer, roots) = authority();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let slow = Slow {
            tls: server(Some(&issuer), &params(HOST), BOTH, &[b"h2"]),
            at_once,
            gate: Arc::new(Semaphore::new(0)),
            leave: Arc::default(),
            connections: Arc::default(),
            connected: Arc::default(),
            ended: Arc::new(Semaphore::new(0)),
            arrived,
        };
        Self { url: slow.clone().start().await, slow, dispatcher: trusting(roots), arrivals }
    }

    fn attempt(&self, path: &str) -> JoinHandle<Outcome> {
        self.attempt_of(job(target(&format!("{}{path}", self.url))))
    }

    fn attempt_of(&self, job: Job) -> JoinHandle<Outcome> {
        let dispatcher = self.dispatcher.clone();
        tokio::spawn(async move { dispatcher.attempt(job).await })
    }

    fn connections(&self) -> usize {
        self.slow.connections.load(Ordering::SeqCst)
    }
}

async fn succeeds(attempt: JoinHandle<Outcome>) {
    assert_eq!(answer(&attempt.await.expect("no panic")).status, 200);
}

#[tokio::test]
async fn requests_that_hang_do_not_keep_others_out_of_a_receiver_that_takes_few_at_once() {
    let mut stage = Stage::new(2).await;
    // From its answer on it is known how many the receiver takes.
    succeeds(stage.attempt("/")).await;
    stage.slow.connected.notified().await;
    stage.arrivals.recv().await;

    let mut hanging = Vec::new();
    for _ in 0..2 {
        hanging.push(stage.attempt("/held"));
        stage.arrivals.recv().await;
    }
    stage.slow.connected.notified().await;
    // Both have arrived and hang; others arrive all the same, by another connection.
    succeeds(stage.attempt("/")).await;
    assert_eq!(stage.connections(), 2);
    stage.slow.gate.add_permits(2);
    for attempt in hanging {
        succeeds(attempt).await;
    }
}

#[tokio::test]
async fn a_connection_that_leaves_ends_what_it_has_begun_and_takes_nothing_new() {
    let mut stage = Stage::new(100).await;
    let begun = stage.attempt("/held");
    stage.arrivals.recv().await;
    stage.slow.leave.notify_one();
    // Until the news has come they still go over the old one.
    while stage.connections() < 2 {
        succeeds(stage.attempt("/")).await;
    }
    stage.slow.gate.add_permits(1);
    succeeds(begun).await;
}

#[tokio::test]
async fn a_connection_that_left_a_request_unanswered_is_used_no_more_and_closed() {
    let mut stage = Stage::new(100).await;
    succeeds(stage.attempt("/")).await;
    stage.arrivals.recv().await;
    let other = stage.attempt("/held");
    stage.arrivals.recv().await;
    let unanswered = stage.attempt_of(short_job(&format!("{}/held", stage.url)));
    stage.arrivals.recv().await;
    assert_eq!(stage.connections(), 1);
    assert_eq!(failure(&unanswered.await.expect("no panic")), FailureKind::Timeout);

    succeeds(stage.attempt("/")).await;
    assert_eq!(stage.connections(), 2, "it may be dead");
    assert_eq!(stage.slow.ended.available_permits(), 0, "what else is under way on it goes on");
    stage.slow.gate.add_permits(2);
    succeeds(other).await;
    let ended = tokio::time::timeout(PATIENT, stage.slow.ended.acquire()).await;
    ended.expect("nothing is under way any more").expect("it is never closed").forget();
    succeeds(stage.attempt("/")).await;
    assert_eq!(stage.connections(), 2, "the other one is kept");
}

#[tokio::test]
async fn many_at_once_open_one_connection_when_the_last_has_left() {
    let stage = Stage::new(100).await;
    succeeds(stage.attempt("/")).await;
    stage.slow.leave.notify_one();
    while stage.connections() < 3 {
        let before = stage.connections();
        let attempts: Vec<_> = std::iter::repeat_with(|| stage.attempt("/")).take(20).collect();
        for attempt in attempts {
            succeeds(attempt).await;
        }
        let opened = stage.connections() - before;
        assert!(opened <= 1, "{opened} connections");
        if opened == 1 {
            stage.slow.leave.notify_one();
        }
    }
}
