//! One scenario with a server: a new one on a new data directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::common::Failure;
use crate::common::ledger::Ledger;
use crate::common::load::Load;
use crate::common::receiver::Receiver;
use crate::common::server::Server;
use crate::common::usage::{Usage, machine_cpu};
use crate::common::{machine, socket_door};
use crate::figures::{Cpu, Figures, Store};
use crate::http_door;
use crate::scenario::{ACCEPT_CONNECTIONS, ACCEPT_WINDOW, BATCH, Door, Scenario, Setting};

/// All that takes part.
struct Stage<'a> {
    scenario: &'a Scenario,
    door: Door,
    setting: &'a Setting,
    server: Server,
    receiver: Receiver,
    ledger: Arc<Ledger>,
}

/// What was used up to a moment.
struct Account {
    at: Instant,
    server: Usage,
    own_cpu: Duration,
    receiver_cpu: Duration,
    machine_cpu: Duration,
    syncs: f64,
    frames: f64,
}

/// Starts a server, sends, waits until all has arrived, and stops the server.
pub(crate) fn measure(scenario: &Scenario, door: Door, setting: &Setting) -> Result<Figures, Failure> {
    let total = scenario.warm_up() + scenario.events;
    let ledger = Arc::new(Ledger::with_endpoints(total, scenario.endpoints));
    let receiver = Receiver::start(Arc::clone(&ledger))?;
    let server = Server::start(&setting.dir)?;
    let stage = Stage { scenario, door, setting, server, receiver, ledger };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = || format!("{} of {} deliveries have arrived", stage.ledger.arrivals(), total * scenario.endpoints);
    let figures = runtime.block_on(setting.in_time(stage.play(), progress));
    let figures = figures.map_err(|failure| format!("{failure}{}", stage.server.complaints()))?;
    stage.server.stop()?;
    Ok(figures)
}

impl Stage<'_> {
    async fn play(&self) -> Result<Figures, Failure> {
        let Scenario { applications, endpoints, paused, .. } = *self.scenario;
        self.server.register(applications, endpoints, self.receiver.address).await?;
        if paused {
            self.server.pause().await?;
        }
        let (warm_up, measured) = self.scenario.loads(self.setting.body_bytes);
        self.deliver(&warm_up).await?;
        let before = self.account().await?;
        let load = measured();
        self.deliver(&load).await?;
        let after = self.account().await?;
        if self.ledger.arrived_wrong() > 0 {
            return Err(format!("{} requests without a good signature", self.ledger.arrived_wrong()).into());
        }
        let (cpu, store) = after.since(&before, self.scenario.events);
        let passages = self.ledger.passages(load.numbers);
        let delivered = if paused { 0 } else { endpoints };
        Ok(Figures::new(&passages, delivered, &cpu, Some(store), self.ledger.arrived_twice()))
    }

    /// Sends, and waits until all has arrived and its outcomes are on record.
    async fn deliver(&self, load: &Load) -> Result<(), Failure> {
        self.send(load).await?;
        if self.scenario.paused {
            return Ok(());
        }
        self.ledger.all_arrived(load.numbers.end).await;
        let deliveries = load.numbers.end * self.scenario.endpoints;
        self.server.has_counted("postrider_deliveries_delivered_total", deliveries as f64).await
    }

    /// Sends, and waits for all answers.
    async fn send(&self, load: &Load) -> Result<(), Failure> {
        let Server { api, token, ingest_socket, .. } = &self.server;
        let connections = self.setting.connections;
        match self.door {
            Door::Socket if self.scenario.paused => self.send_over_many(load).await,
            Door::Socket => socket_door::send(ingest_socket, self.setting.window, load, &self.ledger).await,
            Door::Http => http_door::send(*api, token, connections, None, load, &self.ledger).await,
            Door::Batch => http_door::send(*api, token, ACCEPT_CONNECTIONS, Some(BATCH), load, &self.ledger).await,
        }
    }

    /// Over several connections to the ingest socket, each with its part of the events.
    async fn send_over_many(&self, load: &Load) -> Result<(), Failure> {
        let (first, count) = (load.numbers.start, load.numbers.len());
        let mut sending = JoinSet::new();
        for nth in 0..ACCEPT_CONNECTIONS {
            let begin = |nth| first + count * nth / ACCEPT_CONNECTIONS;
            let part = Load { numbers: begin(nth)..begin(nth + 1), ..load.clone() };
            let (socket, ledger) = (self.server.ingest_socket.clone(), Arc::clone(&self.ledger));
            sending.spawn(async move { socket_door::send(&socket, ACCEPT_WINDOW, &part, &ledger).await });
        }
        while let Some(ended) = sending.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn account(&self) -> Result<Account, Failure> {
        let [syncs, frames] =
            self.server.metrics(["postrider_sync_seconds_count", "postrider_journal_frames_total"]).await?;
        Ok(Account {
            at: Instant::now(),
            server: Usage::of(self.server.pid())?,
            own_cpu: Usage::of(std::process::id())?.cpu,
            receiver_cpu: self.receiver.thread.cpu()?,
            machine_cpu: machine_cpu()?,
            syncs,
            frames,
        })
    }
}

impl Account {
    fn since(&self, before: &Self, events: usize) -> (Cpu, Store) {
        let spent = |of: fn(&Self) -> Duration| of(self).saturating_sub(of(before));
        let (subject, own) = (spent(|account| account.server.cpu), spent(|account| account.own_cpu));
        let receiver = spent(|account| account.receiver_cpu);
        let written = self.server.written_bytes.saturating_sub(before.server.written_bytes);
        let cpu = Cpu {
            subject,
            load: Some(own.saturating_sub(receiver)),
            receiver,
            others: spent(|account| account.machine_cpu).saturating_sub(subject + own),
            available: machine::cores_for(self.at - before.at),
        };
        let store = Store {
            written_bytes_per_event: written as f64 / events.max(1) as f64,
            syncs: self.syncs - before.syncs,
            frames: self.frames - before.frames,
            peak_rss_mib: Some(self.server.peak_rss_bytes as f64 / f64::from(1 << 20)),
        };
        (cpu, store)
    }
}
