//! What each part is told, out of the configuration.

use std::num::NonZeroU32;
use std::time::Duration;

use postrider_api::RequestRate;
use postrider_dispatcher::Identity;
use postrider_model::order::OrderRule;
use postrider_model::policy::{BreakerRule, Rules};
use postrider_model::rate::Rate;
use postrider_model::retry::Jitter;
use postrider_model::verification::VerificationSetting;
use postrider_outbox::{MasterKey, OperationalEvents};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::certificate::{Contents, Files};
use crate::config::Config;
use crate::exit::Failure;

/// A limit as a size in memory; the bounds of the keys keep it exact.
fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A limit as a number of 32 bits, which it has by its bounds.
fn number(limit: u64) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// What everybody gets to end after a signal.
pub(super) fn drain(config: &Config) -> Duration {
    Duration::from_millis(config.stop.drain_ms)
}

/// What one door of the HTTP API may cost.
pub(super) fn api_door(config: &Config) -> postrider_api::Options {
    let usual = postrider_api::Options::default();
    postrider_api::Options {
        max_connections: size(config.limits.client_connections),
        drain_timeout: usual.drain_timeout.min(drain(config)),
        proxies: config.api.trusted_proxies.iter().copied().collect(),
        hsts: config.api_tls.hsts,
        ..usual
    }
}

/// What a request to the HTTP API may cost.
pub(super) fn api_limits(config: &Config) -> postrider_api::Limits {
    let api = &config.api;
    postrider_api::Limits {
        body_bytes: size(config.limits.body_bytes),
        requests_per_token: request_rate(api.requests_per_second_per_token, api.request_burst_per_token),
        requests_per_address: request_rate(api.requests_per_second_per_address, api.request_burst_per_address),
        refusals_per_address: request_rate(api.refusals_per_second_per_address, Some(api.refusal_burst_per_address)),
        ..Default::default()
    }
}

/// 0 is no limit.
fn request_rate(per_second: u64, burst: Option<u64>) -> Option<RequestRate> {
    let per_second = NonZeroU32::new(number(per_second))?;
    let burst = burst.and_then(|burst| NonZeroU32::new(number(burst))).unwrap_or(per_second);
    Some(RequestRate { per_second, burst })
}

/// The ingest socket.
pub(super) fn ingest(config: &Config) -> postrider_ingest::Options {
    let usual = postrider_ingest::Options::default();
    postrider_ingest::Options {
        max_line_bytes: size(config.limits.line_bytes),
        body_limit_bytes: size(config.limits.body_bytes),
        max_connections: size(config.limits.client_connections),
        allow_uids: config.ingest.allow_uids.clone(),
        stop_wait: usual.stop_wait.min(drain(config)),
        ..usual
    }
}

/// The outbox.
pub(super) fn outbox(config: &Config, master_key: MasterKey) -> postrider_outbox::Options {
    let (limits, retention, journal) = (&config.limits, &config.retention, &config.journal);
    postrider_outbox::Options {
        segment_bytes: number(journal.segment_bytes),
        outcome_sync: Duration::from_millis(journal.outcome_sync_ms),
        body_limit_bytes: size(limits.body_bytes),
        lane_window: size(limits.lane_window),
        fresh_body_bytes: size(limits.fresh_body_bytes),
        pending_per_application: limits.pending_per_application,
        endpoints_per_application: size(limits.endpoints_per_application),
        idempotency_keys: size(limits.idempotency_keys),
        max_in_flight: size(limits.in_flight),
        default_timeout: Duration::from_millis(config.dispatch.timeout_ms),
        default_signature: config.dispatch.default_signature,
        signature: config.dispatch.signature,
        default_format: config.dispatch.format,
        event_source: config.dispatch.cloudevents_source.clone(),
        default_validation: config.event_types.validation,
        default_order: order(config),
        verification: verification(config),
        operational_events: operational_events(config),
        retain_history: retention.history.0,
        retain_dead_letters: retention.dead_letters.0,
        retain_held: retention.held.0,
        retain_audit: retention.audit.0,
        audit_entries: size(limits.audit_entries),
        retention_grace: retention.grace.0,
        expunge_after: retention.expunge.0,
        max_bytes: Some(retention.max_bytes).filter(|bytes| *bytes > 0),
        ..postrider_outbox::Options::new(&config.data_dir, master_key)
    }
}

/// What is told of the store itself.
fn operational_events(config: &Config) -> Option<OperationalEvents> {
    let events = &config.operational_events;
    let failing_after = u16::try_from(events.failing_after).unwrap_or(u16::MAX);
    events.application.clone().map(|application| OperationalEvents { application, failing_after })
}

/// How endpoints are verified.
pub(super) fn verification(config: &Config) -> VerificationSetting {
    let verification = &config.verification;
    VerificationSetting {
        default: verification.default,
        origin: verification.origin.clone(),
        request_rate: verification.request_rate_per_minute.map(number),
    }
}

/// The scheduler.
pub(super) fn scheduler(config: &Config) -> postrider_scheduler::Options {
    postrider_scheduler::Options {
        max_in_flight: number(config.limits.in_flight),
        in_flight_per_application: number(config.limits.in_flight_per_application),
        batch_bytes: size(config.limits.batch_bytes),
        rules: rules(config),
        retry_after_max: Duration::from_secs(config.retry.retry_after_max_s),
        token_wait: config.retention.held.0,
        ..Default::default()
    }
}

