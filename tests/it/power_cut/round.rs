//! One round: load, a power cut where it hurts, and a look at what is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_proof::Dice;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::disk::LoopDisk;
use crate::kill::ledger::Counts;
use crate::kill::load::{AT_FULL_SPEED, Load};
use crate::kill::watch::Watch;
use crate::kill::world::{APPS, World, until_deliveries};
use crate::support::{Endpoint, Receiver, Reply, Server, Setup, until};

/// What a round is to hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any moment under load.
    Load,
    /// The moment at which a segment is full and the next one is made.
    Rotation,
    /// The start after a kill under load, and the start after that cut.
    Start,
    /// A moment at which the outcomes of all that was confirmed are on disk.
    Quiet,
    /// The first start in a directory that was not there.
    First,
}

/// The states of a delivery that has not ended.
const OPEN: [&str; 3] = ["waiting", "held", "in_flight"];

const KINDS: [Kind; 5] = [Kind::Load, Kind::Rotation, Kind::Start, Kind::Quiet, Kind::First];

impl Kind {
    /// They take turns.
    pub(super) fn of(round: u64) -> Self {
        *KINDS.get(round as usize % KINDS.len()).expect("a rest is below the divisor")
    }
}

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) cuts: u64,
    /// Of them, those in the middle of a start.
    pub(super) cuts_of_starts: u64,
    pub(super) cuts_at_segment_changes: u64,
    /// Servers that were not killed and saw themselves that the disk fails.
    pub(super) noticed: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) most_duplicates_a_cut: u64,
    pub(super) longest_before_a_cut: Duration,
}

impl Tally {
    fn add(&mut self, counts: &Counts) {
        self.accepted += counts.accepted as u64;
        self.duplicates += counts.duplicates;
        self.most_duplicates_a_cut = self.most_duplicates_a_cut.max(counts.most_duplicates_a_round);
        self.longest_before_a_cut = self.longest_before_a_cut.max(counts.longest_before_a_cut);
    }
}

/// Rounds on one file system.
pub(super) struct Rounds {
    world: World,
    /// Between two rounds: paused, on what the last cut has left.
    server: Option<Server>,
    /// How long the last start took, to aim at the middle of the next.
    start_took: Duration,
    quiet: usize,
    // Last, so that the servers are gone by then.
    disk: LoopDisk,
}

impl Rounds {
    /// `None` where there can be no such file system.
    pub(super) async fn begin() -> Option<Self> {
        let disk = LoopDisk::make()?;
        let world = World::make(Setup::new().at(&disk.path().join("data"))).await;
        let mut rounds = Self { world, server: None, start_took: Duration::ZERO, quiet: 0, disk };
        rounds.audit().await;
        Some(rounds)
    }

    /// One round. Afterwards the power is on again, and nothing is lost.
    pub(super) async fn round(&mut self, kind: Kind, dice: &mut Dice, tally: &mut Tally) {
        self.world.ledger.begin_round();
        let server = self.server.take().expect("the last round has left one");
        server.api().post("/dispatch/resume", json!({})).await;
        match kind {
            Kind::Load | Kind::Rotation => self.cut_under_load(server, kind, dice, tally).await,
            Kind::Start => self.cut_starts(server, dice, tally).await,
            Kind::Quiet => self.cut_when_all_is_recorded(server, tally).await,
            Kind::First => self.cut_a_first_start(server, dice, tally).await,
        }
        if self.server.is_none() {
            self.audit().await;
        }
        self.world.ledger.assert_sound();
    }

    /// Everything is delivered in the end, and on the books.
    pub(super) async fn end(mut self, tally: &mut Tally) {
        let server = self.server.take().expect("the last round has left one");
        self.kill(server).await;
        self.world.settle_up().await;
        tally.add(&self.world.ledger.counts());
    }

    /// A start without any hint, and a look at what is there.
    async fn audit(&mut self) {
        let began = Instant::now();
        self.server = Some(self.world.audit().await);
        self.start_took = began.elapsed();
    }

    async fn cut_under_load(&mut self, mut server: Server, kind: Kind, dice: &mut Dice, tally: &mut Tally) {
        let watch = Watch::new(&self.world.setup);
        let at = AT_FULL_SPEED + dice.below(2_000);
        let is_time = if kind == Kind::Rotation { watch.rotation() } else { Box::new(move |answers| answers >= at) };
        // Every other one is to see by itself that the disk fails.
        let (cutter, killed, pid) = (self.disk.cutter(), dice.below(2) == 0, server.process.pid());
        let ledger = Arc::clone(&self.world.ledger);
        let cut = move || {
            ledger.cut_begins();
            cutter.cut();
            if killed {
                // It may be gone already.
                let _ = kill_process(pid, Signal::KILL);
            }
        };
        Load::new(Arc::clone(&self.world.ledger), is_time, Box::new(cut)).run(&server).await;
        let ended = server.process.ended().await;
        assert!(ended.code == Some(70) || killed && ended.signal == Some(9), "{ended:?}");
        tally.noticed += u64::from(!killed);
        tally.cuts_at_segment_changes += u64::from(kind == Kind::Rotation);
        self.power_on(tally);
    }

