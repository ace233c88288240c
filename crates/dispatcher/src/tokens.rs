//! Tokens that requests get in with, by OAuth 2.0's client credentials grant.
//!
//! ```text
//!   attempt --get--> known and good? --yes--> token
//!                        | no
//!                    has the last one just failed? --yes--> no token, at once
//!                        | no
//!                    ask, over the pool's connections, one for all that wait
//!                        |                     |
//!                      token               no token, and a pause that grows
//! ```
//!
//! That there is no token is a failure of its own kind: the endpoint has nothing to do
//! with it, and what follows is decided elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use parking_lot::Mutex;
use postrider_model::job::FailureKind;
use postrider_model::oauth::Grant;
use postrider_model::retry_after;
use postrider_model::target::Target;
use postrider_model::time::Clock;
use postrider_model::via::Via;
use serde_json::{Map, Value};

use crate::attempt::{self, Dispatcher};
use crate::failure::Failure;

/// What an endpoint says to a token that it does not accept.
const UNAUTHORIZED: u16 = 401;
/// The time for one token, the connection included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1_024;
/// Bytes of a token: servers take heads of 8 KiB or more.
const MAX_TOKEN_BYTES: usize = 8_000;
/// Tokens that are remembered (W9). For one more, the one that nobody has wanted for the longest time is forgotten.
const MAX_TOKENS: usize = 4_096;
/// How long a token counts whose answer does not say so, and how long any one counts at most.
const USUAL_LIFE: Duration = Duration::from_secs(300);
const MAX_LIFE: Duration = Duration::from_secs(86_400);
/// How long before its end a token is used no more: a tenth of its life, but no more than this.
const MAX_MARGIN: Duration = Duration::from_secs(60);
/// The first and the longest pause after a failure, and the longest that a server can ask for.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The same after an endpoint's own short time was over, for those that have no more.
const SHORT_PAUSE: Duration = Duration::from_secs(10);
const MAX_ASKED_PAUSE: Duration = Duration::from_secs(3_600);
/// A token that nobody has accepted yet is given up on a 401 only after this time, so that an
/// endpoint which always says 401 does not have tokens fetched for each attempt.
const UNPROVED: Duration = Duration::from_secs(60);

/// With less time than this left, another token is of no use.
const LEAST_LEFT: Duration = Duration::from_millis(100);

/// The tokens of all dispatchers beside each other.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Known>);

#[derive(Default)]
struct Known {
    entries: HashMap<Key, Used>,
    /// How often one was wanted: tells which was wanted last.
    wanted: u64,
}

struct Used {
    entry: Arc<Entry>,
    last: u64,
}

/// What is asked for, and the proxy that it is asked for through: one that does not work keeps
/// tokens from nobody else.
type Key = ([u8; 32], Option<[u8; 32]>);

/// Held while a token is asked for.
type Entry = tokio::sync::Mutex<State>;

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Failures in a row, and until when nobody asks after the last.
    failures: u32,
    not_before: Duration,
    why: String,
    /// A time, shorter than the usual one, within which there was no answer, and until when nobody
    /// who has no more asks.
    too_short: Option<(Duration, Duration)>,
}

/// A token as it is sent.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: HeaderValue,
    /// By the monotonic clock.
    fetched: Duration,
    until: Duration,
    accepted: Arc<AtomicBool>,
}

impl Token {
    /// An endpoint has answered, and not with 401.
    fn was_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }
}

/// Why there is no token.
struct Refused {
    detail: String,
    retry_after: Option<String>,
}

impl Refused {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), retry_after: None }
    }
}

impl Tokens {
    fn entry(&self, target: &Target, grant: &Grant) -> Arc<Entry> {
        let key = (*grant.id(), way(target).map(|via| *via.id()));
        self.0.lock().entry(key)
    }

    /// An endpoint said 401: true if another token may help.
    async fn is_worth_another(&self, target: &Target, grant: &Grant, token: &Token, clock: &dyn Clock) -> bool {
        let entry = self.entry(target, grant);
        let mut state = entry.lock().await;
        match &state.token {
            Some(known) if known.value == token.value => {
                let is_old = token.fetched + UNPROVED <= clock.monotonic();
                let is_worth = token.accepted.load(Ordering::Relaxed) || is_old;
                if is_worth {
                    state.token = None;
                }
                is_worth
            }
            // Somebody else has been told, too.
            _ => true,
        }
    }
}

