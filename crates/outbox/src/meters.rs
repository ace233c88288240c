//! What the outbox counts. Labels are few and known beforehand: no ids among them.

use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use postrider_model::delivery::{DeadReason, Next};

use crate::outbox::Stats;
use crate::record::{DeliveryChange, ExpungedContent, Record};

const ACCEPTED: &str = "postrider_messages_accepted_total";
const UNMATCHED: &str = "postrider_messages_unmatched_total";
pub(crate) const FILTERED: &str = "postrider_filtered_total";
pub(crate) const MISMATCHES: &str = "postrider_schema_mismatches_total";
pub(crate) const UNCHECKED: &str = "postrider_messages_unchecked_total";
const DELIVERED: &str = "postrider_deliveries_delivered_total";
const DEAD: &str = "postrider_dead_letters_total";
const CANCELLED: &str = "postrider_deliveries_cancelled_total";
const REPLAYED: &str = "postrider_deliveries_replayed_total";
const PURGED: &str = "postrider_dead_letters_purged_total";
const RESENT: &str = "postrider_deliveries_resent_total";
const STALE: &str = "postrider_attempts_stale_total";
const DELIVERY_SECONDS: &str = "postrider_delivery_seconds";
const FRAMES: &str = "postrider_journal_frames_total";
const COMMIT_RECORDS: &str = "postrider_commit_records";
const COMMIT_BYTES: &str = "postrider_commit_bytes";
const SYNC_SECONDS: &str = "postrider_sync_seconds";
pub(crate) const SEGMENTS_REMOVED: &str = "postrider_retention_segments_removed_total";
pub(crate) const DAMAGE: &str = "postrider_journal_damage_total";
pub(crate) const LOST: &str = "postrider_deliveries_lost_to_damage_total";
pub(crate) const EVENTS_DROPPED: &str = "postrider_operational_events_dropped_total";
const DELIVERIES: &str = "postrider_deliveries";
const BEHIND_WINDOW: &str = "postrider_deliveries_behind_window";
const OLDEST_SECONDS: &str = "postrider_oldest_undelivered_age_seconds";
const EXPUNGED: &str = "postrider_expunged_total";
const EXPUNGING: &str = "postrider_expunged_on_disk";
const JOURNAL_BYTES: &str = "postrider_journal_bytes";
const INDEX_BYTES: &str = "postrider_index_bytes";
const FRESH_BYTES: &str = "postrider_fresh_body_bytes";
const QUEUE_DEPTH: &str = "postrider_queue_depth";
const QUEUE_LIMIT: &str = "postrider_queue_limit";
const FULL: &str = "postrider_journal_full";
const VIOLATIONS: &str = "postrider_invariant_violations_total";

/// Describes the metrics to the recorder that is installed.
pub fn describe_metrics() {
    describe_counter!(ACCEPTED, "Messages accepted and synced to disk.");
    describe_counter!(UNMATCHED, "Messages accepted that no endpoint asked for.");
    describe_counter!(FILTERED, "Times that a message did not go to an endpoint because of its filter.");
    describe_counter!(MISMATCHES, "Messages whose payload differs from the schema of their type, by what followed.");
    describe_counter!(
        UNCHECKED,
        "Messages that filters or a schema let through because it would take too long to look."
    );
    describe_counter!(DELIVERED, "Deliveries that an endpoint confirmed.");
    describe_counter!(DEAD, "Deliveries that became dead letters, by reason.");
    describe_counter!(CANCELLED, "Deliveries that a person cancelled.");
    describe_counter!(REPLAYED, "Deliveries that a person replayed.");
    describe_counter!(PURGED, "Dead letters that a person gave up.");
    describe_counter!(RESENT, "Deliveries that a person resent.");
    describe_counter!(STALE, "Outcomes that came too late to change anything.");
    describe_histogram!(DELIVERY_SECONDS, Unit::Seconds, "From acceptance to the endpoint's confirmation.");
    describe_counter!(FRAMES, "Frames appended to the journal.");
    describe_histogram!(COMMIT_RECORDS, "Records in one frame.");
    describe_histogram!(COMMIT_BYTES, Unit::Bytes, "Bytes of one frame.");
    describe_histogram!(SYNC_SECONDS, Unit::Seconds, "Duration of a sync of the journal.");
    describe_counter!(SEGMENTS_REMOVED, "Journal segments that retention removed.");
    describe_counter!(DAMAGE, "Damaged parts of the journal found by reading sealed segments again.");
    describe_counter!(LOST, "Deliveries whose messages a damaged part of the journal held.");
    describe_counter!(
        EVENTS_DROPPED,
        "Operational events that could not be taken in, by reason, each as often as its count."
    );
    describe_gauge!(DELIVERIES, "Deliveries by state.");
    describe_gauge!(BEHIND_WINDOW, "Deliveries that wait in the journal only, behind their lane's window.");
    describe_gauge!(OLDEST_SECONDS, Unit::Seconds, "Age of the oldest delivery that waits.");
    describe_counter!(EXPUNGED, "Payloads and answers that a person expunged.");
    describe_gauge!(EXPUNGING, "Expunged payloads and answers whose bytes may still be on disk.");
    describe_gauge!(JOURNAL_BYTES, Unit::Bytes, "Size of the journal's files.");
    describe_gauge!(INDEX_BYTES, Unit::Bytes, "Size of the index.");
    describe_gauge!(FRESH_BYTES, Unit::Bytes, "Bodies of fresh messages in memory.");
    describe_gauge!(QUEUE_DEPTH, "What waits in a queue.");
    describe_gauge!(QUEUE_LIMIT, "What a queue holds at most.");
    describe_gauge!(FULL, "1 while messages are refused because the disk is full.");
    describe_counter!(VIOLATIONS, "Invariants seen broken; never other than 0.");
}

