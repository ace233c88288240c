//! Receivers with scripted answers, a resolver with scripted answers, and a
//! clock that is moved by hand.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_dispatcher::resolve::{Resolve, ResolveError, Resolving};
use postrider_dispatcher::{Dispatcher, Options};
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::id::{EndpointId, MessageId, RawId};
use postrider_model::job::{AttemptResult, FailureKind, Job, Outcome, Response as Answer};
use postrider_model::position::Position;
use postrider_model::secret::Secret;
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Far more than any test needs; a test that waits for it fails.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
/// For tests in which the deadline must pass.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Starts at the present, because verifiers compare with it, and stands still.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    #[expect(clippy::disallowed_methods, reason = "verifiers compare with the system's clock")]
    pub(crate) fn new() -> Arc<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
        Arc::new(Self(AtomicU64::new(u64::try_from(since_epoch.as_millis()).expect("before the year 500 million"))))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).expect("a short time"), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Answers what it was told, one answer a question; the last one stays.
pub(crate) struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    pub(crate) asked: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new<const N: usize>(answers: [&[Ipv4Addr]; N]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().copied().map(IpAddr::from).collect()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }

    fn next(&self) -> Result<Vec<IpAddr>, ResolveError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("no test panics here");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.ok_or_else(|| ResolveError::new("no such name"))
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { self.next() })
    }
}

/// Options under which `networks` can be reached.
pub(crate) fn allowing(networks: &[&str]) -> Options {
    let allow_networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
    Options { allow_networks, ..Options::default() }
}

/// A dispatcher for receivers on 127.0.0.1, whose names all resolve there.
pub(crate) fn dispatcher(options: Options) -> Dispatcher {
    dispatcher_with(options, Scripted::new([&[Ipv4Addr::LOCALHOST]]))
}

pub(crate) fn dispatcher_with(options: Options, resolver: Arc<Scripted>) -> Dispatcher {
    Dispatcher::with_resolver(options, TestClock::new(), resolver).expect("valid options")
}

pub(crate) fn loopback() -> Dispatcher {
    dispatcher(allowing(&["127.0.0.0/8"]))
}

pub(crate) fn secret(byte: u8) -> Secret {
    Secret::from_bytes(vec![byte; 32]).expect("long enough")
}

pub(crate) const BODY: &[u8] = br#"{ "amount": 1.50,  "b":"\u00e9" }"#;

pub(crate) fn target(url: &str) -> Target {
    target_with(url, &[])
}

/// A target with headers of its own.
pub(crate) fn target_with(url: &str, headers: &[(&str, &str)]) -> Target {
    let url = url.parse().expect("a valid URL");
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Target::new(&url, &headers, vec![secret(1)], PATIENT).expect("it can be asked for")
}

pub(crate) fn job(target: Target) -> Job {
    let id = |n| RawId::new(UnixMs(1_700_000_000_000), n, [7; 6]);
    Job {
        key: DeliveryKey { endpoint: EndpointId(id(1)), message: Position::new(1, 64) },
        scheduled: Scheduled { attempt: 3, ..Scheduled::first(UnixMs(1_700_000_000_000)) },
        message: MessageId(id(2)),
        body: Bytes::from_static(BODY),
        content_type: None,
        event_type: "order.paid".into(),
        target: Arc::new(target),
        others: None,
    }
}

/// A job to `url` that must end by its deadline.
pub(crate) fn short_job(url: &str) -> Job {
    job(Target { timeout: SHORT, ..target(url) })
}

pub(crate) fn answer(outcome: &Outcome) -> &Answer {
    match &outcome.result {
        AttemptResult::Answered(answer) => answer,
        AttemptResult::Failed { kind, detail } => panic!("no answer: {kind:?}: {detail}"),
    }
}

pub(crate) fn failure(outcome: &Outcome) -> FailureKind {
    match &outcome.result {
        AttemptResult::Answered(answer) => panic!("answered with {}", answer.status),
        AttemptResult::Failed { kind, .. } => *kind,
    }
}

/// A receiver that speaks HTTP properly.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) requests: mpsc::UnboundedReceiver<Request<Bytes>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Receiver {
    pub(crate) async fn start(reply: impl Fn() -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self::with_tls(None, reply).await
    }

    pub(crate) async fn with_tls(
        tls: Option<TlsAcceptor>,
        reply: impl Fn() -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (seen, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, reply) = (Arc::clone(&connections), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(tcp, tls.clone(), seen.clone(), Arc::clone(&reply)));
            }
        });
        Self { address, requests, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.address)
    }

    pub(crate) fn request(&mut self) -> Request<Bytes> {
        self.requests.try_recv().expect("the receiver got a request")
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    seen: mpsc::UnboundedSender<Request<Bytes>>,
    reply: Arc<impl Fn() -> Response<Bytes> + Send + Sync + 'static>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, reply) = (seen.clone(), Arc::clone(&reply));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            // A test that has seen enough does not listen any more.
            let _ = seen.send(Request::from_parts(head, body));
            Ok::<_, hyper::Error>(reply().map(Full::new))
        }
    });
    let http1 = hyper::server::conn::http1::Builder::new();
    // A connection that the test breaks off is no fault of the receiver.
    let Some(tls) = tls else {
        let _ = http1.serve_connection(TokioIo::new(tcp), service).await;
        return;
    };
    let Ok(stream) = tls.accept(tcp).await else { return };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let _ = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        http1.serve_connection(io, service).await
    };
}

/// A receiver that does anything but speak HTTP properly: runs `script` on each connection.
pub(crate) async fn raw<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(script(tcp));
        }
    });
    address
}

pub(crate) fn ok() -> Response<Bytes> {
    Response::new(Bytes::from_static(b"thanks"))
}

pub(crate) fn status(code: u16) -> Response<Bytes> {
    Response::builder().status(code).body(Bytes::new()).expect("a valid status")
}

/// A listener that must never see a connection.
pub(crate) struct Untouched(StdListener);

impl Untouched {
    pub(crate) fn bind(address: impl Into<IpAddr>, port: u16) -> Self {
        let listener = StdListener::bind((address.into(), port)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket can be set so");
        Self(listener)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("it is bound").port()
    }

    /// On the loopback interface a connection stands in the listener's queue as
    /// soon as the connecting side has it, so looking once is enough.
    pub(crate) fn assert_untouched(&self) {
        let error = self.0.accept().map(|(_, peer)| peer).expect_err("somebody connected");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
