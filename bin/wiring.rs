//! Where every channel, thread and task is born, and in which order they end.
//!
//! ```text
//!   HTTP (TCP, Unix) --+                          +--> [committer thread] --> journal
//!   ingest socket -----+--> ports --> Outbox -----+
//!                              |        ^         +--> [keeper thread]
//!                              v        |
//!                       [scheduler task] --Assignment--> [dispatcher tasks] --> endpoints
//!                              ^                                |
//!                              +------------ Outcome -----------+
//! ```
//!
//! Scheduler and dispatchers have threads of their own, see [`dispatch`].
//!
//! Start: lock the directory, bind the doors, read the store back, start its
//! threads, then the scheduler and the dispatchers, and open the doors last.
//! End: the other way round. Doors close to clients and requests in flight end
//! side by side; then what is known is on record, and the store ends last.

mod certificate;
pub(crate) mod copies;
mod dispatch;
mod doors;
mod group;
mod health;
pub(crate) mod meters;
mod open_data;
mod options;
mod pause;
mod reload;
mod renewal;
mod salvage;
mod store;
mod verifying;
mod warnings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use postrider_api::Api;
use postrider_dispatcher::Dispatcher;
use postrider_dispatcher::guard::Guard;
use postrider_model::command::{Command, Reply};
use postrider_model::id::OrgId;
use postrider_model::ports::{Configure as _, ControlError, Ports, Unavailable};
use postrider_model::restoration::Restoration;
use postrider_model::time::{Clock, UnixMs};
use postrider_outbox::{DirLock, Examined, KeyUse, LockError, OpenError, Outbox, Salvaged};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::certificate::Files;
pub(crate) use self::certificate::certificate_warning;
use self::dispatch::Dispatch;
use self::doors::{Doors, Listeners, Rooms};
use self::health::Checks;
pub(crate) use self::open_data::open_places;
pub(crate) use self::reload::reload;
use self::renewal::Renewal;
pub(crate) use self::salvage::LIST as SALVAGE_LIST;
use self::store::Threads;
pub(crate) use self::store::is_there;
pub(crate) use self::warnings::warnings;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::{DISK_FULL_HINT, Failure};
use crate::secrets::{self, StoreKey};

/// What the store gets to record what waits and to write a checkpoint.
const STORE_STOP: Duration = Duration::from_secs(60);
/// What an end gets that nobody asked for.
const ABANDON: Duration = Duration::from_secs(5);

/// A server that runs.
pub(crate) struct Server {
    doors: Doors,
    checks: Arc<Checks>,
    dispatch: Dispatch,
    threads: Threads,
    upkeep: JoinHandle<()>,
    renewing: Option<JoinHandle<()>>,
    /// Asks for the certificate to be read anew.
    renew: Arc<Notify>,
    drain: Duration,
    /// Given back last, when nothing works on the directory any more.
    _lock: DirLock,
}

impl Server {
    /// Starts a server. When this returns it accepts and delivers.
    ///
    /// # Errors
    /// The directory is in use, a port is taken, the store is damaged, or the system fails.
    pub(crate) async fn start(config: &Config, paused: bool, recorder: PrometheusHandle) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let lock = store::lock(&config.data_dir)?;
        // One that cannot be used is told of before anything is changed.
        secrets::find_token_secret(config)?;
        let renewal = match Files::of_door(config) {
            Some(files) => Some(Renewal::begin(files, Arc::clone(&clock)).await?),
            None => None,
        };
        let listeners = Listeners::bind(config).await?;
        let dispatcher = Dispatcher::new(options::dispatcher(config)?, Arc::clone(&clock))?;

        let opened = in_background(config, {
            let clock = Arc::clone(&clock);
            move |config| store::open(config, clock)
        });
        let (opened, store_key) = opened.await?;
        let token_secret = secrets::keep_token_secret(config, &store_key)?;
        let outbox = opened.outbox.clone();
        let threads = Threads::start(opened)?;
        let org = default_org(config, &outbox).await?;
        warn_without_application(config, &outbox, org);
        if paused {
            pause::pause(&outbox, org).await?;
        }
        pause::tell(&outbox);
        let dispatch = Dispatch::start(config, &outbox, &dispatcher)?;

