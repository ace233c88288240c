//! One round: start, load, and a kill where it hurts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_proof::Dice;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::ledger::Ledger;
use super::load::{AT_FULL_SPEED, End, IsTime, Load};
use super::watch::Watch;
use super::world::{APPS, World};
use crate::support::{Server, until};

/// What a round is to hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any moment under load.
    Load,
    /// The moment at which a segment is full and the next one is made.
    Rotation,
    /// The moment at which a checkpoint is written, after which old segments may go.
    Checkpoint,
    /// The moment at which an old segment goes.
    Retention,
    /// The middle of a bulk replay of dead letters.
    Replay,
    /// The start after a kill under load: killed again, twice, before it is ready.
    Start,
}

const KINDS: [Kind; 6] = [Kind::Load, Kind::Rotation, Kind::Checkpoint, Kind::Retention, Kind::Replay, Kind::Start];

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
        assert!(self.fewest_accepts.is_none_or(|fewest| fewest >= AT_FULL_SPEED), "{:?}", self.fewest_accepts);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hits = KINDS.iter().zip(self.hits).map(|(kind, hits)| format!("{kind:?} {hits}"));
        write!(f, "hits: {}", hits.collect::<Vec<_>>().join(", "))?;
        write!(f, "; at least {} accepts a round", self.fewest_accepts())
    }
}

/// Rounds on one directory.
pub(super) struct Rounds {
    world: World,
    /// How long the last start took, to aim at the middle of the next.
    start_took: Duration,
}

impl Rounds {
    pub(super) fn on(world: World) -> Self {
        Self { world, start_took: Duration::from_millis(100) }
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// One round. Afterwards the server is dead.
    pub(super) async fn round(&mut self, kind: Kind, dice: &mut Dice, tally: &mut Tally) {
        let ledger = &self.world.ledger;
        ledger.begin_round();
        ledger.set_receiver_refuses(kind == Kind::Replay);
        let setup = match kind {
            Kind::Checkpoint | Kind::Retention => {
                self.world.setup.clone().set("retention.history", "1s").set("retention.grace", "0s")
            }
            _ => self.world.setup.clone(),
        };
        let began = Instant::now();
        let mut server = setup.start().await;
        self.start_took = began.elapsed();
        if kind == Kind::Replay {
            self.leave_dead_letters(&server).await;
        }
        let watch = Watch::new(&setup);
        let is_time: IsTime = match kind {
            Kind::Load | Kind::Start | Kind::Replay => after(AT_FULL_SPEED + dice.below(500)),
            Kind::Rotation => watch.rotation(),
            Kind::Checkpoint => watch.checkpoint(),
            Kind::Retention => watch.removal(),
        };
        let end = kill(Arc::clone(&self.world.ledger), server.process.pid());
        let load = Load::new(Arc::clone(&self.world.ledger), is_time, end);
        Arc::clone(&load).run(&server).await;
        let ended = server.process.ended().await;
        self.world.ledger.cut_ended();
        assert_eq!(ended.signal, Some(9), "the server ended by itself: {ended:?}");
        tally.accepted(load.answers());
        let was_hit = match kind {
            Kind::Load | Kind::Replay => true,
            Kind::Rotation => watch.has_rotated(),
            Kind::Checkpoint => watch.has_checkpoint(),
            Kind::Retention => watch.has_removed(),
            Kind::Start => self.kill_starts(dice).await,
        };
        if was_hit {
            tally.hit(kind);
        }
    }

    /// Makes dead letters under a receiver that refuses, then asks for all of them again.
    async fn leave_dead_letters(&self, server: &Server) {
        let ledger = &self.world.ledger;
        let mut ingest = server.ingest().await;
        for app in 0..APPS.len() {
            let events = ledger.take(100, app, APPS.len());
            Load::new(Arc::clone(ledger), after(u64::MAX), Box::new(|| {})).exchange(&mut ingest, &events).await;
        }
        until("dead letters", async || {
            let dead = server.metrics().await.sum("postrider_deliveries", "state=\"dead\"");
            (dead >= 300.0).then_some(())
        })
        .await;
        ledger.set_receiver_refuses(false);
        for endpoint in &self.world.endpoints {
            server.api().post(&format!("/app/{}/dead-letter/replay", endpoint.app), json!({})).await;
        }
    }

    /// Kills a server before it is ready, at some moment of its start. Whether one was.
    async fn kill_starts(&self, dice: &mut Dice) -> bool {
        let mut in_time = 0;
        for _ in 0..2 {
            let moment = self.start_took.mul_f64(dice.below(1_000) as f64 / 1_000.0);
            let mut process = self.world.setup.spawn();
            let ready = tokio::time::timeout(moment, process.line(|line| line["message"] == "ready")).await;
            self.world.ledger.kill_begins();
            process.kill().await;
            self.world.ledger.cut_ended();
            in_time += usize::from(ready.is_err());
        }
        in_time > 0
    }
}

/// At some answer.
fn after(count: u64) -> IsTime {
    Box::new(move |answers| answers >= count)
}

fn kill(ledger: Arc<Ledger>, pid: Pid) -> End {
    Box::new(move || {
        ledger.kill_begins();
        kill_process(pid, Signal::KILL).expect("the server runs until now");
    })
}
