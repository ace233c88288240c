//! What is measured, and with how much load.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::common::Failure;
use crate::common::event::Events;
use crate::common::load::{Load, Pace};
use crate::figures::Figures;
use crate::options::Options;
use crate::{client_alone, through_door};

/// Requests in flight to one endpoint: the server's default, and so the client's alone.
const PER_ENDPOINT: usize = 32;
/// Connections to one host: the same.
const PER_HOST: usize = 256;
/// Events for each endpoint before anything is measured. A lane begins at one
/// request in flight and gets one more after as many successes as it has in
/// flight, so it needs 1 + 2 + ... + 31 = 496 to reach [`PER_ENDPOINT`].
const WARM_UP: usize = 600;
/// Applications where there are many.
const MANY: usize = 10;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// hyper's client and a signature, nothing else.
    Hyper,
    /// The dispatcher: the same client behind the address guard and the deadline.
    Dispatcher,
    /// The server through its ingest socket.
    Socket,
    /// The server through its HTTP API over TCP.
    Http,
}

/// One line of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) subject: Subject,
    /// Events that are measured.
    pub(crate) events: usize,
    /// Each with one endpoint.
    pub(crate) applications: usize,
    /// Events a second, if it is not as many as possible.
    pub(crate) rate: Option<u32>,
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
        let full = |subject, applications| Self { subject, applications, events: options.events(), rate: None };
        let steady =
            |subject| Self { subject, applications: 1, events: options.steady_events(), rate: Some(options.rate) };
        let all = [
            full(Subject::Hyper, 1),
            full(Subject::Hyper, MANY),
            full(Subject::Dispatcher, 1),
            full(Subject::Socket, 1),
            full(Subject::Http, 1),
            full(Subject::Socket, MANY),
            steady(Subject::Socket),
            steady(Subject::Http),
        ];
        let wanted = |scenario: &Self| options.only.as_ref().is_none_or(|only| scenario.name().contains(only));
        all.into_iter().filter(wanted).collect()
    }

    pub(crate) fn name(&self) -> String {
        let subject = match self.subject {
            Subject::Hyper => "client alone",
            Subject::Dispatcher => "dispatcher alone",
            Subject::Socket => "ingest.sock",
            Subject::Http => "HTTP",
        };
        match (self.subject, self.rate) {
            (Subject::Hyper | Subject::Dispatcher, _) => format!("{subject}, {} in flight", self.in_flight()),
            (_, Some(rate)) => format!("{subject}, {rate} events/s"),
            _ if self.applications == 1 => format!("{subject}, 1 endpoint"),
            _ => format!("{subject}, {0} applications x 1 endpoint", self.applications),
        }
    }

    /// Requests to the receiver that may be in flight.
    pub(crate) fn in_flight(&self) -> usize {
        (self.applications * PER_ENDPOINT).min(PER_HOST)
    }

    /// Whether `other` is what this one is compared with.
    pub(crate) fn is_compared_with(&self, other: &Self) -> bool {
        other.subject == Subject::Hyper && self.rate.is_none() && self.in_flight() == other.in_flight()
    }

    /// Measures once.
    pub(crate) fn run(&self, setting: &Setting) -> Result<Figures, Failure> {
        match self.subject {
            Subject::Hyper | Subject::Dispatcher => client_alone::measure(self, setting),
            Subject::Socket | Subject::Http => through_door::measure(self, setting),
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
