//! An endpoint's own rules of delivery, as the API takes them.

use std::collections::BTreeSet;

use postrider_model::batch::{self, BatchBytes, BatchMessages, BatchRule, BatchWaitMs};
use postrider_model::bounds::Whole;
use postrider_model::order::{AfterDead, OrderBy, OrderRule};
use postrider_model::policy::{
    BreakerFailures, BreakerPauseMs, BreakerPolicy, DisableAfterS, JitterPercent, MaxAgeS, MaxInFlight, Policy,
};
use postrider_model::rate::{Per, Rate, RateBurst, RateCount};
use postrider_model::retry::RetrySchedule;
use postrider_model::status_pattern::StatusPattern;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::input::{Field, Object, set, word};

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
    retry_jitter_percent: Field<Whole<JitterPercent>>,
    /// From this age on, in seconds since its message was accepted, a delivery gets one attempt more and is then a dead
    /// letter. One that a person replayed has no such limit.
    #[schema(value_type = Option<u32>, minimum = 60, maximum = 31_536_000)]
    max_age_s: Field<Whole<MaxAgeS>>,
    /// Answers after which a delivery is a dead letter at once: codes such as `404`, as text or number, or classes such as
    /// `4xx`. 410, 429, 502, 503 and 504 are never final.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["404", "5xx"]))]
    final_statuses: Field<BTreeSet<StatusPattern>>,
    /// How many attempts may start in what time; in place of `throttleRate`, not beside it.
    #[schema(value_type = Option<RateIn>)]
    rate: Field<Object<RateIn>>,
    /// Requests in flight at most. How many there are below that depends on how the endpoint answers.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 4_096)]
    max_in_flight: Field<Whole<MaxInFlight>>,
    /// When the endpoint is left alone for a while.
    #[schema(value_type = Option<BreakerIn>)]
    breaker: Field<Object<BreakerIn>>,
    /// After so many seconds of nothing but failure the endpoint is disabled, 60 to 31,536,000; 0 is never.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 31_536_000)]
    disable_after_s: Field<Whole<DisableAfterS>>,
    /// In which order it gets its messages.
    #[schema(value_type = Option<OrderIn>)]
    order: Field<Object<OrderIn>>,
    /// How many messages go in one request, as a JSON array; `null` is one, by itself.
    #[schema(value_type = Option<BatchIn>)]
    batch: Field<Object<BatchIn>>,
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
    #[schema(minimum = 1, maximum = 2_592_000_000_u64)]
    base_ms: u64,
    #[schema(minimum = 1, maximum = 10)]
    factor: f64,
    /// At least `baseMs`.
    #[schema(minimum = 1, maximum = 2_592_000_000_u64)]
    cap_ms: u64,
    #[schema(minimum = 1, maximum = 100)]
    attempts: u16,
}

/// In no window of this length do more attempts start, bursts included.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Rate)]
struct RateIn {
    /// 1 to 10,000 per second, 1 to 600,000 per minute.
    #[schema(value_type = u32, minimum = 1, maximum = 600_000)]
    count: Whole<RateCount>,
    /// `second` or `minute`.
    #[schema(value_type = Option<String>, default = "second", example = "minute")]
    #[serde(default, deserialize_with = "per")]
    per: Per,
    /// How many may start at once after a quiet time, 1 to half of `count`; the steady rate is `count - burst + 1`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 300_000, default = 1)]
    #[serde(default = "one")]
    burst: Whole<RateBurst>,
}

/// When an endpoint is left alone for a while.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = Breaker)]
struct BreakerIn {
    /// Failures in a row after which nothing is sent for a pause.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    failures: Field<Whole<BreakerFailures>>,
    /// The first pause; doubled with every probe that fails.
    #[schema(value_type = Option<u32>, minimum = 100, maximum = 86_400_000)]
    pause_min_ms: Field<Whole<BreakerPauseMs>>,
    /// The longest pause, at least `pauseMinMs`.
    #[schema(value_type = Option<u32>, minimum = 100, maximum = 86_400_000)]
    pause_max_ms: Field<Whole<BreakerPauseMs>>,
}

