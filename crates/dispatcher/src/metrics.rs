//! What the dispatcher counts. Labels are bounded: a class, never a host.

use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use postrider_model::job::AttemptResult;

/// Attempts that ended, by `result`: `2xx` to `5xx`, `other`, or a failure's class.
pub const ATTEMPTS: &str = "postrider_attempts_total";
/// How long attempts took, in seconds.
pub const ATTEMPT_SECONDS: &str = "postrider_attempt_duration_seconds";
/// How many messages batches had.
pub const BATCH_MESSAGES: &str = "postrider_batch_messages";
/// Connections that are open or being opened.
pub const CONNECTIONS: &str = "postrider_connections_open";

const SUCCEEDED: &str = "2xx";

/// Tells the recorder what the metrics mean. Call it once, after installing it.
pub fn describe() {
    describe_counter!(ATTEMPTS, Unit::Count, "Attempts that ended, by result");
    describe_histogram!(ATTEMPT_SECONDS, Unit::Seconds, "Duration of attempts");
    describe_histogram!(BATCH_MESSAGES, Unit::Count, "Messages in each batch that was attempted");
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections to endpoints that are open or being opened");
}

/// Counts attempts. What is counted for most of them has a handle here: to look
/// one up costs more than to count.
pub(crate) struct Attempts {
    succeeded: Counter,
    seconds: Histogram,
    batch: Histogram,
}

impl Attempts {
    /// Counts with the recorder that is installed at this moment.
    pub(crate) fn new() -> Self {
        Self {
            succeeded: counter!(ATTEMPTS, "result" => SUCCEEDED),
            seconds: histogram!(ATTEMPT_SECONDS),
            batch: histogram!(BATCH_MESSAGES),
        }
    }

    /// The attempt was one of a batch with so many messages.
    pub(crate) fn batched(&self, messages: usize) {
        self.batch.record(messages as f64);
    }

    pub(crate) fn ended(&self, result: &AttemptResult, duration: Duration) {
        self.seconds.record(duration);
        match label(result) {
            SUCCEEDED => self.succeeded.increment(1),
            label => counter!(ATTEMPTS, "result" => label).increment(1),
        }
    }
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
            200..=299 => SUCCEEDED,
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        },
    }
}
