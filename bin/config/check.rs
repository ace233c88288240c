//! Rules that concern several keys at once.

use std::path::Path;

use ipnet::IpNet;
use postrider_model::id::AppId;
use postrider_model::rate::RateBurst;
use postrider_model::validate;
use postrider_model::verification::{self, Verification as Kind};

use super::Config;
use super::keys::{Api, Rate, Verification};

/// Bytes of a socket's path without the closing zero: `sun_path` of unix(7).
pub(super) const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The rules that are broken: a key's name and a sentence each.
pub(super) fn check(config: &Config) -> Vec<(&'static str, String)> {
    let mut broken = vec![];
    let mut rule = |held: bool, key: &'static str, what: String| {
        if !held {
            broken.push((key, what));
        }
    };
    let limits = &config.limits;
    rule(
        limits.line_bytes >= limits.body_bytes,
        "limits.line_bytes",
        format!("is {}, less than `limits.body_bytes` ({})", limits.line_bytes, limits.body_bytes),
    );
    let breaker = &config.breaker;
    rule(
        breaker.pause_max_ms >= breaker.pause_min_ms,
        "breaker.pause_max_ms",
        format!("is {}, less than `breaker.pause_min_ms` ({})", breaker.pause_max_ms, breaker.pause_min_ms),
    );
    check_rate(&config.rate, &mut rule);
    check_api(&config.api, &mut rule);
    check_verification(&config.verification, &mut rule);
    let application = config.operational_events.application.as_deref();
    let is_uid = |name: &&str| name.parse::<AppId>().is_err();
    let problem = application.filter(is_uid).and_then(|name| validate::uid(Some(name), AppId::PREFIX).err());
    let problem = problem.unwrap_or_default();
    rule(problem.is_empty(), "operational_events.application", problem);
    rule(
        config.journal.segment_bytes >= 4 * limits.body_bytes,
        "journal.segment_bytes",
        format!(
            "is {}, less than four times `limits.body_bytes` ({})",
            config.journal.segment_bytes, limits.body_bytes
        ),
    );
    rule(
        config.api.listen.port() == 0 || config.api.listen != config.metrics.listen,
        "metrics.listen",
        format!("is {}, the same as `api.listen`", config.metrics.listen),
    );
    let (door, sent) = (&config.api_tls, &config.dispatch);
    for (key, file, other, other_file) in [
        ("api.tls.key", &door.key, "api.tls.cert", &door.cert),
        ("api.tls.cert", &door.cert, "api.tls.key", &door.key),
        ("dispatch.client_key", &sent.client_key, "dispatch.client_cert", &sent.client_cert),
        ("dispatch.client_cert", &sent.client_cert, "dispatch.client_key", &sent.client_key),
    ] {
        rule(file.is_some() || other_file.is_none(), key, format!("is not set, but `{other}` is"));
    }
    for (key, file) in
        [("store.key_file", &config.store.key_file), ("auth.jwt_secret_file", &config.auth.jwt_secret_file)]
    {
        // Another working directory must not make another key of it.
        let relative = file.as_deref().filter(|file| file.is_relative());
        let shown = relative.map(|file| file.display().to_string()).unwrap_or_default();
        rule(relative.is_none(), key, format!("must be an absolute path, not `{shown}`"));
    }
    let (api, ingest) = (config.api_socket(), config.ingest_socket());
    rule(api != ingest, "ingest.socket", "is the same as `api.socket`".into());
    for (key, path) in [("api.socket", api), ("ingest.socket", ingest)] {
        rule(socket_path_bytes(&path) <= MAX_SOCKET_PATH_BYTES, key, too_long(&path));
    }
    broken
}

/// The bounds of a policy's rate.
fn check_rate(rate: &Rate, rule: &mut impl FnMut(bool, &'static str, String)) {
    let Some(count) = rate.count else {
        let problem = format!("is {}, but `rate.count` is not set", rate.burst);
        return rule(rate.burst == 1, "rate.burst", problem);
    };
    let (least, most) = rate.per.count_range().into_inner();
    let problem = format!("is {count}, {least} to {most} are allowed with this `rate.per`");
    rule(count <= u64::from(most), "rate.count", problem);
    let most = u64::from(*RateBurst::range(u32::try_from(count).unwrap_or(u32::MAX)).end());
    let problem = format!("is {}, 1 to {most} (half of `rate.count`) are allowed", rate.burst);
    rule(rate.burst <= most, "rate.burst", problem);
}

/// An origin that endpoints can be asked for leave by.
fn check_verification(verification: &Verification, rule: &mut impl FnMut(bool, &'static str, String)) {
    let Some(origin) = &verification.origin else {
        let problem = "is `cloudevents`, but `verification.origin` is not set".to_owned();
        return rule(verification.default != Kind::CloudEvents, "verification.default", problem);
    };
    let problem = verification::check_origin(origin).err().unwrap_or_default();
    rule(problem.is_empty(), "verification.origin", problem);
}

/// Bursts of limits that are off, and proxies that anybody could pretend to be.
fn check_api(api: &Api, rule: &mut impl FnMut(bool, &'static str, String)) {
    for (burst_key, burst, key, per_second) in [
        (
            "api.request_burst_per_token",
            api.request_burst_per_token,
            "api.requests_per_second_per_token",
            api.requests_per_second_per_token,
        ),
        (
            "api.request_burst_per_address",
            api.request_burst_per_address,
            "api.requests_per_second_per_address",
            api.requests_per_second_per_address,
        ),
    ] {
        let problem = format!("is {}, but `{key}` is 0, which is no limit", burst.unwrap_or_default());
        rule(burst.is_none() || per_second > 0, burst_key, problem);
    }
    for network in &api.trusted_proxies {
        let everybody = format!("`{network}` is everybody, who could then pretend to be anybody");
        rule(network.prefix_len() > 0, "api.trusted_proxies", everybody);
        // Addresses are compared in their own form.
        let mapped = match network {
            IpNet::V6(network) => network.addr().to_ipv4_mapped(),
            IpNet::V4(_) => None,
        };
        let problem = format!("`{network}` is a network of IPv4 in the form of IPv6: write it as IPv4");
        rule(mapped.is_none(), "api.trusted_proxies", problem);
    }
}

fn socket_path_bytes(path: &Path) -> usize {
    path.as_os_str().len()
}

fn too_long(path: &Path) -> String {
    let bytes = socket_path_bytes(path);
    format!("`{}` has {bytes} bytes, a socket's path has at most {MAX_SOCKET_PATH_BYTES}", path.display())
}
