//! Attempts side by side.
//!
//! ```text
//!   scheduler --Assignment--> Service --spawns--> task: attempt, then reply
//!      ^                                             |
//!      +------------------- Outcome -----------------+   (never waits: the slot is reserved)
//! ```
//!
//! How many run at once is the sender's decision: each assignment carries a
//! reserved slot for its outcome, so there are never more tasks than slots.

use postrider_model::job::Assignment;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::attempt::Dispatcher;

/// Runs the attempts that others decide on.
pub struct Service {
    dispatcher: Dispatcher,
}

impl Service {
    /// A service that makes its attempts with `dispatcher`.
    #[must_use]
    pub const fn new(dispatcher: Dispatcher) -> Self {
        Self { dispatcher }
    }

    /// Works until `assignments` is closed, then waits for the attempts under
    /// way. Each assignment is replied to: if an attempt panics, its reply is
    /// dropped and answers for itself. Dropping the future ends all attempts at
    /// once, with the same answer.
    pub async fn run(self, mut assignments: mpsc::Receiver<Assignment>) {
        let mut attempts = JoinSet::new();
        while let Some(Assignment { job, reply }) = assignments.recv().await {
            let dispatcher = self.dispatcher.clone();
            // Boxed, because a task is moved many times before it runs.
            attempts.spawn(Box::pin(async move { reply(dispatcher.attempt(job).await) }));
            // Those that ended meanwhile are cleared away here, so that their
            // end wakes nobody.
            while let Some(ended) = attempts.try_join_next() {
                report(ended);
            }
        }
        while let Some(ended) = attempts.join_next().await {
            report(ended);
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an attempt ended without an outcome");
    }
}