        let checks = Arc::new(Checks::new(outbox.clone()));
        let ports = ports(&outbox, &dispatch, &checks);
        let guard = Guard::new(config.dispatch.guard, config.dispatch.allow_networks.clone());
        let api = Api {
            ports: ports.clone(),
            token_secret,
            url_guard: Arc::new(move |url| guard.refuses_url(url).map(|refusal| refusal.to_string())),
            signature: config.dispatch.signature,
            clock,
            limits: options::api_limits(config),
        };
        let render_metrics = health::renderer(config, outbox, dispatch.scheduler.clone(), recorder.clone());
        listeners.log()?;
        let tls = renewal.as_ref().map(Renewal::tls);
        let rooms = Rooms { api, accept: ports.accept, health: ports.health, render_metrics, org, tls };
        let renew = Arc::new(Notify::new());
        Ok(Self {
            doors: Doors::open(config, listeners, rooms),
            checks,
            dispatch,
            threads,
            upkeep: tokio::spawn(meters::upkeep(recorder)),
            renewing: renewal.map(|renewal| tokio::spawn(renewal.run(Arc::clone(&renew)))),
            renew,
            drain: options::drain(config),
            _lock: lock,
        })
    }

    /// Takes over other rules for endpoints whose policies say nothing else.
    pub(crate) fn set_rules(&self, config: &Config) {
        self.dispatch.scheduler.set_rules(options::rules(config));
    }

    /// Reads the TLS certificate anew, if there is one. A bad one is told in the log, and the present one stays.
    pub(crate) fn renew_certificate(&self) {
        self.renew.notify_one();
    }

    /// Waits until a part ends by itself, which it never should.
    pub(crate) async fn broken(&mut self) -> Failure {
        tokio::select! {
            failure = self.threads.broken() => failure,
            failure = self.dispatch.broken() => failure,
            failure = self.doors.broken() => failure,
            failure = ended(&mut self.renewing) => failure,
        }
    }

    /// Ends: takes nothing in any more, lets requests in flight end, records all.
    ///
    /// # Errors
    /// Something could not be recorded.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        tracing::info!("stopping");
        self.checks.end();
        tokio::join!(self.doors.close_to_clients(), self.dispatch.stop(self.drain));
        let stopped = self.threads.stop(STORE_STOP).await;
        self.doors.close().await;
        self.upkeep.abort();
        if let Some(renewing) = self.renewing {
            renewing.abort();
        }
        if stopped.is_ok() {
            tracing::info!("stopped");
        }
        stopped
    }

    /// Ends after a part has failed. Waits for little: what is on record stays,
    /// and what is not was never answered.
    pub(crate) async fn abandon(mut self) {
        self.checks.end();
        let ended = async {
            tokio::join!(self.doors.close_to_clients(), self.dispatch.stop(Duration::ZERO));
            self.threads.stop(ABANDON).await
        };
        if !matches!(tokio::time::timeout(ABANDON, ended).await, Ok(Ok(()))) {
            tracing::warn!("not all parts have ended");
        }
    }
}

/// What a start would refuse of a configuration that is valid by itself: it
/// names something that this machine does not have.
pub(crate) fn problems(config: &Config) -> Vec<Failure> {
    let [api_group, ingest_group] = doors::groups(config);
    let certificate = Files::of_door(config).and_then(|files| files.read().err()).map(|unfit| unfit.failure);
    let (roots, identity) = (options::extra_roots(config).err(), options::identity(config).err());
    let found = [roots, identity, certificate, api_group.err(), ingest_group.err()];
    found.into_iter().flatten().collect()
}

/// Makes a new data directory out of a damaged one, which stays as it is. `progress` is told
/// how many of how many steps are done; `list` makes what is written beside the new store.
///
/// # Errors
/// A server works on the directory, there is no store in it, the new one is not free, or the file system fails.
pub(crate) fn salvage(
    config: &Config,
    to: &Path,
    progress: &mut dyn FnMut(usize, usize),
    list: &dyn Fn(&Salvaged) -> String,
) -> Result<Salvaged, Failure> {
    salvage::salvage(config, to, &SystemClock::new(), progress, list)
}

/// What a start would find in the data directory, on which a server works if `live`;
/// changes nothing. `progress` is told how many of how many segments were read.
///
/// # Errors
/// There is no store in it, its key is not the one, or the file system fails.
pub(crate) fn examine(
    config: &Config,
    live: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examined, Failure> {
    store::examine(config, Arc::new(SystemClock::new()), live, progress)
}

/// The store's keys, which must be there with the store.
///
/// # Errors
/// There is no store, or its keys cannot be read.
pub(crate) fn existing_key(config: &Config) -> Result<StoreKey, Failure> {
    store::existing_key(config)
}

/// Which keys something on disk needs; changes nothing. `progress` is told how many of how many segments were read.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn key_use(
    config: &Config,
    store_key: &StoreKey,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<KeyUse, Failure> {
    store::key_use(config, store_key, progress)
}

/// Keeps servers away from a data directory until it is dropped.
///
/// # Errors
/// A server works on it, or the file system fails.
pub(crate) fn lock(config: &Config) -> Result<DirLock, Failure> {
    store::lock(&config.data_dir)
}

/// Seals all that is live with the key that seals now. The caller has locked the directory.
///
/// # Errors
/// What a start would refuse, or the file system fails.
pub(crate) fn seal_anew(config: &Config, store_key: &StoreKey) -> Result<(), Failure> {
    store::seal_anew(config, store_key, &SystemClock::new())
}

/// Keeps servers away from a data directory without changing anything in it; `None` if
/// one works on it.
///
/// # Errors
/// The file system fails.
pub(crate) fn try_lock(config: &Config) -> Result<Option<DirLock>, Failure> {
    match DirLock::hold(&config.data_dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::InUse { .. }) => Ok(None),
        Err(error) => Err(Failure::from(error)),
    }
}

