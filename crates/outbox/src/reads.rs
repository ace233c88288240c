//! Where async code lets the journal and the index be read.

use postrider_model::query::QueryError;

use crate::shared::Shared;

/// Who runs what reads from disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reads {
    /// A thread that may block.
    #[default]
    OnThreads,
    /// Whoever asks, at its next turn.
    #[cfg(feature = "simulation")]
    InTurn,
}

impl Shared {
    /// Runs what reads from disk where it may block.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        match self.reads {
            Reads::OnThreads => {
                tokio::task::spawn_blocking(work).await.map_err(|error| QueryError::Failed(error.to_string()))
            }
            #[cfg(feature = "simulation")]
            Reads::InTurn => {
                tokio::task::yield_now().await;
                Ok(work())
            }
        }
    }
}
