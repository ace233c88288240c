//! What is measured, and with how much load.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::common::Failure;
use crate::common::event::Events;
use crate::common::load::{Load, Pace};
use crate::figures::Figures;
use crate::options::Options;
use crate::{alone, append, through_door};

/// Connections of the bare loop.
pub(crate) const CONNECTIONS: usize = 64;
/// Requests in flight to one endpoint: the server's default.
pub(crate) const PER_ENDPOINT: usize = 32;
/// Connections of those who only have events accepted: to the ingest socket, or with batches.
pub(crate) const ACCEPT_CONNECTIONS: usize = 4;
/// Lines in flight on each of them.
pub(crate) const ACCEPT_WINDOW: usize = 64;
/// Events in a batch.
pub(crate) const BATCH: usize = 100;
/// Events for each endpoint before anything is measured. A lane begins at one
/// request in flight and gets one more after as many successes as it has in
/// flight, so it needs 1 + 2 + ... + 31 = 496 to reach [`PER_ENDPOINT`].
const WARM_UP: usize = 600;
/// Applications, or endpoints, where there are many.
const MANY: usize = 10;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Connections and a signature, nothing else: the limit of delivering.
    Loop,
    /// The dispatcher: a client with a pool behind the address guard and the deadline.
    Dispatcher,
    /// The server.
    Server(Door),
    /// A file and its syncs: the limit of accepting through this door.
    Append(Door),
}

/// Where events come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The ingest socket.
    Socket,
    /// The HTTP API over TCP, one event a request.
    Http,
    /// The same with [`BATCH`] events a request.
    Batch,
}

/// One line of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) subject: Subject,
    /// Events that are measured.
    pub(crate) events: usize,
    pub(crate) applications: usize,
    /// Of each application; an event goes to all of them.
    pub(crate) endpoints: usize,
    /// Events a second, if it is not as many as possible.
    pub(crate) rate: Option<u32>,
    /// Whether nothing is delivered.
    pub(crate) paused: bool,
    /// The ratio by its limit that it should reach.
    pub(crate) target: Option<f64>,
}

/// What is the same for all scenarios.
pub(crate) struct Setting {
    pub(crate) dir: PathBuf,
    pub(crate) body_bytes: usize,
    pub(crate) window: usize,
    pub(crate) connections: usize,
    /// When the whole run is given up.
    deadline: Instant,
    limit: Duration,
}

impl Setting {
    pub(crate) fn new(options: &Options) -> Self {
        let (body_bytes, window, connections) = (options.body_bytes, options.window, options.connections);
        let limit = options.limit();
        Self { dir: options.shared.dir(), body_bytes, window, connections, deadline: Instant::now() + limit, limit }
    }

    /// Does `work`, if it ends before the deadline. `progress` says how far it came.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        progress: impl FnOnce() -> String,
    ) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("the run took longer than {} s; {}", self.limit.as_secs(), progress()).into()),
        }
    }
}

impl Scenario {
    /// All of them, in the order in which they run.
    pub(crate) fn all(options: &Options) -> Vec<Self> {
        let plain = |subject| Self {
            subject,
            applications: 1,
            endpoints: 1,
            events: options.events(),
            rate: None,
            paused: false,
            target: None,
        };
        let server = |door| plain(Subject::Server(door));
        let accept = |door| Self { paused: true, target: Some(0.5), ..server(door) };
        let steady = |door| Self { events: options.steady_events(), rate: Some(options.rate), ..server(door) };
        // As many deliveries as elsewhere.
        let events = (options.events() / MANY).max(1);
        let all = [
            plain(Subject::Loop),
            plain(Subject::Dispatcher),
            Self { target: Some(0.65), ..server(Door::Socket) },
            Self { endpoints: MANY, events, target: Some(0.9), ..server(Door::Socket) },
            Self { applications: MANY, ..server(Door::Socket) },
            server(Door::Http),
            accept(Door::Socket),
            plain(Subject::Append(Door::Socket)),
            accept(Door::Batch),
            plain(Subject::Append(Door::Batch)),
            steady(Door::Socket),
            steady(Door::Http),
        ];
        let wanted = |scenario: &Self| options.only.as_ref().is_none_or(|only| scenario.name().contains(only));
        all.into_iter().filter(wanted).collect()
    }

    pub(crate) fn name(&self) -> String {
        let door = match self.subject {
            Subject::Loop => return format!("bare loop, {CONNECTIONS} connections"),
            Subject::Dispatcher => return format!("dispatcher alone, {PER_ENDPOINT} in flight"),
            Subject::Append(door) => return format!("append + fdatasync for accept, {}", door.name()),
            Subject::Server(door) => door.name(),
        };
        match (self.rate, self.applications, self.endpoints) {
            (Some(rate), ..) => format!("{door}, {rate} events/s"),
            _ if self.paused => format!("accept, {door}"),
            (None, 1, 1) => format!("{door}, 1 endpoint"),
            (None, 1, endpoints) => format!("{door}, {endpoints} endpoints an event"),
            (None, applications, _) => format!("{door}, {applications} applications x 1 endpoint"),
        }
    }

    /// Whether it is what `case` is compared with.
    pub(crate) fn is_limit_of(&self, case: &Self) -> bool {
        match (self.subject, case.subject) {
            (Subject::Append(own), Subject::Server(door)) => case.paused && own == door,
            (Subject::Loop, Subject::Dispatcher) => true,
            (Subject::Loop, Subject::Server(_)) => !case.paused && case.rate.is_none(),
            _ => false,
        }
    }

    /// Measures once. `before` are the scenarios that came before it, with their figures of the same round.
    pub(crate) fn run(&self, setting: &Setting, before: &[(Self, &Figures)]) -> Result<Figures, Failure> {
        match self.subject {
            Subject::Loop | Subject::Dispatcher => alone::measure(self, setting),
            Subject::Server(door) => through_door::measure(self, door, setting),
            Subject::Append(_) => {
                let case = before.iter().find(|(case, _)| self.is_limit_of(case));
                let per_sync = case.and_then(|(_, figures)| figures.per_sync());
                append::measure(self, setting, per_sync.ok_or("it needs the figures of what it is the limit of")?)
            }
        }
    }

    /// How many events come before those that are measured.
    pub(crate) fn warm_up(&self) -> usize {
        WARM_UP * self.applications
    }

    /// The events before anything is measured, and those that are measured.
    pub(crate) fn loads(&self, body_bytes: usize) -> (Load, impl FnOnce() -> Load) {
        let events = Events::new(body_bytes, self.applications);
        let (warm_up, total, rate) = (self.warm_up(), self.warm_up() + self.events, self.rate);
        let before = Load { events: events.clone(), numbers: 0..warm_up, pace: Pace::new(0, None) };
        (before, move || Load { events, numbers: warm_up..total, pace: Pace::new(warm_up, rate) })
    }
}

impl Door {
    fn name(self) -> String {
        match self {
            Self::Socket => "ingest.sock".to_owned(),
            Self::Http => "HTTP".to_owned(),
            Self::Batch => format!("HTTP, {BATCH} a batch"),
        }
    }
}
