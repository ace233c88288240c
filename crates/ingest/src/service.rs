//! The door itself: lets clients in, and lets them finish when it closes.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postrider_model::id::OrgId;
use postrider_model::ports::Accept;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::answer::{self, Refusal, code};
use crate::connection;
use crate::options::Options;
use crate::peer::Peers;
use crate::request::Rules;

/// How long the door waits after the system refused it a connection, as it does
/// when the process has no file descriptor left: trying again at once would
/// only heat the processor.
const ACCEPT_FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// What a client is told to wait when too many are connected.
const TOO_MANY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes events from local programs.
pub struct Service {
    door: Arc<Door>,
}

struct Door {
    options: Options,
    peers: Peers,
    accept: Arc<dyn Accept>,
    org: OrgId,
}

impl Service {
    /// A service that hands messages to `accept`, for the tenant `org`.
    #[must_use]
    pub fn new(options: Options, accept: Arc<dyn Accept>, org: OrgId) -> Self {
        let peers = Peers::new(rustix::process::geteuid().as_raw(), &options.allow_uids);
        Self { door: Arc::new(Door { options, peers, accept, org }) }
    }

    /// Serves clients until `shutdown` ends. Then no line is read any more; the
    /// lines that were read are answered, for at most [`Options::stop_wait`].
    pub async fn run(self, listener: UnixListener, shutdown: impl Future<Output = ()>) {
        let Self { door } = self;
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => report(ended),
                incoming = listener.accept() => match incoming {
                    Ok((stream, _)) if connections.len() < door.options.max_connections => {
                        connections.spawn(Arc::clone(&door).serve(stream, stopped.clone()));
                    }
                    Ok((stream, _)) => refuse(&stream, too_many(door.options.max_connections)),
                    Err(error) => {
                        tracing::warn!(%error, "failed to take a connection to the ingest socket");
                        tokio::time::sleep(ACCEPT_FAILURE_PAUSE).await;
                    }
                },
            }
            metrics::gauge!("postrider_ingest_connections").set(connections.len() as f64);
        }
        drop(listener);
        stop.send_replace(true);
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(door.options.stop_wait, all_ended).await.is_err() {
            tracing::warn!(clients = connections.len(), "clients of the ingest socket did not read their answers");
        }
        metrics::gauge!("postrider_ingest_connections").set(0.0);
    }
}

impl Door {
    async fn serve(self: Arc<Self>, stream: UnixStream, stop: watch::Receiver<bool>) {
        let uid = match stream.peer_cred() {
            Ok(credentials) => credentials.uid(),
            Err(error) => {
                tracing::warn!(%error, "failed to learn who connected to the ingest socket");
                return;
            }
        };
        let Some(access) = self.peers.access(uid) else {
            tracing::warn!(uid, "refused a user at the ingest socket");
            refuse(&stream, Refusal::new(code::FORBIDDEN, format!("user {uid} may not use this socket")));
            return;
        };
        let rules = Rules { org: self.org, access, body_limit_bytes: self.options.body_limit_bytes };
        if let Err(error) = connection::serve(stream, rules, &self.options, &*self.accept, stop).await {
            tracing::debug!(uid, %error, "a client of the ingest socket is gone");
        }
    }
}

fn too_many(limit: usize) -> Refusal {
    let detail = format!("{limit} connections are open, more are not allowed");
    Refusal::new(code::TOO_MANY_CONNECTIONS, detail).retry_after(TOO_MANY_RETRY_AFTER)
}

/// Says why on a new connection, and closes it. Nothing was written to it
/// before, so one short line always fits.
fn refuse(stream: &UnixStream, refusal: Refusal) {
    let mut line = BytesMut::new();
    answer::write(&mut line, Err(refusal));
    match stream.try_write(&line) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => tracing::debug!(%error, "failed to say why a client was refused"),
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serving a client of the ingest socket failed");
    }
}

#[cfg(test)]
mod tests;
