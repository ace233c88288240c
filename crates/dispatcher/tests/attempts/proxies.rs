//! Requests through a proxy.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use postrider_dispatcher::{Dispatcher, Options};
use postrider_model::job::{FailureKind, Outcome};
use postrider_model::proxy::Proxy;
use postrider_model::target::Target;
use postrider_model::via::Via;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;
use crate::tls::{BOTH, HOST, authority, params, server};

/// A proxy of the test's own: what it was asked for, one entry a connection.
struct TestProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Speaks {
    Connect,
    /// `CONNECT`, and answers so.
    Refuses(&'static str),
    Socks,
    Nothing,
}

impl TestProxy {
    /// One at `host` that connects whatever it is asked for to `to`.
    async fn start(host: Ipv4Addr, speaks: Speaks, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((host, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, speaks, to, Arc::clone(&seen)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics here").clone()
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }
}

async fn serve(mut client: TcpStream, speaks: Speaks, to: SocketAddr, seen: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let note = |what: String| seen.lock().expect("no test panics here").push(what);
    match speaks {
        Speaks::Connect | Speaks::Refuses(_) => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            note(String::from_utf8_lossy(&head).into_owned());
            if let Speaks::Refuses(answer) = speaks {
                return client.write_all(answer.as_bytes()).await;
            }
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        }
        Speaks::Socks => {
            let user = socks_user(&mut client).await?;
            let [_, _, _, kind] = client.read_u32().await?.to_be_bytes();
            let host = match kind {
                1 => Ipv4Addr::from_bits(client.read_u32().await?).to_string(),
                _ => {
                    let mut name = vec![0; client.read_u8().await?.into()];
                    client.read_exact(&mut name).await?;
                    String::from_utf8_lossy(&name).into_owned()
                }
            };
            note(format!("{user}{host}:{}", client.read_u16().await?));
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        }
        Speaks::Nothing => {
            note(String::new());
            std::future::pending::<()>().await;
        }
    }
    let mut receiver = TcpStream::connect(to).await?;
    copy_bidirectional(&mut client, &mut receiver).await.map(drop)
}

/// Greets; gives `user:password@` if they were asked for and given.
async fn socks_user(client: &mut TcpStream) -> io::Result<String> {
    let [_, count] = client.read_u16().await?.to_be_bytes();
    let mut methods = vec![0; count.into()];
    client.read_exact(&mut methods).await?;
    if !methods.contains(&2) {
        client.write_all(&[5, 0]).await?;
        return Ok(String::new());
    }
    client.write_all(&[5, 2]).await?;
    client.read_u8().await?;
    let mut parts = Vec::new();
    for _ in 0..2 {
        let mut part = vec![0; client.read_u8().await?.into()];
        client.read_exact(&mut part).await?;
        parts.push(String::from_utf8_lossy(&part).into_owned());
    }
    client.write_all(&[1, 0]).await?;
    Ok(format!("{}@", parts.join(":")))
}

fn parsed(text: &str) -> Proxy {
    Proxy::parse(text).expect("a proxy in the test's own table")
}

async fn attempt(dispatcher: &Dispatcher, url: &str, proxy: Option<&str>) -> Outcome {
    let target = Target { via: Via::new(None, proxy.map(parsed)), timeout: SHORT * 10, ..target(url) };
    dispatcher.attempt(job(target)).await
}

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[tokio::test]
async fn a_request_goes_through_the_proxy_to_the_address_that_was_checked() {
    let (issuer, roots) = authority();
    let plain = Receiver::start(ok).await;
    let secure = Receiver::with_tls(Some(server(Some(&issuer), &params(HOST), BOTH, &[b"h2"])), ok).await;
    let dispatcher = dispatcher(Options { extra_roots: roots, ..allowing(&["127.0.0.0/8"]) });
    for (scheme, speaks) in [("http", Speaks::Connect), ("socks5", Speaks::Socks)] {
        for (receiver, of) in [(&plain, "http"), (&secure, "https")] {
            let proxy = TestProxy::start(LOOPBACK, speaks, receiver.address).await;
            let port = receiver.address.port();
            for _ in 0..2 {
                let url = format!("{of}://{HOST}:{port}/hook");
                assert_eq!(answer(&attempt(&dispatcher, &url, Some(&proxy.url(scheme))).await).status, 200);
            }
            let [asked] = &proxy.asked()[..] else { panic!("one connection for both: {:?}", proxy.asked()) };
            assert!(asked.contains(&format!("127.0.0.1:{port}")) && !asked.contains(HOST), "{asked}");
        }
    }
}

#[tokio::test]
async fn socks5h_gives_the_name_and_looks_nothing_up() {
    let receiver = Receiver::start(ok).await;
    let proxy = TestProxy::start(LOOPBACK, Speaks::Socks, receiver.address).await;
    let resolver = Scripted::new([&[]]);
    let dispatcher = dispatcher_with(allowing(&["127.0.0.0/8"]), Arc::clone(&resolver));
    let outcome = attempt(&dispatcher, "http://only.known.there:81/", Some(&proxy.url("socks5h"))).await;
    assert_eq!(answer(&outcome).status, 200);
    assert_eq!(proxy.asked(), ["only.known.there:81"]);
    assert_eq!(resolver.asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn user_and_password_are_the_proxys_alone() {
    let mut receiver = Receiver::start(ok).await;
    let dispatcher = loopback();
    let url = receiver.url();
    let connect = TestProxy::start(LOOPBACK, Speaks::Connect, receiver.address).await;
    attempt(&dispatcher, &url, Some(&format!("http://Aladdin:open%20sesame@{}", connect.address))).await;
    assert!(connect.asked()[0].contains("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    let socks = TestProxy::start(LOOPBACK, Speaks::Socks, receiver.address).await;
    attempt(&dispatcher, &url, Some(&format!("socks5://u:p%40ss@{}", socks.address))).await;
    assert!(socks.asked()[0].starts_with("u:p@ss@127.0.0.1:"), "{:?}", socks.asked());
    for _ in 0..2 {
        assert!(receiver.request().headers().get("proxy-authorization").is_none());
    }
}

#[tokio::test]
async fn the_guard_judges_an_endpoints_proxy_and_what_lies_behind_any() {
    let receiver = Receiver::start(ok).await;
    let inside = Ipv4Addr::new(127, 0, 0, 2);
    let proxy = TestProxy::start(inside, Speaks::Connect, receiver.address).await;
    let socks = TestProxy::start(inside, Speaks::Socks, receiver.address).await;
    let only_receiver = || allowing(&["127.0.0.1/32"]);
    // That of an endpoint is not to be reached there, that of the operator is.
    let refused = attempt(&dispatcher(only_receiver()), &receiver.url(), Some(&proxy.url("http"))).await;
    assert_eq!(failure(&refused), FailureKind::AddressRefused);
    let operators =
        |scheme: &str, at: &TestProxy| dispatcher(Options { proxy: Some(parsed(&at.url(scheme))), ..only_receiver() });
    assert_eq!(answer(&attempt(&operators("http", &proxy), &receiver.url(), None).await).status, 200);
    let count = proxy.asked().len() + socks.asked().len();
    for (scheme, at) in [("http", &proxy), ("socks5", &socks), ("socks5h", &socks)] {
        for url in ["http://10.0.0.1/", "http://127.0.0.3:1/", "http://[::1]:1/", "http://169.254.169.254/"] {
            let outcome = attempt(&operators(scheme, at), url, None).await;
            assert_eq!(failure(&outcome), FailureKind::AddressRefused, "{scheme} {url}");
        }
    }
    let guarded = dispatcher(Options { proxy: Some(parsed(&socks.url("socks5h"))), ..Options::default() });
    for url in ["http://localhost:1/", "http://metadata.google.internal/", "http://printer/"] {
        assert_eq!(failure(&attempt(&guarded, url, None).await), FailureKind::AddressRefused, "{url}");
    }
    assert_eq!(proxy.asked().len() + socks.asked().len(), count, "the proxy heard nothing of it");
}

#[tokio::test]
async fn a_proxy_that_does_not_let_it_through_is_named() {
    let receiver = Receiver::start(ok).await;
    let dispatcher = loopback();
    for answer in [
        "HTTP/1.1 403 Forbidden\r\n\r\n",
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 1\r\n\r\nx",
        "SSH-2.0-x\r\n\r\n",
        "",
    ] {
        let proxy = TestProxy::start(LOOPBACK, Speaks::Refuses(answer), receiver.address).await;
        let outcome = attempt(&dispatcher, &receiver.url(), Some(&proxy.url("http"))).await;
        assert_eq!(failure(&outcome), FailureKind::Proxy, "{answer}");
    }
    // Nobody is there.
    let gone = TcpListener::bind((LOOPBACK, 0)).await.and_then(|listener| listener.local_addr()).expect("a free port");
    for scheme in ["http", "socks5"] {
        let outcome = attempt(&dispatcher, &receiver.url(), Some(&format!("{scheme}://{gone}"))).await;
        assert_eq!(failure(&outcome), FailureKind::Proxy, "{scheme}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_silent_ends_at_the_deadline() {
    let receiver = Receiver::start(ok).await;
    let silent = TestProxy::start(LOOPBACK, Speaks::Nothing, receiver.address).await;
    for scheme in ["http", "socks5"] {
        let via = Via::new(None, Some(parsed(&silent.url(scheme))));
        let target = Target { via, timeout: SHORT, ..target(&receiver.url()) };
        assert_eq!(failure(&loopback().attempt(job(target)).await), FailureKind::Timeout, "{scheme}");
    }
}
