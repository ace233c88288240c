//! What one dispatcher has open to one origin, and who waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::http1::Http1;
use crate::http2::Http2;
use crate::lease::{Lease, Leased};

/// HTTP/2 connections to one origin. One is enough unless the receiver lets
/// little through each.
const MAX_HTTP2: usize = 8;

/// Connections that can be used, and attempts that have none.
#[derive(Default)]
pub(crate) struct Host {
    /// Idle HTTP/1.1 connections, the one that was used last at the end.
    idle: Vec<Idle>,
    http2: Vec<Shared>,
    /// Whether the last connection spoke HTTP/2, so that one is enough for all.
    speaks_http2: bool,
    /// Whether one more HTTP/2 connection is being opened beside busy ones.
    spreading: bool,
    waiting: VecDeque<Waiting>,
    /// How many of those who wait open a connection themselves.
    openers: usize,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

struct Shared {
    connection: Http2,
    used: Instant,
}

struct Waiting {
    served: oneshot::Sender<Lease>,
    opens: bool,
}

/// A place in the queue.
pub(crate) struct Place {
    /// Brings a lease; or ends without one, then all is to be looked at anew.
    pub(crate) served: oneshot::Receiver<Lease>,
    /// Whether its holder is to open a connection meanwhile.
    pub(crate) opens: bool,
}

impl Host {
    /// An idle connection, if there is one: that which was used last, so that those
    /// that are not needed become old.
    pub(crate) fn take_idle(&mut self) -> Option<Lease> {
        let open = std::iter::from_fn(|| self.idle.pop()).find(|idle| idle.connection.is_ready())?;
        Some(Lease { connection: Leased::Http1(open.connection), reused: true })
    }

    /// A share in the HTTP/2 connection that has the least to do, if there is one.
    pub(crate) fn take_share(&mut self, now: Instant) -> Option<Lease> {
        self.http2.retain(|shared| shared.connection.is_open());
        let shared = self.http2.iter_mut().min_by_key(|shared| shared.connection.requests())?;
        shared.used = now;
        Some(Lease { connection: Leased::Http2(shared.connection.lease()), reused: true })
    }

    /// Whether one more HTTP/2 connection is to be opened, because all are busy.
    /// Once it says so, [`Host::spread`] must be called when that has ended.
    pub(crate) fn wants_another(&mut self) -> bool {
        let busy = !self.http2.is_empty() && self.http2.iter().all(|shared| shared.connection.is_busy());
        let wanted = busy && !self.spreading && self.http2.len() < MAX_HTTP2;
        self.spreading |= wanted;
        wanted
    }

    /// The opening of one more HTTP/2 connection has ended.
    pub(crate) const fn spread(&mut self) {
        self.spreading = false;
    }

    /// Takes a place in the queue for the next connection. While somebody opens
    /// one that all can use, nobody else does.
    pub(crate) fn wait(&mut self) -> Place {
        let (sender, served) = oneshot::channel();
        let opens = !self.speaks_http2 || self.openers == 0;
        self.openers += usize::from(opens);
        self.waiting.push_back(Waiting { served: sender, opens });
        Place { served, opens }
    }

    /// A place was left, with a connection or without; `served` if it is out of the queue
    /// by that. If nobody opens one any more, the others look anew.
    pub(crate) fn leave(&mut self, opened: bool, served: bool) {
        self.openers -= usize::from(opened);
        let abandoned = self.openers == 0;
        if abandoned || !served {
            self.waiting.retain(|waiting| !waiting.served.is_closed() && (waiting.opens || !abandoned));
        }
    }

    /// A connection is free: for whoever has waited longest, else for later, but
    /// not more than `at_most`.
    pub(crate) fn keep(&mut self, connection: Http1, now: Instant, at_most: usize) {
        self.speaks_http2 = false;
        let mut lease = Lease { connection: Leased::Http1(connection), reused: true };
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.served.send(lease) {
                Ok(()) => return,
                Err(not_needed) => lease = not_needed,
            }
        }
        if let Leased::Http1(connection) = lease.connection
            && self.idle.len() < at_most
        {
            self.idle.push(Idle { connection, since: now });
        }
    }

    /// A connection for all was opened: serves whoever opened it and all that wait.
    /// If somebody else was quicker, that one is used instead.
    pub(crate) fn share(&mut self, connection: Http2, now: Instant) -> Lease {
        self.speaks_http2 = true;
        self.http2.retain(|shared| shared.connection.is_open());
        if self.http2.iter().all(|shared| shared.connection.is_busy()) {
            self.http2.push(Shared { connection: connection.clone(), used: now });
        }
        for waiting in std::mem::take(&mut self.waiting) {
            let Some(lease) = self.take_share(now) else { break };
            // Whoever does not wait any more needs none.
            let _ = waiting.served.send(lease);
        }
        let mut lease = self.take_share(now).unwrap_or_else(|| {
            // It has closed at once, which the request will notice.
            Lease { connection: Leased::Http2(connection.lease()), reused: false }
        });
        lease.reused = false;
        lease
    }

    /// Closes what was not used for `timeout`. Gives back when the next one is due.
    pub(crate) fn sweep(&mut self, now: Instant, timeout: Duration) -> Option<Instant> {
        self.idle.retain(|idle| idle.connection.is_ready() && idle.since + timeout > now);
        self.http2.retain(|Shared { connection, used }| {
            connection.is_open() && (connection.requests() > 0 || *used + timeout > now)
        });
        let idle = self.idle.iter().map(|idle| idle.since + timeout);
        // One that is in use is looked at again later.
        let http2 = self.http2.iter().map(|shared| (shared.used + timeout).max(now + timeout / 2));
        idle.chain(http2).min()
    }

    /// Whether nothing is lost when it is forgotten.
    pub(crate) fn is_unused(&self) -> bool {
        self.idle.is_empty() && self.http2.is_empty() && self.waiting.is_empty() && self.openers == 0 && !self.spreading
    }
}
