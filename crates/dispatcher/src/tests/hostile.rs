//! What holds of an attempt whatever the endpoint does: it ends by its deadline, its
//! connection is let go, it takes no more than it may, and its words name the cause.
//!
//! Time is virtual: it stands still while anybody has something to do, and then goes on to
//! the next moment that anybody waits for. So each moment is known exactly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::id::{EndpointId, MessageId, RawId};
use postrider_model::job::{AttemptResult, FailureKind, Job, Outcome};
use postrider_model::position::Position;
use postrider_model::secret::Secret;
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::{BODY, Endpoint};
use super::network::{ADDRESS, Net};
use crate::attempt::Dispatcher;
use crate::options::Options;

/// Beyond all that ends an attempt before: the time to connect, and that for a sign of life.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// What a connection may stay open for after that.
const GRACE: Duration = Duration::from_secs(1);
/// By then a test fails that would else wait for ever.
const NEVER: Duration = Duration::from_secs(3_600);

pub(crate) const AT_ONCE: Duration = Duration::ZERO;

/// One endpoint, and what becomes of an attempt at it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) endpoint: Endpoint,
    pub(crate) shown: Shown,
    /// When the attempt is over.
    pub(crate) ends: Duration,
    /// Bytes that are taken of what it sends.
    pub(crate) takes_at_most: usize,
}

/// What is recorded.
pub(crate) enum Shown {
    /// The status, and so many bytes of the body.
    Answer(u16, usize),
    /// The word that everybody sees, and what the sentence for the operator says.
    Failure(FailureKind, &'static str),
}

/// Bytes of a head that are read.
pub(crate) const HEAD_BYTES: usize = 32 << 10;
/// Bytes of a body that are read.
pub(crate) const BODY_BYTES: usize = 64 << 10;
/// Bytes that may come for one request, whatever they are, as docs/hostile-endpoints.md has it.
pub(crate) const ALL_BYTES: usize = 1 << 20;
/// A record of TLS with its head is never longer (RFC 5246, 6.2.3).
pub(crate) const RECORD_BYTES: usize = (16 << 10) + 2_048 + 5;

struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> UnixMs {
        UnixMs(1_800_000_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A dispatcher with room for one connection to a host.
fn dispatcher(net: &Net) -> Dispatcher {
    let inside = format!("{ADDRESS}/32").parse().expect("a network");
    let options = Options {
        allow_networks: vec![inside],
        response_header_bytes: HEAD_BYTES,
        response_read_bytes: BODY_BYTES,
        pool_max_connections_per_host: 1,
        ..Options::default()
    };
    let clock = Arc::new(Virtual(Instant::now()));
    Dispatcher::simulated(options, clock, Arc::new(net.clone()), Arc::new(net.clone())).expect("valid options")
}

fn job(endpoint: &Endpoint) -> Job {
    let (url, via) = endpoint.place();
    let secret = Secret::from_bytes(vec![1; 32]).expect("long enough");
    let target = Target::new(&url.parse().expect("a URL"), &BTreeMap::new(), vec![secret], DEADLINE);
    let id = |n| RawId::new(UnixMs(1_800_000_000_000), n, [7; 6]);
    Job {
        key: DeliveryKey { endpoint: EndpointId(id(1)), message: Position::new(1, 64) },
        scheduled: Scheduled::first(UnixMs(1_800_000_000_000)),
        message: MessageId(id(2)),
        body: Bytes::from_static(BODY),
        content_type: None,
        event_type: "order.paid".into(),
        target: Arc::new(Target { via, ..target.expect("it can be asked for") }),
        others: None,
    }
}

impl Case {
    /// Makes an attempt, and then another one at a good endpoint in the same place.
    pub(crate) async fn holds(&self) {
        let name = self.name;
        let net = Net::new(self.endpoint.clone());
        let (dispatcher, job) = (dispatcher(&net), job(&self.endpoint));
        let began = Instant::now();
        let outcome = timeout(NEVER, dispatcher.attempt(job.clone())).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("{name}: it never ends"));
        let ended = began.elapsed();
        assert!(ended <= DEADLINE, "{name}: it ends after {ended:?}");
        assert_eq!((ended, outcome.duration), (self.ends, self.ends), "{name}: {:?}", outcome.result);
        self.is_told(&outcome);

        let [line] = &net.lines()[..] else { panic!("{name}: it is asked once") };
        let let_go = timeout_at(began + DEADLINE + GRACE, line.let_go()).await;
        let let_go = let_go.unwrap_or_else(|_| panic!("{name}: its connection is open still"));
        assert_eq!(let_go - began, ended, "{name}: its connection is let go with the attempt");
        let taken = line.taken_bytes();
        assert!(taken <= self.takes_at_most, "{name}: {taken} bytes were taken");

        let after = Instant::now();
        let next = timeout(NEVER, dispatcher.attempt(job)).await;
        let next = next.unwrap_or_else(|_| panic!("{name}: its place is never given back"));
        assert_eq!((next.result.status(), after.elapsed()), (Some(204), AT_ONCE), "{name}: {:?}", next.result);
    }

    fn is_told(&self, outcome: &Outcome) {
        let name = self.name;
        match (&self.shown, &outcome.result) {
            (Shown::Answer(status, bytes), AttemptResult::Answered(answer)) => {
                assert_eq!((answer.status, answer.body.len()), (*status, *bytes), "{name}");
            }
            (Shown::Failure(word, says), AttemptResult::Failed { kind, detail }) => {
                assert_eq!(kind, word, "{name}: {detail}");
                assert!(detail.contains(says), "{name}: {detail}");
                assert!(!detail.contains(&ADDRESS.to_string()), "{name}: {detail}");
            }
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}

async fn all_hold(cases: Vec<Case>) {
    for case in cases {
        case.holds().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_opens_ends_in_time() {
    all_hold(super::opening::cases()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_is_said_over_http1_ends_in_time() {
    all_hold(super::http1::cases()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_is_said_over_http2_ends_in_time() {
    all_hold(super::http2::cases()).await;
}
