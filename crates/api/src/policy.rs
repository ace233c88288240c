//! An endpoint's own rules of delivery, as the API takes them.

use std::collections::BTreeSet;

use postrider_model::order::OrderRule;
use postrider_model::policy::{BreakerPolicy, Policy};
use postrider_model::rate::Rate;
use postrider_model::retry::RetrySchedule;
use postrider_model::status_pattern::StatusPattern;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::input::{Field, Object, set};

/// An endpoint's own rules of delivery. What is left out or `null` is as the server is configured.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = DeliveryPolicy)]
pub(crate) struct PolicyIn {
    /// The delays before each attempt: a list of 1 to 100 numbers of seconds, or a rule by which they grow.
    #[schema(value_type = Option<RetryScheduleIn>)]
    retry_schedule: Field<RetrySchedule>,
    /// By how many percent of itself each delay may differ at random.
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 100)]
    retry_jitter_percent: Field<u8>,
    /// From this age on, in seconds since its message was accepted, a delivery gets one attempt more and is then a dead
    /// letter. One that a person replayed has no such limit.
    #[schema(value_type = Option<u32>, minimum = 60, maximum = 31_536_000)]
    max_age_s: Field<u32>,
    /// Answers after which a delivery is a dead letter at once: codes such as `404`, or classes such as `4xx`. 410, 429, 502,
    /// 503 and 504 are never final.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["404", "5xx"]))]
    final_statuses: Field<BTreeSet<StatusPattern>>,
    /// How many attempts may start in what time; in place of `throttleRate`, not beside it.
    #[schema(value_type = Option<RateIn>)]
    rate: Field<Object<Rate>>,
    /// Requests in flight at most. How many there are below that depends on how the endpoint answers.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 4_096)]
    max_in_flight: Field<u32>,
    /// When the endpoint is left alone for a while.
    #[schema(value_type = Option<BreakerIn>)]
    breaker: Field<Object<BreakerPolicy>>,
    /// After so many seconds of nothing but failure the endpoint is disabled, 60 to 31,536,000; 0 is never.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 31_536_000)]
    disable_after_s: Field<u32>,
    /// In which order it gets its messages.
    #[schema(value_type = Option<OrderIn>)]
    order: Field<Object<OrderRule>>,
}

/// Describes a retry schedule.
#[derive(ToSchema)]
#[schema(as = RetrySchedule)]
#[serde(untagged)]
#[expect(dead_code, reason = "this only describes what the model reads")]
enum RetryScheduleIn {
    /// Seconds before each attempt.
    Delays(Vec<u32>),
    /// Delays that grow.
    Rule(ExponentialIn),
}

/// Delays that grow: none before the first attempt, `baseMs` before the second, and before each other `factor` times the one
/// before, at most `capMs`.
#[derive(ToSchema)]
#[schema(as = ExponentialSchedule)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this only describes what the model reads")]
struct ExponentialIn {
    #[schema(minimum = 0, maximum = 2_592_000_000_u64)]
    base_ms: u64,
    #[schema(minimum = 1, maximum = 10)]
    factor: f64,
    #[schema(minimum = 0, maximum = 2_592_000_000_u64)]
    cap_ms: u64,
    #[schema(minimum = 1, maximum = 100)]
    attempts: u16,
}

/// In no window of this length do more attempts start, bursts included.
#[derive(ToSchema)]
#[schema(as = Rate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this only describes what the model reads")]
struct RateIn {
    /// 1 to 10,000 per second, 1 to 600,000 per minute.
    #[schema(minimum = 1, maximum = 600_000)]
    count: u32,
    /// `second` or `minute`.
    #[schema(value_type = Option<String>, default = "second", example = "minute")]
    per: Option<String>,
    /// How many may start at once after a quiet time, 1 to `count`; the steady rate is `count - burst + 1`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 600_000, default = 1)]
    burst: Option<u32>,
}

/// When an endpoint is left alone for a while.
#[derive(ToSchema)]
#[schema(as = Breaker)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this only describes what the model reads")]
struct BreakerIn {
    /// Failures in a row after which nothing is sent for a pause.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    failures: Option<u32>,
    /// The first pause; doubled with every probe that fails.
    #[schema(value_type = Option<u32>, minimum = 100, maximum = 86_400_000)]
    pause_min_ms: Option<u32>,
    /// The longest pause, at least `pauseMinMs`.
    #[schema(value_type = Option<u32>, minimum = 100, maximum = 86_400_000)]
    pause_max_ms: Option<u32>,
}

/// In which order an endpoint gets its messages. The next of an order goes out when the outcome of the one before is on disk.
#[derive(ToSchema)]
#[schema(as = DeliveryOrder)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this only describes what the model reads")]
struct OrderIn {
    /// `key`: messages with the same order key are in one order; `fifo`: all are; `none`: none is.
    #[schema(value_type = Option<String>, default = "key", example = "fifo")]
    by: Option<String>,
    /// Where the key lies in a JSON payload (RFC 6901), in place of the message's `orderKey`; with `key` only.
    #[schema(value_type = Option<String>, max_length = 256, example = "/order/id")]
    pointer: Option<String>,
    /// What becomes of those after a dead letter: `continue`, or `hold` until it is delivered, cancelled or purged.
    #[schema(value_type = Option<String>, default = "continue", example = "hold")]
    after_dead: Option<String>,
}

impl PolicyIn {
    /// Whether it sets a rate.
    pub(crate) const fn sets_rate(&self) -> bool {
        matches!(self.rate, Field::Value(_))
    }

    /// Changes what it names; `null` leaves that to the server.
    pub(crate) fn onto(self, policy: &mut Policy) {
        set(&mut policy.retry_schedule, self.retry_schedule.change());
        set(&mut policy.retry_jitter_percent, self.retry_jitter_percent.change());
        set(&mut policy.max_age_s, self.max_age_s.change());
        set(&mut policy.final_statuses, self.final_statuses.change());
        set(&mut policy.rate, self.rate.change().map(|rate| rate.map(|Object(rate)| rate)));
        set(&mut policy.max_in_flight, self.max_in_flight.change());
        set(&mut policy.breaker, self.breaker.change().map(|rule| rule.map(|Object(rule)| rule)));
        set(&mut policy.order, self.order.change().map(|order| order.map(|Object(order)| order)));
        set(&mut policy.disable_after_s, self.disable_after_s.change());
    }
}
