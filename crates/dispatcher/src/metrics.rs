//! What the dispatcher counts. Labels are bounded: a class, never a host.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use postrider_model::job::AttemptResult;

/// Attempts that ended, by `result`: `2xx` to `5xx`, `other`, or a failure's class.
pub const ATTEMPTS: &str = "postrider_attempts_total";
/// How long attempts took, in seconds.
pub const ATTEMPT_SECONDS: &str = "postrider_attempt_duration_seconds";
/// Connections that are open or being opened.
pub const CONNECTIONS: &str = "postrider_connections_open";

/// Tells the recorder what the metrics mean. Call it once, after installing it.
pub fn describe() {
    describe_counter!(ATTEMPTS, Unit::Count, "Attempts that ended, by result");
    describe_histogram!(ATTEMPT_SECONDS, Unit::Seconds, "Duration of attempts");
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections to endpoints that are open or being opened");
}

pub(crate) fn attempt_ended(result: &AttemptResult, duration: Duration) {
    counter!(ATTEMPTS, "result" => label(result)).increment(1);
    histogram!(ATTEMPT_SECONDS).record(duration);
}

pub(crate) fn connection_opened() {
    gauge!(CONNECTIONS).increment(1.0);
}

pub(crate) fn connection_closed() {
    gauge!(CONNECTIONS).decrement(1.0);
}

const fn label(result: &AttemptResult) -> &'static str {
    match result {
        AttemptResult::Failed { kind, .. } => kind.as_str(),
        AttemptResult::Answered(response) => match response.status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        },
    }
}
