//! The verification of endpoints.
//!
//! ```text
//!   configuration: who is due ------+
//!                                   v
//!   POST .../verify ---- Asked --> Verifying --spawns--> one request --> its result on record
//!                          ^                                                    |
//!                          +------------------ the endpoint as it is then ------+
//! ```
//!
//! Who is due, and when the next try is, lies in the configuration. So nothing is lost by a crash: what has no
//! result on record is tried again. One application, and one organisation with all of its own, has a part of the
//! requests at once only (W11).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metrics::{Unit, counter, describe_counter};
use postrider_dispatcher::{Check, Dispatcher, NotPassed};
use postrider_model::command::{Command, Reply};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::{AppId, EndpointId, OrgId};
use postrider_model::job::FailureKind;
use postrider_model::ports::{Answer, Configure as _, ControlError, Unavailable};
use postrider_model::verification::{Passed, Tried, Verification, VerificationFailure, VerificationSetting, Verify};
use postrider_outbox::Outbox;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// Verifications under way at once.
const AT_ONCE: usize = 32;
/// The same of one application.
const AT_ONCE_PER_APPLICATION: usize = 4;
/// The same of one organisation, which makes applications as it likes.
const AT_ONCE_PER_ORGANISATION: usize = 8;
/// People who wait to be heard, and for one verification.
const WAITING: usize = 64;
/// When to ask again if there are too many.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long none is begun by itself when a result could not be recorded.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);
/// The longest wait: the wall clock may have been set.
const IDLE: Duration = Duration::from_secs(60);
/// Random bytes of a challenge.
const CHALLENGE_BYTES: usize = 32;
const VERIFICATIONS: &str = "postrider_verifications_total";

/// Tells the recorder what the metrics mean.
pub(super) fn describe_metrics() {
    describe_counter!(VERIFICATIONS, Unit::Count, "Verifications of endpoints that ended, by result");
}

type Verified = Result<Arc<Endpoint>, ControlError>;

/// Somebody who asks for a verification now.
struct Asked {
    endpoint: EndpointId,
    reply: oneshot::Sender<Verified>,
}

/// How others ask for one.
#[derive(Clone)]
pub(super) struct Verifier(mpsc::Sender<Asked>);

impl Verify for Verifier {
    fn verify(&self, endpoint: EndpointId) -> Answer<Verified> {
        let (reply, answer) = oneshot::channel();
        let asked = self.0.try_send(Asked { endpoint, reply });
        Box::pin(async move {
            match asked {
                Ok(()) => answer.await.unwrap_or_else(|_| Err(Unavailable::Stopping.into())),
                Err(mpsc::error::TrySendError::Full(_)) => Err(busy()),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Unavailable::Stopping.into()),
            }
        })
    }
}

fn busy() -> ControlError {
    Unavailable::Overloaded { retry_after: RETRY_AFTER }.into()
}

/// What one verification needs.
#[derive(Clone)]
struct Parts {
    outbox: Outbox,
    dispatcher: Dispatcher,
    setting: Arc<VerificationSetting>,
}

/// One that is under way.
struct UnderWay {
    endpoint: EndpointId,
    app: AppId,
    org: OrgId,
    waiting: Vec<oneshot::Sender<Verified>>,
}

/// How many are under way, by whose they are.
#[derive(Default)]
struct Taken {
    apps: HashMap<AppId, usize>,
    orgs: HashMap<OrgId, usize>,
}

impl Taken {
    fn add(&mut self, app: AppId, org: OrgId) {
        *self.apps.entry(app).or_default() += 1;
        *self.orgs.entry(org).or_default() += 1;
    }

    /// Whether the application may have one more.
    fn has_room(&self, app: AppId, org: OrgId) -> bool {
        self.apps.get(&app).is_none_or(|count| *count < AT_ONCE_PER_APPLICATION)
            && self.orgs.get(&org).is_none_or(|count| *count < AT_ONCE_PER_ORGANISATION)
    }
}

/// The one task that begins verifications.
pub(super) struct Verifying {
    parts: Parts,
    asked: mpsc::Receiver<Asked>,
    requests: JoinSet<Verified>,
    under_way: HashMap<Id, UnderWay>,
    not_before: Option<Instant>,
}

impl Verifying {
    pub(super) fn new(outbox: Outbox, dispatcher: Dispatcher, setting: VerificationSetting) -> (Self, Verifier) {
        let (ask, asked) = mpsc::channel(WAITING);
        let parts = Parts { outbox, dispatcher, setting: Arc::new(setting) };
        let requests = JoinSet::new();
        (Self { parts, asked, requests, under_way: HashMap::new(), not_before: None }, Verifier(ask))
    }

