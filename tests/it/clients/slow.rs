//! Clients that take a place and do little or nothing with it, and clients that
//! never come to an end.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::Shop;
use super::wire::exchange;
use crate::support::{Ingest, Setup, in_time, say, until};

/// Clients at one door.
const CLIENTS: usize = 5_000;
/// Places at each door, unless configured.
const PLACES: usize = 1_024;
/// A full backlog of TCP lets a client wait; the system asks again after one second and after three.
const FULL: Duration = Duration::from_secs(5);
/// What the server may take of memory, whatever they do.
const MAX_RESIDENT_KIB: u64 = 300 << 10;

/// Lets this process have a connection for each client, as far as the system allows.
fn many_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.unwrap_or(u64::MAX).min(20_000);
    let raised = Rlimit { current: Some(current), ..limit };
    setrlimit(Resource::Nofile, raised).expect("a process may have what it is allowed");
    CLIENTS.min(usize::try_from(current / 2).unwrap_or(CLIENTS))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[derive(Clone, Copy, Debug)]
enum Door {
    Tcp,
    Api,
    Ingest,
}

/// Where clients come to.
#[derive(Clone)]
enum Place {
    Tcp(String),
    Socket(PathBuf),
}

impl Place {
    /// A connection; `None` if the system lets nobody wait there any more.
    async fn connect(self) -> Option<Box<dyn Stream>> {
        match self {
            Self::Tcp(address) => {
                let connected = tokio::time::timeout(FULL, TcpStream::connect(address)).await.ok()?;
                connected.ok().map(|stream| Box::new(stream) as _)
            }
            Self::Socket(path) => UnixStream::connect(path).await.ok().map(|stream| Box::new(stream) as _),
        }
    }
}

impl Shop {
    fn place(&self, door: Door) -> Place {
        let socket = |name: &str| Place::Socket(self.server.setup.data_dir().join(name));
        match door {
            Door::Tcp => Place::Tcp(self.server.url().trim_start_matches("http://").to_owned()),
            Door::Api => socket("api.sock"),
            Door::Ingest => socket("ingest.sock"),
        }
    }

