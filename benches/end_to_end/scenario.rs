//! What is measured, and with how much load.

use std::ops::Range;

use crate::common::case::Target;
use crate::common::event::Events;
use crate::common::protocol::Protocol;
use crate::common::server::Checks;
use crate::options::Options;

/// Connections of the bare loop and of the bare relay.
pub(crate) const CONNECTIONS: usize = 64;
/// Requests in flight to one endpoint: the server's default.
pub(crate) const PER_ENDPOINT: usize = 32;
/// Connections of those who only have events accepted: to the ingest socket, or with batches.
pub(crate) const ACCEPT_CONNECTIONS: usize = 4;
/// Lines in flight on each of them.
pub(crate) const ACCEPT_WINDOW: usize = 64;
/// Events in a batch.
pub(crate) const BATCH: usize = 100;
/// Requests one after the other, and syncs, of which the latency's limit is made.
pub(crate) const UNLOADED: usize = 500;
/// Events for each endpoint before anything is measured. A lane begins at one
/// request in flight and gets one more after as many successes as it has in
/// flight, so it needs 1 + 2 + ... + 31 = 496 to reach [`PER_ENDPOINT`].
const WARM_UP: usize = 600;
/// Applications, or endpoints, where there are many.
const MANY: usize = 10;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The server.
    Server(Door),
    /// Connections and a signature, nothing else: the limit of delivering.
    Loop,
    /// The dispatcher: a client with a pool behind the address guard and the deadline.
    Dispatcher,
    /// The HTTP server with nothing behind it: the limit of accepting one event a request.
    Constant,
    /// The HTTP server, and a signed POST before the answer: the limit of delivering what comes so.
    Relay,
    /// A file and its syncs: the limit of accepting in this scenario.
    Append(&'static str),
    /// One sync, and one POST, with nothing else going on: the limit of latency.
    Unloaded,
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

impl Checks {
    fn name(self) -> &'static str {
        match (self.filter, self.schema) {
            (false, false) => "unchecked",
            (true, false) => "filter",
            (false, true) => "schema",
            (true, true) => "filter and schema",
        }
    }
}

/// One line of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The key of its case, or a name that is as short.
    pub(crate) key: &'static str,
    pub(crate) subject: Subject,
    /// Events that are measured.
    pub(crate) events: usize,
    pub(crate) applications: usize,
    /// Of each application; an event goes to all of them.
    pub(crate) endpoints: usize,
    /// What the receiver speaks.
    pub(crate) protocol: Protocol,
    /// Events a second, if it is not as many as possible.
    pub(crate) rate: Option<u32>,
    /// Whether nothing is delivered.
    pub(crate) paused: bool,
    /// What looks into the payloads.
    pub(crate) checks: Checks,
    /// The key of what it is compared with.
    pub(crate) limit: Option<&'static str>,
    /// What the ratio should reach.
    pub(crate) target: Option<Target>,
}

impl Scenario {
    /// Those that are asked for, in the order in which they run.
    pub(crate) fn wanted(options: &Options) -> Vec<Self> {
        let all = Self::all(options);
        let is_wanted = |scenario: &Self| match &options.only {
            Some(only) => scenario.keys().contains(&only.as_str()),
            None => !options.cases || scenario.is_case(),
        };
        let wanted: Vec<_> = all.iter().filter(|scenario| is_wanted(scenario)).collect();
        let is_limit = |one: &Self| wanted.iter().any(|scenario| scenario.limit == Some(one.key));
        all.iter().filter(|scenario| is_wanted(scenario) || is_limit(scenario)).copied().collect()
    }

    /// Whether it is a line of the table.
    fn is_case(&self) -> bool {
        self.target.is_some() || (self.rate.is_some() && self.limit.is_some())
    }

