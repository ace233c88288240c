//! The way back of an outcome.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::check_invariant;
use postrider_model::delivery::DeliveryKey;
use postrider_model::job::{Assignment, AttemptResult, FailureKind, Job, Outcome};
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};
use tokio::sync::mpsc::OwnedPermit;

use crate::moment::Moment;

/// Holds the slot of an outcome. Answers by itself when it is dropped unused:
/// the task that had it has panicked or was cancelled.
struct Reply {
    permit: Option<OwnedPermit<Outcome>>,
    key: DeliveryKey,
    attempt: u16,
    target: Arc<Target>,
    clock: Arc<dyn Clock>,
    started: UnixMs,
    started_monotonic: Duration,
}

/// Puts a job and its way back together.
pub(crate) fn assign(job: Job, permit: OwnedPermit<Outcome>, clock: Arc<dyn Clock>, at: Moment) -> Assignment {
    let reply = Reply {
        permit: Some(permit),
        key: job.key,
        attempt: job.scheduled.attempt,
        target: Arc::clone(&job.target),
        started: at.now,
        started_monotonic: at.monotonic,
        clock,
    };
    Assignment { job, reply: Box::new(move |outcome| reply.answer(outcome)) }
}

impl Reply {
    fn answer(mut self, mut outcome: Outcome) {
        let same = outcome.key == self.key && outcome.attempt == self.attempt;
        if !check_invariant!("W6", same, "an outcome names another attempt than its assignment") {
            (outcome.key, outcome.attempt) = (self.key, self.attempt);
        }
        if let Some(permit) = self.permit.take() {
            permit.send(outcome);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        permit.send(Outcome {
            key: self.key,
            attempt: self.attempt,
            started: self.started,
            duration: self.clock.monotonic().saturating_sub(self.started_monotonic),
            url: self.target.url.clone(),
            result: AttemptResult::Failed {
                kind: FailureKind::Internal,
                detail: "the attempt was given up before it had an outcome".to_owned(),
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use postrider_model::lane::DeliveryStore as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::testing::world::START;
    use crate::testing::{Outbox, answered, key, outcome};

    struct Still;

    impl Clock for Still {
        fn now(&self) -> UnixMs {
            START
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// W6: the slot is that of one attempt of one delivery. A debug build panics, after
    /// which the attempt counts as lost; a release build takes the answer for its own.
    #[test]
    fn a_slot_takes_the_outcome_of_no_other_delivery_and_no_other_attempt() {
        for (named, attempt) in [(key(1, 4), 1), (key(1, 2), 2)] {
            let outbox = Outbox::default();
            outbox.accept(key(1, 2), 0, START);
            let mut jobs = Vec::new();
            outbox.jobs_at_once(&[key(1, 2)], &mut jobs);
            let job = jobs.pop().flatten().expect("it is in memory").expect("it waits");
            let (sender, mut outcomes) = mpsc::channel(1);
            let slot = sender.try_reserve_owned().expect("there is room");
            let Assignment { reply, .. } = assign(job, slot, Arc::new(Still), Moment::of(&Still));
            let answer = AssertUnwindSafe(|| reply(outcome(named, attempt, START, answered(200))));
            assert_eq!(catch_unwind(answer).is_err(), cfg!(debug_assertions), "{named:?} {attempt}");
            let came = outcomes.try_recv().expect("a slot is always answered");
            assert_eq!((came.key, came.attempt), (key(1, 2), 1));
        }
    }
}
