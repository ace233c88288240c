//! One scenario with a new server on a new data directory, or with what stands
//! in its place.

use std::time::{Duration, Instant};

use crate::common::event::Events;
use crate::common::front::{self, Front};
use crate::common::receiver::{self, Receiver};
use crate::common::sender::{self, Http, Sender};
use crate::common::server::Server;
use crate::common::traffic::Traffic;
use crate::common::usage::{Usage, machine_cpu};
use crate::common::{Failure, machine, protocol};
use crate::figures::{Cpu, Figures, Store};
use crate::scenario::{ACCEPT_CONNECTIONS, ACCEPT_WINDOW, BATCH, CONNECTIONS, Door, PER_ENDPOINT, Scenario, Subject};
use crate::setting::Setting;

/// What stands between sender and receiver.
enum Middle {
    Server(Server),
    Front(Front),
    /// The sender itself is what is measured.
    Nothing,
}

/// All that takes part.
struct Stage {
    scenario: Scenario,
    middle: Middle,
    traffic: Traffic,
}

/// What was used up to a moment.
struct Account {
    at: Instant,
    subject: Usage,
    load: Option<Duration>,
    receiver: Duration,
    own: Duration,
    machine: Duration,
    /// Syncs and frames of the journal.
    journal: Option<[f64; 2]>,
}

/// Starts all, sends, waits until all has arrived, and stops it.
pub(crate) async fn measure(scenario: &Scenario, setting: &Setting) -> Result<Figures, Failure> {
    let mut stage = Stage::set(scenario, setting).await?;
    let figures = setting.in_time(stage.play()).await;
    let progress = format!("; {} deliveries have arrived", stage.traffic.arrived);
    match stage.middle {
        Middle::Server(server) => {
            let figures = figures.map_err(|failure| format!("{failure}{progress}{}", server.complaints()))?;
            server.stop()?;
            Ok(figures)
        }
        _ => figures.map_err(|failure| format!("{failure}{progress}").into()),
    }
}

impl Stage {
    async fn set(scenario: &Scenario, setting: &Setting) -> Result<Self, Failure> {
        let Scenario { applications, endpoints, paused, checks, protocol, .. } = *scenario;
        let (_, measured) = scenario.numbers();
        let identity = (protocol != protocol::Protocol::Http).then(|| setting.identity.clone());
        let certificate = identity.as_ref().map(|identity| identity.certificate.clone());
        let setup = receiver::Setup { events: measured.end, endpoints, protocol, identity };
        let receiver = Receiver::start(setup).await?;
        let events = scenario.events(setting.body_bytes);
        let address = receiver.address;
        let (middle, door) = match scenario.subject {
            Subject::Server(door) => {
                let server = match &certificate {
                    None => Server::start(&setting.dir)?,
                    Some(certificate) => Server::trusting(&setting.dir, certificate)?,
                };
                server.register(applications, endpoints, &receiver.origin).await?;
                server.check_payloads(checks, applications).await?;
                if paused {
                    server.pause().await?;
                }
                let door = way(&server, door, paused, setting);
                (Middle::Server(server), door)
            }
            Subject::Constant => front(&events, None, setting).await?,
            Subject::Relay => front(&events, Some((address, CONNECTIONS)), setting).await?,
            Subject::Dispatcher => (Middle::Nothing, sender::Door::Dispatcher { address, in_flight: PER_ENDPOINT }),
            Subject::Loop => {
                (Middle::Nothing, sender::Door::Direct { address, protocol, certificate, in_flight: CONNECTIONS })
            }
            Subject::Unloaded => {
                (Middle::Nothing, sender::Door::Direct { address, protocol, certificate, in_flight: 1 })
            }
            Subject::Append(_) => return Err("nothing is sent there".into()),
        };
        let sender = Sender::start(sender::Setup { door, events, total: measured.end }).await?;
        Ok(Self { scenario: *scenario, middle, traffic: Traffic::new(sender, receiver) })
    }

    async fn play(&mut self) -> Result<Figures, Failure> {
        let (warm_up, measured) = self.scenario.numbers();
        self.pass(warm_up, None).await?;
        let before = self.account().await?;
        self.pass(measured.clone(), self.scenario.rate).await?;
        let after = self.account().await?;
        let (cpu, store) = after.since(&before, self.scenario.events, &self.middle);
        let twice = self.traffic.receiver.twice().await?;
        let passages = self.traffic.passages(measured).await?;
        let delivered = if self.scenario.paused { 0 } else { self.scenario.endpoints };
        Ok(Figures::new(&passages, delivered, &cpu, store, twice))
    }

