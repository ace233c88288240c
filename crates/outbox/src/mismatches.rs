//! Payloads that differ from the schema of their event type.

use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use postrider_model::event_type::Validation;
use postrider_model::ports::AcceptError;
use postrider_model::schema::Mismatch;

use crate::committer::request::Ingest;
use crate::meters::MISMATCHES;

/// Between two lines of the log: a program that is wrong is so in every event.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Counts them, and says so from time to time.
#[derive(Default)]
pub(crate) struct Mismatches(Mutex<Said>);

#[derive(Default)]
struct Said {
    /// By the monotonic clock.
    last: Option<Duration>,
    /// Those of which nothing was said since.
    untold: u64,
}

impl Mismatches {
    /// What follows for a message. Nothing of its payload is logged, nor where in it something is wrong, since members may
    /// have the names of people: only which rule of the schema.
    ///
    /// # Errors
    /// It is to be refused.
    pub(crate) fn judge(
        &self,
        message: &Ingest,
        (validation, mismatch): (Validation, Mismatch),
        now: Duration,
    ) -> Result<(), AcceptError> {
        counter!(MISMATCHES, "validation" => validation.as_str()).increment(1);
        if validation == Validation::Refuse {
            return Err(AcceptError::Mismatch(mismatch));
        }
        let mut said = self.0.lock();
        if said.last.is_some_and(|last| now < last + LOG_EVERY) {
            said.untold += 1;
            return Ok(());
        }
        let untold = std::mem::take(&mut said.untold);
        said.last = Some(now);
        drop(said);
        tracing::warn!(
            application = %message.meta.app,
            event_type = message.meta.event_type,
            rule = mismatch.rule,
            untold,
            "a payload differs from the schema of its event type"
        );
        Ok(())
    }
}
