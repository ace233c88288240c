//! Producers: local programs that send as fast as they are answered, and end
//! the server at one of the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ledger::{Ledger, body, key};
use super::world::APPS;
use crate::support::{Ingest, Server, in_time};

/// Lines that a producer has in flight.
const WINDOW: usize = 64;
/// Accepts of a round before the server may be ended.
pub(crate) const AT_FULL_SPEED: u64 = 1_000;
/// Afterwards each producer sends a few lines a tick, so that the wait for the
/// right moment does not pile up more than a round can deliver.
const TICK: Duration = Duration::from_millis(4);
const LINES_A_TICK: usize = 4;

/// Whether it is time, told the number of answers of this round.
pub(crate) type IsTime = Box<dyn Fn(u64) -> bool + Send + Sync>;
/// What ends the server, at an answer.
pub(crate) type End = Box<dyn Fn() + Send + Sync>;

/// What the producers of one round share.
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    is_time: IsTime,
    end: End,
    answers: AtomicU64,
    ended: AtomicBool,
}

impl Load {
    pub(crate) fn new(ledger: Arc<Ledger>, is_time: IsTime, end: End) -> Arc<Self> {
        Arc::new(Self { ledger, is_time, end, answers: AtomicU64::new(0), ended: AtomicBool::new(false) })
    }

    /// Success answers so far.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// One producer for each application, until the server is gone.
    pub(crate) async fn run(self: Arc<Self>, server: &Server) {
        let mut producers = tokio::task::JoinSet::new();
        for app in 0..APPS.len() {
            producers.spawn(Arc::clone(&self).produce(server.ingest().await, app));
        }
        in_time("the server to be gone", producers.join_all()).await;
    }

    /// Sends until the server is gone.
    async fn produce(self: Arc<Self>, mut ingest: Ingest, app: usize) {
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
    pub(crate) async fn exchange(&self, ingest: &mut Ingest, events: &[u64]) -> bool {
        let sent = Instant::now();
        let lines: String = events.iter().map(|n| line(*n)).collect();
        let written = ingest.try_write(lines.as_bytes()).await;
        for (at, n) in events.iter().enumerate() {
            let Some(answer) = ingest.try_answer().await else {
                self.ledger.unanswered(events.iter().skip(at).copied());
                if !self.ended.load(Ordering::Acquire) {
                    self.ledger.fault("the server ended the connection before it was to end".to_owned());
                }
                return false;
            };
            self.answered(*n, sent, &answer);
        }
        written
    }

    fn answered(&self, n: u64, sent: Instant, answer: &Value) {
        let Some(id) = answer["id"].as_str() else {
            match answer["error"]["code"].as_str() {
                // Keys are looked up in the index, which is behind after a kill.
                Some("index_rebuilding") if key(n).is_some() => self.ledger.later(n),
                // It may say so itself that it ends.
                _ if self.ended.load(Ordering::Acquire) => self.ledger.unanswered([n]),
                _ => self.ledger.fault(format!("event {n} was refused: {answer}")),
            }
            return;
        };
        self.ledger.accept(n, id, sent);
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        // Right here, so that the end comes within a moment of an answer.
        if answers > AT_FULL_SPEED && (self.is_time)(answers) && !self.ended.swap(true, Ordering::AcqRel) {
            (self.end)();
        }
    }

    /// How long the wait for the right moment lasts at most before the round is given up.
    pub(crate) fn is_over(began: Instant) -> bool {
        began.elapsed() > crate::support::DEADLINE
    }
}

fn line(n: u64) -> String {
    let app = APPS.get(n as usize % APPS.len()).expect("a rest is below the divisor");
    let key = key(n).map(|key| format!(r#","key":"{key}""#)).unwrap_or_default();
    let kind = json!(if n.is_multiple_of(2) { "even" } else { "odd" });
    format!("{{\"app\":\"{app}\",\"type\":{kind},\"payload\":{}{key}}}\n", body(n))
}