/// In which order an endpoint gets its messages. The next of an order goes out when the outcome of the one before is on disk.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = DeliveryOrder)]
struct OrderIn {
    /// `key`: messages with the same order key are in one order; `fifo`: all are; `none`: none is.
    #[schema(value_type = Option<String>, default = "key", example = "fifo")]
    #[serde(deserialize_with = "by")]
    by: OrderBy,
    /// Where the key lies in a JSON payload (RFC 6901), in place of the message's `orderKey`; with `key` only.
    #[schema(value_type = Option<String>, max_length = 256, example = "/order/id")]
    pointer: Field<String>,
    /// What becomes of those after a dead letter: `continue`, or `hold` until it is delivered, cancelled or purged.
    #[schema(value_type = Option<String>, default = "continue", example = "hold")]
    #[serde(deserialize_with = "after_dead")]
    after_dead: AfterDead,
}

/// When a batch goes out: an array of objects with `id`, `type`, `timestamp` and `data`. An answer 2xx with
/// `{"batchItemFailures":[{"itemIdentifier":"msg_.."}]}` confirms all but those that it names. Not beside the order `fifo`.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DeliveryBatch)]
struct BatchIn {
    /// With so many it goes at once.
    #[schema(value_type = u32, minimum = 2, maximum = 100)]
    max_messages: Whole<BatchMessages>,
    /// For how long the oldest message that is due waits for others, in milliseconds.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 60_000, default = 1_000)]
    #[serde(default)]
    max_wait_ms: Field<Whole<BatchWaitMs>>,
    /// Bytes of its body, unless one message alone has more; `limits.batch_bytes` if that is less or nothing is said.
    #[schema(value_type = Option<u32>, minimum = 1_024, maximum = 67_108_864)]
    #[serde(default)]
    max_bytes: Field<Whole<BatchBytes>>,
}

const fn one() -> Whole<RateBurst> {
    Whole::new(1)
}

fn per<'de, D: Deserializer<'de>>(reader: D) -> Result<Per, D::Error> {
    word(reader, Per::WORDS)
}

fn by<'de, D: Deserializer<'de>>(reader: D) -> Result<OrderBy, D::Error> {
    word(reader, OrderBy::WORDS)
}

fn after_dead<'de, D: Deserializer<'de>>(reader: D) -> Result<AfterDead, D::Error> {
    word(reader, AfterDead::WORDS)
}

impl From<RateIn> for Rate {
    fn from(rate: RateIn) -> Self {
        Self { count: rate.count.number(), per: rate.per, burst: rate.burst.number() }
    }
}

impl From<BreakerIn> for BreakerPolicy {
    fn from(rule: BreakerIn) -> Self {
        Self {
            failures: rule.failures.map(Whole::number).nullable(),
            pause_min_ms: rule.pause_min_ms.map(Whole::number).nullable(),
            pause_max_ms: rule.pause_max_ms.map(Whole::number).nullable(),
        }
    }
}

impl From<BatchIn> for BatchRule {
    fn from(given: BatchIn) -> Self {
        Self {
            max_messages: given.max_messages.number(),
            max_wait_ms: given.max_wait_ms.map(Whole::number).nullable().unwrap_or(batch::DEFAULT_WAIT_MS),
            max_bytes: given.max_bytes.map(Whole::number).nullable(),
        }
    }
}

impl From<OrderIn> for OrderRule {
    fn from(order: OrderIn) -> Self {
        Self { by: order.by, pointer: order.pointer.nullable(), after_dead: order.after_dead }
    }
}

impl PolicyIn {
    /// Whether it sets a rate.
    pub(crate) const fn sets_rate(&self) -> bool {
        matches!(self.rate, Field::Value(_))
    }

    /// Changes what it names; `null` leaves that to the server.
    pub(crate) fn onto(self, policy: &mut Policy) {
        set(&mut policy.retry_schedule, self.retry_schedule.change());
        set(&mut policy.retry_jitter_percent, self.retry_jitter_percent.map(Whole::number).change());
        set(&mut policy.max_age_s, self.max_age_s.map(Whole::number).change());
        set(&mut policy.final_statuses, self.final_statuses.change());
        set(&mut policy.rate, self.rate.map(|Object(rate)| rate.into()).change());
        set(&mut policy.max_in_flight, self.max_in_flight.map(Whole::number).change());
        set(&mut policy.breaker, self.breaker.map(|Object(rule)| rule.into()).change());
        set(&mut policy.order, self.order.map(|Object(order)| order.into()).change());
        set(&mut policy.batch, self.batch.map(|Object(batch)| batch.into()).change());
        set(&mut policy.disable_after_s, self.disable_after_s.map(Whole::number).change());
    }
}
