//! Which connections are used again, for whom, and for how long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_dispatcher::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

use crate::hostile::read_request;
use crate::support::*;
use crate::tls::{BOTH, HOST, authority, params, server};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

async fn answer_one(tcp: &mut TcpStream) -> io::Result<()> {
    read_request(tcp).await?;
    tcp.write_all(OK).await
}

/// With room for a single connection.
fn single() -> Options {
    Options { pool_max_connections_per_host: 1, ..allowing(&["127.0.0.0/8"]) }
}

#[tokio::test]
async fn an_idle_connection_that_its_server_closes_is_closed_and_not_used() {
    let (closed, mut ends) = mpsc::unbounded_channel();
    let address = raw(move |mut tcp| {
        let closed = closed.clone();
        async move {
            answer_one(&mut tcp).await?;
            tcp.shutdown().await?;
            // The end of the other side, or a further request.
            let read = tcp.read(&mut [0; 1]).await?;
            closed.send(read).map_err(io::Error::other)
        }
    })
    .await;
    let dispatcher = dispatcher(single());
    for _ in 0..3 {
        assert_eq!(answer(&dispatcher.attempt(job(target(&format!("http://{address}/")))).await).status, 200);
        assert_eq!(ends.recv().await, Some(0));
    }
}

/// The connection is closed when the runtime knows of it, but not yet the pool.
#[tokio::test]
async fn a_request_of_which_nothing_was_sent_is_sent_again() {
    let (close, may_close) = std::sync::mpsc::channel();
    let (closed, is_closed) = std::sync::mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = std::thread::spawn(move || -> io::Result<()> {
        for mut tcp in listener.incoming().take(2).flatten() {
            io::Read::read(&mut tcp, &mut [0; 4 * 1_024])?;
            io::Write::write_all(&mut tcp, OK)?;
            // The test has ended if it does not say so.
            let _ = may_close.recv();
            drop(tcp);
            let _ = closed.send(());
        }
        Ok(())
    });
    let dispatcher = loopback();
    let job = job(target(&format!("http://{address}/")));
    assert_eq!(answer(&dispatcher.attempt(job.clone()).await).status, 200);
    close.send(()).expect("the server waits");
    is_closed.recv().expect("the server says so");
    tokio::task::yield_now().await;
    assert_eq!(answer(&dispatcher.attempt(job).await).status, 200);
    drop(close);
    assert!(server.join().expect("no panic").is_ok());
}

#[tokio::test]
async fn who_waits_is_served_by_a_connection_that_becomes_idle() {
    let receiver = Receiver::start(ok).await;
    let dispatcher = dispatcher(single());
    let attempt = || dispatcher.attempt(job(target(&receiver.url())));
    let outcomes = tokio::join!(attempt(), attempt(), attempt(), attempt());
    for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
        assert_eq!(answer(&outcome).status, 200);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_host_has_no_more_connections_than_it_may() {
    let receiver = Receiver::start(ok).await;
    let options = Options { pool_max_connections_per_host: 3, ..allowing(&["127.0.0.0/8"]) };
    let dispatcher = dispatcher(options);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (dispatcher, job) = (dispatcher.clone(), job(target(&receiver.url())));
        attempts.spawn(async move { dispatcher.attempt(job).await });
    }
    for outcome in attempts.join_all().await {
        assert_eq!(answer(&outcome).status, 200);
    }
    assert!((1..=3).contains(&receiver.connections()), "{}", receiver.connections());
}