    fn all(options: &Options) -> Vec<Self> {
        let plain = |key, subject| Self {
            key,
            subject,
            events: options.events(),
            applications: 1,
            endpoints: 1,
            protocol: Protocol::Http,
            rate: None,
            paused: false,
            checks: Checks::default(),
            limit: None,
            target: None,
        };
        let case = |key, door, limit, least| Self {
            limit: Some(limit),
            target: Some(Target::AtLeast(least)),
            ..plain(key, Subject::Server(door))
        };
        let accepted = options.accepted();
        let accept = |key, door, limit, least| Self { events: accepted, paused: true, ..case(key, door, limit, least) };
        let checked = |key, checks| Self { checks, target: None, ..accept(key, Door::Socket, "accept-socket", 0.0) };
        let append = |key, of| Self { events: accepted, paused: true, ..plain(key, Subject::Append(of)) };
        // As many deliveries as elsewhere.
        let tenth = (options.events() / MANY).max(1);
        let steady = |key, door| Self {
            events: options.steady_events(),
            rate: Some(options.rate),
            ..plain(key, Subject::Server(door))
        };
        let bare = "bare-loop";
        vec![
            accept("accept-socket", Door::Socket, "append-socket", 0.5),
            append("append-socket", "accept-socket"),
            checked("accept-filter", Checks { filter: true, schema: false }),
            checked("accept-schema", Checks { filter: false, schema: true }),
            checked("accept-checked", Checks { filter: true, schema: true }),
            Self { paused: true, ..plain("constant", Subject::Constant) },
            Self { events: options.events(), ..accept("accept-http", Door::Http, "constant", 0.6) },
            accept("accept-batch", Door::Batch, "append-batch", 0.5),
            append("append-batch", "accept-batch"),
            plain(bare, Subject::Loop),
            case("deliver-socket", Door::Socket, bare, 0.65),
            Self { endpoints: MANY, events: tenth, ..case("deliver-ten-endpoints", Door::Socket, bare, 0.9) },
            Self { applications: MANY, target: None, ..case("ten-applications", Door::Socket, bare, 0.0) },
            Self { limit: Some(bare), ..plain("dispatcher", Subject::Dispatcher) },
            plain("bare-relay", Subject::Relay),
            case("deliver-http", Door::Http, "bare-relay", 0.6),
            Self { limit: Some("unloaded"), ..steady("latency", Door::Socket) },
            Self { events: UNLOADED, ..plain("unloaded", Subject::Unloaded) },
            steady("latency-http", Door::Http),
            Self { protocol: Protocol::Https, ..plain("bare-loop-https", Subject::Loop) },
            Self { protocol: Protocol::Https, ..case("deliver-https", Door::Socket, "bare-loop-https", 0.6) },
            Self { protocol: Protocol::Http2, ..plain("bare-loop-http2", Subject::Loop) },
            Self { protocol: Protocol::Http2, ..case("deliver-http2", Door::Socket, "bare-loop-http2", 0.6) },
        ]
    }

    /// By what it can be asked for: the keys of its cases, or its own.
    fn keys(&self) -> Vec<&'static str> {
        match self.key {
            "latency" => vec!["latency-p50", "latency-p99"],
            key if self.checks != Checks::default() => vec![key, "checks"],
            key => vec![key],
        }
    }

    /// What it is, for a person.
    pub(crate) fn name(&self) -> String {
        let over = match self.protocol {
            Protocol::Http => "",
            Protocol::Https => " over HTTPS",
            Protocol::Http2 => " over HTTP/2",
        };
        let door = match self.subject {
            Subject::Server(door) => door.name(),
            Subject::Loop => return format!("bare loop{over}, {CONNECTIONS} in flight"),
            Subject::Dispatcher => return format!("dispatcher alone, {PER_ENDPOINT} in flight"),
            Subject::Constant => return "HTTP server, constant answer".to_owned(),
            Subject::Relay => return format!("bare relay, {CONNECTIONS} connections"),
            Subject::Append(of) => return format!("append + fdatasync for {of}"),
            Subject::Unloaded => return "a sync and a POST, unloaded".to_owned(),
        };
        match (self.rate, self.applications, self.endpoints) {
            (Some(rate), ..) => format!("{door}, {rate} events/s"),
            _ if self.checks != Checks::default() => format!("accept, {door}, {}", self.checks.name()),
            _ if self.paused => format!("accept, {door}"),
            (None, 1, 1) => format!("{door}, 1 endpoint{over}"),
            (None, 1, endpoints) => format!("{door}, {endpoints} endpoints an event"),
            (None, applications, _) => format!("{door}, {applications} applications x 1 endpoint"),
        }
    }

    /// The numbers of the events before anything is measured, and of those that are measured.
    pub(crate) fn numbers(&self) -> (Range<usize>, Range<usize>) {
        let warm_up = WARM_UP * self.applications;
        (0..warm_up, warm_up..warm_up + self.events)
    }

    pub(crate) fn events(&self, body_bytes: usize) -> Events {
        Events::new(body_bytes, self.applications)
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
