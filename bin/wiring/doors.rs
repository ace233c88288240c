//! The doors: HTTP over TCP and over a Unix socket, the ingest socket, and the
//! metrics.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_api::tls::Tls;
use postrider_api::{Api, Listener, RenderMetrics, Service, TrustedUsers};
use postrider_ingest::socket::{self, BindError, SocketFile};
use postrider_model::id::OrgId;
use postrider_model::ports::{Accept, Health};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::warnings::warnings;
use super::{group, options};
use crate::config::Config;
use crate::exit::{Exit, Failure};

/// Where clients will come in. Bound before the store is opened, so that a taken
/// port or a wrong path is known at once; who connects meanwhile waits. A start that is refused
/// drops them, and no socket's file is left.
pub(super) struct Listeners {
    /// The HTTP API's and the ingest socket's. Before the listeners: as long as these are there nobody
    /// else takes the path.
    files: [SocketFile; 2],
    api: TcpListener,
    api_socket: UnixListener,
    ingest: UnixListener,
    metrics: TcpListener,
}

impl Listeners {
    /// Binds them all.
    pub(super) async fn bind(config: &Config) -> Result<Self, Failure> {
        let [api_group, ingest_group] = groups(config);
        let (api_group, ingest_group) = (api_group?, ingest_group?);
        for warning in warnings(config) {
            tracing::warn!("{warning}");
        }
        let api = bind_tcp("api.listen", config.api.listen).await?;
        let metrics = bind_tcp("metrics.listen", config.metrics.listen).await?;
        let bind = |path: &Path, mode, group| socket::bind(path, mode, group).map_err(unbound);
        let (api_socket, api_file) = bind(&config.api_socket(), config.api.socket_mode.0, api_group)?;
        let (ingest, ingest_file) = bind(&config.ingest_socket(), config.ingest.socket_mode.0, ingest_group)?;
        Ok(Self { files: [api_file, ingest_file], api, api_socket, ingest, metrics })
    }

    /// Says where they are.
    pub(super) fn log(&self) -> std::io::Result<()> {
        let [api_socket, ingest_socket] = self.files.each_ref().map(SocketFile::path);
        tracing::info!(
            api = %self.api.local_addr()?,
            metrics = %self.metrics.local_addr()?,
            api_socket = %api_socket.display(),
            ingest_socket = %ingest_socket.display(),
            "ready"
        );
        Ok(())
    }
}

/// The groups of the HTTP API's and of the ingest socket.
pub(super) fn groups(config: &Config) -> [Result<Option<u32>, Failure>; 2] {
    [("api.socket_group", &config.api.socket_group), ("ingest.socket_group", &config.ingest.socket_group)]
        .map(|(key, group)| group::find(key, group.as_deref()))
}

async fn bind_tcp(key: &str, address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::system(format_args!("failed to listen on {address}"), &error);
        match error.kind() {
            ErrorKind::AddrInUse => {
                failure.hint(format!("another program uses it; `--set {key}=127.0.0.1:0` takes a free port"))
            }
            ErrorKind::AddrNotAvailable => failure.hint(format!("`{key}` must be an address of this machine")),
            ErrorKind::PermissionDenied => {
                failure.hint(format!("ports below 1024 are for root; `{key}` may name another"))
            }
            _ => failure,
        }
    })
}

fn unbound(error: BindError) -> Failure {
    let exit = if error.is_configuration() { Exit::Usage } else { Exit::Failure };
    Failure { exit, ..Failure::from(error) }
}

/// What the doors lead to.
pub(super) struct Rooms {
    pub(super) api: Api,
    pub(super) accept: Arc<dyn Accept>,
    pub(super) health: Arc<dyn Health>,
    pub(super) render_metrics: RenderMetrics,
    pub(super) org: OrgId,
    /// What the HTTP API's door over TCP speaks, if it is TLS.
    pub(super) tls: Option<Tls>,
}

/// The doors, open. The metrics' closes last, so that one can watch the end.
pub(super) struct Doors {
    clients: JoinSet<()>,
    metrics: JoinSet<()>,
    stop_clients: watch::Sender<bool>,
    stop_metrics: watch::Sender<bool>,
    /// `None` once the doors are closed to clients.
    files: Option<[SocketFile; 2]>,
}

impl Doors {
    /// Opens them.
    pub(super) fn open(config: &Config, listeners: Listeners, rooms: Rooms) -> Self {
        let (stop_clients, stopped) = watch::channel(false);
        let (stop_metrics, metrics_stopped) = watch::channel(false);
        let door = options::api_door(config);
        let users =
            TrustedUsers { own_uid: rustix::process::geteuid().as_raw(), allow_uids: config.api.allow_uids.clone() };
        let routes = Arc::new(postrider_api::router(rooms.api));
        let at_tcp = match rooms.tls {
            Some(tls) => Listener::Tls(listeners.api, tls),
            None => Listener::Tcp(listeners.api),
        };
        let over_tcp = Service::new(at_tcp, Arc::clone(&routes), door.clone());
        let over_unix = Service::new(Listener::Unix(listeners.api_socket, users), routes, door.clone());
        let ingest = postrider_ingest::Service::new(options::ingest(config), rooms.accept, rooms.org);
        let metrics = Arc::new(postrider_api::metrics_router(rooms.render_metrics, rooms.health));
        let for_metrics = Service::new(Listener::Tcp(listeners.metrics), metrics, door);

        let mut clients = JoinSet::new();
        clients.spawn(over_tcp.run(stopped.clone()));
        clients.spawn(over_unix.run(stopped.clone()));
        let mut ingest_stopped = stopped;
        clients.spawn(ingest.run(listeners.ingest, async move {
            // If the sender is gone the process ends, too.
            let _ = ingest_stopped.wait_for(|stop| *stop).await;
        }));
        let mut metrics = JoinSet::new();
        metrics.spawn(for_metrics.run(metrics_stopped));
        Self { clients, metrics, stop_clients, stop_metrics, files: Some(listeners.files) }
    }

    /// Waits until a door ends by itself, which it never should.
    pub(super) async fn broken(&mut self) -> Failure {
        tokio::select! {
            Some(_) = self.clients.join_next() => {}
            Some(_) = self.metrics.join_next() => {}
        }
        Failure::runtime("a door has closed by itself").hint("the log above says more")
    }

    /// Takes no client any more and lets those inside finish.
    pub(super) async fn close_to_clients(&mut self) {
        self.stop_clients.send_replace(true);
        while self.clients.join_next().await.is_some() {}
        drop(self.files.take());
    }

    /// Closes the last door.
    pub(super) async fn close(mut self) {
        self.stop_metrics.send_replace(true);
        let closed = async { while self.metrics.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), closed).await;
    }
}
