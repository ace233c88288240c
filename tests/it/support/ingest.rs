//! A local program on the ingest socket.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::in_time;

/// One connection.
pub(crate) struct Ingest {
    pub(crate) answers: BufReader<OwnedReadHalf>,
    pub(crate) lines: OwnedWriteHalf,
}

impl Ingest {
    /// Connects.
    pub(crate) async fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).await.expect("the server listens")
    }

    /// Connects to a server that may be gone.
    pub(crate) async fn try_connect(socket: &Path) -> Option<Self> {
        let (answers, lines) = UnixStream::connect(socket).await.ok()?.into_split();
        Some(Self { answers: BufReader::new(answers), lines })
    }

    /// Writes a line, without waiting for its answer.
    pub(crate) async fn write(&mut self, line: &[u8]) {
        let written = async {
            self.lines.write_all(line).await?;
            self.lines.write_all(b"\n").await
        };
        in_time("the socket to take a line", written).await.expect("the server reads");
    }

    /// The next answer; `None` at the end.
    pub(crate) async fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = in_time("an answer", self.answers.read_line(&mut line)).await;
        match read.expect("the server answers in UTF-8") {
            0 => None,
            _ => Some(serde_json::from_str(&line).expect("an answer is JSON")),
        }
    }

    /// Writes lines to a server that may be gone; `false` if it is.
    pub(crate) async fn try_write(&mut self, lines: &[u8]) -> bool {
        in_time("the socket to take lines", self.lines.write_all(lines)).await.is_ok()
    }

    /// The next answer of a server that may be gone; `None` if it is.
    pub(crate) async fn try_answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = in_time("an answer", self.answers.read_line(&mut line)).await;
        // Half an answer is none.
        if read.is_err() || !line.ends_with('\n') {
            return None;
        }
        serde_json::from_str(&line).ok()
    }

    /// Writes a line and waits for its answer.
    pub(crate) async fn ask(&mut self, line: &str) -> Value {
        self.write(line.as_bytes()).await;
        self.answer().await.expect("each line gets an answer")
    }

    /// Sends an event that must be accepted; gives its id.
    pub(crate) async fn accepted(&mut self, event: Value) -> String {
        let answer = self.ask(&event.to_string()).await;
        match answer["id"].as_str() {
            Some(id) => id.to_owned(),
            None => panic!("{event} was refused: {answer}"),
        }
    }

    /// Sends a line that must be refused; gives the refusal's code and field.
    pub(crate) async fn refused(&mut self, line: &str) -> (String, String) {
        let answer = self.ask(line).await;
        let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
        assert!(answer["error"].is_object(), "{line} was not refused: {answer}");
        assert!(!text("detail").is_empty(), "a refusal says why: {answer}");
        (text("code"), text("field"))
    }
}
