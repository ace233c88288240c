//! One run: a new server on a new data directory.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::bad;
use crate::common::event::Events;
use crate::common::receiver::{self, Receiver};
use crate::common::sender::{self, Door, Sender};
use crate::common::server::Server;
use crate::common::spread::Spread;
use crate::common::traffic::Traffic;
use crate::common::{Failure, block_on};
use crate::options::Options;

/// Lines in flight on the ingest socket.
const WINDOW: usize = 256;
/// Events for each good endpoint before anything is measured, so that connections are open.
const WARM_UP: usize = 3;
/// Events for each good endpoint from which the capacity is measured.
const CAPACITY: usize = 30;
/// How long one run may take at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// The times from sending to arrival at the good endpoints, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// All that takes part.
struct Stage {
    server: Server,
    traffic: Traffic,
    /// The numbers of the events that are measured.
    measured: Range<usize>,
}

impl Run {
    /// How many events a second reach the good endpoints at most.
    pub(crate) fn capacity(options: &Options) -> Result<f64, Failure> {
        on_a_stage(options, CAPACITY * options.good, async |stage| {
            let began = Instant::now();
            stage.traffic.deliver(stage.measured.clone(), None).await?;
            Ok(stage.measured.len() as f64 / began.elapsed().as_secs_f64())
        })
    }

    /// A steady load of so many events a second, with or without the bad endpoints,
    /// which get as many events each as the good ones.
    pub(crate) fn steady(options: &Options, rate: u32, with_bad: bool) -> Result<Self, Failure> {
        on_a_stage(options, rate as usize * options.seconds(), async |stage| {
            let all_bad = 3 * options.bad;
            if with_bad {
                bad::register(&stage.server, options.bad).await?;
            }
            let per_second = f64::from(rate) * all_bad as f64 / options.good.max(1) as f64;
            let Stage { server, traffic, measured } = stage;
            tokio::select! {
                sent = traffic.deliver(measured.clone(), Some(rate)) => sent?,
                failed = bad::send(&server.ingest_socket, all_bad, per_second), if with_bad => failed?,
            }
            let passages = traffic.passages(measured.clone()).await?;
            let took = passages.iter().map(|passage| passage.arrived.saturating_sub(passage.sent));
            let Spread { p50, p99, .. } = Spread::of_nanos(took.collect());
            Ok(Self { p50_us: p50, p99_us: p99 })
        })
    }
}

/// Prepares a server with warm endpoints and lets `play` use it.
fn on_a_stage<T>(
    options: &Options,
    events: usize,
    play: impl AsyncFnOnce(&mut Stage) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let server = Server::start(&options.shared.dir())?;
    let complaints = server.complaints_later();
    // Requests that hang are not waited for: dropping the server ends it at once.
    let done = block_on(PATIENCE, async {
        let mut stage = Stage::set(server, options, events).await?;
        play(&mut stage).await
    });
    done.map_err(|failure| format!("{failure}{}", complaints()).into())
}

impl Stage {
    async fn set(server: Server, options: &Options, events: usize) -> Result<Self, Failure> {
        let warm_up = WARM_UP * options.good;
        let total = warm_up + events;
        let receiver = Receiver::start(receiver::Setup::plain(total, 1)).await?;
        server.register(options.good, 1, &receiver.origin).await?;
        let door = Door::Socket { path: server.ingest_socket.clone(), connections: 1, window: WINDOW };
        let events = Events::new(options.body_bytes, options.good);
        let sender = Sender::start(sender::Setup { door, events, total }).await?;
        let mut traffic = Traffic::new(sender, receiver);
        traffic.deliver(0..warm_up, None).await?;
        Ok(Self { server, traffic, measured: warm_up..total })
    }
}
