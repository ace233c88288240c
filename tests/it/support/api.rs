//! A client of the HTTP API, over the Unix socket or over TCP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use super::{Receiver, in_time, until};

#[derive(Clone)]
enum Door {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// A client. Each request has a connection of its own.
#[derive(Clone)]
pub(crate) struct Api {
    door: Door,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON; null if there is none.
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body).expect("answers are JSON") }
    }
}

/// An endpoint that was registered.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) app: String,
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Api {
    pub(crate) fn over_socket(path: PathBuf) -> Self {
        Self { door: Door::Socket(path), token: None }
    }

    pub(crate) fn over_tcp(address: SocketAddr, token: Option<&str>) -> Self {
        Self { door: Door::Tcp(address), token: token.map(str::to_owned) }
    }

    /// Asks, with the whole path.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.deliver(method, path, headers, Full::new(body.into())).await
    }

    /// Asks with a body that comes in chunks and does not tell its length.
    pub(crate) async fn ask_chunked(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        self.deliver(method, path, headers, Chunks(body)).await
    }

    async fn deliver<B>(&self, method: &str, path: &str, headers: &[(&str, &str)], body: B) -> Answer
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).expect("a request of ours is valid");
        let asked = async {
            match &self.door {
                Door::Socket(path) => {
                    exchange(UnixStream::connect(path).await.expect("the server listens"), request).await
                }
                Door::Tcp(at) => exchange(TcpStream::connect(at).await.expect("the server listens"), request).await,
            }
        };
        in_time(format!("an answer to {method} {path}"), asked).await
    }

    /// Asks, below `/api/v1`, with a body in JSON or none.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, &format!("/api/v1{path}"), &[("content-type", "application/json")], body).await
    }

    /// Reads what must be there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.succeed("GET", path, &Value::Null).await
    }

    /// Does what must succeed.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.succeed("POST", path, &body).await
    }

    /// Changes what must be there.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Value {
        self.succeed("PATCH", path, &body).await
    }

    async fn succeed(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path} {body}: {answer:?}");
        answer.json()
    }

    /// Makes an application with this uid.
    pub(crate) async fn app(&self, uid: &str) {
        self.post("/app", json!({ "name": uid, "uid": uid })).await;
    }

    /// Registers an endpoint of `app` at a receiver. `more` are further fields.
    pub(crate) async fn endpoint(&self, app: &str, receiver: &Receiver, more: Value) -> Endpoint {
        let mut body = json!({ "url": receiver.url() });
        body.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
        let made = self.post(&format!("/app/{app}/endpoint"), body).await;
        let id = made["id"].as_str().expect("an endpoint has an id").to_owned();
        let secret = self.get(&format!("/app/{app}/endpoint/{id}/secret")).await;
        let secret = secret["key"].as_str().expect("an endpoint has a secret").to_owned();
        Endpoint { app: app.to_owned(), id, secret }
    }

    /// Makes an application and an endpoint of it.
    pub(crate) async fn register(&self, app: &str, receiver: &Receiver) -> Endpoint {
        self.app(app).await;
        self.endpoint(app, receiver, json!({})).await
    }

    /// Sends an event; gives its id.
    pub(crate) async fn send(&self, app: &str, event_type: &str, payload: Value) -> String {
        let body = json!({ "eventType": event_type, "payload": payload });
        let made = self.post(&format!("/app/{app}/msg"), body).await;
        made["id"].as_str().expect("a message has an id").to_owned()
    }

    /// Disables or enables an endpoint, pauses or resumes it.
    pub(crate) async fn set(&self, endpoint: &Endpoint, what: &str) {
        let path = format!("/app/{}/endpoint/{}", endpoint.app, endpoint.id);
        match what {
            "disabled" => self.patch(&path, json!({ "disabled": true })).await,
            "enabled" => self.patch(&path, json!({ "disabled": false })).await,
            "paused" => self.post(&format!("{path}/pause"), Value::Null).await,
            "resumed" => self.post(&format!("{path}/resume"), Value::Null).await,
            other => panic!("an endpoint cannot be {other}"),
        };
    }

    /// One message on its way to one endpoint.
    pub(crate) async fn delivery(&self, endpoint: &Endpoint, message: &str) -> Value {
        let list = self.get(&format!("/app/{}/msg/{message}/delivery", endpoint.app)).await;
        let mut members = list["data"].as_array().expect("a list has members").iter();
        let found = members.find(|delivery| delivery["endpointId"] == endpoint.id.as_str()).cloned();
        found.unwrap_or_else(|| panic!("no delivery of {message} to {endpoint:?}: {list}"))
    }

    /// Waits until a delivery is in a state; gives it.
    pub(crate) async fn until_state(&self, endpoint: &Endpoint, message: &str, state: &str) -> Value {
        self.until_delivery(endpoint, message, state, |delivery| delivery["state"] == state).await
    }

    /// Waits until a delivery waits for this reason; gives it.
    pub(crate) async fn until_waits(&self, endpoint: &Endpoint, message: &str, reason: &str) -> Value {
        self.until_delivery(endpoint, message, reason, |delivery| delivery["waits"]["reason"] == reason).await
    }

    /// Waits until a delivery is as it should be; gives it.
    pub(crate) async fn until_delivery(
        &self,
        endpoint: &Endpoint,
        message: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let look = async || {
            last = self.delivery(endpoint, message).await;
            is_so(&last).then(|| last.clone())
        };
        until(format!("{message} to be {what}"), look).await
    }

    /// The attempts of a message, oldest first.
    pub(crate) async fn attempts(&self, app: &str, message: &str) -> Vec<Value> {
        let list = self.get(&format!("/app/{app}/attempt/msg/{message}?order=ascending&limit=250")).await;
        list["data"].as_array().expect("a list has members").clone()
    }
}

/// A body in pieces, of unknown length.
struct Chunks(Bytes);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = self.0.len().min(8 << 10);
        let chunk = self.0.split_to(size);
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
    }
}

async fn exchange<S, B>(stream: S, request: Request<B>) -> Answer
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a fresh connection");
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.expect("each request gets an answer").into_parts();
    let body = body.collect().await.expect("answers come whole").to_bytes();
    connection.abort();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}