    /// Sends, and waits until all has arrived and its outcomes are on record.
    async fn pass(&mut self, numbers: std::ops::Range<usize>, rate: Option<u32>) -> Result<(), Failure> {
        if self.scenario.paused {
            return self.traffic.sender.send(numbers, rate).await;
        }
        let deliveries = numbers.end * self.scenario.endpoints;
        self.traffic.deliver(numbers, rate).await?;
        match &self.middle {
            Middle::Server(server) => {
                server.has_counted("postrider_deliveries_delivered_total", deliveries as f64).await
            }
            Middle::Front(_) | Middle::Nothing => Ok(()),
        }
    }

    async fn account(&self) -> Result<Account, Failure> {
        let load = self.traffic.sender.usage()?;
        let (subject, journal) = match &self.middle {
            Middle::Server(server) => {
                let counters = ["postrider_sync_seconds_count", "postrider_journal_frames_total"];
                (Usage::of(server.pid())?, Some(server.metrics(counters).await?))
            }
            Middle::Front(front) => (front.usage()?, None),
            Middle::Nothing => (load, None),
        };
        Ok(Account {
            at: Instant::now(),
            subject,
            load: (!matches!(self.middle, Middle::Nothing)).then_some(load.cpu),
            receiver: self.traffic.receiver.usage()?.cpu,
            own: Usage::of(std::process::id())?.cpu,
            machine: machine_cpu()?,
            journal,
        })
    }
}

/// How the server is reached.
fn way(server: &Server, door: Door, paused: bool, setting: &Setting) -> sender::Door {
    let path = server.ingest_socket.clone();
    let http = Http {
        address: server.api,
        token: server.token.clone(),
        connections: setting.connections,
        batch: None,
        keys: paused,
    };
    match door {
        Door::Socket if paused => sender::Door::Socket { path, connections: ACCEPT_CONNECTIONS, window: ACCEPT_WINDOW },
        Door::Socket => sender::Door::Socket { path, connections: 1, window: setting.window },
        Door::Http => sender::Door::Http(http),
        Door::Batch => {
            sender::Door::Http(Http { connections: ACCEPT_CONNECTIONS, batch: Some(BATCH), keys: false, ..http })
        }
    }
}

/// One that answers in the server's place, and how it is reached.
async fn front(
    events: &Events,
    relay: Option<(std::net::SocketAddr, usize)>,
    setting: &Setting,
) -> Result<(Middle, sender::Door), Failure> {
    let front = Front::start(front::Setup { events: events.clone(), relay }).await?;
    let (address, token) = (front.address, front.token.clone());
    // As the server is asked: with keys where it only accepts.
    let keys = relay.is_none();
    let http = Http { address, token, connections: setting.connections, batch: None, keys };
    Ok((Middle::Front(front), sender::Door::Http(http)))
}

impl Account {
    fn since(&self, before: &Self, events: usize, middle: &Middle) -> (Cpu, Option<Store>) {
        let load = self.load.zip(before.load).map(|(after, before)| after.saturating_sub(before));
        let subject = self.subject.cpu.saturating_sub(before.subject.cpu);
        let receiver = self.receiver.saturating_sub(before.receiver);
        let ours = subject + receiver + load.unwrap_or_default() + self.own.saturating_sub(before.own);
        let cpu = Cpu {
            subject,
            load,
            receiver,
            others: self.machine.saturating_sub(before.machine).saturating_sub(ours),
            available: machine::cores_for(self.at - before.at),
        };
        let journal = self.journal.zip(before.journal);
        let (syncs, frames) =
            journal.map_or((0.0, 0.0), |(after, before)| (after[0] - before[0], after[1] - before[1]));
        let written = self.subject.written_bytes.saturating_sub(before.subject.written_bytes);
        let store = Store {
            written_bytes_per_event: written as f64 / events.max(1) as f64,
            syncs,
            frames,
            peak_rss_mib: Some(self.subject.peak_rss_bytes as f64 / f64::from(1 << 20)),
        };
        (cpu, matches!(middle, Middle::Server(_)).then_some(store))
    }
}
