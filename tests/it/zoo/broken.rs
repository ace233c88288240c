//! Those that break off, and those that speak something that is no HTTP.

use postrider_proof::Dice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::cage::{Animal, Shown, gone, request, reset};

const PROTOCOL: Shown = Shown::Failure("protocol");

/// What they say instead of an answer before they close.
const NO_ANSWERS: &[(&str, &[u8])] = &[
    ("speaks SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("speaks SMTP", b"220 mail.example ESMTP\r\n"),
    ("speaks HTTP/0.9", b"<p>hello</p>\n"),
    ("speaks HTTP/2 without being asked", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"),
    ("names a version that is none", b"HTTP/3.7 200 OK\r\n\r\n"),
    ("names another protocol", b"ICY 200 OK\r\n\r\n"),
    ("gives letters for a status", b"HTTP/1.1 2OO OK\r\n\r\n"),
    ("gives a status of two digits", b"HTTP/1.1 99 Low\r\n\r\n"),
    ("gives a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("gives the status 000", b"HTTP/1.1 000 None\r\n\r\n"),
    ("sends zero bytes", &[0; 512]),
    ("sends a header without a colon", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    ("sends a header with a zero byte", b"HTTP/1.1 200 OK\r\nbad\0: x\r\n\r\n"),
    ("sends a value with a zero byte", b"HTTP/1.1 200 OK\r\nbad: x\0y\r\n\r\n"),
    ("gives a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx"),
    ("gives a length with a sign", b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx"),
    ("gives a length that is no number", b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nx"),
    ("gives a length beyond 64 bits", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nx"),
    ("gives two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy"),
    ("gives two lengths in one header", b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nxy"),
];

/// What they answer before they close, and what counts of it.
const ANSWERS: &[(&str, &[u8], u16, &str)] = &[
    ("speaks HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nold", 200, "old"),
    ("switches protocols", b"HTTP/1.1 101 Yes\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx", 101, ""),
    ("gives a status that nobody knows", b"HTTP/1.1 799 What\r\n\r\nwhat", 799, "what"),
    ("closes in the middle of the body", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", 200, "half"),
    ("closes in the middle of an error", b"HTTP/1.1 500 Oops\r\ncontent-length: 10\r\n\r\nhalf", 500, "half"),
    ("closes in the middle of a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nhalf", 200, "half"),
    ("gives a chunk's length in letters", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 200, ""),
    (
        "gives a chunk's length beyond 64 bits",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\nx",
        200,
        "",
    ),
    ("gives a huge length", b"HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\nshort", 200, "short"),
    ("gives too small a length", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nlong", 200, "lo"),
    ("sends a body with 204", b"HTTP/1.1 204 No Content\r\n\r\nmore than nothing", 204, ""),
    (
        "sends two answers",
        b"HTTP/1.1 500 A\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 B\r\ncontent-length: 1\r\n\r\nb",
        500,
        "a",
    ),
    ("sends bytes that are no text", b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe\0\x1b[31m", 200, "\u{fffd}\u{fffd}\0\u{1b}[31m"),
];

/// All of them.
pub(crate) async fn animals(dice: &mut Dice) -> Vec<Animal> {
    let mut animals = breaking_off().await;
    let nonsense: Vec<u8> = std::iter::repeat_with(|| dice.below(256) as u8).take(400).collect();
    animals.push(saying("speaks nonsense", nonsense, PROTOCOL).await);
    for (name, said) in NO_ANSWERS {
        animals.push(saying(name, *said, PROTOCOL).await);
    }
    for (name, said, status, body) in ANSWERS {
        animals.push(saying(name, *said, Shown::Answer(*status, (*body).to_owned())).await);
    }
    animals
}

/// One that reads the request, says something and closes.
pub(crate) async fn saying(name: &'static str, said: impl Into<Vec<u8>>, shown: Shown) -> Animal {
    let said: Vec<u8> = said.into();
    Animal::new(name, "http", shown, move |mut tcp| {
        let said = said.clone();
        async move {
            request(&mut tcp).await?;
            tcp.write_all(&said).await
        }
    })
    .await
}

async fn breaking_off() -> Vec<Animal> {
    vec![
        Animal::new("resets at once", "http", Shown::Failure("connect or protocol"), |tcp| async move {
            reset(tcp);
            Ok(())
        })
        .await,
        Animal::new("resets after the request", "http", PROTOCOL, |mut tcp| async move {
            request(&mut tcp).await?;
            reset(tcp);
            Ok(())
        })
        .await,
        Animal::new("closes at once", "http", PROTOCOL, |_| async move { Ok(()) }).await,
        Animal::new("closes after the request", "http", PROTOCOL, |mut tcp| async move { request(&mut tcp).await })
            .await,
        Animal::new("answers before it has read", "http", Shown::Answer(413, String::new()), |mut tcp| async move {
            tcp.read_exact(&mut [0; 100]).await?;
            tcp.write_all(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await?;
            gone(&mut tcp).await
        })
        .await,
        refusing().await,
    ]
}

/// Nobody listens.
async fn refusing() -> Animal {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    Animal::elsewhere("does not listen", format!("http://{address}/hook"), Shown::Failure("connect"))
}