#[tokio::test]
async fn who_waits_for_a_place_gets_that_of_a_connection_that_cannot_be_kept() {
    let receiver = Receiver::start(ok).await;
    let dispatcher = dispatcher(Options { pool_max_connections: 0, ..single() });
    let attempt = || dispatcher.attempt(job(target(&receiver.url())));
    let (one, other) = tokio::join!(attempt(), attempt());
    assert_eq!((answer(&one).status, answer(&other).status), (200, 200));
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_frees_its_connection() {
    let receiver = Receiver::start(|| http::Response::new(Bytes::from(vec![b'x'; 10 << 20]))).await;
    let dispatcher = dispatcher(single());
    for connections in 1..=3 {
        let outcome = dispatcher.attempt(job(target(&receiver.url()))).await;
        assert_eq!(answer(&outcome).body.len(), 64 * 1_024);
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn what_is_idle_for_too_long_is_closed() {
    let (closed, mut ends) = mpsc::unbounded_channel();
    let address = raw(move |mut tcp| {
        let closed = closed.clone();
        async move {
            answer_one(&mut tcp).await?;
            let read = tcp.read(&mut [0; 1]).await?;
            closed.send(read).map_err(io::Error::other)
        }
    })
    .await;
    let dispatcher = dispatcher(Options { pool_idle_timeout: Duration::from_millis(1), ..single() });
    for _ in 0..3 {
        assert_eq!(answer(&dispatcher.attempt(job(target(&format!("http://{address}/")))).await).status, 200);
        assert_eq!(ends.recv().await, Some(0));
    }
}

/// One attempt after the other waits for the only connection; those that give up do
/// not keep it from the last one.
#[tokio::test]
async fn who_has_given_up_is_passed_over() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let address = raw(move |mut tcp| {
        let gate = Arc::clone(&gate);
        async move {
            loop {
                read_request(&mut tcp).await?;
                gate.acquire().await.map_err(io::Error::other)?.forget();
                tcp.write_all(OK).await?;
            }
        }
    })
    .await;
    let dispatcher = dispatcher(single());
    let url = format!("http://{address}/");
    let spawn = |job| {
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move { dispatcher.attempt(job).await })
    };
    let first = spawn(job(target(&url)));
    let impatient = [spawn(short_job(&url)), spawn(short_job(&url))];
    let last = spawn(job(target(&url)));
    for attempt in impatient {
        failure(&attempt.await.expect("no panic"));
    }
    opened.add_permits(2);
    for attempt in [first, last] {
        assert_eq!(answer(&attempt.await.expect("no panic")).status, 200);
    }
}

/// The second connection is still in its TLS handshake when the first becomes idle.
#[tokio::test]
async fn a_connection_that_was_opened_in_vain_is_kept() {
    let (issuer, roots) = authority();
    let tls = server(Some(&issuer), &params(HOST), BOTH, &[b"http/1.1"]);
    let (handshakes, answers) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0)));
    let (accepted, mut connections) = mpsc::unbounded_channel();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (may_shake, may_answer) = (Arc::clone(&handshakes), Arc::clone(&answers));
    let address = raw(move |tcp| {
        let (tls, accepted, arrived) = (tls.clone(), accepted.clone(), arrived.clone());
        let (may_shake, may_answer) = (Arc::clone(&may_shake), Arc::clone(&may_answer));
        async move {
            accepted.send(()).map_err(io::Error::other)?;
            may_shake.acquire().await.map_err(io::Error::other)?.forget();
            let mut stream = tls.accept(tcp).await?;
            loop {
                let mut request = Vec::new();
                while !request.ends_with(BODY) {
                    if stream.read_buf(&mut request).await? == 0 {
                        return Ok(());
                    }
                }
                arrived.send(()).map_err(io::Error::other)?;
                may_answer.acquire().await.map_err(io::Error::other)?.forget();
                stream.write_all(OK).await?;
                stream.flush().await?;
            }
        }
    })
    .await;
    let options = Options { pool_max_connections_per_host: 2, extra_roots: roots, ..allowing(&["127.0.0.0/8"]) };
    let dispatcher = dispatcher(options);
    let attempt = || {
        let (dispatcher, job) = (dispatcher.clone(), job(target(&format!("https://{HOST}:{}/", address.port()))));
        tokio::spawn(async move { dispatcher.attempt(job).await })
    };

    let first = attempt();
    arrivals.recv().await;
    connections.recv().await;
    let second = attempt();
    connections.recv().await;
    answers.add_permits(2);
    for served_by_the_first_connection in [first, second] {
        assert_eq!(answer(&served_by_the_first_connection.await.expect("no panic")).status, 200);
    }
    arrivals.recv().await;

    handshakes.add_permits(1);
    let both = [attempt(), attempt()];
    for _ in &both {
        arrivals.recv().await;
    }
    answers.add_permits(2);
    for attempt in both {
        assert_eq!(answer(&attempt.await.expect("no panic")).status, 200);
    }
    assert!(connections.try_recv().is_err(), "a third connection was opened");
}
