//! Those that take their time, and those that do not end.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::KEPT_OF_SUCCESS;
use super::cage::{Animal, Shown, drip, endless, gone, request};

const TIMEOUT: Shown = Shown::Failure("timeout");
const PROTOCOL: Shown = Shown::Failure("protocol");

/// All of them.
pub(crate) async fn animals() -> Vec<Animal> {
    let mut animals = dripping().await;
    animals.extend(unending().await);
    animals.push(never_accepting().await);
    animals
}

async fn dripping() -> Vec<Animal> {
    vec![
        Animal::new("accepts and never answers", "http", TIMEOUT, |mut tcp| async move { gone(&mut tcp).await }).await,
        Animal::new("does not read before its deadline", "http", TIMEOUT, |mut tcp| async move {
            // As long as it does not read, it cannot see the end either.
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            for _ in 0..50 {
                ticks.tick().await;
            }
            gone(&mut tcp).await
        })
        .await,
        Animal::new("sends a byte at a time in the head", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            drip(&mut tcp, b"HTTP/1.1 200 OK\r\nx-slow: a").await
        })
        .await,
        Animal::new("sends a byte at a time in the status line", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            drip(&mut tcp, b"HTTP/1.1 200 OK").await
        })
        .await,
        Animal::new("sends a byte at a time in the body", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n").await?;
            drip(&mut tcp, b"x").await
        })
        .await,
        Animal::new("sends a byte at a time in a chunk's length", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            drip(&mut tcp, b"0").await
        })
        .await,
        Animal::new("stops in the head", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-").await?;
            gone(&mut tcp).await
        })
        .await,
        Animal::new("stops in the body", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
            gone(&mut tcp).await
        })
        .await,
        Animal::new("sends a byte at a time in a trailer", "http", TIMEOUT, |mut tcp| async move {
            request(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n").await?;
            drip(&mut tcp, b"x-end: a").await
        })
        .await,
    ]
}

async fn unending() -> Vec<Animal> {
    let kept = |text: &str| Shown::Answer(200, text.repeat(KEPT_OF_SUCCESS / text.len()));
    vec![
        after("never ends the body", "HTTP/1.1 200 OK\r\n\r\n", "xxxx", kept("xxxx")).await,
        after(
            "never ends the chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "8\r\nmoreover\r\n",
            kept("moreover"),
        )
        .await,
        after(
            "never ends a chunk's extension",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;a=",
            "b",
            Shown::Answer(200, String::new()),
        )
        .await,
        after(
            "never ends the trailers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n",
            "x-more: aaaaaaaaaaaaaaaaaaaaaaaa\r\n",
            Shown::Answer(200, "done".to_owned()),
        )
        .await,
        after("never ends the headers", "HTTP/1.1 200 OK\r\n", "x-more: aaaaaaaaaaaaaaaaaaaaaaaa\r\n", PROTOCOL).await,
        after("never ends one header", "HTTP/1.1 200 OK\r\nx-more: ", "a", PROTOCOL).await,
        after("never ends the reason", "HTTP/1.1 200 ", "a", PROTOCOL).await,
        after("never ends with empty lines", "", "\r\n", PROTOCOL).await,
        after("sends 100 for ever", "", "HTTP/1.1 100 Continue\r\n\r\n", PROTOCOL).await,
        after("sends 103 for ever", "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", PROTOCOL).await,
        Animal::new("sends without having been asked", "http", PROTOCOL, |mut tcp| async move {
            endless(&mut tcp, b"x").await
        })
        .await,
    ]
}

/// One that reads the request, and then writes `head`, and `more` for ever.
async fn after(name: &'static str, head: &'static str, more: &'static str, shown: Shown) -> Animal {
    Animal::new(name, "http", shown, move |mut tcp| async move {
        request(&mut tcp).await?;
        tcp.write_all(head.as_bytes()).await?;
        endless(&mut tcp, more.as_bytes()).await
    })
    .await
}

/// A listener whose queue is full, so that nobody comes through.
async fn never_accepting() -> Animal {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("there is a free port");
    let listener = socket.listen(1).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    let mut queue = Vec::new();
    // Those that stand in the queue are connected; the first that is not tells that it is full.
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queue.push(connected.expect("there are sockets"));
    }
    let mut animal = Animal::elsewhere("never accepts", format!("http://{address}/hook"), TIMEOUT);
    animal.keep_for_ever(async move {
        std::future::pending::<()>().await;
        drop((listener, queue));
    });
    animal
}
