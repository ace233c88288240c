//! Batches: several messages of an endpoint in one request.
//!
//! A batch is not stored. It is put together when an attempt begins, and every member
//! of it keeps its own delivery: its attempt number, retries, outcome and dead letter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::{Bounds as _, bounds};
use crate::order::{OrderBy, OrderRule};
use crate::validate::FieldErrors;

/// Messages of a batch at most.
pub const MAX_MESSAGES: u32 = 100;

bounds! {
    /// Messages of a batch.
    BatchMessages: 2..=MAX_MESSAGES;
    /// For how long a batch may gather, in milliseconds.
    BatchWaitMs: 0..=60_000;
    /// Bytes of a batch's body.
    BatchBytes: 1_024..=64 << 20;
}

/// Milliseconds for which a batch may gather if nothing is said.
pub const DEFAULT_WAIT_MS: u32 = 1_000;

/// When an endpoint's batch goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchRule {
    /// Messages of a batch at most; with as many it goes at once.
    pub max_messages: u32,
    /// For how long the oldest that is due waits for others, in milliseconds.
    #[serde(default = "default_wait_ms")]
    pub max_wait_ms: u32,
    /// Bytes of its body at most, unless one message alone has more; `None` is as the
    /// server is configured, which is never more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
}

const fn default_wait_ms() -> u32 {
    DEFAULT_WAIT_MS
}

impl BatchRule {
    pub(crate) fn check(&self, order: Option<&OrderRule>, errors: &mut FieldErrors) {
        errors.check("policy.batch.maxMessages", BatchMessages::check(self.max_messages));
        errors.check("policy.batch.maxWaitMs", BatchWaitMs::check(self.max_wait_ms));
        errors.check("policy.batch.maxBytes", self.max_bytes.map_or(Ok(()), BatchBytes::check));
        if order.is_some_and(|order| order.by == OrderBy::Fifo) {
            let problem = "is given beside `policy.order.by` `fifo`, by which one message goes at a time; only one of \
                           them can count";
            errors.check("policy.batch", Err(problem.to_owned()));
        }
    }

    /// The same where this order counts. By `fifo`, which is the server's then, there is
    /// nothing that a batch could gather.
    #[must_use]
    pub fn beside(self, order: &OrderRule) -> Self {
        let max_messages = if order.by == OrderBy::Fifo { 1 } else { self.max_messages };
        Self { max_messages, ..self }
    }

    /// For how long the oldest that is due waits for others.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms.into())
    }
}

/// Bytes of an element beside its payload, its event type and its content type, in
/// whatever format: names, id, time, the source of CloudEvents, and punctuation.
const ELEMENT_BYTES: usize = 640;

/// The most that a message takes in a batch, in bytes, with the comma after it.
#[must_use]
pub fn element_bytes(event_type: &str, content_type: Option<&str>, payload_bytes: usize) -> usize {
    // As base64, with its content type in which each character may be escaped.
    let encoded = |content_type: &str| payload_bytes.div_ceil(3).saturating_mul(4) + 2 * content_type.len();
    let content_bytes = content_type.map_or(payload_bytes, encoded);
    (ELEMENT_BYTES + event_type.len()).saturating_add(content_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, Rules};

    fn policy(json: &str) -> Policy {
        serde_json::from_str(json).expect("a policy")
    }

    #[test]
    fn bounds_are_checked_by_name() {
        let problems = |json: &str| policy(json).validate().map_err(|errors| errors.to_string());
        assert_eq!(problems(r#"{"batch":{"maxMessages":2,"maxWaitMs":0,"maxBytes":1024}}"#), Ok(()));
        assert_eq!(problems(r#"{"batch":{"maxMessages":100,"maxWaitMs":60000}}"#), Ok(()));
        for (json, says) in [
            (r#"{"batch":{"maxMessages":1}}"#, "policy.batch.maxMessages: is 1, 2 to 100 are allowed"),
            (r#"{"batch":{"maxMessages":101}}"#, "policy.batch.maxMessages: is 101, 2 to 100 are allowed"),
            (r#"{"batch":{"maxMessages":2,"maxWaitMs":60001}}"#, "policy.batch.maxWaitMs: is 60001, 0 to 60000"),
            (r#"{"batch":{"maxMessages":2,"maxBytes":1023}}"#, "policy.batch.maxBytes: is 1023, 1024 to 67108864"),
            (r#"{"batch":{"maxMessages":2},"order":{"by":"fifo"}}"#, "policy.batch: is given beside"),
        ] {
            assert!(problems(json).is_err_and(|problem| problem.starts_with(says)), "{json}: {:?}", problems(json));
        }
        assert_eq!(problems(r#"{"batch":{"maxMessages":2},"order":{"by":"key"}}"#), Ok(()));
    }

    #[test]
    fn what_is_left_out_has_defaults_and_is_not_written() {
        let read = policy(r#"{"batch":{"maxMessages":7}}"#).batch.expect("it is there");
        assert_eq!(read, BatchRule { max_messages: 7, max_wait_ms: 1_000, max_bytes: None });
        assert_eq!(serde_json::to_string(&read).expect("JSON"), r#"{"maxMessages":7,"maxWaitMs":1000}"#);
        assert_eq!(serde_json::to_string(&Policy::default()).expect("JSON"), "{}");
    }

    #[test]
    fn where_all_are_in_one_order_one_goes_at_a_time() {
        let rules = |standard: OrderBy, own: &str| {
            let standard = Rules { order: OrderRule { by: standard, ..OrderRule::default() }, ..Rules::default() };
            standard.with(&policy(own)).batch.map(|rule| rule.max_messages)
        };
        assert_eq!(rules(OrderBy::Key, "{}"), None);
        assert_eq!(rules(OrderBy::Key, r#"{"batch":{"maxMessages":7}}"#), Some(7));
        assert_eq!(rules(OrderBy::Fifo, r#"{"batch":{"maxMessages":7}}"#), Some(1));
        assert_eq!(rules(OrderBy::Fifo, r#"{"batch":{"maxMessages":7},"order":{"by":"none"}}"#), Some(7));
    }
}