    /// Twice, so that the second start has to do with what the first has left.
    async fn cut_starts(&mut self, mut server: Server, dice: &mut Dice, tally: &mut Tally) {
        let (ledger, pid) = (Arc::clone(&self.world.ledger), server.process.pid());
        let at = AT_FULL_SPEED + dice.below(500);
        let kill = move || {
            ledger.cut_begins();
            let _ = kill_process(pid, Signal::KILL);
        };
        let load = Load::new(Arc::clone(&self.world.ledger), Box::new(move |answers| answers >= at), Box::new(kill));
        load.run(&server).await;
        server.process.ended().await;
        self.world.ledger.cut_ended();
        for _ in 0..2 {
            self.cut_a_start(&self.world.setup, dice, tally).await;
        }
    }

    /// Once everything is recorded and synced, nothing is sent again.
    async fn cut_when_all_is_recorded(&mut self, mut server: Server, tally: &mut Tally) {
        let ledger = Arc::clone(&self.world.ledger);
        let mut ingest = server.ingest().await;
        for app in 0..APPS.len() {
            let events = ledger.take(50, app, APPS.len());
            let load = Load::new(Arc::clone(&ledger), Box::new(|_| false), Box::new(|| {}));
            load.exchange(&mut ingest, &events).await;
        }
        until_deliveries(&server, &OPEN, 0.0).await;
        self.quiet += 1;
        let (endpoint, message) = outcome_is_synced(&server, &format!("quiet{}", self.quiet)).await;
        ledger.all_is_synced();
        ledger.cut_begins();
        self.disk.cutter().cut();
        server.process.kill().await;
        drop(server);
        self.power_on(tally);

        self.audit().await;
        let api = self.server.as_ref().expect("it was started").api();
        let deliveries = until("the message to be found", async || {
            let answer = api.call("GET", &format!("/app/{}/msg/{message}/delivery", endpoint.app), &Value::Null).await;
            (answer.status != 503).then(|| answer.json())
        });
        let deliveries = deliveries.await;
        assert_eq!(deliveries["data"][0]["state"], "delivered", "its outcome was synced: {deliveries}");
    }

    async fn cut_a_first_start(&mut self, server: Server, dice: &mut Dice, tally: &mut Tally) {
        self.kill(server).await;
        let setup = self.world.setup.clone().at(&self.disk.path().join("first"));
        self.cut_a_start(&setup, dice, tally).await;
        setup.start().await.stop().await;
        std::fs::remove_dir_all(setup.data_dir()).expect("nobody uses it");
    }

    /// Cuts the power at some moment of a start.
    async fn cut_a_start(&self, setup: &Setup, dice: &mut Dice, tally: &mut Tally) {
        let moment = self.start_took.mul_f64(dice.below(1_000) as f64 / 1_000.0);
        let cutter = self.disk.cutter();
        let mut process = setup.spawn();
        let ready = tokio::time::timeout(moment, process.line(|line| line["message"] == "ready")).await;
        self.world.ledger.cut_begins();
        cutter.cut();
        process.kill().await;
        drop(cutter);
        tally.cuts_of_starts += u64::from(ready.is_err());
        self.power_on(tally);
    }

    /// Ends a server while the power stays on.
    async fn kill(&self, server: Server) {
        self.world.ledger.cut_begins();
        server.kill().await;
        self.world.ledger.cut_ended();
    }

    /// After the server has gone.
    fn power_on(&self, tally: &mut Tally) {
        self.world.ledger.cut_ended();
        self.disk.power_on();
        tally.cuts += 1;
    }
}

/// Sends a message and waits until its outcome is synced, which nothing but
/// `journal.outcome_sync_ms` makes happen. Nothing else may be under way.
async fn outcome_is_synced(server: &Server, app: &str) -> (Endpoint, String) {
    let receiver = Receiver::start().await;
    receiver.always(Reply::Held);
    let endpoint = server.api().register(app, &receiver).await;
    let message = server.api().send(app, "a.b", json!({})).await;
    receiver.expect(1).await;
    let syncs = async || server.metrics().await.sum("postrider_sync_seconds_count", "");
    let before = syncs().await;
    receiver.release();
    until_deliveries(server, &OPEN, 0.0).await;
    until("the outcome to be synced", async || (syncs().await > before).then_some(())).await;
    (endpoint, message)
}
