//! The connections of one dispatcher, by origin.
//!
//! ```text
//!   lease:      idle connection? --yes--> taken
//!                    | no
//!               takes a place, waits for a slot, opens a connection
//!                    |  whichever comes first
//!               served by another attempt that is through with its own
//!               (what was begun to be opened is then kept for later)
//!
//!   give_back:  to whoever has waited longest, else idle
//!   sweep:      closes what was idle for too long
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::Instant;

use crate::connect::Connector;
use crate::connections::Slot;
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::http1::Http1;
use crate::http2::Http2;
use crate::lease::{Lease, Leased};
use crate::options::Options;
use crate::origin::Origin;

/// Idle connections are not looked at more often than this.
const MIN_SWEEP_INTERVAL: Duration = Duration::from_millis(10);

/// Cheap to clone; clones share the connections.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    connector: Connector,
    idle_timeout: Duration,
    idle_per_host: usize,
    head_bytes: usize,
    hosts: Mutex<Hosts>,
}

#[derive(Default)]
struct Hosts {
    by_origin: HashMap<Origin, Host>,
    /// Whether [`sweep`] is running.
    swept: bool,
}

impl Pool {
    pub(crate) fn new(options: &Options, connector: Connector) -> Self {
        Self(Arc::new(Inner {
            connector,
            idle_timeout: options.pool_idle_timeout,
            // Idle connections are of use to their own pool only, so none keeps more than its share.
            idle_per_host: options.pool_max_connections_per_host / options.pools,
            head_bytes: options.response_header_bytes,
            hosts: Mutex::default(),
        }))
    }

    /// A connection to `origin`: an idle one, or whichever is there first, a new
    /// one or one that another attempt is through with.
    pub(crate) async fn lease(&self, origin: &Origin) -> Result<Lease, Failure> {
        loop {
            if let Some(lease) = self.take(origin) {
                return Ok(lease);
            }
            // Rare and large, so it is not part of every attempt.
            if let Some(lease) = Box::pin(self.wait(origin)).await? {
                return Ok(lease);
            }
        }
    }

    /// Takes back what an attempt does not need any more. A connection on which
    /// anything is still under way is closed: the rest of an answer that is not
    /// read, or of a request that was answered early. One of HTTP/2 that is not given
    /// back is used no more, since it may be dead or up to no good.
    pub(crate) fn give_back(&self, origin: &Origin, lease: Lease) {
        let connection = match lease.connection {
            Leased::Http1(connection) => connection,
            Leased::Http2(lease) => return lease.answered(),
        };
        if connection.keep() && connection.is_ready() {
            let mut hosts = self.0.hosts.lock();
            hosts.of(origin).keep(connection, Instant::now(), self.0.idle_per_host);
            self.see_to_sweeping(&mut hosts);
        }
    }

    fn take(&self, origin: &Origin) -> Option<Lease> {
        let mut hosts = self.0.hosts.lock();
        let host = hosts.by_origin.get_mut(origin)?;
        let lease = host.take_idle().or_else(|| host.take_share(Instant::now()))?;
        if host.wants_another() {
            drop(hosts);
            tokio::spawn(self.clone().spread(origin.clone()));
        }
        Some(lease)
    }

    async fn wait(&self, origin: &Origin) -> Result<Option<Lease>, Failure> {
        let place = self.0.hosts.lock().of(origin).wait();
        let mut queued = Queued { pool: self, origin, place, served: false };
        if !queued.place.opens {
            return Ok(queued.served().await.ok());
        }
        let until = self.0.connector.deadline();
        let slot = tokio::select! {
            biased;
            Ok(lease) = queued.served() => return Ok(Some(lease)),
            slot = self.0.connector.slot(origin, until) => slot?,
        };
        let mut opening = Box::pin(self.clone().open(origin.clone(), slot, until));
        tokio::select! {
            biased;
            Ok(lease) = queued.served() => {
                tokio::spawn(self.clone().keep_later(origin.clone(), opening));
                Ok(Some(lease))
            }
            opened = &mut opening => opened.map(Some),
        }
    }

    async fn open(self, origin: Origin, slot: Slot, until: Instant) -> Result<Lease, Failure> {
        let stream = self.0.connector.open(&origin, slot, until).await?;
        if !stream.speaks_http2() {
            let connection = Http1::open(&origin, stream, self.0.head_bytes).await?;
            return Ok(Lease { connection: Leased::Http1(connection), reused: false });
        }
        let connection = Http2::open(stream, self.0.head_bytes).await?;
        let mut hosts = self.0.hosts.lock();
        let lease = hosts.of(&origin).share(connection, Instant::now());
        self.see_to_sweeping(&mut hosts);
        Ok(lease)
    }

    /// Goes on with a connection that its attempt does not need any more, so that
    /// the next one finds it.
    async fn keep_later(self, origin: Origin, opening: impl Future<Output = Result<Lease, Failure>>) {
        match opening.await {
            Ok(lease) => self.give_back(&origin, lease),
            Err(failure) => tracing::debug!(detail = failure.detail, "a connection kept for later failed"),
        }
    }

    /// Opens one more HTTP/2 connection beside those that are busy.
    async fn spread(self, origin: Origin) {
        let until = self.0.connector.deadline();
        let opened = async {
            let slot = self.0.connector.slot(&origin, until).await?;
            self.clone().open(origin.clone(), slot, until).await
        };
        self.clone().keep_later(origin.clone(), opened).await;
        self.0.hosts.lock().of(&origin).spread();
    }

    fn see_to_sweeping(&self, hosts: &mut Hosts) {
        if !std::mem::replace(&mut hosts.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0), self.0.idle_timeout));
        }
    }
}

/// An attempt that waits. Its place is free again when it is dropped.
struct Queued<'a> {
    pool: &'a Pool,
    origin: &'a Origin,
    place: Place,
    /// It was served, so nothing of it is in the queue.
    served: bool,
}

impl Queued<'_> {
    async fn served(&mut self) -> Result<Lease, RecvError> {
        let lease = (&mut self.place.served).await?;
        self.served = true;
        Ok(lease)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.place.served.close();
        let mut hosts = self.pool.0.hosts.lock();
        let host = hosts.of(self.origin);
        host.leave(self.place.opens, self.served);
        if host.is_unused() {
            hosts.by_origin.remove(self.origin);
        }
    }
}

impl Hosts {
    fn of(&mut self, origin: &Origin) -> &mut Host {
        self.by_origin.entry(origin.clone()).or_default()
    }

    fn sweep(&mut self, now: Instant, timeout: Duration) -> Option<Instant> {
        let mut next = None;
        self.by_origin.retain(|_, host| {
            next = [next, host.sweep(now, timeout)].into_iter().flatten().min();
            !host.is_unused()
        });
        self.swept = next.is_some();
        next
    }
}

/// Closes idle connections when their time has come. Ends when there is none.
async fn sweep(pool: Weak<Inner>, timeout: Duration) {
    let mut next = Instant::now() + timeout;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        match pool.hosts.lock().sweep(now, timeout) {
            Some(due) => next = due.max(now + MIN_SWEEP_INTERVAL),
            None => return,
        }
    }
}
