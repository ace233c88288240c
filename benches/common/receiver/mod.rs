//! The receiver: a process with one thread that verifies every request and notes
//! when it came.

mod arrivals;
mod serve;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use self::arrivals::Arrivals;
use super::Failure;
use super::protocol::{Identity, Protocol};
use super::role::{Actor, Role, answer};
use super::usage::Usage;
use super::wire::Wire;

/// How long it waits at a time before it says how far it has come.
const LOOK: Duration = Duration::from_secs(1);

/// What a receiver is made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Events have numbers below this.
    pub(crate) events: usize,
    /// To how many endpoints each event goes, at most 16.
    pub(crate) endpoints: usize,
    pub(crate) protocol: Protocol,
    /// Needed for TLS.
    pub(crate) identity: Option<Identity>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    Await(usize),
    Odd,
    Times(Range<usize>),
}

/// A receiver that runs until it is dropped.
pub(crate) struct Receiver {
    actor: Actor,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The same for URLs, without a path.
    pub(crate) origin: String,
    setup: Setup,
}

impl Setup {
    /// One that speaks plain HTTP/1.1.
    pub(crate) fn plain(events: usize, endpoints: usize) -> Self {
        Self { events, endpoints, protocol: Protocol::Http, identity: None }
    }
}

impl Receiver {
    /// Starts one on a free port of the loopback.
    pub(crate) async fn start(setup: Setup) -> Result<Self, Failure> {
        let (actor, address) = Actor::start::<SocketAddr>(&Role::Receiver(setup.clone())).await?;
        Ok(Self { actor, address, origin: format!("{}://{address}", setup.protocol.scheme()), setup })
    }

    /// Waits until the first so many events have arrived at all of their endpoints. `seen` is told how many
    /// deliveries have.
    pub(crate) async fn all_arrived(&mut self, events: usize, mut seen: impl FnMut(usize)) -> Result<(), Failure> {
        let wanted = events * self.setup.endpoints;
        loop {
            let arrived = self.actor.ask(&Question::Await(wanted)).await?;
            seen(arrived);
            if arrived >= wanted {
                return Ok(());
            }
        }
    }

    /// Arrivals of what had arrived before. It is an error if something came that was not ours or not signed.
    pub(crate) async fn twice(&mut self) -> Result<usize, Failure> {
        let (twice, wrong) = self.actor.ask::<(usize, usize)>(&Question::Odd).await?;
        if wrong > 0 { Err(format!("{wrong} requests without a good signature").into()) } else { Ok(twice) }
    }

    /// When these had arrived at all of their endpoints.
    pub(crate) async fn times(&mut self, events: Range<usize>) -> Result<Vec<u64>, Failure> {
        self.actor.ask_numbers(&Question::Times(events)).await
    }

    /// What its process has used.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        self.actor.usage()
    }
}

/// What the process does.
pub(super) async fn play(setup: Setup, mut wire: Wire) -> Result<(), Failure> {
    let arrivals = Arc::new(Arrivals::new(setup.events, setup.endpoints));
    let tls = setup.identity.as_ref().map(|identity| identity.acceptor(setup.protocol)).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    wire.say(&answer(Ok(listener.local_addr()?))).await?;
    tokio::spawn(serve::serve(listener, setup.protocol, tls, Arc::clone(&arrivals)));
    while let Some(question) = wire.hear().await? {
        match question {
            Question::Await(count) => wire.say(&answer(Ok(arrivals.wait_for(count, LOOK).await))).await?,
            Question::Odd => wire.say(&answer(Ok(arrivals.odd()))).await?,
            Question::Times(events) => {
                wire.say(&answer(Ok(()))).await?;
                wire.say_numbers(&arrivals.times(events)).await?;
            }
        }
    }
    Ok(())
}