impl Known {
    fn entry(&mut self, key: Key) -> Arc<Entry> {
        if self.entries.len() >= MAX_TOKENS && !self.entries.contains_key(&key) {
            self.forget_one();
        }
        self.wanted += 1;
        let used = self.entries.entry(key).or_insert_with(|| Used { entry: Arc::default(), last: 0 });
        used.last = self.wanted;
        Arc::clone(&used.entry)
    }

    /// One that somebody waits for stays: else two would be asked for at the same time.
    fn forget_one(&mut self) {
        let idle = self.entries.iter().filter(|(_, used)| Arc::strong_count(&used.entry) == 1);
        if let Some(oldest) = idle.min_by_key(|(_, used)| used.last).map(|(key, _)| *key) {
            self.entries.remove(&oldest);
        }
    }
}

impl State {
    fn known(&self, now: Duration, limit: Duration) -> Option<Result<Token, Failure>> {
        if let Some(token) = self.token.as_ref().filter(|token| token.until > now) {
            return Some(Ok(token.clone()));
        }
        if self.too_short.is_some_and(|(tried, until)| limit <= tried && until > now) {
            return Some(Err(no_token(format!("no answer within {limit:?} is expected; it is asked again later"))));
        }
        (self.not_before > now).then(|| Err(no_token(format!("{}; it is asked again later", self.why))))
    }

    fn failed(&mut self, refused: Refused, clock: &dyn Clock) -> Failure {
        let pause = MIN_PAUSE.saturating_mul(1 << self.failures.min(16)).min(MAX_PAUSE);
        let asked = refused.retry_after.as_deref();
        let asked = asked.and_then(|text| retry_after::parse(text, clock.now(), MAX_ASKED_PAUSE));
        self.failures = self.failures.saturating_add(1);
        self.not_before = clock.monotonic() + pause.max(asked.unwrap_or_default());
        self.why.clone_from(&refused.detail);
        no_token(refused.detail)
    }
}

fn no_token(detail: String) -> Failure {
    Failure { kind: FailureKind::Token, detail }
}

impl Dispatcher {
    /// Makes a request with a token, and once more with another one if the endpoint does not accept it any
    /// more, by the `status` of what it says. The endpoint's deadline, of which `ask` is given what is left,
    /// begins when there is a token.
    ///
    /// # Errors
    /// No token can be had, so no request was made.
    pub(crate) async fn with_token<T, Asked: Future<Output = T>>(
        &self,
        target: &Target,
        grant: &Grant,
        ask: impl Fn(Token, Duration) -> Asked,
        status: impl Fn(&T) -> Option<u16>,
    ) -> Result<T, Failure> {
        let token = self.token(target, grant, target.timeout).await?;
        let begun = self.clock.monotonic();
        let said = ask(token.clone(), target.timeout).await;
        match status(&said) {
            Some(UNAUTHORIZED) if self.tokens.is_worth_another(target, grant, &token, &*self.clock).await => {}
            Some(UNAUTHORIZED) | None => return Ok(said),
            Some(_) => {
                token.was_accepted();
                return Ok(said);
            }
        }
        let left = || target.timeout.saturating_sub(self.clock.monotonic().saturating_sub(begun));
        if left() < LEAST_LEFT {
            return Ok(said);
        }
        // A request was made, so what was said counts where there is no other token.
        let Ok(token) = self.token(target, grant, left()).await else { return Ok(said) };
        let said = ask(token.clone(), left()).await;
        if status(&said).is_some_and(|status| status != UNAUTHORIZED) {
            token.was_accepted();
        }
        Ok(said)
    }

