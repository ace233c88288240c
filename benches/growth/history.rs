//! Whether a store that is full of history is as quick as one with hardly any.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde::Deserialize;

use crate::common::api::{Connection, refused};
use crate::common::case::{Case, Pair, Target};
use crate::common::middle::Middle;
use crate::common::usage::Usage;
use crate::common::{Failure, note};
use crate::options::Options;
use crate::stage::Stage;
use crate::watch::{MIB, quiet};

/// What a figure with much history may fall to, by the one with little.
const LEAST: f64 = 0.9;
/// Messages of the store with little.
const LITTLE: usize = 1_000;
/// Members of a page.
const PAGE: usize = 50;
/// How often each page is asked for in a round.
const SAMPLES: usize = 200;
/// Events of a round, as fast as they are taken.
const EVENTS: usize = 50_000;
/// Events a second for latency, and for how long.
const STEADY: u32 = 1_000;
const STEADY_S: usize = 3;
/// The messages of the one application.
const LIST: &str = "/api/v1/app/bench-0/msg";

/// A server with its history.
struct Store {
    stage: Stage,
    api: Connection,
    /// The path of the last page.
    last_page: String,
}

/// Figures of one round, each the better the larger it is.
#[derive(Clone, Copy)]
struct Round {
    /// Events accepted and delivered a second.
    delivered: f64,
    /// By the median time from sending to the answer at a steady load, a second.
    accept: f64,
    /// By the median time of a page, a second.
    first_page: f64,
    last_page: f64,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
}

/// Two servers that take turns: one with much history, one with little.
pub(crate) async fn compare(options: &Options) -> Result<Vec<Case>, Failure> {
    let much = options.events(10_000_000);
    let mut small = Store::start(options, LITTLE).await?;
    note(&format!("delivering {much} messages"));
    let mut large = Store::start(options, much).await?;
    let mut rounds = vec![];
    for round in 1..=options.rounds() {
        note(&format!("round {round} of {}", options.rounds()));
        // Which comes first changes, so that what else happens meets both.
        let pair = if round % 2 == 0 {
            let small = small.round(options).await?;
            (large.round(options).await?, small)
        } else {
            (large.round(options).await?, small.round(options).await?)
        };
        rounds.push(pair);
    }
    let peak = Usage::of(large.stage.server.pid())?.peak_rss_bytes as f64 / MIB;
    large.stage.server.stop()?;
    small.stage.server.stop()?;
    let case = |name, unit, of: fn(&Round) -> f64| {
        let pairs: Vec<_> = rounds.iter().map(|(large, small)| Pair { value: of(large), limit: of(small) }).collect();
        let limit = format!("{LITTLE} messages of history in place of {much}");
        Case { peak_mib: Some(peak), ..Case::new(name, limit, Target::AtLeast(LEAST), unit, &pairs) }
    };
    Ok(vec![
        case("history-delivered", "1/s", |round| round.delivered),
        case("history-accept", "1/s", |round| round.accept),
        case("history-first-page", "1/s", |round| round.first_page),
        case("history-last-page", "1/s", |round| round.last_page),
    ])
}

impl Store {
    async fn start(options: &Options, messages: usize) -> Result<Self, Failure> {
        let rounds = options.rounds() * (EVENTS + STEADY as usize * STEADY_S);
        let mut stage = Stage::start(options, 1, options.body_bytes, messages + rounds).await?;
        stage.deliver(messages, None).await?;
        quiet(&stage.server).await?;
        let api = Connection::open(stage.server.api, &stage.server.token).await?;
        let mut store = Self { stage, api, last_page: String::new() };
        // The last page begins behind the oldest message that is not on it.
        let oldest = store.page(&format!("{LIST}?limit={}&order=ascending", PAGE + 1)).await?;
        let before = oldest.data.last().ok_or("no message is listed")?;
        store.last_page = format!("{LIST}?limit={PAGE}&iterator={}", before.id);
        Ok(store)
    }

    async fn round(&mut self, options: &Options) -> Result<Round, Failure> {
        let events = options.scaled(EVENTS).max(1_000);
        let began = Instant::now();
        self.stage.deliver(events, None).await?;
        let delivered = events as f64 / began.elapsed().as_secs_f64();
        quiet(&self.stage.server).await?;
        let steady =
            self.stage.deliver(options.shared.choose(None, STEADY_S, 1) * STEADY as usize, Some(STEADY)).await?;
        let answers = self.stage.passages(steady).await?.into_iter();
        let answers_s = answers.map(|passage| passage.answered.saturating_sub(passage.sent) as f64 / 1e9);
        let accept = 1.0 / Middle::of(answers_s.collect()).median;
        // One that nothing was asked of for long may have been closed.
        self.api = Connection::open(self.stage.server.api, &self.stage.server.token).await?;
        let first_page = self.pages(&format!("{LIST}?limit={PAGE}")).await?;
        let last_page = self.pages(&self.last_page.clone()).await?;
        Ok(Round { delivered, accept, first_page, last_page })
    }

    /// Pages a second by the median time of one.
    async fn pages(&mut self, path: &str) -> Result<f64, Failure> {
        let mut took_s = vec![];
        for _ in 0..SAMPLES {
            let began = Instant::now();
            let list = self.page(path).await?;
            took_s.push(began.elapsed().as_secs_f64());
            if list.data.len() != PAGE {
                return Err(format!("{path} has {} members", list.data.len()).into());
            }
        }
        Ok(1.0 / Middle::of(took_s).median)
    }

    /// A page, once the lists can be read.
    async fn page(&mut self, path: &str) -> Result<List, Failure> {
        loop {
            let (status, body) = self.api.call(Method::GET, path, vec![]).await?;
            match status {
                StatusCode::OK => return Ok(serde_json::from_slice(&body)?),
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => return Err(refused(path, status, &body)),
            }
        }
    }
}
