//! The open connections: how many there are, and how many there may be to one
//! host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics;
use crate::origin::Origin;

/// Counts and limits the open connections of dispatchers beside each other.
///
/// A host is an origin, as in a pool: whoever waits for a slot can also be served
/// by an idle connection of its pool that holds one.
pub(crate) struct Connections {
    per_host: usize,
    kept: usize,
    open: AtomicUsize,
    hosts: Mutex<Hosts>,
}

#[derive(Default)]
struct Hosts {
    slots: HashMap<Origin, Weak<Semaphore>>,
    /// Entries without a connection are cleared away when there are so many.
    sweep_at: usize,
}

/// The right to one open connection; given back when dropped.
pub(crate) struct Slot {
    connections: Arc<Connections>,
    /// Whether the connection may be kept for further requests.
    pub(crate) keep: bool,
    _host: OwnedSemaphorePermit,
}

impl Connections {
    /// At most `per_host` connections to one host, and at most `kept` in all
    /// that are used more than once.
    pub(crate) fn new(per_host: usize, kept: usize) -> Arc<Self> {
        Arc::new(Self { per_host, kept, open: AtomicUsize::new(0), hosts: Mutex::default() })
    }

    /// Waits for a slot of `host`.
    pub(crate) async fn slot(self: &Arc<Self>, host: &Origin) -> Slot {
        let slots = self.hosts.lock().slots_of(host, self.per_host);
        let permit = slots.acquire_owned().await.expect("the semaphore of a host is never closed");
        let open_before = self.open.fetch_add(1, Ordering::Relaxed);
        metrics::connection_opened();
        Slot { connections: Arc::clone(self), keep: open_before < self.kept, _host: permit }
    }
}

impl Hosts {
    fn slots_of(&mut self, host: &Origin, per_host: usize) -> Arc<Semaphore> {
        if let Some(slots) = self.slots.get(host).and_then(Weak::upgrade) {
            return slots;
        }
        if self.slots.len() >= self.sweep_at {
            self.slots.retain(|_, slots| slots.strong_count() > 0);
            self.sweep_at = (self.slots.len() * 2).max(64);
        }
        let slots = Arc::new(Semaphore::new(per_host));
        self.slots.insert(host.clone(), Arc::downgrade(&slots));
        slots
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        metrics::connection_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn origin(uri: &str) -> Origin {
        Origin::of(&uri.parse().expect("a valid URI")).expect("it has a host")
    }

    fn try_slot(connections: &Arc<Connections>, host: &Origin) -> Option<Slot> {
        match pin!(connections.slot(host)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_full_host_waits_and_does_not_hold_up_another() {
        let connections = Connections::new(1, 10);
        let (a, b) = (origin("http://a/"), origin("https://a/"));
        let held = try_slot(&connections, &a);
        assert!(held.is_some());
        assert!(try_slot(&connections, &a).is_none());
        assert!(try_slot(&connections, &b).is_some());
        drop(held);
        assert!(try_slot(&connections, &a).is_some());
    }

    #[test]
    fn above_the_limit_connections_are_not_kept() {
        let connections = Connections::new(10, 1);
        let host = origin("http://a/");
        let first = try_slot(&connections, &host).expect("there is room");
        let second = try_slot(&connections, &host).expect("there is room");
        assert!(first.keep && !second.keep);
        drop((first, second));
        assert!(try_slot(&connections, &host).expect("there is room").keep);
    }

    #[test]
    fn hosts_without_a_connection_are_forgotten() {
        let connections = Connections::new(1, 10);
        for i in 0..1_000 {
            assert!(try_slot(&connections, &origin(&format!("http://host{i}/"))).is_some());
        }
        assert!(connections.hosts.lock().slots.len() <= 64);
    }
}