    /// A token that counts, an earlier one or a new one, within `limit`.
    async fn token(&self, target: &Target, grant: &Grant, limit: Duration) -> Result<Token, Failure> {
        let limit = limit.min(TIMEOUT);
        let entry = self.tokens.entry(target, grant);
        let Ok(mut state) = tokio::time::timeout(limit, entry.lock()).await else {
            return Err(no_token(format!("{} did not answer within {limit:?}", place(grant))));
        };
        if let Some(known) = state.known(self.clock.monotonic(), limit) {
            return known;
        }
        state.token = None;
        let asked = tokio::time::timeout(limit, self.ask(target, grant)).await;
        let Ok(asked) = asked else {
            let refused = Refused::new(format!("{} did not answer within {limit:?}", place(grant)));
            if limit < TIMEOUT {
                // Whoever has more time may have a token.
                state.too_short = Some((limit, self.clock.monotonic() + SHORT_PAUSE));
                return Err(no_token(refused.detail));
            }
            return Err(state.failed(refused, &*self.clock));
        };
        match asked {
            Ok((value, life)) => {
                let (now, accepted) = (self.clock.monotonic(), Arc::default());
                let until = now + life - (life / 10).min(MAX_MARGIN);
                let token = Token { value, fetched: now, until, accepted };
                *state = State { token: Some(token.clone()), ..State::default() };
                Ok(token)
            }
            Err(refused) => Err(state.failed(refused, &*self.clock)),
        }
    }

    /// Asks for one. Over the endpoint's proxy, but without its certificate and its authorities, which
    /// are those of another place.
    async fn ask(&self, target: &Target, grant: &Grant) -> Result<(HeaderValue, Duration), Refused> {
        let via = way(target);
        let sent = self.client.send(&grant.uri, via.as_ref(), || Ok(request(grant))).await;
        let at = place(grant);
        let mut answer = sent.map_err(|failure| Refused::new(format!("{at} gave no answer: {}", failure.detail)))?;
        let status = answer.response.status();
        let retry_after = attempt::retry_after(answer.response.headers());
        let body = attempt::read_at_most(answer.response.body_mut(), ANSWER_BYTES).await.bytes;
        self.client.finish(answer);
        if !status.is_success() {
            let said = error_code(&body).map(|code| format!(" ({code})")).unwrap_or_default();
            return Err(Refused { detail: format!("{at} answered {}{said}", status.as_u16()), retry_after });
        }
        read(&body).map_err(|problem| Refused::new(format!("the answer of {at} {problem}")))
    }
}

/// What a token is asked for over: the endpoint's proxy.
fn way(target: &Target) -> Option<Arc<Via>> {
    target.via.as_ref().and_then(|via| Via::new(None, via.proxy().cloned()))
}

/// Where tokens come from, for the operator.
fn place(grant: &Grant) -> String {
    format!("the token endpoint at {}", grant.uri.authority().map_or("", |authority| authority.as_str()))
}

fn request(grant: &Grant) -> Request<Full<Bytes>> {
    const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let mut request = Request::new(Full::new(grant.body.clone()));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.extend(grant.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
    headers.insert(header::CONTENT_TYPE, FORM);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(grant.body.len()));
    headers.insert(header::ACCEPT, JSON);
    headers.insert(header::USER_AGENT, crate::request::USER_AGENT);
    request
}

/// The token of an answer (RFC 6749, section 5.1) as it is sent, and for how long it counts. What is
/// wrong is told without a word of the answer.
fn read(body: &[u8]) -> Result<(HeaderValue, Duration), &'static str> {
    const NO_TOKEN: &str = "has no `access_token` in a JSON object";
    const BAD_TOKEN: &str = "has an `access_token` that cannot be sent";
    let answer: Map<String, Value> = serde_json::from_slice(body).map_err(|_| NO_TOKEN)?;
    let member = |name| answer.get(name).filter(|value| !value.is_null());
    let token = member("access_token").and_then(Value::as_str).ok_or(NO_TOKEN)?;
    let is_bearer = |kind: &Value| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !member("token_type").is_none_or(is_bearer) {
        return Err("has a `token_type` that is not `Bearer`");
    }
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BAD_TOKEN);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| BAD_TOKEN)?;
    value.set_sensitive(true);
    // Some servers write the number as a text.
    let seconds = match member("expires_in") {
        None => Some(USUAL_LIFE.as_secs()),
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
    };
    let seconds = seconds.ok_or("has an `expires_in` that is no number of seconds")?;
    Ok((value, Duration::from_secs(seconds).min(MAX_LIFE)))
}

/// The code of an error, if it is one of those that RFC 6749 has (section 5.2): they say nothing
/// that the client has not said.
fn error_code(body: &[u8]) -> Option<&'static str> {
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let answer: Value = serde_json::from_slice(body).ok()?;
    let said = answer.get("error")?.as_str()?;
    CODES.into_iter().find(|code| *code == said)
}

#[cfg(test)]
mod tests;
