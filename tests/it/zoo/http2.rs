//! Those that speak HTTP/2 to do harm, in frames written by hand (RFC 9113, 4.1).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::KEPT_OF_SUCCESS;
use super::cage::{Animal, Shown, endless, gone};
use super::tls::Authority;

const TIMEOUT: Shown = Shown::Failure("timeout");
const PROTOCOL: Shown = Shown::Failure("protocol");

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
/// `:status` 200 and 100 (RFC 7541, appendix A and 6.2.2).
const STATUS_200: &[u8] = &[0x88];
const STATUS_100: &[u8] = &[0x08, 3, b'1', b'0', b'0'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection over which the server speaks HTTP/2.
struct Connection {
    read: ReadHalf<TlsStream<TcpStream>>,
    write: WriteHalf<TlsStream<TcpStream>>,
}

/// One that speaks after the handshake, and then does as `live` says.
async fn speaking<F>(
    authority: &Authority,
    name: &'static str,
    shown: Shown,
    live: impl Fn(Connection) -> F + Clone + Send + Sync + 'static,
) -> Animal
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let tls = authority.acceptor("h2");
    Animal::new(name, "https", shown, move |tcp| {
        let (tls, live) = (tls.clone(), live.clone());
        async move {
            let (read, write) = tokio::io::split(tls.accept(tcp).await?);
            live(Connection { read, write }).await
        }
    })
    .await
}

impl Connection {
    /// Says `once`, and `more` for ever if there is some; reads all the while.
    async fn flood(mut self, once: &[u8], more: &[u8]) -> io::Result<()> {
        let said = async {
            self.write.write_all(once).await?;
            self.write.flush().await?;
            if more.is_empty() { std::future::pending().await } else { endless(&mut self.write, more).await }
        };
        tokio::select! {
            ended = said => ended,
            ended = gone(&mut self.read) => ended,
        }
    }

    /// Says that it is ready for requests, and waits for one; gives its stream.
    async fn request(&mut self) -> io::Result<u32> {
        self.write.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        self.write.flush().await?;
        self.read.read_exact(&mut [0; 24]).await?;
        next_request(&mut self.read).await
    }
}

/// The stream of the next request.
async fn next_request(read: &mut (impl AsyncRead + Unpin)) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        read.read_exact(&mut head).await?;
        let [a, b, c, kind, _, d, e, f, g] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        read.read_exact(&mut payload).await?;
        if kind == HEADERS {
            return Ok(u32::from_be_bytes([d, e, f, g]));
        }
    }
}

/// All of them.
pub(crate) async fn animals(authority: &Authority) -> Vec<Animal> {
    let mut animals = Vec::new();
    for (name, shown, once, more) in from_the_beginning() {
        let live = move |connection: Connection| {
            let (once, more) = (once.clone(), more.clone());
            async move { connection.flood(&once, &more).await }
        };
        animals.push(speaking(authority, name, shown, live).await);
    }
    for (name, shown, answer) in after_a_request() {
        let live = move |mut connection: Connection| async move {
            let stream = connection.request().await?;
            let (once, more) = answer(stream);
            connection.flood(&once, &more).await
        };
        animals.push(speaking(authority, name, shown, live).await);
    }
    for (name, code) in [("cancels each request", 8), ("refuses each request", 7), ("fails each request", 2)] {
        let live = move |mut connection: Connection| async move {
            let mut stream = connection.request().await?;
            loop {
                connection.write.write_all(&frame(RST_STREAM, 0, stream, &[0, 0, 0, code])).await?;
                connection.write.flush().await?;
                stream = next_request(&mut connection.read).await?;
            }
        };
        animals.push(speaking(authority, name, PROTOCOL, live).await);
    }
    let live = |connection: Connection| async move {
        // The acknowledgements are never read, so they fill all that lies between.
        let Connection { read, mut write } = connection;
        let ended = endless(&mut write, &frame(PING, 0, 0, &[7; 8])).await;
        drop(read);
        ended
    };
    animals.push(speaking(authority, "floods with pings and reads nothing", PROTOCOL, live).await);
    animals
}

