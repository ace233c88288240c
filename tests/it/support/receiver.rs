//! A customer's back end: a real HTTP server that writes down what arrives and
//! answers as it was told.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use ring::signature::{ED25519, UnparsedPublicKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::in_time;

/// How one request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With this status.
    Status(u16),
    /// With this status and headers.
    With(u16, Vec<(&'static str, String)>),
    /// With this status and body.
    Body(u16, &'static str),
    /// With 200 and the challenge that it was sent, or nothing if there is none.
    Echo,
    /// Never.
    Hang,
    /// With a head whose body never ends.
    Dribble,
    /// Not at all: the connection is closed.
    Close,
    /// With 200, once [`Receiver::release`] is called.
    Held,
}

/// What arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrival {
    /// A header that must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {self:?}"));
        value.to_str().expect("our headers are ASCII")
    }

    /// The message's id.
    #[track_caller]
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Verifies the signature by a library of others, with a shared secret or a public key.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        if let Some(encoded) = secret.strip_prefix("whpk_") {
            return self.is_signed_by(&STANDARD.decode(encoded).expect("a public key is base64"));
        }
        let webhook = standardwebhooks::Webhook::new(secret).expect("a secret in the standard's form");
        webhook.verify(&self.body, &self.headers).is_ok()
    }
}

impl Arrival {
    fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, public_key);
        let head = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = [head.as_bytes(), &self.body].concat();
        let signatures = self.header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1a,"));
        let mut signatures = signatures.map(|encoded| STANDARD.decode(encoded).expect("a signature is base64"));
        signatures.any(|signature| key.verify(&signed, &signature).is_ok())
    }
}

/// Decides about each request as it arrives.
type Decide = Box<dyn Fn(&Arrival) -> Reply + Send + Sync>;

struct State {
    script: Mutex<(VecDeque<Reply>, Reply)>,
    /// If there is one, it has the say, and nothing is written down here.
    decide: Option<Decide>,
    arrivals: watch::Sender<Vec<Arrival>>,
    released: watch::Sender<bool>,
}

/// The server. It ends when it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    _server: JoinSet<()>,
}

impl Receiver {
    /// Starts one that answers 200.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts one that leaves everything to `decide`: for more requests than one
    /// would keep.
    pub(crate) async fn deciding(decide: impl Fn(&Arrival) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(Some(Box::new(decide))).await
    }

    async fn start_with(decide: Option<Decide>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            script: Mutex::new((VecDeque::new(), Reply::Status(200))),
            decide,
            arrivals: watch::channel(vec![]).0,
            released: watch::channel(false).0,
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, _server: server }
    }

    /// Where an endpoint reaches it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers the next requests so, one after the other.
    pub(crate) fn next(&self, replies: impl IntoIterator<Item = Reply>) -> &Self {
        self.state.script().0.extend(replies);
        self
    }

    /// Answers all further requests so.
    pub(crate) fn always(&self, reply: Reply) -> &Self {
        self.state.script().1 = reply;
        self
    }

    /// Answers what is held.
    pub(crate) fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Waits until so many requests have arrived; gives all that have.
    #[track_caller]
    pub(crate) fn expect(&self, count: usize) -> impl Future<Output = Vec<Arrival>> {
        let mut arrivals = self.state.arrivals.subscribe();
        in_time(format!("{count} arrivals"), async move {
            let enough = arrivals.wait_for(|arrivals| arrivals.len() >= count).await;
            enough.expect("the receiver runs").clone()
        })
    }

    /// What has arrived, in its order.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.state.arrivals.borrow().clone()
    }

    /// The ids of what has arrived, in its order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.state.arrivals.borrow().iter().map(|arrival| arrival.id().to_owned()).collect()
    }
}

impl State {
    /// Writes down what arrived, and says how to answer.
    fn take(&self, arrival: Arrival) -> Reply {
        if let Some(decide) = &self.decide {
            return decide(&arrival);
        }
        let reply = {
            let mut script = self.script();
            let next = script.0.pop_front();
            next.unwrap_or_else(|| script.1.clone())
        };
        self.arrivals.send_modify(|arrivals| arrivals.push(arrival));
        reply
    }

    fn script(&self) -> std::sync::MutexGuard<'_, (VecDeque<Reply>, Reply)> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.expect("a listener accepts"),
            Some(_) = connections.join_next() => continue,
        };
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        connections.spawn(async move {
            // A sender that goes away is part of what is tested.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<Answered>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path().to_owned();
    let sent = body.clone();
    let reply = state.take(Arrival { method: head.method, path, headers: head.headers, body });
    let (status, headers, body) = match reply {
        Reply::Status(status) => (status, vec![], Answered::Whole),
        Reply::With(status, headers) => (status, headers, Answered::Whole),
        Reply::Body(status, text) => (status, vec![], Answered::Text(Bytes::from_static(text.as_bytes()))),
        Reply::Echo => (200, vec![], Answered::Text(challenge(&sent))),
        Reply::Dribble => (200, vec![], Answered::Endless),
        Reply::Close => return Err(io::ErrorKind::ConnectionReset.into()),
        Reply::Hang => std::future::pending().await,
        Reply::Held => {
            let mut released = state.released.subscribe();
            let _ = released.wait_for(|released| *released).await.map_err(io::Error::other)?;
            (200, vec![], Answered::Whole)
        }
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(body).expect("a response of ours is valid"))
}

/// The challenge in what was sent.
fn challenge(sent: &[u8]) -> Bytes {
    let sent: serde_json::Value = serde_json::from_slice(sent).unwrap_or_default();
    sent["challenge"].as_str().unwrap_or_default().to_owned().into()
}

/// A body that is empty, one that is not, or one that never ends.
enum Answered {
    Whole,
    Text(Bytes),
    Endless,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match std::mem::replace(&mut *self, Self::Whole) {
            Self::Whole => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(text)))),
            Self::Endless => {
                *self = Self::Endless;
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole)
    }
}
