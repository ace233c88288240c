//! What the outbox is told from outside.

use std::path::PathBuf;
use std::time::Duration;

use postrider_model::event_type::Validation;
use postrider_model::format::{EventSource, Format};
use postrider_model::order::OrderRule;
use postrider_model::secret::SignatureKind;
use postrider_model::signature::Signature;
use postrider_model::verification::VerificationSetting;

use crate::master_key::MasterKey;

/// What is told of the store itself, as messages to an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationalEvents {
    /// The application of the default tenant, by id or uid. While it is not there nothing is told.
    pub application: String,
    /// After so many failed attempts of one delivery that is told.
    pub failing_after: u16,
}

/// The outbox's settings. Every limit names its unit.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// The store's key.
    pub master_key: MasterKey,
    /// The size of a journal segment in bytes.
    pub segment_bytes: u32,
    /// How long a frame that holds only outcomes may stay unsynced.
    pub outcome_sync: Duration,
    /// How long outcomes for which nobody waits are let gather, so that many share a
    /// frame. A message or a request that comes takes along what there is.
    pub outcome_gather: Duration,
    /// The body of a message, in bytes.
    pub body_limit_bytes: usize,
    /// Live deliveries of one lane that are held in memory.
    pub lane_window: usize,
    /// Messages that wait for the committer, in bytes.
    pub waiting_bytes: u32,
    /// How long a message waits for room before it is refused as overload.
    pub overload_wait: Duration,
    /// Bodies of fresh messages kept in memory, in bytes.
    pub fresh_body_bytes: usize,
    /// Endpoints of one application.
    pub endpoints_per_application: usize,
    /// Idempotency keys and event ids of the last 24 hours that are remembered.
    pub idempotency_keys: usize,
    /// Pending deliveries of one application.
    pub pending_per_application: u64,
    /// Attempts that may be in flight or unrecorded at once.
    pub max_in_flight: usize,
    /// The deadline of an attempt whose endpoint sets none.
    pub default_timeout: Duration,
    /// How the requests of an endpoint are signed whose owner gives no secret.
    pub default_signature: SignatureKind,
    /// By which scheme the requests of a new endpoint are signed whose owner names none.
    pub signature: Signature,
    /// What the requests of an endpoint carry whose owner says nothing.
    pub default_format: Format,
    /// Where events come from, for formats that say so.
    pub event_source: EventSource,
    /// What becomes of payloads that differ from the schema of an event type that says nothing of that.
    pub default_validation: Validation,
    /// In which order the messages of an endpoint go whose owner says nothing. It
    /// is the scheduler's, too. It has no pointer: only an endpoint's own is read.
    pub default_order: OrderRule,
    /// How endpoints show that they want what is sent to them.
    pub verification: VerificationSetting,
    /// What is told of the store itself, if anything.
    pub operational_events: Option<OperationalEvents>,
    /// How long what has ended is kept, from acceptance.
    pub retain_history: Duration,
    /// How long a dead letter is kept, from its death.
    pub retain_dead_letters: Duration,
    /// How long an entry of the audit log is kept.
    pub retain_audit: Duration,
    /// Entries of the audit log that tell of changes; of those that tell of refusals a tenth as many.
    /// The oldest go first.
    pub audit_entries: usize,
    /// How long a delivery waits on a disabled or paused endpoint before it is a dead letter.
    pub retain_held: Duration,
    /// Expunged content is taken off the disk this long after that was asked for.
    pub expunge_after: Duration,
    /// Retention and expiry stand still for this long after a start and after a
    /// jump of the clock, so that a wrong clock cannot empty the store.
    pub retention_grace: Duration,
    /// The journal's size in bytes; `None` means 80 % of the file system.
    pub max_bytes: Option<u64>,
}

impl Options {
    /// The documented defaults for a data directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, master_key: MasterKey) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            dir: dir.into(),
            master_key,
            segment_bytes: 64 << 20,
            outcome_sync: Duration::from_millis(50),
            outcome_gather: Duration::from_micros(500),
            body_limit_bytes: 1 << 20,
            lane_window: 10_000,
            waiting_bytes: 32 << 20,
            overload_wait: Duration::from_secs(5),
            fresh_body_bytes: 64 << 20,
            endpoints_per_application: postrider_model::endpoint::DEFAULT_ENDPOINTS_PER_APPLICATION,
            idempotency_keys: 50_000_000,
            pending_per_application: 10_000_000,
            max_in_flight: 4_096,
            default_timeout: Duration::from_secs(15),
            default_signature: SignatureKind::default(),
            signature: Signature::default(),
            default_format: Format::default(),
            event_source: EventSource::default(),
            default_validation: Validation::default(),
            default_order: OrderRule::default(),
            verification: VerificationSetting::default(),
            operational_events: None,
            retain_history: 7 * DAY,
            retain_dead_letters: 30 * DAY,
            retain_audit: 90 * DAY,
            audit_entries: 100_000,
            retain_held: 30 * DAY,
            expunge_after: Duration::from_secs(3_600),
            retention_grace: Duration::from_secs(3_600),
            max_bytes: None,
        }
    }
}
