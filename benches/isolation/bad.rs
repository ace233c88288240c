//! Endpoints as nobody wants them, and the events for them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::common::Failure;
use crate::common::api::Connection;
use crate::common::event::TYPE;
use crate::common::server::Server;
use crate::common::signature::SECRET;

#[derive(Clone, Copy)]
enum Manner {
    Hang,
    Dribble,
    Reset,
}

/// Registers `each` endpoints of every manner. They behave so until the runtime ends.
pub(crate) async fn register(server: &Server, each: usize) -> Result<(), Failure> {
    let mut api = Connection::open(server.api, &server.token).await?;
    let mut number = 0;
    for manner in [Manner::Hang, Manner::Dribble, Manner::Reset] {
        let address = listen(manner).await?;
        for _ in 0..each {
            let uid = uid(number);
            number += 1;
            api.create("/api/v1/app", json!({ "name": uid, "uid": uid })).await?;
            let endpoint = json!({ "url": format!("http://{address}/hook"), "secret": SECRET });
            api.create(&format!("/api/v1/app/{uid}/endpoint"), endpoint).await?;
        }
    }
    Ok(())
}

/// Sends events to all `count` of them in turn, so many a second in all, for ever.
pub(crate) async fn send(socket: &Path, count: usize, per_second: f64) -> Result<(), Failure> {
    let (reader, mut writer) = UnixStream::connect(socket).await?.into_split();
    let mut answers = BufReader::new(reader).lines();
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second.max(0.1)));
    for n in 0.. {
        tick.tick().await;
        let line = json!({ "app": uid(n % count.max(1)), "type": TYPE, "payload": { "bad": n } });
        writer.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = answers.next_line().await?.unwrap_or_default();
        if !answer.starts_with("{\"id\":") {
            return Err(format!("an event for a bad endpoint was answered with `{answer}`").into());
        }
    }
    Ok(())
}

fn uid(number: usize) -> String {
    format!("bad-{number}")
}

async fn listen(manner: Manner) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(misbehave(stream, manner));
        }
    });
    Ok(address)
}

async fn misbehave(mut stream: TcpStream, manner: Manner) {
    let mut request = [0; 4_096];
    // Whatever goes wrong here is what the server is to bear.
    let _ = stream.read(&mut request).await;
    match manner {
        Manner::Reset => drop(stream.set_zero_linger()),
        Manner::Hang => while stream.read(&mut request).await.is_ok_and(|read| read > 0) {},
        Manner::Dribble => {
            for byte in b"HTTP/1.1 200 OK\r\nx-long: ".iter().chain(std::iter::repeat_n(&b'x', 1_000)) {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
