#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const TCP: Client = Client { door: Door::Tcp, over_tls: false };
const REQUEST: &[u8] = b"GET /door HTTP/1.1\r\nhost: x\r\n\r\n";

fn app() -> Router {
    let door = get(async |Extension(door): Extension<Door>| format!("{door:?}"));
    Router::new().route("/door", door).route("/never", post(async || std::future::pending::<()>().await))
}

/// A connection over a pipe in memory, with its server task. The clock is
/// paused: it jumps to the next deadline when nothing else is left to do.
fn connect(router: Router) -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
    let (client, server) = tokio::io::duplex(64 * 1_024);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve_connection(server, TCP, Arc::new(router.into()), Options::default(), stopped));
    (client, task, stop)
}

async fn read_to_end(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_or_little_is_closed() {
    let Options { header_read_timeout, drain_timeout, .. } = Options::default();
    // Nothing, the beginning of an HTTP/2 preface, of a head, of an HTTP/2 frame.
    for start in [&b""[..], b"PRI", b"GET /door HTTP/1.1\r\nho", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"] {
        let begun = tokio::time::Instant::now();
        let (mut client, task, _stop) = connect(app());
        client.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        task.await.unwrap();
        // An HTTP/2 connection is told to end before it is cut.
        let drain = if start.starts_with(b"PRI *") { drain_timeout } else { Duration::ZERO };
        let (held, allowed) = (begun.elapsed(), header_read_timeout + drain + Duration::from_millis(10));
        assert!(held <= allowed, "{held:?} after {:?}", start.escape_ascii().to_string());
    }
}

/// A door over TLS.
async fn serve_tls(options: Options) -> (SocketAddr, watch::Sender<bool>) {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
    let certificate = crate::tls::Certificate::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let listener = Listener::Tls(listener, Tls::new(certificate));
    tokio::spawn(Service::new(listener, Arc::new(app().into()), options).run(stopped));
    (address, stop)
}

/// Nothing, and the beginning of a handshake.
#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_in_the_handshake_is_closed_when_its_time_is_over() {
    let (address, _stop) = serve_tls(Options::default()).await;
    let within = Options::default().handshake_timeout;
    for start in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let begun = tokio::time::Instant::now();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(start).await.unwrap();
        let mut said = Vec::new();
        let closed = tokio::time::timeout(2 * within, client.read_to_end(&mut said)).await;
        assert!(matches!(closed, Ok(Ok(0))), "{closed:?} {said:?}");
        let (held, most) = (begun.elapsed(), within + Duration::from_millis(10));
        assert!(within <= held && held <= most, "{held:?}");
    }
}