    /// Works until it is dropped; what is under way then is tried again after the next start.
    pub(super) async fn run(mut self) {
        loop {
            let wait = self.begin_what_is_due();
            tokio::select! {
                () = self.parts.outbox.configured() => {}
                Some(asked) = self.asked.recv() => self.asked(asked),
                Some(ended) = self.requests.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Gives how long until the next is due.
    fn begin_what_is_due(&mut self) -> Duration {
        let paused = self.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(wait) = paused.filter(|wait| !wait.is_zero()) {
            return wait;
        }
        let now = self.parts.outbox.clock().now();
        let (mut due, mut wait) = (Vec::<(OrgId, Arc<Endpoint>)>::new(), IDLE);
        let mut taken = self.taken();
        self.parts.outbox.with_config(&mut |config| {
            if config.dispatch_paused().is_some() {
                return;
            }
            for (at, endpoint) in config.to_verify() {
                if at > now {
                    wait = wait.min(at.since(now));
                    break;
                }
                if self.under_way.len() + due.len() == AT_ONCE {
                    break;
                }
                let Some(org) = config.app(endpoint.app).map(|entry| entry.app.org) else { continue };
                if taken.has_room(endpoint.app, org) && !self.is_under_way(endpoint.id) {
                    taken.add(endpoint.app, org);
                    due.push((org, Arc::clone(endpoint)));
                }
            }
        });
        for (org, endpoint) in due {
            self.begin(endpoint, org, None);
        }
        wait
    }

    fn is_under_way(&self, endpoint: EndpointId) -> bool {
        self.under_way.values().any(|one| one.endpoint == endpoint)
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        self.under_way.values().for_each(|one| taken.add(one.app, one.org));
        taken
    }

    fn begin(&mut self, endpoint: Arc<Endpoint>, org: OrgId, asked: Option<oneshot::Sender<Verified>>) {
        let (parts, by_request) = (self.parts.clone(), asked.is_some());
        let (id, app, waiting) = (endpoint.id, endpoint.app, asked.into_iter().collect());
        let task = self.requests.spawn(async move { parts.verify(&endpoint, by_request).await });
        self.under_way.insert(task.id(), UnderWay { endpoint: id, app, org, waiting });
    }

    fn asked(&mut self, Asked { endpoint: id, reply }: Asked) {
        if let Some(one) = self.under_way.values_mut().find(|one| one.endpoint == id) {
            if one.waiting.len() < WAITING {
                return one.waiting.push(reply);
            }
            return drop(reply.send(Err(busy())));
        }
        let mut found = None;
        self.parts.outbox.with_config(&mut |config| {
            let may = config.dispatch_paused().is_none();
            let org = |endpoint: &Endpoint| config.app(endpoint.app).map(|entry| entry.app.org);
            let endpoint = config.endpoint(id).and_then(|endpoint| Some((endpoint, org(endpoint)?)));
            found = endpoint.map(|(endpoint, org)| (Arc::clone(endpoint), org, may && endpoint.paused.is_none()));
        });
        let Some((endpoint, org, may)) = found else {
            return drop(reply.send(Err(ControlError::NotFound { kind: "endpoint" })));
        };
        if endpoint.unverified.is_none() || !may {
            return drop(reply.send(Ok(endpoint)));
        }
        if self.under_way.len() >= AT_ONCE || !self.taken().has_room(endpoint.app, org) {
            return drop(reply.send(Err(busy())));
        }
        self.begin(endpoint, org, Some(reply));
    }

    fn ended(&mut self, ended: Result<(Id, Verified), JoinError>) {
        let (id, came) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a verification ended without a result");
                (error.id(), Err(Unavailable::Stopping.into()))
            }
        };
        if let Err(ControlError::Unavailable(_)) = &came {
            self.not_before = Some(Instant::now() + AFTER_REFUSAL);
        }
        // Whoever asked may have gone.
        for reply in self.under_way.remove(&id).into_iter().flat_map(|one| one.waiting) {
            let _ = reply.send(came.clone());
        }
    }
}

impl Parts {
    /// Makes the request and puts its result on record.
    async fn verify(&self, endpoint: &Endpoint, by_request: bool) -> Verified {
        let id = endpoint.id;
        let came = self.ask(endpoint).await;
        counter!(VERIFICATIONS, "result" => came.as_ref().map_or_else(|not| not.why.reason(), |_| "passed"))
            .increment(1);
        match &came {
            Ok(Passed { .. }) => tracing::info!(endpoint = %id, "an endpoint is verified"),
            Err(NotPassed { why, detail }) => {
                let detail = detail.as_deref().unwrap_or_default();
                tracing::info!(endpoint = %id, reason = why.reason(), detail, "an endpoint is not verified");
            }
        }
        let tried = Tried { endpoint: id, fields: Box::new(endpoint.fields.clone()), by_request };
        let command = Command::SettleVerification { tried, came: came.map_err(|not| not.why) };
        match self.outbox.execute(command).await? {
            Reply::Endpoint { endpoint, .. } => Ok(endpoint),
            _ => Err(ControlError::NotFound { kind: "endpoint" }),
        }
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<Passed, NotPassed> {
        let internal = |detail: String| NotPassed {
            why: VerificationFailure::NoAnswer(FailureKind::Internal),
            detail: Some(detail),
        };
        let check = match endpoint.fields.verification {
            Verification::None => return Ok(Passed::default()),
            Verification::Challenge => {
                let mut bytes = [0; CHALLENGE_BYTES];
                getrandom::fill(&mut bytes).map_err(|error| internal(error.to_string()))?;
                Check::Challenge(URL_SAFE_NO_PAD.encode(bytes))
            }
            Verification::CloudEvents => {
                let no_origin = NotPassed { why: VerificationFailure::NoOrigin, detail: None };
                let origin = self.setting.origin.clone().ok_or(no_origin)?;
                Check::CloudEvents { origin, rate: self.setting.request_rate }
            }
        };
        let target = self.outbox.target_of(endpoint).map_err(|error| internal(error.to_string()))?;
        self.dispatcher.verify(&target, &check).await
    }
}
