//! One round: start, load, and a kill where it hurts.

use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_proof::Dice;
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::load::{AT_FULL_SPEED, IsTime, Load};
use crate::support::{Api, Endpoint, Receiver, Server, Setup, in_time, until};

/// The applications, each with one endpoint and one producer.
pub(super) const APPS: [&str; 4] = ["app0", "app1", "app2", "app3"];

/// What a round is to hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any moment under load.
    Load,
    /// The moment at which a segment is full and the next one is made.
    Rotation,
    /// The moment at which an old segment goes.
    Retention,
    /// The middle of a bulk replay of dead letters.
    Replay,
    /// The start after a kill under load: killed again, twice, before it is ready.
    Start,
}

const KINDS: [Kind; 5] = [Kind::Load, Kind::Rotation, Kind::Retention, Kind::Replay, Kind::Start];

impl Kind {
    /// They take turns.
    pub(super) fn of(round: usize) -> Self {
        *KINDS.get(round % KINDS.len()).expect("a rest is below the divisor")
    }

    fn place(self) -> usize {
        KINDS.iter().position(|kind| *kind == self).expect("all are listed")
    }
}

/// How often each kind was really hit.
#[derive(Default)]
pub(super) struct Tally {
    hits: [usize; KINDS.len()],
    /// Rounds in which a segment was removed before the kill.
    removals: usize,
    fewest_accepts: Option<u64>,
}

impl Tally {
    fn hit(&mut self, kind: Kind) {
        *self.hits.get_mut(kind.place()).expect("each kind has its place") += 1;
    }

    fn accepted(&mut self, answers: u64) {
        self.fewest_accepts = Some(self.fewest_accepts.map_or(answers, |fewest| fewest.min(answers)));
    }

    /// Answers of the round that had the fewest.
    pub(super) fn fewest_accepts(&self) -> u64 {
        self.fewest_accepts.unwrap_or(0)
    }

    /// A harness that misses what it aims at proves nothing.
    pub(super) fn assert_each_kind_was_hit(&self, rounds: usize) {
        for (kind, hits) in KINDS.iter().zip(self.hits) {
            let aimed = (0..rounds).filter(|round| Kind::of(*round) == *kind).count();
            assert!(hits * 2 >= aimed, "{kind:?}: {hits} hits in {aimed} rounds");
        }
        let aimed = self.hits.get(Kind::Retention.place()).copied().unwrap_or(0);
        assert!(self.removals * 4 >= aimed, "{} removals in {aimed} rounds", self.removals);
        assert!(self.fewest_accepts.is_none_or(|fewest| fewest >= AT_FULL_SPEED), "{:?}", self.fewest_accepts);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hits = KINDS.iter().zip(self.hits).map(|(kind, hits)| format!("{kind:?} {hits}"));
        write!(f, "hits: {}", hits.collect::<Vec<_>>().join(", "))?;
        write!(f, " ({} with a segment gone)", self.removals)?;
        write!(f, "; at least {} accepts a round", self.fewest_accepts())
    }
}

/// The directory, the receiver and the ledger, which all rounds share.
pub(super) struct World {
    ledger: Arc<Ledger>,
    setup: Setup,
    endpoints: Vec<Endpoint>,
    /// How long the last start took, to aim at the middle of the next.
    start_took: Duration,
    _receiver: Receiver,
}

impl World {
    /// Makes applications and endpoints, and stops cleanly.
    pub(super) async fn make(ledger: Arc<Ledger>) -> Self {
        let receiver = Receiver::deciding({
            let ledger = Arc::clone(&ledger);
            move |arrival| ledger.arrive(arrival)
        })
        .await;
        let setup = Setup::new().with_small_segments().set("retry.schedule", "0");
        let server = setup.start().await;
        let mut endpoints = vec![];
        for app in APPS {
            endpoints.push(server.api().register(app, &receiver).await);
        }
        server.stop().await;
        Self { ledger, setup, endpoints, start_took: Duration::from_millis(100), _receiver: receiver }
    }

    /// One round. Afterwards the server is dead.
    pub(super) async fn round(&mut self, kind: Kind, dice: &mut Dice, tally: &mut Tally) {
        self.ledger.begin_round();
        self.ledger.set_receiver_refuses(kind == Kind::Replay);
        let setup = match kind {
            Kind::Retention => self.setup.clone().set("retention.history", "1s").set("retention.grace", "0s"),
            _ => self.setup.clone(),
        };
        let began = Instant::now();
        let mut server = setup.start().await;
        self.start_took = began.elapsed();
        if kind == Kind::Replay {
            self.leave_dead_letters(&server).await;
        }
        let watch = Watch::new(&setup);
        let load = Load::new(Arc::clone(&self.ledger), server.process.pid(), watch.moment(kind, dice));
        let mut producers = tokio::task::JoinSet::new();
        for app in 0..APPS.len() {
            producers.spawn(Arc::clone(&load).produce(server.ingest().await, app));
        }
        in_time("the server to be killed", producers.join_all()).await;
        let ended = server.process.ended().await;
        assert_eq!(ended.signal, Some(9), "the server ended by itself: {ended:?}");
        tally.accepted(load.answers());
        tally.removals += usize::from(watch.has_removed());
        match kind {
            Kind::Start => self.kill_starts(dice, tally).await,
            Kind::Replay => tally.hit(kind),
            kind if watch.has_happened(kind) => tally.hit(kind),
            _ => {}
        }
    }