/// Those that hang in the handshake, too: the clock stands still.
#[tokio::test(start_paused = true)]
async fn what_an_address_has_above_a_quarter_of_the_places_is_closed_at_once() {
    let (address, _stop) = serve_tls(Options { max_connections: 8, counts_loopback: true, ..Options::default() }).await;
    let begun = tokio::time::Instant::now();
    let _hanging = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_and_closed_when_idle() {
    let (mut client, task, _stop) = connect(app());
    for _ in 0..2 {
        client.write_all(REQUEST).await.unwrap();
        let mut start = [0; 15];
        client.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        let mut rest = vec![0; 4_096];
        let _read = client.read(&mut rest).await.unwrap();
    }
    let idle_since = tokio::time::Instant::now();
    read_to_end(&mut client).await;
    task.await.unwrap();
    assert!(idle_since.elapsed() <= Options::default().header_read_timeout + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_answered_503() {
    let (mut client, _task, _stop) = connect(app());
    client.write_all(b"POST /never HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let text = read_to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(text.contains("retry-after: 1\r\n") && text.contains(r#""code":"timeout""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_may_end_after_the_stop_signal() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let wait = {
        let (entered, go) = (Arc::clone(&entered), Arc::clone(&go));
        get(async move || {
            entered.notify_one();
            go.notified().await;
            "done"
        })
    };
    let (mut client, task, stop) = connect(Router::new().route("/door", wait));
    client.write_all(REQUEST).await.unwrap();
    entered.notified().await;
    stop.send(true).unwrap();
    go.notify_one();
    let text = read_to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("done"), "{text}");
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_cut_after_the_drain() {
    let (mut client, task, stop) = connect(app());
    client.write_all(b"POST /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stop.send(true).unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(read_to_end(&mut client).await, "");
    task.await.unwrap();
    assert!(begun.elapsed() <= Options::default().drain_timeout);
}

#[tokio::test]
async fn a_unix_listener_knows_its_peers_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let (stop, stopped) = watch::channel(false);
    let own_uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(directory.path()).unwrap());
    let users = TrustedUsers { own_uid, allow_uids: vec![] };
    let listener = Listener::Unix(UnixListener::bind(&path).unwrap(), users);
    let service = tokio::spawn(Service::new(listener, Arc::new(app().into()), Options::default()).run(stopped));
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"GET /door HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    let peer = Peer { uid: own_uid, pid: i32::try_from(std::process::id()).ok() };
    assert!(text.ends_with(&format!("{:?}", Door::Unix { trusted: true, peer })), "{text}");
    stop.send(true).unwrap();
    service.await.unwrap();
    assert!(UnixStream::connect(&path).await.is_err());
}

#[tokio::test]
async fn clients_over_the_limit_wait_for_a_slot() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        get(async move || {
            most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
            // Time enough for the others to come in, if they could.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Relaxed);
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let options = Options { max_connections: 2, ..Options::default() };
    let router = Router::new().route("/door", handler);
    tokio::spawn(Service::new(Listener::Tcp(listener), Arc::new(router.into()), options).run(stopped));
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        clients.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /door HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        });
    }
    clients.join_all().await;
    assert_eq!(most.load(Relaxed), 2);
}

#[tokio::test]
async fn http2_without_tls_is_understood() {
    let (client, _task, _stop) = connect(app());
    let io = TokioIo::new(client);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://x/door").body(axum::body::Body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_refused() {
    let (mut client, _task, _stop) = connect(app());
    let head = format!("GET /door HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES as usize));
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    // The server may have closed before all of it was written.
    let (_written, text) = tokio::join!(writer.write_all(head.as_bytes()), async {
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        text
    });
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
}

#[test]
fn root_the_own_user_and_those_allowed_are_trusted() {
    let users = TrustedUsers { own_uid: 1_000, allow_uids: vec![1_005] };
    let trusted: Vec<u32> = [0, 1_000, 1_001, 1_005, u32::MAX].into_iter().filter(|uid| users.trusts(*uid)).collect();
    assert_eq!(trusted, [0, 1_000, 1_005]);
}

/// A client that sends all before it reads must still find the answer.
#[tokio::test]
async fn a_refusal_is_read_by_a_client_that_is_still_sending() {
    let refuse = post(async || StatusCode::PAYLOAD_TOO_LARGE);
    for expect in ["", "expect: 100-continue\r\n"] {
        let (client, server) = UnixStream::pair().unwrap();
        let (_stop, stopped) = watch::channel(false);
        let router = Router::new().route("/door", refuse.clone());
        let task = tokio::spawn(serve_connection(server, TCP, Arc::new(router.into()), Options::default(), stopped));
        let (mut answer, mut request) = client.into_split();
        let body = vec![b' '; if expect.is_empty() { 4 << 20 } else { 0 }];
        let head = format!("POST /door HTTP/1.1\r\nhost: x\r\n{expect}content-length: {}\r\n\r\n", 4 << 20);
        request.write_all(head.as_bytes()).await.unwrap();
        request.write_all(&body).await.unwrap();
        let mut start = [0; 12];
        answer.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 413");
        drop((answer, request));
        task.await.unwrap();
    }
}