/// What counts for an endpoint whose policy says nothing else.
pub(crate) fn rules(config: &Config) -> Rules {
    let (retry, breaker) = (&config.retry, &config.breaker);
    Rules {
        schedule: retry.schedule.clone(),
        jitter: retry.jitter_percent.map_or(Jitter::Standard, |percent| Jitter::Percent(percent.min(100) as u8)),
        max_age: retry.max_age.map(|age| age.0),
        final_statuses: retry.final_statuses.iter().copied().collect(),
        rate: rate(config),
        max_in_flight: number(config.limits.in_flight_per_endpoint),
        breaker: BreakerRule {
            failures: number(breaker.failures),
            pause_min_ms: number(breaker.pause_min_ms),
            pause_max_ms: number(breaker.pause_max_ms),
        },
        order: order(config),
        batch: None,
        disable_after: Some(breaker.disable_after.0).filter(|after| !after.is_zero()),
    }
}

fn rate(config: &Config) -> Option<Rate> {
    let rate = &config.rate;
    rate.count.map(|count| Rate { count: number(count), per: rate.per, burst: number(rate.burst) })
}

/// A pointer into payloads is an endpoint's own only.
fn order(config: &Config) -> OrderRule {
    OrderRule { by: config.order.by, pointer: None, after_dead: config.order.after_dead }
}

/// The dispatcher. Reads the files of certificates.
pub(super) fn dispatcher(config: &Config) -> Result<postrider_dispatcher::Options, Failure> {
    Ok(postrider_dispatcher::Options {
        guard: config.dispatch.guard,
        allow_networks: config.dispatch.allow_networks.clone(),
        extra_roots: extra_roots(config)?,
        identity: identity(config)?,
        proxy: config.dispatch.proxy.as_ref().map(|proxy| proxy.0.clone()),
        connect_timeout: Duration::from_millis(config.dispatch.connect_timeout_ms),
        signature_headers: config.dispatch.signature_headers,
        response_read_bytes: size(config.limits.response_read_bytes),
        pool_max_connections_per_host: size(config.dispatch.connections_per_host),
        pools: dispatch_threads(config),
        ..Default::default()
    })
}

/// Threads that make requests. Each needs a connection to any host.
pub(super) fn dispatch_threads(config: &Config) -> usize {
    let half_of_the_cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64 / 2);
    let threads = config.dispatch.threads.unwrap_or_else(half_of_the_cores);
    size(threads.clamp(1, config.dispatch.connections_per_host))
}

/// What is trusted beside the system's certificates.
pub(super) fn extra_roots(config: &Config) -> Result<Vec<Vec<u8>>, Failure> {
    let Some(path) = &config.dispatch.ca_file else { return Ok(vec![]) };
    let wrong = |error| Failure::usage(format!("dispatch.ca_file: failed to read {}: {error}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let roots: Result<Vec<_>, _> = certificates.map(|found| found.map(|root| root.to_vec())).collect();
    match roots.map_err(wrong)? {
        none if none.is_empty() => {
            Err(Failure::usage(format!("dispatch.ca_file: {} holds no certificate in PEM form", path.display())))
        }
        roots => Ok(roots),
    }
}

/// What requests prove who they come from with.
pub(super) fn identity(config: &Config) -> Result<Option<Identity>, Failure> {
    let Some(files) = Files::of_requests(config) else { return Ok(None) };
    let Contents { cert, key, .. } = files.contents().map_err(|unfit| unfit.failure)?;
    let identity = Identity::from_pem(&cert, &key);
    identity.map(Some).map_err(|error| Failure::usage(format!("dispatch.client_key: cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut config = Config::default();
        assert!(extra_roots(&config).expect("none is named").is_empty());
        config.dispatch.ca_file = Some(file.path().to_owned());
        assert_eq!(extra_roots(&config).expect_err("it is empty").exit, crate::exit::Exit::Usage);
        config.dispatch.ca_file = Some("/nonexistent".into());
        assert_eq!(extra_roots(&config).expect_err("it is not there").exit, crate::exit::Exit::Usage);
    }

    #[test]
    fn every_thread_has_a_connection_to_a_host() {
        let mut config = Config::default();
        assert!(dispatch_threads(&config) >= 1);
        config.dispatch.threads = Some(3);
        assert_eq!(dispatch_threads(&config), 3);
        config.dispatch.connections_per_host = 2;
        assert_eq!(dispatch_threads(&config), 2);
    }

    #[test]
    fn a_burst_is_as_large_as_a_second_unless_it_is_set() {
        let shown =
            |per_second, burst| request_rate(per_second, burst).map(|rate| (rate.per_second.get(), rate.burst.get()));
        assert_eq!(shown(0, Some(5)), None);
        assert_eq!(shown(20, None), Some((20, 20)));
        assert_eq!(shown(20, Some(5)), Some((20, 5)));
    }

    #[test]
    fn the_defaults_are_those_of_the_parts() {
        let mut config = Config::default();
        config.dispatch.threads = Some(1);
        assert_eq!(api_door(&config), postrider_api::Options::default());
        assert_eq!(api_limits(&config), postrider_api::Limits::default());
        let (ours, theirs) = (ingest(&config), postrider_ingest::Options::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        let (ours, theirs) = (dispatcher(&config).expect("no file"), postrider_dispatcher::Options::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        assert_eq!(scheduler(&config), postrider_scheduler::Options::default());
        let key = MasterKey::new([0; 32]);
        let (ours, theirs) = (outbox(&config, key.clone()), postrider_outbox::Options::new(&config.data_dir, key));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }
}
