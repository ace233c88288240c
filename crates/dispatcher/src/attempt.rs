//! One attempt under one deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use postrider_model::job::{AttemptResult, FailureKind, Job, Outcome, Response};
use postrider_model::time::Clock;

use crate::batch::Batch;
use crate::client::Client;
use crate::connect::Connector;
use crate::connections::Connections;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::metrics::Attempts;
use crate::options::{Error, Options};
use crate::pool::Pool;
use crate::request;
use crate::resolve::{Resolve, SystemResolver};
use crate::socket::Dial;
use crate::tls::Tls;
use crate::tokens::{Token, Tokens};

/// The longest `Retry-After` that is passed on, in bytes. The longest form that
/// has a meaning, an RFC 850 date, has 33.
const MAX_RETRY_AFTER_BYTES: usize = 64;

/// Makes attempts. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Dispatcher {
    pub(crate) client: Client,
    connector: Connector,
    pub(crate) options: Arc<Options>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Arc<Tokens>,
    attempts: Arc<Attempts>,
}

impl Dispatcher {
    /// A dispatcher that resolves names as the system does. Reads the system's
    /// root certificates, `resolv.conf` and the hosts file; must be called in a
    /// tokio runtime.
    ///
    /// # Errors
    /// An option makes no sense, an extra root certificate is none, or TLS or
    /// the resolver cannot be set up.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let resolver = SystemResolver::new().map_err(Error::Resolver)?;
        Self::with_resolver(options, clock, Arc::new(resolver))
    }

    /// As [`Dispatcher::new`], with another source of addresses. The guard
    /// judges its answers all the same.
    ///
    /// # Errors
    /// As [`Dispatcher::new`].
    pub fn with_resolver(options: Options, clock: Arc<dyn Clock>, resolver: Arc<dyn Resolve>) -> Result<Self, Error> {
        options.validate()?;
        let tls = Tls::new(&options.extra_roots, options.identity.clone())?;
        Ok(Self::over(options, clock, resolver, tls, Dial::default()))
    }

    /// One whose options are valid.
    pub(crate) fn over(
        options: Options,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolve>,
        tls: Tls,
        dial: Dial,
    ) -> Self {
        let connector = Connector::new(
            Guard::new(options.guard, options.allow_networks.clone()),
            resolver,
            (dial, tls, options.proxy.clone()),
            Connections::new(options.pool_max_connections_per_host, options.pool_max_connections),
            options.connect_timeout,
            options.response_header_bytes.saturating_add(options.response_read_bytes),
        );
        Self {
            client: Client::new(Pool::new(&options, connector.clone())),
            connector,
            options: Arc::new(options),
            clock,
            tokens: Arc::default(),
            attempts: Arc::new(Attempts::new()),
        }
    }

    /// Another one, for another thread: with connections of its own, under the same
    /// limits. What is known of names, of TLS sessions and of tokens is shared. There are to be
    /// [`Options::pools`] in all.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { client: Client::new(Pool::new(&self.options, self.connector.clone())), ..self.clone() }
    }

    /// Makes the request and waits for its end, for no longer than the target's
    /// timeout. It never fails: what goes wrong is the outcome.
    pub async fn attempt(&self, job: Job) -> Outcome {
        let started = self.clock.now();
        let begun = self.clock.monotonic();
        let result = match &job.target.grant {
            None => self.exchange_in_time(&job, None, job.target.timeout).await,
            Some(grant) => {
                let job = &job;
                let exchange = |token, limit| async move { self.exchange_in_time(job, Some(&token), limit).await };
                // Rare and large, so it is not part of every attempt.
                let result = Box::pin(self.with_token(&job.target, grant, exchange, AttemptResult::status)).await;
                result.unwrap_or_else(Into::into)
            }
        };
        let duration = self.clock.monotonic().saturating_sub(begun);
        self.attempts.ended(&result, duration);
        if let Some(others) = &job.others {
            self.attempts.batched(others.len() + 1);
        }
        let url = job.target.url.clone();
        Outcome { key: job.key, attempt: job.scheduled.attempt, started, duration, url, result }
    }

    async fn exchange_in_time(&self, job: &Job, token: Option<&Token>, timeout: Duration) -> AttemptResult {
        let mut status = None;
        match tokio::time::timeout(timeout, self.exchange(job, token, &mut status)).await {
            Ok(Ok(response)) => AttemptResult::Answered(response),
            Ok(Err(failure)) => failure.into(),
            Err(_) => {
                let detail = match status {
                    None => format!("no answer within {timeout:?}"),
                    Some(status) => format!("the answer with status {status} was not complete within {timeout:?}"),
                };
                AttemptResult::Failed { kind: FailureKind::Timeout, detail }
            }
        }
    }

    /// Sends and receives. `status` is filled as soon as it is known.
    async fn exchange(&self, job: &Job, token: Option<&Token>, status: &mut Option<u16>) -> Result<Response, Failure> {
        // Else a connection would be opened for it first.
        request::can_be_signed(&job.target)?;
        let build = || request::build(job, token, self.options.signature_headers, self.clock.now());
        let mut answer = self.client.send(&job.target.uri, job.target.via.as_ref(), build).await?;
        let code = answer.response.status().as_u16();
        *status = Some(code);
        let read = read_at_most(answer.response.body_mut(), self.options.response_read_bytes).await;
        let batch = Batch::of(job).filter(|_| (200..300).contains(&code));
        let is_whole = read.bytes.len() < self.options.response_read_bytes;
        let failed = batch.as_ref().map_or_else(Vec::new, |batch| batch.failed(&read.bytes, read.broke_off, is_whole));
        let took_none = batch.is_some_and(|batch| batch.len() == failed.len());
        let retry_after = retry_after(answer.response.headers());
        let response = Response { status: code, retry_after, body: read.bytes, failed, took_none };
        self.client.finish(answer);
        Ok(response)
    }
}

/// What came of a body.
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    /// There would have been more.
    pub(crate) broke_off: bool,
}

/// The first `limit_bytes` of a body. What lies behind is never read: an
/// unfinished body ends its connection or stream. The bytes are copied, so
/// that a short answer does not hold on to the connection's whole read buffer.
///
/// A body that breaks off gives what came of it: the endpoint has answered with
/// its status. Simple servers end a body by closing, over TLS without a
/// `close_notify`, and another attempt would only bring the message twice.
pub(crate) async fn read_at_most(body: &mut Incoming, limit_bytes: usize) -> Read {
    let (mut read, mut broke_off) = (Vec::new(), false);
    while read.len() < limit_bytes && !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(frame) = frame else {
            broke_off = true;
            break;
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = limit_bytes - read.len();
        read.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Read { bytes: read.into(), broke_off }
}

/// `Retry-After` as it came, if it is short text.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    (text.len() <= MAX_RETRY_AFTER_BYTES).then(|| text.to_owned())
}
