//! Bytes to the server and what comes back, without a library that would not
//! let us send what is wrong.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::in_time;

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    /// The code of our own errors; null if the server's HTTP itself refused.
    pub(super) fn code(&self) -> Value {
        serde_json::from_str(&self.body).map_or(Value::Null, |body: Value| body["code"].clone())
    }
}

/// Writes all of it on one connection; gives the answers until the server closes.
pub(super) async fn exchange(url: &str, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
    let bytes = bytes.as_ref();
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let mut read = Vec::new();
    let (mut from, mut to) = stream.split();
    let shown = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).into_owned();
    let both = async {
        // It may be closed while we still write: what was answered counts.
        let (_, read) = tokio::join!(to.write_all(bytes), from.read_to_end(&mut read));
        read
    };
    // A server that has not read everything may close with a reset.
    let _ = in_time(format!("the end of the answers to {shown:?}"), both).await;
    answers(&read)
}

fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let (head, rest) = bytes.split_at(head_end + 4);
        let head = std::str::from_utf8(head).expect("our heads are text").to_ascii_lowercase();
        let status = head.strip_prefix("http/1.1 ").and_then(|line| line.get(..3)?.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let (body, rest) = rest.split_at(rest.len().min(length));
        let body = String::from_utf8(body.to_vec()).expect("our answers are text");
        found.push(Answer { status: status.unwrap_or_else(|| panic!("{head}")), body });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(bytes));
    found
}
