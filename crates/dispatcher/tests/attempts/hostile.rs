//! Receivers that are slow, broken or want to do harm.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use postrider_dispatcher::Options;
use postrider_model::job::{FailureKind, Job};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

/// Reads what fits; the requests of these tests fit.
pub(crate) async fn read_request(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.read(&mut [0; 4 * 1_024]).await.map(|_| ())
}

/// Sends `text` byte by byte and then its last byte for ever.
async fn drip(tcp: &mut TcpStream, text: &[u8]) -> io::Result<()> {
    let last = text.last().copied().unwrap_or(b'x');
    for byte in text.iter().copied().chain(std::iter::repeat(last)) {
        tcp.write_all(&[byte]).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn hang(tcp: TcpStream) -> io::Result<()> {
    std::future::pending::<()>().await;
    drop(tcp);
    Ok(())
}

#[tokio::test]
async fn a_huge_body_is_cut_and_the_attempt_ends() {
    let receiver = Receiver::start(|| http::Response::new(Bytes::from(vec![b'x'; 10 << 20]))).await;
    let dispatcher = loopback();
    for _ in 0..2 {
        let outcome = dispatcher.attempt(job(target(&receiver.url()))).await;
        assert_eq!(answer(&outcome).status, 200);
        assert_eq!(answer(&outcome).body.len(), 64 * 1_024);
    }
    assert_eq!(receiver.connections(), 2, "the rest of a body is not read, so its connection is dropped");
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_whole() {
    let receiver = Receiver::start(|| http::Response::new(Bytes::from_static(b"12345678"))).await;
    for (limit, expected) in [(7, "1234567"), (8, "12345678"), (9, "12345678"), (0, "")] {
        let options = Options { response_read_bytes: limit, ..allowing(&["127.0.0.0/8"]) };
        let outcome = dispatcher(options).attempt(job(target(&receiver.url()))).await;
        assert_eq!(answer(&outcome).body, expected);
    }
}

#[tokio::test]
async fn an_endless_chunked_body_is_cut() {
    let address = raw(|mut tcp| async move {
        read_request(&mut tcp).await?;
        tcp.write_all(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            tcp.write_all(b"4\r\nmore\r\n").await?;
        }
    })
    .await;
    let outcome = loopback().attempt(job(target(&format!("http://{address}/")))).await;
    assert_eq!(answer(&outcome).status, 202);
    assert_eq!(answer(&outcome).body.len(), 64 * 1_024);
}

#[tokio::test]
async fn dripping_headers_end_by_the_deadline() {
    let address = raw(|mut tcp| async move {
        read_request(&mut tcp).await?;
        drip(&mut tcp, b"HTTP/1.1 200 OK\r\nx-slow: a").await
    })
    .await;
    let outcome = loopback().attempt(short_job(&format!("http://{address}/"))).await;
    assert_eq!(failure(&outcome), FailureKind::Timeout);
}

#[tokio::test]
async fn a_dripping_body_ends_by_the_deadline() {
    let address = raw(|mut tcp| async move {
        read_request(&mut tcp).await?;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n").await?;
        drip(&mut tcp, b"x").await
    })
    .await;
    let outcome = loopback().attempt(short_job(&format!("http://{address}/"))).await;
    assert_eq!(failure(&outcome), FailureKind::Timeout);
}

#[tokio::test]
async fn endless_interim_answers_break_the_protocol() {
    let address = raw(|mut tcp| async move {
        read_request(&mut tcp).await?;
        loop {
            tcp.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await?;
        }
    })
    .await;
    let outcome = loopback().attempt(job(target(&format!("http://{address}/")))).await;
    assert_eq!(failure(&outcome), FailureKind::Protocol);
}

#[tokio::test]
async fn a_receiver_that_hangs_ends_by_the_deadline() {
    let address = raw(hang).await;
    let (_, extra_roots) = crate::tls::authority();
    let dispatcher = dispatcher(Options { extra_roots, ..allowing(&["127.0.0.0/8"]) });
    for scheme in ["http", "https"] {
        let outcome = dispatcher.attempt(short_job(&format!("{scheme}://{address}/"))).await;
        assert_eq!(failure(&outcome), FailureKind::Timeout, "{scheme}");
    }
}

#[tokio::test]
async fn the_connect_timeout_is_a_timeout_within_the_deadline() {
    let address = raw(hang).await;
    let (_, extra_roots) = crate::tls::authority();
    let options = Options { connect_timeout: SHORT, extra_roots, ..allowing(&["127.0.0.0/8"]) };
    let outcome = dispatcher(options).attempt(job(target(&format!("https://{address}/")))).await;
    assert_eq!(failure(&outcome), FailureKind::Timeout);
}

#[tokio::test]
async fn a_hung_attempt_gives_its_place_back() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = raw(move |mut tcp| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                return hang(tcp).await;
            }
            read_request(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
        }
    })
    .await;
    let dispatcher = dispatcher(Options { pool_max_connections_per_host: 1, ..allowing(&["127.0.0.0/8"]) });
    let url = format!("http://{address}/");
    assert_eq!(failure(&dispatcher.attempt(short_job(&url)).await), FailureKind::Timeout);
    assert_eq!(answer(&dispatcher.attempt(job(target(&url))).await).status, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_body_that_is_never_read_ends_by_the_deadline() {
    let address = raw(hang).await;
    let job = Job { body: vec![b'x'; 20 << 20].into(), ..short_job(&format!("http://{address}/")) };
    assert_eq!(failure(&loopback().attempt(job).await), FailureKind::Timeout);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_counts() {
    let address = raw(|mut tcp| async move {
        read_request(&mut tcp).await?;
        tcp.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await?;
        hang(tcp).await
    })
    .await;
    let job = Job { body: vec![b'x'; 20 << 20].into(), ..job(target(&format!("http://{address}/"))) };
    assert_eq!(answer(&loopback().attempt(job).await).status, 413);
}

#[tokio::test]
async fn the_limit_of_headers_is_in_bytes() {
    let receiver = Receiver::start(|| {
        let long = "x".repeat(20 * 1_024);
        http::Response::builder().header("x-long", long).body(Bytes::new()).expect("a valid response")
    })
    .await;
    let limited = |bytes| dispatcher(Options { response_header_bytes: bytes, ..allowing(&["127.0.0.0/8"]) });
    let job = job(target(&receiver.url()));
    assert_eq!(failure(&limited(8 * 1_024).attempt(job.clone()).await), FailureKind::Protocol);
    assert_eq!(answer(&limited(32 * 1_024).attempt(job).await).status, 200);
}

#[tokio::test]
async fn endless_headers_break_the_protocol() {
    let address = raw(|mut tcp| async move {
        read_request(&mut tcp).await?;
        tcp.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            tcp.write_all(b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await?;
        }
    })
    .await;
    let outcome = loopback().attempt(job(target(&format!("http://{address}/")))).await;
    assert_eq!(failure(&outcome), FailureKind::Protocol);
}

#[tokio::test]
async fn what_is_no_head_of_an_http_answer_breaks_the_protocol() {
    let answers: [&[u8]; 4] = [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\nbad header\0: x\r\n\r\n",
    ];
    for bytes in answers {
        let address = raw(move |mut tcp| async move {
            read_request(&mut tcp).await?;
            tcp.write_all(bytes).await
        })
        .await;
        let outcome = loopback().attempt(job(target(&format!("http://{address}/")))).await;
        assert_eq!(failure(&outcome), FailureKind::Protocol, "{}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_status_and_what_was_read() {
    let answers: [(&[u8], u16, &str); 4] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", 200, "half"),
        (b"HTTP/1.1 503 Unavailable\r\ncontent-length: 10\r\nretry-after: 7\r\n\r\nhalf", 503, "half"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", 200, "half"),
        (b"HTTP/1.1 204 No Content\r\n\r\nmore than nothing", 204, ""),
    ];
    for (bytes, status, body) in answers {
        let address = raw(move |mut tcp| async move {
            read_request(&mut tcp).await?;
            tcp.write_all(bytes).await
        })
        .await;
        let outcome = loopback().attempt(job(target(&format!("http://{address}/")))).await;
        let text = String::from_utf8_lossy(bytes);
        assert_eq!((answer(&outcome).status, &*answer(&outcome).body), (status, body.as_bytes()), "{text}");
        assert_eq!(answer(&outcome).retry_after.as_deref(), (status == 503).then_some("7"));
    }
}

#[tokio::test]
async fn nobody_listening_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let outcome = loopback().attempt(job(target(&format!("http://{address}/")))).await;
    assert_eq!(failure(&outcome), FailureKind::Connect);
}

#[tokio::test]
async fn a_hostile_retry_after_is_not_passed_on() {
    for (value, expected) in [("9".repeat(1_000), None), ("-1".to_owned(), Some("-1")), ("é".to_owned(), None)] {
        let receiver = Receiver::start(move || {
            let mut response = status(503);
            let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            response.headers_mut().insert("retry-after", value);
            response
        })
        .await;
        let outcome = loopback().attempt(job(target(&receiver.url()))).await;
        assert_eq!(answer(&outcome).retry_after.as_deref(), expected);
    }
}
