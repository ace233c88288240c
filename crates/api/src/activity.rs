//! Whether a connection has requests in progress, and since when it has none.
//!
//! Requests only note that they begin and end. Whoever waits for the connection
//! to be idle looks when that may be so at the earliest: a request wakes nobody
//! and sets no clock.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// The requests of one connection; a cheap copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    in_progress: usize,
    /// When the last one ended.
    ended: Option<Instant>,
}

impl Activity {
    /// A request is in progress while the answer to this lives.
    pub(crate) fn begin(&self) -> InProgress {
        self.0.lock().in_progress += 1;
        InProgress(self.clone())
    }

    /// Ends when no request has been in progress for `later`, or for `first`
    /// before there was any: while it is not known which HTTP a client speaks,
    /// nobody else looks at the clock.
    pub(crate) async fn idle_for(&self, first: Duration, later: Duration) {
        let opened = Instant::now();
        loop {
            let State { in_progress, ended } = *self.0.lock();
            let now = Instant::now();
            let idle_at = match ended {
                _ if in_progress > 0 => now + later,
                Some(ended) => ended + later,
                None => opened + first,
            };
            if idle_at <= now {
                return;
            }
            sleep_until(idle_at).await;
        }
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct InProgress(Activity);

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.in_progress = state.in_progress.saturating_sub(1);
        state.ended = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const LATER: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn before_the_first_request_the_shorter_limit_counts() {
        let opened = Instant::now();
        Activity::default().idle_for(FIRST, LATER).await;
        assert_eq!(opened.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_end_of_the_last_request() {
        let activity = Activity::default();
        let requests = async {
            for seconds in [9, 60, 200] {
                let request = activity.begin();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                drop(request);
                tokio::time::sleep(Duration::from_secs(70)).await;
            }
            Instant::now() - Duration::from_secs(70)
        };
        let idle = async {
            activity.idle_for(FIRST, LATER).await;
            Instant::now()
        };
        let (last_ended, closed) = tokio::join!(requests, idle);
        assert_eq!(closed - last_ended, LATER);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_busy_while_one_of_many_requests_goes_on() {
        let activity = Activity::default();
        let (one, other) = (activity.begin(), activity.begin());
        drop(one);
        let waited = tokio::time::timeout(3 * LATER, activity.idle_for(FIRST, LATER));
        assert!(waited.await.is_err(), "the other one goes on");
        drop(other);
    }
}
