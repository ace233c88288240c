//! What the server is compared with: the same signed bodies are posted to the
//! same receiver, and nothing is kept.
//!
//! One thread does it, as one delivers in the server on two cores. The bare loop
//! is hyper's client connection and a signature: no pool, no guard, no deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use postrider_dispatcher::{Dispatcher, Options};
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::id::{EndpointId, MessageId, RawId};
use postrider_model::job::{AttemptResult, Job};
use postrider_model::message::JSON;
use postrider_model::position::Position;
use postrider_model::secret::Secret;
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

use crate::common::ledger::Ledger;
use crate::common::load::Load;
use crate::common::receiver::Receiver;
use crate::common::signature::{Key, SECRET};
use crate::common::usage::{Usage, machine_cpu};
use crate::common::{Failure, event, machine};
use crate::figures::{Cpu, Figures};
use crate::scenario::{CONNECTIONS, PER_ENDPOINT, Scenario, Setting, Subject};

/// Posts one event after the other.
enum Client {
    /// A connection of its own.
    Raw {
        connection: SendRequest<Full<Bytes>>,
        host: String,
        key: Key,
    },
    Dispatcher {
        dispatcher: Arc<Dispatcher>,
        target: Arc<Target>,
    },
}

/// Posts as fast as it can.
pub(crate) fn measure(scenario: &Scenario, setting: &Setting) -> Result<Figures, Failure> {
    let total = scenario.warm_up() + scenario.events;
    let ledger = Arc::new(Ledger::new(total));
    let receiver = Receiver::start(Arc::clone(&ledger))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = || format!("{} of {total} events have arrived", ledger.arrivals());
    runtime.block_on(setting.in_time(play(scenario, setting, &receiver, &ledger), progress))
}

async fn play(
    scenario: &Scenario,
    setting: &Setting,
    receiver: &Receiver,
    ledger: &Arc<Ledger>,
) -> Result<Figures, Failure> {
    let clients = match scenario.subject {
        Subject::Dispatcher => Client::dispatchers(receiver)?,
        _ => Client::connections(receiver).await?,
    };
    let (warm_up, measured) = scenario.loads(setting.body_bytes);
    let clients = post_all(clients, warm_up, ledger).await?;
    let account =
        || -> Result<_, Failure> { Ok((Usage::of(std::process::id())?.cpu, receiver.thread.cpu()?, machine_cpu()?)) };
    let (began, before) = (Instant::now(), account()?);
    let load = measured();
    let numbers = load.numbers.clone();
    post_all(clients, load, ledger).await?;
    let after = account()?;
    let (own, receiver) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    let cpu = Cpu {
        subject: own.saturating_sub(receiver),
        load: None,
        receiver,
        others: after.2.saturating_sub(before.2).saturating_sub(own),
        available: machine::cores_for(began.elapsed()),
    };
    Ok(Figures::new(&ledger.passages(numbers), 1, &cpu, None, ledger.arrived_twice()))
}

/// Each client has one event in flight. Gives them back.
async fn post_all(clients: Vec<Client>, load: Load, ledger: &Arc<Ledger>) -> Result<Vec<Client>, Failure> {
    let (next, load) = (Arc::new(AtomicUsize::new(load.numbers.start)), Arc::new(load));
    let mut posting = JoinSet::new();
    for mut client in clients {
        let (next, load, ledger) = (Arc::clone(&next), Arc::clone(&load), Arc::clone(ledger));
        posting.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.numbers.end {
                    return Ok::<_, Failure>(client);
                }
                let mut body = Vec::with_capacity(load.events.body_bytes());
                load.events.push_body(&mut body, n);
                ledger.sent(n..n + 1);
                client.post(n, body.into()).await?;
                ledger.answered(n);
            }
        });
    }
    let mut clients = Vec::new();
    while let Some(ended) = posting.join_next().await {
        clients.push(ended??);
    }
    Ok(clients)
}

impl Client {
    /// Opens [`CONNECTIONS`].
    async fn connections(receiver: &Receiver) -> Result<Vec<Self>, Failure> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(receiver.address).await?;
            stream.set_nodelay(true)?;
            let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
            // If it breaks, the next request says so.
            tokio::spawn(driver);
            clients.push(Self::Raw { connection, host: receiver.address.to_string(), key: Key::new() });
        }
        Ok(clients)
    }

    /// As many as requests may be in flight to one endpoint; all use one dispatcher.
    fn dispatchers(receiver: &Receiver) -> Result<Vec<Self>, Failure> {
        let options = Options { allow_networks: vec!["127.0.0.0/8".parse()?], ..Options::default() };
        let secrets = vec![Secret::parse(SECRET)?];
        let url = Url::parse(&format!("http://{}{}", receiver.address, event::path(0)))?;
        let target = Arc::new(Target::new(&url, &BTreeMap::new(), secrets, Duration::from_secs(15))?);
        let dispatcher = Arc::new(Dispatcher::new(options, Arc::new(SystemClock(Instant::now())))?);
        let client = || Self::Dispatcher { dispatcher: Arc::clone(&dispatcher), target: Arc::clone(&target) };
        Ok(std::iter::repeat_with(client).take(PER_ENDPOINT).collect())
    }

    async fn post(&mut self, n: usize, body: Bytes) -> Result<(), Failure> {
        let message = MessageId(RawId::new(now(), n as u64, [0; 6]));
        match self {
            Self::Raw { connection, host, key } => {
                let (id, timestamp_s) = (message.to_string(), now().as_secs().to_string());
                let request = Request::post(event::path(0))
                    .header(header::HOST, host.as_str())
                    .header("webhook-signature", key.sign(&id, &timestamp_s, &body))
                    .header("webhook-timestamp", timestamp_s)
                    .header("webhook-id", id)
                    .header(header::CONTENT_TYPE, JSON)
                    .header(header::ACCEPT_ENCODING, "identity")
                    .header(header::USER_AGENT, "postrider-bench")
                    .body(Full::new(body))?;
                connection.ready().await?;
                let (head, body) = connection.send_request(request).await?.into_parts();
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
