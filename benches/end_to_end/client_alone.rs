//! What the server is compared with: the same client posts the same signed
//! bodies to the same receiver, and nothing is kept.
//!
//! As in the server, it runs on tokio's runtime with a thread for each core, as
//! many requests are in flight, and connections are pooled with the same limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use postrider_dispatcher::{Dispatcher, Options};
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::id::{EndpointId, MessageId, RawId};
use postrider_model::job::{AttemptResult, Job};
use postrider_model::message::JSON;
use postrider_model::position::Position;
use postrider_model::secret::Secret;
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};
use tokio::task::JoinSet;
use url::Url;

use crate::common::ledger::Ledger;
use crate::common::load::Load;
use crate::common::receiver::Receiver;
use crate::common::signature::{Key, SECRET};
use crate::common::usage::{Usage, machine_cpu};
use crate::common::{Failure, machine};
use crate::figures::{Cpu, Figures};
use crate::scenario::{Scenario, Setting, Subject};

/// Posts one event.
enum Client {
    Hyper { client: legacy::Client<HttpConnector, Full<Bytes>>, url: String, key: Key },
    Dispatcher { dispatcher: Dispatcher, target: Arc<Target> },
}

/// Posts as fast as it can.
pub(crate) fn measure(scenario: &Scenario, setting: &Setting) -> Result<Figures, Failure> {
    let total = scenario.warm_up() + scenario.events;
    let ledger = Arc::new(Ledger::new(total));
    let receiver = Receiver::start(Arc::clone(&ledger))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let progress = || format!("{} of {total} events have arrived", ledger.arrivals());
    runtime.block_on(setting.in_time(play(scenario, setting, &receiver, &ledger), progress))
}

async fn play(
    scenario: &Scenario,
    setting: &Setting,
    receiver: &Receiver,
    ledger: &Arc<Ledger>,
) -> Result<Figures, Failure> {
    let client = Arc::new(match scenario.subject {
        Subject::Dispatcher => Client::dispatcher(receiver)?,
        _ => Client::hyper(receiver),
    });
    let (warm_up, measured) = scenario.loads(setting.body_bytes);
    post_all(&client, scenario.in_flight(), warm_up, ledger).await?;
    let account =
        || -> Result<_, Failure> { Ok((Usage::of(std::process::id())?.cpu, receiver.thread.cpu()?, machine_cpu()?)) };
    let (began, before) = (Instant::now(), account()?);
    let load = measured();
    let numbers = load.numbers.clone();
    post_all(&client, scenario.in_flight(), load, ledger).await?;
    let after = account()?;
    let (own, receiver) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    let cpu = Cpu {
        subject: own.saturating_sub(receiver),
        load: None,
        receiver,
        others: after.2.saturating_sub(before.2).saturating_sub(own),
        available: machine::cores_for(began.elapsed()),
    };
    Ok(Figures::new(&ledger.passages(numbers), &cpu, None, ledger.arrived_twice()))
}

async fn post_all(client: &Arc<Client>, in_flight: usize, load: Load, ledger: &Arc<Ledger>) -> Result<(), Failure> {
    let (next, load) = (Arc::new(AtomicUsize::new(load.numbers.start)), Arc::new(load));
    let mut posting = JoinSet::new();
    for _ in 0..in_flight {
        let (client, next, load, ledger) =
            (Arc::clone(client), Arc::clone(&next), Arc::clone(&load), Arc::clone(ledger));
        posting.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.numbers.end {
                    return Ok::<(), Failure>(());
                }
                let mut body = Vec::with_capacity(load.events.body_bytes());
                load.events.push_body(&mut body, n);
                ledger.sent(n..n + 1);
                client.post(n, body.into()).await?;
                ledger.answered(n);
            }
        });
    }
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    Ok(())
}

impl Client {
    /// With the settings of the dispatcher's own.
    fn hyper(receiver: &Receiver) -> Self {
        let options = Options::default();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.pool_idle_timeout)
            .pool_max_idle_per_host(options.pool_max_connections_per_host)
            .http1_max_buf_size(options.response_header_bytes)
            .build(connector);
        Self::Hyper { client, url: url(receiver), key: Key::new() }
    }

    fn dispatcher(receiver: &Receiver) -> Result<Self, Failure> {
        let options = Options { allow_networks: vec!["127.0.0.0/8".parse()?], ..Options::default() };
        let secrets = vec![Secret::parse(SECRET)?];
        let target = Target::new(&Url::parse(&url(receiver))?, &BTreeMap::new(), secrets, Duration::from_secs(15))?;
        let clock = Arc::new(SystemClock(Instant::now()));
        Ok(Self::Dispatcher { dispatcher: Dispatcher::new(options, clock)?, target: Arc::new(target) })
    }

    async fn post(&self, n: usize, body: Bytes) -> Result<(), Failure> {
        let message = MessageId(RawId::new(now(), n as u64, [0; 6]));
        match self {
            Self::Hyper { client, url, key } => {
                let (id, timestamp_s) = (message.to_string(), now().as_secs().to_string());
                let request = Request::post(url)
                    .header("webhook-signature", key.sign(&id, &timestamp_s, &body))
                    .header("webhook-timestamp", timestamp_s)
                    .header("webhook-id", id)
                    .header(header::CONTENT_TYPE, JSON)
                    .header(header::ACCEPT_ENCODING, "identity")
                    .header(header::USER_AGENT, "postrider-bench")
                    .body(Full::new(body))?;
                let (head, body) = client.request(request).await?.into_parts();
                body.collect().await?;
                succeeded(head.status.as_u16(), n)
            }
            Self::Dispatcher { dispatcher, target } => {
                let key = DeliveryKey {
                    endpoint: EndpointId(RawId::from_bytes([1; 20])),
                    message: Position::from_u64(n as u64),
                };
                let (content_type, target) = (JSON.into(), Arc::clone(target));
                let scheduled = Scheduled::first(UnixMs(0));
                let job = Job { key, scheduled, message, body, content_type, target };
                let outcome = dispatcher.attempt(job).await;
                match outcome.result {
                    AttemptResult::Answered(answer) => succeeded(answer.status, n),
                    AttemptResult::Failed { detail, .. } => Err(format!("event {n}: {detail}").into()),
                }
            }
        }
    }
}

fn succeeded(status: u16, n: usize) -> Result<(), Failure> {
    let no_content = StatusCode::NO_CONTENT.as_u16();
    if status == no_content { Ok(()) } else { Err(format!("event {n} was answered with {status}").into()) }
}

fn url(receiver: &Receiver) -> String {
    format!("http://{}/hook", receiver.address)
}

#[expect(clippy::disallowed_methods, reason = "the receiver's clock is the system's, too")]
fn now() -> UnixMs {
    UnixMs(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}
