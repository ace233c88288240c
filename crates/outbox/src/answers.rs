//! How the keeper waits for what the committer answers.

#[cfg(feature = "simulation")]
use std::sync::Arc;

use tokio::sync::oneshot;

/// Whose thread the committer works on while the keeper waits.
#[derive(Clone, Default)]
pub(crate) enum Answers {
    /// Its own.
    #[default]
    FromItsThread,
    /// The keeper's: this lets it take a step, and says whether it can take more.
    #[cfg(feature = "simulation")]
    Stepping(Arc<dyn Fn() -> bool + Send + Sync>),
}

impl Answers {
    /// Waits. `None` if the committer has ended or dropped the request.
    pub(crate) fn wait<T>(&self, answer: oneshot::Receiver<T>) -> Option<T> {
        match self {
            Self::FromItsThread => answer.blocking_recv().ok(),
            #[cfg(feature = "simulation")]
            Self::Stepping(step) => {
                let mut answer = answer;
                loop {
                    match answer.try_recv() {
                        Err(oneshot::error::TryRecvError::Empty) if step() => {}
                        done => return done.ok(),
                    }
                }
            }
        }
    }
}
