//! A receiver of webhooks, for `listen` and `demo`: verifies and answers, also whoever asks whether webhooks are wanted.

mod http_message;
mod key;
mod question;
mod scheme;
pub(crate) mod verify;

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use postrider_model::signature::Signature;
use postrider_model::time::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) use self::key::Key;
pub(crate) use self::question::Question;
use self::verify::{NotVerified, Signed};

/// Bytes of a body at most.
const BODY_LIMIT_BYTES: usize = 64 << 20;

/// What arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The request's method.
    pub(crate) method: Method,
    /// The request's path with its query.
    pub(crate) path: String,
    /// The request's headers.
    pub(crate) headers: HeaderMap,
    /// The request's body.
    pub(crate) body: Bytes,
    /// Whether its signature is right; `None` if no key is known, or it is a question that has none.
    pub(crate) verified: Option<Result<(), NotVerified>>,
    /// It is no webhook, but asks for consent.
    pub(crate) question: Option<Question>,
}

impl Arrival {
    /// The message's id, if the request names one that can be read.
    pub(crate) fn message_id(&self) -> Option<&str> {
        verify::message_id(&self.headers)
    }

    /// By which scheme it is signed, if it is.
    pub(crate) fn scheme(&self) -> Option<Signature> {
        scheme::scheme(&self.headers)
    }
}

/// Says with which status to answer what arrived. A question that is answered with 200 gets the consent that it
/// asks for.
pub(crate) type Handler = Arc<dyn Fn(&Arrival) -> StatusCode + Send + Sync>;

/// Serves until it is dropped.
///
/// `key` is asked anew for each request, so that a receiver can start before
/// the endpoint that it stands for is registered.
pub(crate) async fn serve(
    listener: TcpListener,
    key: Arc<dyn Fn() -> Option<Key> + Send + Sync>,
    clock: Arc<dyn Clock>,
    handler: Handler,
) {
    // Dropping the set ends the connections together with the receiver.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        // Out of file descriptors, or the peer has left already.
        let Ok((stream, _)) = accepted else { continue };
        let (key, clock, handler) = (Arc::clone(&key), Arc::clone(&clock), Arc::clone(&handler));
        let service = service_fn(move |request| answer(request, key(), Arc::clone(&clock), Arc::clone(&handler)));
        connections.spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is the sender's business, who tries again.
            let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    key: Option<Key>,
    clock: Arc<dyn Clock>,
    handler: Handler,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT_BYTES).collect().await else {
        return Ok(bare(StatusCode::BAD_REQUEST));
    };
    let body = body.to_bytes();
    let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let question = Question::of(&head.method, &head.headers, &body);
    let signed = Signed { method: head.method.as_str(), target: &path, headers: &head.headers, body: &body };
    let key = key.filter(|_| !matches!(question, Some(Question::Handshake(_))));
    let verified = key.map(|key| verify::verify(&key, &signed, clock.now()));
    let arrival = Arrival { method: head.method, path, headers: head.headers, body, verified, question };
    let status = handler(&arrival);
    Ok(match arrival.question {
        Some(question) if status == StatusCode::OK => question.consent(),
        _ => bare(status),
    })
}

fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