type Said = (&'static str, Shown, Vec<u8>, Vec<u8>);

/// What they say before they are asked.
fn from_the_beginning() -> Vec<Said> {
    let ready = frame(SETTINGS, 0, 0, &[]);
    let then = |more: Vec<u8>| [ready.clone(), more].concat();
    vec![
        ("never says its settings", TIMEOUT, vec![], vec![]),
        ("answers in HTTP/1.1 after all", PROTOCOL, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), vec![]),
        ("speaks no frames", PROTOCOL, vec![0xff; 64], vec![]),
        ("leaves at once", PROTOCOL, then(frame(GOAWAY, 0, 0, &[0; 8])), vec![]),
        ("leaves with an error", PROTOCOL, then(frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])), vec![]),
        ("opens no window", TIMEOUT, frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), vec![]),
        ("takes no requests", TIMEOUT, frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]), vec![]),
        ("opens too large a window", PROTOCOL, frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]), vec![]),
        ("floods with settings", PROTOCOL, ready.clone(), ready.clone()),
        ("floods with acknowledgements", PROTOCOL, ready.clone(), frame(SETTINGS, ACK, 0, &[])),
        ("floods with pings", PROTOCOL, ready.clone(), frame(PING, 0, 0, &[7; 8])),
        ("floods with answered pings", PROTOCOL, ready.clone(), frame(PING, ACK, 0, &[7; 8])),
        ("floods with frames of no kind", PROTOCOL, ready.clone(), frame(0x77, 0, 0, &[0; 8])),
        ("floods with windows", PROTOCOL, ready.clone(), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("sends data to no stream", PROTOCOL, then(frame(DATA, 0, 0, b"x")), vec![]),
        ("answers what was not asked", PROTOCOL, then(frame(HEADERS, END_HEADERS, 99, STATUS_200)), vec![]),
        ("sends too long a frame", PROTOCOL, then(frame(DATA, 0, 1, &[0; 20_000])), vec![]),
    ]
}

type Answer = fn(u32) -> (Vec<u8>, Vec<u8>);

/// What they answer: something once, and more for ever.
fn after_a_request() -> Vec<(&'static str, Shown, Answer)> {
    let empty = Shown::Answer(200, String::new());
    vec![
        ("floods with continuations", PROTOCOL, |stream| {
            (frame(HEADERS, 0, stream, STATUS_200), frame(CONTINUATION, 0, stream, &[0x40, 1, b'x', 1, b'y']))
        }),
        ("floods with empty continuations", PROTOCOL, |stream| {
            (frame(HEADERS, 0, stream, STATUS_200), frame(CONTINUATION, 0, stream, &[]))
        }),
        ("floods with interim answers", PROTOCOL, |stream| (vec![], frame(HEADERS, END_HEADERS, stream, STATUS_100))),
        ("floods with empty data", empty, |stream| {
            (frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, 0, stream, &[]))
        }),
        ("floods with data before the head", PROTOCOL, |stream| (vec![], frame(DATA, 0, stream, &[b'x'; 1_000]))),
        ("sends its body a byte a frame", Shown::Answer(200, "x".repeat(KEPT_OF_SUCCESS)), |stream| {
            let body = frame(DATA, 0, stream, b"x").repeat(30_000);
            let leave = frame(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat());
            let end = [frame(DATA, END_STREAM, stream, b""), leave].concat();
            ([frame(HEADERS, END_HEADERS, stream, STATUS_200), body, end].concat(), vec![])
        }),
        ("answers and never ends the body", TIMEOUT, |stream| {
            (frame(HEADERS, END_HEADERS, stream, STATUS_200), vec![])
        }),
        ("promises to push", PROTOCOL, |stream| {
            (frame(PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, 0x82, 0x87, 0x84]), vec![])
        }),
        ("unfolds one header into a thousand", PROTOCOL, |stream| {
            let mut packed = STATUS_200.to_vec();
            packed.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
            packed.extend([b'y'; 4_000]);
            packed.extend([0xbe; 8_000]);
            (frame(HEADERS, END_HEADERS, stream, &packed), vec![])
        }),
        ("sends a header that is none", PROTOCOL, |stream| {
            (frame(HEADERS, END_HEADERS, stream, &[0xff, 0xff, 0xff, 0xff]), vec![])
        }),
        ("answers without a status", PROTOCOL, |stream| {
            (frame(HEADERS, END_HEADERS, stream, &[0x40, 1, b'x', 1, b'y']), vec![])
        }),
    ]
}
