//! One run: a new server on a new data directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bad;
use crate::common::event::Events;
use crate::common::ledger::Ledger;
use crate::common::load::{Load, Pace};
use crate::common::receiver::Receiver;
use crate::common::server::Server;
use crate::common::{Failure, socket_door};
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
    _receiver: Receiver,
    ledger: Arc<Ledger>,
    events: Events,
    warm_up: usize,
}

impl Run {
    /// How many events a second reach the good endpoints at most.
    pub(crate) fn capacity(options: &Options) -> Result<f64, Failure> {
        on_a_stage(options, CAPACITY * options.good, async |stage| {
            let first = stage.warm_up;
            let numbers = first..first + CAPACITY * options.good;
            let began = Instant::now();
            stage
                .send(Load { events: stage.events.clone(), numbers: numbers.clone(), pace: Pace::new(first, None) })
                .await?;
            Ok(numbers.len() as f64 / began.elapsed().as_secs_f64())
        })
    }

    /// A steady load of so many events a second, with or without the bad endpoints,
    /// which get as many events each as the good ones.
    pub(crate) fn steady(options: &Options, rate: u32, with_bad: bool) -> Result<Self, Failure> {
        let count = rate as usize * options.seconds();
        on_a_stage(options, count, async |stage| {
            let all_bad = 3 * options.bad;
            if with_bad {
                bad::register(&stage.server, options.bad).await?;
            }
            let first = stage.warm_up;
            let pace = Pace::new(first, Some(rate));
            let load = Load { events: stage.events.clone(), numbers: first..first + count, pace };
            let per_second = f64::from(rate) * all_bad as f64 / options.good.max(1) as f64;
            tokio::select! {
                sent = stage.send(load) => sent?,
                failed = bad::send(&stage.server.ingest_socket, all_bad, per_second), if with_bad => failed?,
            }
            let passages = stage.ledger.passages(first..first + count);
            let mut took: Vec<u64> =
                passages.iter().map(|passage| passage.arrived.saturating_sub(passage.sent)).collect();
            took.sort_unstable();
            let at = |part: f64| took.get((took.len() as f64 * part) as usize).map_or(0.0, |ns| *ns as f64 / 1_000.0);
            Ok(Self { p50_us: at(0.5), p99_us: at(0.99) })
        })
    }
}

/// Prepares a server with warm endpoints and lets `play` use it.
fn on_a_stage<T>(
    options: &Options,
    events: usize,
    play: impl AsyncFnOnce(&Stage) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let warm_up = WARM_UP * options.good;
    let ledger = Arc::new(Ledger::new(warm_up + events));
    let receiver = Receiver::start(Arc::clone(&ledger))?;
    let server = Server::start(&options.shared.dir())?;
    let address = receiver.address;
    let events = Events::new(options.body_bytes, options.good);
    let stage = Stage { server, _receiver: receiver, ledger, events, warm_up };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async {
        stage.server.register(options.good, 1, address).await?;
        let pace = Pace::new(0, None);
        stage.send(Load { events: stage.events.clone(), numbers: 0..warm_up, pace }).await?;
        play(&stage).await
    };
    // The timer belongs to the runtime, so it is made in there.
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
    // Requests that hang are not waited for: dropping the server ends it at once.
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(failure)) => Err(format!("{failure}{}", stage.server.complaints()).into()),
        Err(_) => Err(format!("{} events arrived in {} s", stage.ledger.arrivals(), PATIENCE.as_secs()).into()),
    }
}

impl Stage {
    /// Sends, and waits until all has arrived.
    async fn send(&self, load: Load) -> Result<(), Failure> {
        let end = load.numbers.end;
        socket_door::send(&self.server.ingest_socket, WINDOW, &load, &self.ledger).await?;
        self.ledger.all_arrived(end).await;
        Ok(())
    }
}
