//! Clients that speak HTTP/2 and flood: the server ends them or lets them wait, and goes on.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Shop;
use crate::support::{Setup, in_time, say};

/// What the server may take of memory, whatever they do.
const MAX_RESIDENT_KIB: u64 = 300 << 10;
/// Frames of a flood.
const FRAMES: u32 = 200_000;
/// Frames that are written at once.
const AT_ONCE: u32 = 500;
/// A server that reads no more of a client that reads nothing lets it wait for ever.
const STALLED: Duration = Duration::from_secs(2);

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /` by the static table of HPACK.
const REQUEST: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The nth stream of a client.
const fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// A kind of flood: what comes first, its nth piece, and whether the client reads what it is told.
struct Flood {
    name: &'static str,
    first: Vec<u8>,
    piece: fn(u32) -> Vec<u8>,
    reads: bool,
}

fn floods() -> [Flood; 7] {
    let header = [&[0x40, 200][..], &[b'a'; 200], &[127], &[b'b'; 127]].concat();
    let none = Vec::new();
    let flood = |name, first, reads, piece| Flood { name, first, piece, reads };
    [
        flood("requests that are taken back at once", none.clone(), true, |n| {
            let asked = frame(HEADERS, END_STREAM | END_HEADERS, stream(n), &REQUEST);
            [asked, frame(RST_STREAM, 0, stream(n), &8_u32.to_be_bytes())].concat()
        }),
        flood("requests whose answers nobody reads", none.clone(), false, |n| {
            frame(HEADERS, END_STREAM | END_HEADERS, stream(n), &REQUEST)
        }),
        flood("headers without an end", frame(HEADERS, END_STREAM, 1, &REQUEST), true, |_| {
            frame(CONTINUATION, 0, 1, &[&[0x40, 100][..], &[b'a'; 100], &[100], &[b'b'; 100]].concat())
        }),
        flood("empty pieces of headers", frame(HEADERS, END_STREAM, 1, &header), true, |_| {
            frame(CONTINUATION, 0, 1, &[])
        }),
        flood("settings", none.clone(), false, |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        flood("pings", none.clone(), false, |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
        flood("windows", none, true, |n| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, u8::from(n == 0)])),
    ]
}

/// Writes the flood until the server has had enough of it, or it is over.
async fn send(address: &str, flood: &Flood) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let greeting = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&greeting).await.expect("it reads");
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await.expect("it answers");
    assert_eq!(answer[3], SETTINGS, "it speaks HTTP/2");
    let (from, mut to) = stream.split();
    let mut n = 0;
    let writes = async {
        let mut going = to.write_all(&flood.first).await.is_ok();
        while going && n < FRAMES {
            let pieces: Vec<u8> = (n..n + AT_ONCE).flat_map(flood.piece).collect();
            let written = tokio::time::timeout(STALLED, to.write_all(&pieces)).await;
            going = written.is_ok_and(|written| written.is_ok());
            n += AT_ONCE;
        }
    };
    if flood.reads {
        tokio::select! {
            () = writes => {}
            () = read_all(from) => {}
        }
    } else {
        writes.await;
    }
    say(format_args!("{}: {n} frames of {FRAMES} were written", flood.name));
}

/// Ends when the server has closed the connection.
async fn read_all(mut from: impl AsyncRead + Unpin) {
    let mut buffer = [0; 4_096];
    while from.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_over_http_2_cost_memory_for_none_and_the_others_nothing() {
    let shop = Shop::open(Setup::new()).await;
    let address = shop.server.url().trim_start_matches("http://").to_owned();
    for flood in floods() {
        in_time(flood.name, send(&address, &flood)).await;
        let resident = shop.server.resident_kib();
        assert!(resident < MAX_RESIDENT_KIB, "{}: {resident} KiB", flood.name);
        shop.server.api_over_tcp(Some(&shop.token)).get("/app/shop").await;
    }
    shop.unharmed().await;
}