/// A time for people and for the log: RFC 3339, UTC.
pub(crate) fn time_text(at: UnixMs) -> String {
    let ms = i64::try_from(at.as_u64()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| at.as_u64().to_string(), |at| format!("{at:.3}"))
}

/// What a store says that was restored and is paused since.
pub(crate) fn restored_text(restoration: Restoration) -> String {
    let Restoration { backup_at, to, .. } = restoration;
    format!(
        "restored from a backup of {} to {}; all dispatch is paused; resume with `postrider resume`",
        time_text(backup_at),
        time_text(to)
    )
}

/// Why a start is refused, as the start says it.
pub(crate) fn not_opened(config: &Config, error: OpenError) -> Failure {
    let origin = secrets::find_store_key(config).ok().flatten().map(|found| found.origin);
    store::not_opened(error, &config.data_dir, origin.as_deref().unwrap_or("the store's key"))
}

/// Waits until nobody looks after the certificate, if somebody should.
async fn ended(renewing: &mut Option<JoinHandle<()>>) -> Failure {
    match renewing {
        Some(renewing) => _ = renewing.await,
        None => std::future::pending().await,
    }
    Failure::runtime("the renewal of the TLS certificate has ended by itself").hint("the log above says more")
}

/// Reads from disk on a thread that may block.
async fn in_background<T: Send + 'static>(
    config: &Config,
    work: impl FnOnce(&Config) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || work(&config)).await?
}

/// The tenant of the sockets; made at the first start.
async fn default_org(config: &Config, outbox: &Outbox) -> Result<OrgId, Failure> {
    let reply = outbox.execute(Command::EnsureDefaultOrg { wish: config.auth.default_org }).await;
    let reply = reply.map_err(|error| match error {
        ControlError::Unavailable(Unavailable::DiskFull) => Failure::from(error).hint(DISK_FULL_HINT),
        error => Failure::from(error),
    })?;
    let Reply::Org(org) = reply else {
        return Err(Failure::runtime("the store did not name the default organisation"));
    };
    if let Some(wanted) = config.auth.default_org.filter(|wanted| *wanted != org) {
        return Err(Failure::usage(format!("auth.default_org: is {wanted}, but this store was made for {org}")));
    }
    secrets::note_default_org(config, org)?;
    Ok(org)
}

/// Operational events that nobody gets.
fn warn_without_application(config: &Config, outbox: &Outbox, org: OrgId) {
    let Some(application) = config.operational_events.application.as_deref() else { return };
    let mut is_there = false;
    outbox.with_config(&mut |config| is_there = config.find_app(org, application).is_some());
    if !is_there {
        tracing::warn!(application, "the application for operational events is not there; none are sent until it is");
    }
}

fn ports(outbox: &Outbox, dispatch: &Dispatch, checks: &Arc<Checks>) -> Ports {
    let outbox = Arc::new(outbox.clone());
    Ports {
        accept: Arc::clone(&outbox) as _,
        configure: Arc::clone(&outbox) as _,
        query: Arc::clone(&outbox) as _,
        control: Arc::clone(&outbox) as _,
        expunge: Arc::clone(&outbox) as _,
        once: Arc::clone(&outbox) as _,
        audit: outbox,
        explain: Arc::new(dispatch.scheduler.clone()),
        health: Arc::clone(checks) as _,
        verify: Arc::new(dispatch.verifier.clone()),
    }
}

/// Gives numbers that are even in 0..1. They spread delays and guard nothing, so
/// the system is asked for a seed once and not for each outcome.
fn jitter() -> impl FnMut() -> f64 + Send {
    // Should the system have no randomness, each start spreads them the same.
    let mut rng = fastrand::Rng::with_seed(getrandom::u64().unwrap_or_default());
    move || rng.f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_does_not_have_is_named_all_at_once() {
        let mut config = Config::default();
        assert!(problems(&config).is_empty());
        config.api_tls.cert = Some("/nonexistent".into());
        config.api_tls.key = Some("/nonexistent".into());
        config.dispatch.ca_file = Some("/nonexistent".into());
        config.dispatch.client_cert = Some("/nonexistent".into());
        config.dispatch.client_key = Some("/nonexistent".into());
        config.api.socket_group = Some("no such group".into());
        config.ingest.socket_group = Some("nor this".into());
        let found = problems(&config);
        let keys = found.iter().filter_map(|problem| problem.error.split(':').next()).collect::<Vec<_>>();
        assert_eq!(
            keys,
            ["dispatch.ca_file", "dispatch.client_cert", "api.tls.cert", "api.socket_group", "ingest.socket_group"],
            "{found:?}"
        );
    }
}
