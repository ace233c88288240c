//! What the HTTP API is compared with: the same HTTP server with nothing behind
//! it. It checks the token, reads the body, and answers as long as the server
//! does; as a relay it has signed and posted the payload before.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use postrider_api::{Listener, Options, Service, TokenSecret, token};
use postrider_model::id::{OrgId, RawId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Failure;
use super::event::{Events, TYPE};
use super::post::{Post, now};
use super::protocol::Protocol;
use super::role::{Actor, Role, answer};
use super::usage::Usage;
use super::wire::Wire;

/// How long a token holds.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// What a front is made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The answer holds one of these, as the server's does.
    pub(crate) events: Events,
    /// Where it posts to, and over how many connections, if it does.
    pub(crate) relay: Option<(SocketAddr, usize)>,
}

/// A front that runs until it is dropped.
pub(crate) struct Front {
    actor: Actor,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Access to it.
    pub(crate) token: String,
}

impl Front {
    /// Starts one on a free port of the loopback.
    pub(crate) async fn start(setup: Setup) -> Result<Self, Failure> {
        let (actor, (address, token)) = Actor::start(&Role::Front(setup)).await?;
        Ok(Self { actor, address, token })
    }

    /// What its process has used.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        self.actor.usage()
    }
}

/// What a request needs.
struct Shared {
    secret: TokenSecret,
    answer: Bytes,
    /// Connections that are free; none at all if nothing is relayed.
    relay: Option<Mutex<Vec<Post>>>,
    next: AtomicUsize,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// What the process does.
pub(super) async fn play(setup: Setup, mut wire: Wire) -> Result<(), Failure> {
    let secret = TokenSecret::new(vec![7; 32]);
    let token = token::create(&secret, OrgId(RawId::from_bytes([1; 20])), TOKEN_LIFE, now());
    let mut free = Vec::new();
    if let Some((address, connections)) = setup.relay {
        for _ in 0..connections {
            free.push(Post::open(address, Protocol::Http, None).await?);
        }
    }
    let relay = setup.relay.is_some().then(|| Mutex::new(free));
    let shared = Shared { secret, answer: constant(&setup.events)?, relay, next: AtomicUsize::new(0) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/api/v1/app/{app}/msg", post(take)).with_state(Arc::new(shared));
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(Service::new(Listener::Tcp(listener), Arc::new(router.into()), Options::default()).run(stopped));
    wire.say(&answer(Ok((address, token)))).await?;
    // Nothing is asked; it ends with the benchmark.
    wire.hear::<()>().await?;
    Ok(())
}

/// An answer of the same form as the server's to a message.
fn constant(events: &Events) -> Result<Bytes, Failure> {
    let mut payload = Vec::new();
    events.push_body(&mut payload, 0);
    let payload: &RawValue = serde_json::from_slice(&payload)?;
    let constant = json!({
        "id": "msg_0ERdjjOHO6ebyLkINZ4h5WmlnWc", "eventType": TYPE, "eventId": null, "channels": null, "tags": null,
        "payload": payload, "timestamp": "2026-01-01T00:00:00.000Z",
    });
    Ok(serde_json::to_vec(&constant)?.into())
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if token::verify(&shared.secret, token, now()).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Err(failure) = shared.pass_on(body).await {
        return (StatusCode::BAD_GATEWAY, failure.to_string()).into_response();
    }
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], shared.answer.clone()).into_response()
}

impl Shared {
    async fn pass_on(&self, body: Bytes) -> Result<(), Failure> {
        let Some(relay) = &self.relay else { return Ok(()) };
        let message: Message<'_> = serde_json::from_slice(&body)?;
        let payload = body.slice_ref(message.payload.get().as_bytes());
        let free = lock(relay).pop();
        let mut connection = free.ok_or("there are more requests than connections")?;
        connection.post(self.next.fetch_add(1, Ordering::Relaxed), payload).await?;
        lock(relay).push(connection);
        Ok(())
    }
}

fn lock(free: &Mutex<Vec<Post>>) -> MutexGuard<'_, Vec<Post>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}
