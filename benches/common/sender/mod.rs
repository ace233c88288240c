//! The load: a process with one thread that sends events and notes when they
//! were sent and answered.

mod direct;
mod dispatcher;
mod http;
mod socket;
mod times;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use self::direct::Direct;
use self::dispatcher::InHand;
use self::times::Times;
use super::Failure;
use super::event::Events;
use super::load::{Load, Pace};
use super::protocol::Protocol;
use super::role::{Actor, Role, answer};
use super::usage::Usage;
use super::wire::Wire;

/// Where events go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Door {
    /// The ingest socket: so many connections with so many lines in flight on each.
    Socket { path: PathBuf, connections: usize, window: usize },
    /// The HTTP API over TCP, one request in flight on each connection.
    Http(Http),
    /// Signed and posted to the receiver by hyper's client connections: no pool, no guard, no deadline.
    Direct {
        address: SocketAddr,
        protocol: Protocol,
        /// The receiver's, as PEM.
        certificate: Option<String>,
        /// Requests in flight. HTTP/2 has them all on one connection.
        in_flight: usize,
    },
    /// Signed and posted to the receiver by the dispatcher.
    Dispatcher { address: SocketAddr, in_flight: usize },
}

/// How the HTTP API is used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) connections: usize,
    /// Events in a request, if it is the one for many.
    pub(crate) batch: Option<usize>,
    /// Whether each request has an idempotency key of its own.
    pub(crate) keys: bool,
}

/// What a sender is made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) door: Door,
    pub(crate) events: Events,
    /// Events have numbers below this.
    pub(crate) total: usize,
}

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    Send { numbers: Range<usize>, rate: Option<u32> },
    Times(Range<usize>),
}

/// A sender that runs until it is dropped.
pub(crate) struct Sender(Actor);

impl Sender {
    /// Starts one.
    pub(crate) async fn start(setup: Setup) -> Result<Self, Failure> {
        let (actor, ()) = Actor::start(&Role::Sender(setup)).await?;
        Ok(Self(actor))
    }

    /// Sends these, so many a second or as fast as they are taken, and waits for all answers.
    pub(crate) async fn send(&mut self, numbers: Range<usize>, rate: Option<u32>) -> Result<(), Failure> {
        self.0.ask(&Question::Send { numbers, rate }).await
    }

    /// When these were sent, and then when they were answered.
    pub(crate) async fn times(&mut self, numbers: Range<usize>) -> Result<Vec<u64>, Failure> {
        self.0.ask_numbers(&Question::Times(numbers)).await
    }

    /// What its process has used.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        self.0.usage()
    }
}

/// A way to the door; some keep their connections from one question to the next.
enum Way {
    Socket { path: PathBuf, connections: usize, window: usize },
    Http(Http),
    Direct(Vec<Direct>),
    Dispatcher(Vec<InHand>),
}

/// What the process does.
pub(super) async fn play(setup: Setup, mut wire: Wire) -> Result<(), Failure> {
    let Setup { door, events, total } = setup;
    let times = Arc::new(Times::new(total));
    let mut way = match Way::open(door).await {
        Ok(way) => way,
        Err(failure) => return wire.say(&answer::<()>(Err(failure))).await,
    };
    wire.say(&answer(Ok(()))).await?;
    while let Some(question) = wire.hear().await? {
        match question {
            Question::Send { numbers, rate } => {
                let pace = Pace::new(numbers.start, rate);
                let sent = way.send(Load { events: events.clone(), numbers, pace }, &times).await;
                wire.say(&answer(sent)).await?;
            }
            Question::Times(numbers) => {
                wire.say(&answer(Ok(()))).await?;
                wire.say_numbers(&times.of(&numbers)).await?;
            }
        }
    }
    Ok(())
}

impl Way {
    async fn open(door: Door) -> Result<Self, Failure> {
        Ok(match door {
            Door::Socket { path, connections, window } => Self::Socket { path, connections, window },
            Door::Http(http) => Self::Http(http),
            Door::Direct { address, protocol, certificate, in_flight } => {
                Self::Direct(direct::open(address, protocol, certificate.as_deref(), in_flight).await?)
            }
            Door::Dispatcher { address, in_flight } => Self::Dispatcher(dispatcher::in_hand(address, in_flight)?),
        })
    }

    async fn send(&mut self, load: Load, times: &Arc<Times>) -> Result<(), Failure> {
        match self {
            Self::Socket { path, connections, window } => {
                let mut sending = JoinSet::new();
                for part in load.parts(*connections) {
                    let (path, window, times) = (path.clone(), *window, Arc::clone(times));
                    sending.spawn(async move { socket::send(&path, window, &part, &times).await });
                }
                while let Some(ended) = sending.join_next().await {
                    ended??;
                }
                Ok(())
            }
            Self::Http(http) => http::send(http, &load, times).await,
            Self::Direct(clients) => direct::post_all(clients, load, times).await,
            Self::Dispatcher(clients) => direct::post_all(clients, load, times).await,
        }
    }
}
