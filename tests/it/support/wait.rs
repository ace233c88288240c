//! How the tests wait: for a signal, within a deadline that only a fault reaches.

use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

/// Far more than anything here takes, on a slow machine with everything else running.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
/// Where nothing signals, one has to look again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The result of something that is sure to come.
#[track_caller]
pub(crate) fn in_time<T>(what: impl Into<String>, coming: impl Future<Output = T>) -> impl Future<Output = T> {
    let (what, caller) = (what.into(), std::panic::Location::caller());
    async move {
        match tokio::time::timeout(DEADLINE, coming).await {
            Ok(come) => come,
            Err(_) => panic!("{caller}: waited in vain for {what}"),
        }
    }
}

/// Looks until there is something to see. For what the server shows and does not signal.
#[track_caller]
pub(crate) fn until<T>(what: impl Into<String>, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let looking = async move {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    };
    in_time(what, looking)
}

/// Says something to the person who runs the tests, also when they pass: the
/// test harness holds back only what the macros print.
pub(crate) fn say(text: impl std::fmt::Display) {
    // If nobody listens there is nothing to be done.
    let _ = writeln!(std::io::stderr(), "{text}");
}
