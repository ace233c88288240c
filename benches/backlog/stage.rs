//! One server with good endpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tempfile::TempDir;

use crate::common::Failure;
use crate::common::event::Events;
use crate::common::receiver::{self, Receiver};
use crate::common::sender::{self, Door, Sender};
use crate::common::server::Server;
use crate::common::spread::Spread;
use crate::common::traffic::{Passage, Traffic, per_second};
use crate::common::usage::{self, Usage};
use crate::options::Options;

/// Lines in flight on the ingest socket.
const WINDOW: usize = 256;
/// Events for each good endpoint before anything is measured, so that connections
/// are open and as many requests are in flight as may be.
const WARM_UP: usize = 600;
/// How long a server is watched at a time to see what it does of itself.
const WATCH: Duration = Duration::from_secs(1);
/// The part of a core with which a server is quiet.
const QUIET: f64 = 0.02;
/// How often it is watched at most until it is quiet.
const WATCHES: usize = 60;

/// What takes part around one server.
pub(crate) struct Stage {
    pub(crate) server: Server,
    data: Arc<TempDir>,
    traffic: Traffic,
    /// The number of the next event.
    next: usize,
}

/// What was measured in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Events a second from the first sent to the last arrival, sent as fast as they are taken.
    pub(crate) delivered_per_s: f64,
    /// Processor seconds of the server for a thousand of them.
    pub(crate) cpu_s_per_1000_events: f64,
    /// From sending to arrival at a steady load.
    pub(crate) steady: Spread,
}

/// What a server holds at a moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// Resident memory.
    pub(crate) resident_mib: f64,
    /// The most of it that there was.
    pub(crate) peak_mib: f64,
    /// Bodies of fresh messages, of which the server keeps up to a limit; in it.
    pub(crate) fresh_bodies_mib: f64,
    /// Deliveries that wait.
    pub(crate) waiting: f64,
    /// Of these the ones that are in the journal only.
    pub(crate) behind_window: f64,
}

/// How many events a second reach the good endpoints of a new server.
pub(crate) async fn capacity(options: &Options) -> Result<f64, Failure> {
    let mut stage = Stage::start(options, 1, 0).await?;
    let (capacity, _) = stage.saturate(options).await?;
    stage.stop()?;
    Ok(capacity)
}

impl Stage {
    /// A new server with warm endpoints, for so many rounds with such a steady load.
    pub(crate) async fn start(options: &Options, rounds: usize, rate: u32) -> Result<Self, Failure> {
        let warm_up = WARM_UP * options.good;
        let total = warm_up + rounds * (options.events() + rate as usize * options.steady_seconds());
        let receiver = Receiver::start(receiver::Setup::plain(total, 1)).await?;
        let data = Arc::new(tempfile::Builder::new().prefix("bench-").tempdir_in(options.shared.dir())?);
        let server = Server::on(&data)?;
        server.register(options.good, 1, &receiver.origin).await?;
        let door = Door::Socket { path: server.ingest_socket.clone(), connections: 1, window: WINDOW };
        let events = Events::new(options.body_bytes, options.good);
        let sender = Sender::start(sender::Setup { door, events, total }).await?;
        let mut stage = Self { server, data, traffic: Traffic::new(sender, receiver), next: 0 };
        stage.deliver(warm_up, None).await?;
        Ok(stage)
    }

    /// Once as fast as it goes, and once at a steady rate.
    pub(crate) async fn round(&mut self, options: &Options, rate: u32) -> Result<Round, Failure> {
        let (delivered_per_s, cpu_s_per_1000_events) = self.saturate(options).await?;
        self.quiet().await?;
        let passages = self.deliver(rate as usize * options.steady_seconds(), Some(rate)).await?;
        // What it does afterwards must not fall into another's time.
        self.quiet().await?;
        let took = passages.iter().map(|passage| passage.arrived.saturating_sub(passage.sent));
        Ok(Round { delivered_per_s, cpu_s_per_1000_events, steady: Spread::of_nanos(took.collect()) })
    }

    /// Events a second from the first sent to the last arrival, and the server's processor seconds for a thousand.
    async fn saturate(&mut self, options: &Options) -> Result<(f64, f64), Failure> {
        let before = Usage::of(self.server.pid())?.cpu;
        let passages = self.deliver(options.events(), None).await?;
        let cpu = Usage::of(self.server.pid())?.cpu.saturating_sub(before);
        let delivered_per_s = per_second(&passages, |passage| passage.arrived);
        Ok((delivered_per_s, cpu.as_secs_f64() * 1e3 / passages.len().max(1) as f64))
    }

    /// Sends so many events and waits until all have arrived and their outcomes are on record.
    async fn deliver(&mut self, count: usize, rate: Option<u32>) -> Result<Vec<Passage>, Failure> {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        self.traffic.deliver(numbers.clone(), rate).await?;
        self.server.has_counted("postrider_deliveries_delivered_total", numbers.end as f64).await?;
        self.traffic.receiver.twice().await?;
        self.traffic.passages(numbers).await
    }

    /// Waits until the server has done what it does in the background.
    pub(crate) async fn quiet(&self) -> Result<(), Failure> {
        for _ in 0..WATCHES {
            if self.cpu_alone(WATCH).await? < QUIET {
                return Ok(());
            }
        }
        Err(format!("the server does not become quiet{}", self.server.complaints()).into())
    }

    /// The part of a core that it uses in such a time, if nothing is asked of it.
    pub(crate) async fn cpu_alone(&self, time: Duration) -> Result<f64, Failure> {
        let (began, before) = (Instant::now(), Usage::of(self.server.pid())?.cpu);
        tokio::time::sleep(time).await;
        let used = Usage::of(self.server.pid())?.cpu.saturating_sub(before);
        Ok(used.as_secs_f64() / began.elapsed().as_secs_f64())
    }

    /// What it holds now.
    pub(crate) async fn standing(&self) -> Result<Standing, Failure> {
        let [waiting, in_flight, behind_window, fresh_bodies] = self
            .server
            .metrics([
                "postrider_deliveries{state=\"waiting\"}",
                "postrider_deliveries{state=\"in_flight\"}",
                "postrider_deliveries_behind_window",
                "postrider_fresh_body_bytes",
            ])
            .await?;
        let resident_kib = usage::value(&format!("/proc/{}/status", self.server.pid()), "VmRSS:")?;
        Ok(Standing {
            resident_mib: resident_kib as f64 / 1_024.0,
            peak_mib: Usage::of(self.server.pid())?.peak_rss_bytes as f64 / f64::from(1 << 20),
            fresh_bodies_mib: fresh_bodies / f64::from(1 << 20),
            waiting: waiting + in_flight,
            behind_window,
        })
    }

    /// Has the server stop and start, so that it holds what it must and no more.
    pub(crate) async fn restart(self) -> Result<Self, Failure> {
        let Self { server, data, .. } = self;
        server.stop()?;
        let stage = Self { server: Server::on(&data)?, data, ..self };
        stage.quiet().await?;
        Ok(stage)
    }

    /// Ends the server.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.server.stop()
    }
}
