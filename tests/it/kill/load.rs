//! Producers: local programs that send as fast as they are answered, and kill
//! the server at one of the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::ledger::{Ledger, body, key};
use super::round::APPS;
use crate::support::Ingest;

/// Lines that a producer has in flight.
const WINDOW: usize = 64;
/// Accepts of a round before the server may be killed.
pub(super) const AT_FULL_SPEED: u64 = 1_000;
/// Afterwards each producer sends a few lines a tick, so that the wait for the
/// right moment does not pile up more than a round can deliver.
const TICK: Duration = Duration::from_millis(4);
const LINES_A_TICK: usize = 4;

/// Whether it is time, told the number of answers of this round.
pub(super) type IsTime = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// What the producers of one round share.
pub(super) struct Load {
    ledger: Arc<Ledger>,
    pid: Pid,
    is_time: IsTime,
    answers: AtomicU64,
    killed: AtomicBool,
}

impl Load {
    pub(super) fn new(ledger: Arc<Ledger>, pid: Pid, is_time: IsTime) -> Arc<Self> {
        Arc::new(Self { ledger, pid, is_time, answers: AtomicU64::new(0), killed: AtomicBool::new(false) })
    }

    /// Success answers so far.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Sends until the server is gone.
    pub(super) async fn produce(self: Arc<Self>, mut ingest: Ingest, app: usize) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let lines = if self.answers() < AT_FULL_SPEED {
                WINDOW
            } else {
                ticks.tick().await;
                LINES_A_TICK
            };
            let events = self.ledger.take(lines, app, APPS.len());
            if !self.exchange(&mut ingest, &events).await {
                return;
            }
        }
    }

    /// Sends events and reads their answers. `false` once the server is gone.
    pub(super) async fn exchange(&self, ingest: &mut Ingest, events: &[u64]) -> bool {
        let lines: String = events.iter().map(|n| line(*n)).collect();
        let written = ingest.try_write(lines.as_bytes()).await;
        for (at, n) in events.iter().enumerate() {
            let Some(answer) = ingest.try_answer().await else {
                self.ledger.unanswered(events.iter().skip(at).copied());
                if !self.killed.load(Ordering::Acquire) {
                    self.ledger.fault("the server ended the connection before it was killed".to_owned());
                }
                return false;
            };
            self.answered(*n, &answer);
        }
        written
    }

    fn answered(&self, n: u64, answer: &Value) {
        let Some(id) = answer["id"].as_str() else {
            match answer["error"]["code"].as_str() {
                // Keys are looked up in the index, which is behind after a kill.
                Some("index_rebuilding") if key(n).is_some() => self.ledger.later(n),
                _ => self.ledger.fault(format!("event {n} was refused: {answer}")),
            }
            return;
        };
        self.ledger.accept(n, id);
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        // Right here, so that the kill comes within a moment of an answer.
        if answers > AT_FULL_SPEED && (self.is_time)(answers) && !self.killed.swap(true, Ordering::AcqRel) {
            kill_process(self.pid, Signal::KILL).expect("the server runs until now");
        }
    }

    /// How long the wait for the right moment lasts at most before the round is given up.
    pub(super) fn is_over(began: Instant) -> bool {
        began.elapsed() > crate::support::DEADLINE
    }
}

fn line(n: u64) -> String {
    let app = APPS.get(n as usize % APPS.len()).expect("a rest is below the divisor");
    let key = key(n).map(|key| format!(r#","key":"{key}""#)).unwrap_or_default();
    let kind = json!(if n.is_multiple_of(2) { "even" } else { "odd" });
    format!("{{\"app\":\"{app}\",\"type\":{kind},\"payload\":{}{key}}}\n", body(n))
}