    /// Makes dead letters under a receiver that refuses, then asks for all of them again.
    async fn leave_dead_letters(&self, server: &Server) {
        let mut ingest = server.ingest().await;
        for app in 0..APPS.len() {
            let events = self.ledger.take(100, app, APPS.len());
            Load::new(Arc::clone(&self.ledger), server.process.pid(), Box::new(|_| false))
                .exchange(&mut ingest, &events)
                .await;
        }
        until("dead letters", async || {
            let dead = server.metrics().await.sum("postrider_deliveries", "state=\"dead\"");
            (dead >= 300.0).then_some(())
        })
        .await;
        self.ledger.set_receiver_refuses(false);
        for endpoint in &self.endpoints {
            server.api().post(&format!("/app/{}/dead-letter/replay", endpoint.app), json!({})).await;
        }
    }

    /// Kills a server before it is ready, at some moment of its start.
    async fn kill_starts(&self, dice: &mut Dice, tally: &mut Tally) {
        let mut in_time = 0;
        for _ in 0..2 {
            let moment = self.start_took.mul_f64(dice.below(1_000) as f64 / 1_000.0);
            let mut process = self.setup.spawn();
            let ready = tokio::time::timeout(moment, process.line(|line| line["message"] == "ready")).await;
            process.kill().await;
            in_time += usize::from(ready.is_err());
        }
        if in_time > 0 {
            tally.hit(Kind::Start);
        }
    }

    /// A server for settling up, with the defaults of retention.
    pub(super) async fn last_server(&self) -> Server {
        self.ledger.set_receiver_refuses(false);
        self.setup.clone().argument("--paused").start().await
    }

    /// The messages of all pending deliveries, or of all dead letters.
    pub(super) async fn listed(&self, api: &Api, what: &str) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for app in APPS {
            let mut iterator = String::new();
            loop {
                let path = format!("/app/{app}/{what}?limit=250&iterator={iterator}");
                let page = until("a page", async || {
                    let answer = api.call("GET", &path, &Value::Null).await;
                    (answer.status != 503).then(|| answer.json())
                });
                let page = page.await;
                let members = page["data"].as_array().unwrap_or_else(|| panic!("no list: {page}"));
                ids.extend(members.iter().filter_map(|member| member["msgId"].as_str().map(str::to_owned)));
                if page["done"] == true {
                    break;
                }
                page["iterator"].as_str().unwrap_or_else(|| panic!("no way on: {page}")).clone_into(&mut iterator);
            }
        }
        ids
    }
}

/// Looks at the store's files from outside.
struct Watch {
    journal: PathBuf,
    checkpoint: PathBuf,
    before: Seen,
}

#[derive(Clone, PartialEq, Eq)]
struct Seen {
    first: Option<String>,
    last: Option<String>,
    checkpoint: Option<u64>,
}

impl Seen {
    fn now(journal: &Path, checkpoint: &Path) -> Self {
        let entries = std::fs::read_dir(journal).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let segments: BTreeSet<String> = names.filter(|name| name.ends_with(".journal")).collect();
        let inode = std::fs::metadata(checkpoint).map(|metadata| metadata.ino());
        Self { first: segments.first().cloned(), last: segments.last().cloned(), checkpoint: inode.ok() }
    }
}

impl Watch {
    fn new(setup: &Setup) -> Self {
        let (journal, checkpoint) = (setup.data_dir().join("journal"), setup.data_dir().join("checkpoint"));
        let before = Seen::now(&journal, &checkpoint);
        Self { journal, checkpoint, before }
    }

    /// Whether what the round waits for has been.
    fn has_happened(&self, kind: Kind) -> bool {
        happened(kind, &self.before, &Seen::now(&self.journal, &self.checkpoint))
    }

    /// Whether a segment has gone.
    fn has_removed(&self) -> bool {
        self.before.first != Seen::now(&self.journal, &self.checkpoint).first
    }

    /// When to kill: at the first answer after what the round waits for, or at
    /// some answer soon after it.
    fn moment(&self, kind: Kind, dice: &mut Dice) -> IsTime {
        let (journal, checkpoint) = (self.journal.clone(), self.checkpoint.clone());
        let (at, early) = (AT_FULL_SPEED + dice.below(500), dice.below(2) == 0);
        let began = Instant::now();
        // Counted from the end of the fast part: the load has made segments by then.
        let base = std::sync::OnceLock::new();
        let before = self.before.clone();
        Box::new(move |answers| match kind {
            Kind::Load | Kind::Start | Kind::Replay => answers >= at,
            Kind::Rotation => {
                let now = Seen::now(&journal, &checkpoint);
                happened(kind, base.get_or_init(|| now.clone()), &now)
            }
            Kind::Retention => {
                let now = Seen::now(&journal, &checkpoint);
                let begins = now.checkpoint != before.checkpoint && early;
                happened(kind, &before, &now) || begins || Load::is_over(began)
            }
        })
    }
}

fn happened(kind: Kind, before: &Seen, now: &Seen) -> bool {
    match kind {
        Kind::Rotation => before.last != now.last,
        Kind::Retention => before.first != now.first || before.checkpoint != now.checkpoint,
        Kind::Load | Kind::Replay | Kind::Start => true,
    }
}
