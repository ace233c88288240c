//! Applications with endpoints, and the events that are sent to them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::json;
use tokio::net::TcpSocket;

use crate::common::Failure;
use crate::common::api::Connection;
use crate::common::event::{Events, TYPE, application};
use crate::common::server::Server;
use crate::common::signature::SECRET;

/// Lines that one connection writes before it reads their answers.
const WINDOW: usize = 1_000;
/// Connections that send at the same time.
const SENDERS: usize = 4;
/// Connections that make applications and endpoints at the same time.
const MAKERS: usize = 32;

/// An address that refuses connections as long as this is kept: the port is taken,
/// so that nobody else gets it, and nobody listens.
pub(crate) struct Refusing(TcpSocket);

impl Refusing {
    pub(crate) fn new() -> Result<Self, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self(socket))
    }

    pub(crate) fn url(&self) -> Result<String, Failure> {
        Ok(format!("http://{}/hook", self.0.local_addr()?))
    }
}

/// Makes so many applications, each with so many endpoints at `url`.
pub(crate) async fn register(
    server: &Server,
    applications: Range<usize>,
    endpoints: usize,
    url: &str,
) -> Result<(), Failure> {
    let mut makers = tokio::task::JoinSet::new();
    for maker in 0..MAKERS.min(applications.len() * endpoints) {
        let mut api = Connection::open(server.api, &server.token).await?;
        let mine = applications.clone().skip(maker).step_by(MAKERS);
        let url = url.to_owned();
        makers.spawn(async move {
            for uid in mine.map(application) {
                api.create("/api/v1/app", json!({ "name": uid, "uid": uid })).await?;
                for _ in 0..endpoints {
                    let endpoint = json!({ "url": url, "secret": SECRET });
                    api.create(&format!("/api/v1/app/{uid}/endpoint"), endpoint).await?;
                }
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    Ok(())
}

/// Has the server accept these events, one to each of so many applications in turn.
pub(crate) async fn send(
    server: &Server,
    numbers: Range<usize>,
    applications: usize,
    body_bytes: usize,
) -> Result<(), Failure> {
    let mut senders = tokio::task::JoinSet::new();
    let share = numbers.len().div_ceil(SENDERS).max(1);
    for first in numbers.clone().step_by(share) {
        let (socket, mine) = (server.ingest_socket.clone(), first..(first + share).min(numbers.end));
        senders.spawn_blocking(move || send_lines(&socket, mine, &Events::new(body_bytes, applications)));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(())
}

fn send_lines(socket: &Path, numbers: Range<usize>, events: &Events) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let (mut lines, mut answer) = (Vec::new(), Vec::new());
    for first in numbers.clone().step_by(WINDOW) {
        let window = first..(first + WINDOW).min(numbers.end);
        lines.clear();
        window.clone().for_each(|n| events.push_line(&mut lines, n));
        stream.write_all(&lines)?;
        for _ in window {
            answer.clear();
            answers.read_until(b'\n', &mut answer)?;
            if !answer.starts_with(b"{\"id\":\"") {
                let answer = String::from_utf8_lossy(&answer);
                return Err(format!("an event of type {TYPE} was answered with `{}`", answer.trim_end()).into());
            }
        }
    }
    Ok(())
}