    /// So many clients come, and those who get in begin something and go no further.
    async fn crowd(&self, door: Door, clients: usize) -> Vec<Box<dyn Stream>> {
        let mut coming = JoinSet::new();
        for _ in 0..clients {
            coming.spawn(self.place(door).connect());
        }
        let begun = if matches!(door, Door::Ingest) { "{\"app\":" } else { "GET /api/v1/app HTTP/1.1\r\nhost:" };
        let mut crowd = Vec::new();
        while let Some(came) = coming.join_next().await {
            let Some(mut stream) = came.expect("a client does not fail") else { continue };
            // One that was refused is closed.
            let _ = stream.write_all(begun.as_bytes()).await;
            crowd.push(stream);
        }
        say(format_args!("{door:?}: {clients} clients came, {} got in or wait", crowd.len()));
        crowd
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_idle_clients_take_the_places_of_one_door_and_nothing_else() {
    let clients = many_files();
    let shop = Shop::open(Setup::new()).await;
    for door in [Door::Ingest, Door::Api, Door::Tcp] {
        let crowd = shop.crowd(door, clients).await;
        // Beyond the places and the listener's backlog the system lets nobody wait.
        assert!(crowd.len() > PLACES.min(clients - 1), "{door:?}: only {} clients came in", crowd.len());
        let resident = shop.server.resident_kib();
        assert!(resident < MAX_RESIDENT_KIB, "{door:?}: {resident} KiB");
        // Those at the other doors are served as ever.
        if !matches!(door, Door::Tcp) {
            shop.server.api_over_tcp(Some(&shop.token)).get("/app/shop").await;
        }
        if !matches!(door, Door::Api) {
            shop.api.get("/app/shop").await;
        }
        match door {
            Door::Ingest => {
                // The system's queue may be full for as long as the server has not taken in those who wait in it.
                let socket = shop.server.setup.data_dir().join("ingest.sock");
                let mut late = until("room in the listener's queue", async || Ingest::try_connect(&socket).await).await;
                let answer = late.answer().await.expect("who is refused hears it");
                assert_eq!(answer["error"]["code"], "too_many_connections");
                assert!(answer["error"]["retry_after_ms"].is_u64(), "{answer}");
                assert_eq!(late.answer().await, None);
            }
            Door::Api | Door::Tcp => {
                let event = json!({ "app": "shop", "type": "order.paid", "payload": {}, "key": format!("{door:?}") });
                shop.server.ingest().await.accepted(event).await;
            }
        }
        drop(crowd);
        until("places at the ingest socket", async || taken_in(&shop).await).await;
    }
    shop.receiver.expect(2).await;
    shop.unharmed().await;
}

/// Whether the ingest socket has a place.
async fn taken_in(shop: &Shop) -> Option<()> {
    let mut ingest = Ingest::try_connect(&shop.server.setup.data_dir().join("ingest.sock")).await?;
    ingest.try_write(b"{}\n").await;
    let answer = ingest.try_answer().await?;
    (answer["error"]["code"] == "missing_field").then_some(())
}

/// A byte now and then, until the server has had enough; gives what it said.
async fn dribble(mut stream: Box<dyn Stream>, begin: &str, byte: u8) -> String {
    stream.write_all(begin.as_bytes()).await.expect("the server reads");
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut said = Vec::new();
    let mut buffer = [0; 4_096];
    let listened = async {
        loop {
            tokio::select! {
                // What was said is heard before more is written.
                biased;
                read = stream.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => said.extend_from_slice(&buffer[..bytes]),
                },
                _ = ticks.tick() => if stream.write_all(&[byte]).await.is_err() {
                    break;
                },
            }
        }
    };
    in_time("the server to end a slow client's connection", listened).await;
    String::from_utf8(said).expect("answers are text")
}

#[tokio::test]
async fn a_byte_now_and_then_holds_a_place_for_a_known_time_only() {
    const FEW: usize = 8;
    let shop = Shop::open(Setup::new().set("limits.client_connections", &FEW.to_string())).await;
    let auth = format!("host: x\r\nauthorization: Bearer {}\r\n", shop.token);
    let head = "GET /api/v1/app HTTP/1.1\r\nhost: x\r\nx-a: ".to_owned();
    let body = |framing: &str| format!("POST /api/v1/app/shop/msg HTTP/1.1\r\n{auth}{framing}\r\n\r\n");
    let (length, chunked) = (body("content-length: 900"), body("transfer-encoding: chunked") + "384\r\n");
    let slow = [(&head, b'x', ""), (&length, b' ', "http/1.1 408 "), (&chunked, b' ', "http/1.1 408 ")];
    let mut clients = JoinSet::new();
    for place in 0..2 * FEW {
        let (begin, byte, expected) = slow[place % slow.len()];
        let door = if place < FEW { Door::Tcp } else { Door::Api };
        let stream = shop.place(door).connect().await.expect("there is a place");
        let begin = begin.clone();
        clients.spawn(async move { (dribble(stream, &begin, byte).await, expected) });
    }
    // They came later, and wait until one of the slow ones has to go.
    let tcp = shop.server.api_over_tcp(Some(&shop.token));
    tokio::join!(tcp.get("/app/shop"), shop.api.get("/app/shop"));
    assert!(!clients.is_empty());
    let mut told = 0;
    while let Some(ended) = clients.join_next().await {
        let (said, expected) = ended.expect("a client does not fail");
        let said = said.to_ascii_lowercase();
        // Who writes once more just when the server closes may lose the answer with the connection.
        assert!(said.is_empty() || said.starts_with(expected), "{expected}: {said}");
        told += usize::from(said.starts_with("http/1.1 408 "));
    }
    assert!(told > 0, "those whose bodies are slow hear why");
    shop.unharmed().await;
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_off() {
    let shop = Shop::open(Setup::new()).await;
    let auth = format!("host: x\r\nauthorization: Bearer {}\r\n", shop.token);
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for (framing, piece) in [
        ("content-length: 1000000000000000", " ".repeat(1 << 20)),
        ("content-length: 9223372036854775807", " ".repeat(1 << 20)),
        ("transfer-encoding: chunked", chunk),
        ("transfer-encoding: chunked", "1\r\n \r\n".repeat(100_000)),
    ] {
        let head = format!("POST /api/v1/app/shop/msg HTTP/1.1\r\n{auth}{framing}\r\n\r\n");
        let mut stream = TcpStream::connect(shop.server.url().trim_start_matches("http://")).await.expect("it listens");
        let (mut from, mut to) = stream.split();
        let mut said = Vec::new();
        let endless = async {
            let mut going = to.write_all(head.as_bytes()).await.is_ok();
            while going {
                going = to.write_all(piece.as_bytes()).await.is_ok();
            }
        };
        let both = async { tokio::join!(endless, from.read_to_end(&mut said)) };
        let _ = in_time(format!("the end of an endless body, {framing}"), both).await;
        // Who goes on after the answer may lose it with the connection.
        let said = String::from_utf8(said).expect("answers are text").to_ascii_lowercase();
        assert!(said.is_empty() || said.starts_with("http/1.1 413 "), "{framing}: {said}");
        let resident = shop.server.resident_kib();
        assert!(resident < MAX_RESIDENT_KIB, "{framing}: {resident} KiB");
    }
    let claimed = format!("POST /api/v1/app/shop/msg HTTP/1.1\r\n{auth}content-length: 1000000000000000\r\n\r\n{{");
    assert_eq!(
        exchange(&shop.server.url(), claimed).await.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [413]
    );
    shop.unharmed().await;
}
