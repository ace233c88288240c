//! The dispatcher alone: a client with a pool behind the address guard and the
//! deadline.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use postrider_dispatcher::{Dispatcher, Options};
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::id::{EndpointId, MessageId, RawId};
use postrider_model::job::{AttemptResult, Job};
use postrider_model::position::Position;
use postrider_model::secret::Secret;
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};
use url::Url;

use super::direct::Client;
use crate::common::post::{now, succeeded};
use crate::common::signature::SECRET;
use crate::common::{Failure, event};

/// One attempt after the other; all use one dispatcher.
pub(super) struct InHand {
    dispatcher: Arc<Dispatcher>,
    target: Arc<Target>,
    event_type: Arc<str>,
}

/// So many of them.
pub(super) fn in_hand(address: SocketAddr, in_flight: usize) -> Result<Vec<InHand>, Failure> {
    let options = Options { allow_networks: vec!["127.0.0.0/8".parse()?], ..Options::default() };
    let secrets = vec![Secret::parse(SECRET)?];
    let url = Url::parse(&format!("http://{address}{}", event::path(0)))?;
    let target = Arc::new(Target::new(&url, &BTreeMap::new(), secrets, Duration::from_secs(15))?);
    let dispatcher = Arc::new(Dispatcher::new(options, Arc::new(SystemClock(Instant::now())))?);
    let event_type: Arc<str> = "order.paid".into();
    let client = || InHand {
        dispatcher: Arc::clone(&dispatcher),
        target: Arc::clone(&target),
        event_type: Arc::clone(&event_type),
    };
    Ok(std::iter::repeat_with(client).take(in_flight).collect())
}

impl Client for InHand {
    async fn post(&mut self, n: usize, body: Bytes) -> Result<(), Failure> {
        let key =
            DeliveryKey { endpoint: EndpointId(RawId::from_bytes([1; 20])), message: Position::from_u64(n as u64) };
        let message = MessageId(RawId::new(now(), n as u64, [0; 6]));
        let (content_type, event_type, target) = (None, Arc::clone(&self.event_type), Arc::clone(&self.target));
        let scheduled = Scheduled::first(UnixMs(0));
        let job = Job { key, scheduled, message, body, content_type, event_type, target, others: None };
        let outcome = self.dispatcher.attempt(job).await;
        match outcome.result {
            AttemptResult::Answered(answer) => succeeded(answer.status, n),
            AttemptResult::Failed { detail, .. } => Err(format!("event {n}: {detail}").into()),
        }
    }
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