/// Counts what the committer does. What is counted for every message has a handle
/// here: to look one up costs more than to count.
pub(crate) struct Meters {
    accepted: Counter,
    delivered: Counter,
    delivery_seconds: Histogram,
    frames: Counter,
    commit_records: Histogram,
    commit_bytes: Histogram,
    sync_seconds: Histogram,
}

impl Meters {
    /// Counts with the recorder that is installed at this moment.
    pub(crate) fn new() -> Self {
        Self {
            accepted: counter!(ACCEPTED),
            delivered: counter!(DELIVERED),
            delivery_seconds: histogram!(DELIVERY_SECONDS),
            frames: counter!(FRAMES),
            commit_records: histogram!(COMMIT_RECORDS),
            commit_bytes: histogram!(COMMIT_BYTES),
            sync_seconds: histogram!(SYNC_SECONDS),
        }
    }

    /// Counts a frame that was appended.
    pub(crate) fn appended(&self, records: usize, bytes: u32) {
        self.frames.increment(1);
        self.commit_records.record(records as f64);
        self.commit_bytes.record(f64::from(bytes));
    }

    /// Counts a sync.
    pub(crate) fn synced(&self, took: Duration) {
        self.sync_seconds.record(took);
    }

    /// Counts what is on record.
    pub(crate) fn count(&self, record: &Record) {
        match record {
            Record::Accepted(accepted, _) => {
                self.accepted.increment(1);
                if accepted.endpoints.is_empty() {
                    counter!(UNMATCHED).increment(1);
                }
            }
            Record::Outcome(outcome, _) if outcome.stale => counter!(STALE).increment(1),
            Record::Outcome(outcome, _) => match outcome.next {
                Next::Delivered => {
                    self.delivered.increment(1);
                    let ended_ms = outcome.started.as_u64() + u64::from(outcome.duration_ms);
                    let took_ms = ended_ms.saturating_sub(outcome.delivery.accepted().as_u64());
                    self.delivery_seconds.record(took_ms as f64 / 1e3);
                }
                Next::Dead { reason } => counter!(DEAD, "reason" => reason.as_str()).increment(1),
                Next::Retry { .. } | Next::AsBefore => {}
            },
            Record::Deliveries(change) => {
                let changed = change.deliveries.len() as u64;
                match change.what {
                    DeliveryChange::Cancelled => counter!(CANCELLED).increment(changed),
                    DeliveryChange::Replayed { .. } => counter!(REPLAYED).increment(changed),
                    DeliveryChange::Expired(reason) => counter!(DEAD, "reason" => reason.as_str()).increment(changed),
                    DeliveryChange::Resent { .. } => counter!(RESENT).increment(changed),
                    DeliveryChange::Purged => counter!(PURGED).increment(changed),
                    DeliveryChange::Forgotten | DeliveryChange::CalledOff => {}
                }
            }
            Record::Expunged(expunged) => {
                let what = match expunged.what {
                    ExpungedContent::Payload { .. } => "payload",
                    ExpungedContent::Response { .. } => "response",
                };
                counter!(EXPUNGED, "what" => what).increment(1);
                if let dead @ 1.. = expunged.waiting.len() as u64 {
                    counter!(DEAD, "reason" => DeadReason::PayloadExpunged.as_str()).increment(dead);
                }
            }
            _ => {}
        }
    }
}

/// Sets the gauges to the figures of this moment.
pub(crate) fn set_gauges(stats: &Stats, limits: &Limits) {
    let states = [
        ("waiting", stats.pending.saturating_sub(stats.in_flight).saturating_sub(stats.held)),
        ("held", stats.held),
        ("in_flight", stats.in_flight),
        ("dead", stats.dead_letters),
    ];
    for (state, deliveries) in states {
        gauge!(DELIVERIES, "state" => state).set(deliveries as f64);
    }
    gauge!(BEHIND_WINDOW).set(stats.behind_window as f64);
    gauge!(OLDEST_SECONDS).set(stats.oldest_pending_ms as f64 / 1e3);
    gauge!(EXPUNGING).set(stats.expunged_on_disk as f64);
    gauge!(JOURNAL_BYTES).set(stats.journal_bytes as f64);
    gauge!(INDEX_BYTES).set(stats.index_bytes as f64);
    gauge!(FRESH_BYTES).set(stats.fresh_body_bytes as f64);
    gauge!(FULL).set(f64::from(u8::from(stats.full)));
    for (queue, depth, limit) in [
        ("messages_to_commit", stats.waiting_messages, limits.waiting_messages),
        ("requests_to_commit", stats.waiting_requests, limits.waiting_requests),
    ] {
        gauge!(QUEUE_DEPTH, "queue" => queue).set(depth as f64);
        gauge!(QUEUE_LIMIT, "queue" => queue).set(limit as f64);
    }
    counter!(VIOLATIONS).absolute(postrider_model::invariant::violations());
}

/// What the queues hold at most.
pub(crate) struct Limits {
    pub(crate) waiting_messages: u64,
    pub(crate) waiting_requests: u64,
}

#[cfg(test)]
mod tests;
