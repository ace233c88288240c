//! Endpoints that are dead, and the events that wait for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::common::Failure;
use crate::common::api::Connection;
use crate::common::event::{Events, TYPE};
use crate::common::server::Server;
use crate::common::signature::SECRET;
use crate::options::Options;

/// The uid of the application that has the dead endpoint.
const APPLICATION: &str = "dead";
/// Lines that are written before their answers are read.
const WINDOW: usize = 1_000;
/// Connections that may wait to be taken.
const QUEUE: u32 = 128;

/// How an endpoint is dead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Refuses connections.
    Refuse,
    /// Accepts them and never answers.
    Hang,
}

impl Manner {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refusing",
            Self::Hang => "hanging",
        }
    }

    /// The key of the case.
    pub(crate) fn case(self) -> &'static str {
        match self {
            Self::Refuse => "backlog-refusing",
            Self::Hang => "backlog-hanging",
        }
    }
}

/// The way to a dead endpoint of one server.
pub(crate) struct Dead {
    ingest_socket: PathBuf,
}

/// Registers one. It stays dead until the runtime ends.
pub(crate) async fn register(server: &Server, manner: Manner) -> Result<Dead, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = socket.local_addr()?;
    match manner {
        // The port is taken, so that nobody else gets it, and nobody listens.
        Manner::Refuse => drop(tokio::spawn(async move {
            let _taken = socket;
            std::future::pending::<()>().await;
        })),
        Manner::Hang => {
            let listener = socket.listen(QUEUE)?;
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(hang(stream));
                }
            });
        }
    }
    let mut api = Connection::open(server.api, &server.token).await?;
    api.create("/api/v1/app", json!({ "name": APPLICATION, "uid": APPLICATION })).await?;
    let endpoint = json!({ "url": format!("http://{address}/hook"), "secret": SECRET });
    api.create(&format!("/api/v1/app/{APPLICATION}/endpoint"), endpoint).await?;
    Ok(Dead { ingest_socket: server.ingest_socket.clone() })
}

impl Dead {
    /// Has these events accepted; gives how long that took.
    pub(crate) async fn send(&self, numbers: Range<usize>, options: &Options) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut stream = BufReader::new(UnixStream::connect(&self.ingest_socket).await?);
        let events = Events::new(options.backlog_body_bytes, 1);
        let head = format!(r#"{{"app":"{APPLICATION}","type":"{TYPE}","payload":"#);
        let (mut lines, mut answer) = (Vec::new(), String::new());
        for first in numbers.clone().step_by(WINDOW) {
            let window = first..(first + WINDOW).min(numbers.end);
            lines.clear();
            for n in window.clone() {
                lines.extend_from_slice(head.as_bytes());
                events.push_body(&mut lines, n);
                lines.extend_from_slice(b"}\n");
            }
            stream.write_all(&lines).await?;
            for _ in window {
                answer.clear();
                stream.read_line(&mut answer).await?;
                if !answer.starts_with("{\"id\":") {
                    return Err(
                        format!("an event for a dead endpoint was answered with `{}`", answer.trim_end()).into()
                    );
                }
            }
        }
        Ok(began.elapsed())
    }
}

/// Reads and never answers, until the other side has gone.
async fn hang(mut stream: TcpStream) {
    let mut request = [0; 4_096];
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
}
