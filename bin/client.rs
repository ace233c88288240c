//! The HTTP API as the commands use it: JSON over the server's Unix socket.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use url::Url;

use crate::exit::{DISK_FULL_HINT, Failure};
use crate::loose;

/// The longest wait for an answer. The slowest honest one reads a page of a long list.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer at most: a page of 250 messages with bodies of 1 MiB, or one with the largest there may be.
const ANSWER_LIMIT_BYTES: usize = 256 << 20;

/// A client of the server behind one socket.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    answer_limit_bytes: usize,
}

/// The path and the query of a request, each part encoded.
#[derive(Clone)]
pub(crate) struct Path(Url);

impl Path {
    /// A path below `/api/v1/`.
    ///
    /// # Errors
    /// A segment is `.` or `..` or empty, which no path can carry.
    pub(crate) fn new<'a>(segments: impl IntoIterator<Item = &'a str>) -> Result<Self, Failure> {
        let segments: Vec<&str> = segments.into_iter().collect();
        if let Some(bad) = segments.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(Failure::usage(format!("`{bad}` is no id, uid or name")));
        }
        let mut url = Url::parse("http://localhost/api/v1")?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        Ok(Self(url))
    }

    /// Adds a query parameter, if it is given.
    pub(crate) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.query_pairs_mut().append_pair(name, &value.to_string());
        }
        self
    }

    fn as_str(&self) -> &str {
        &self.0[url::Position::BeforePath..]
    }
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// As it came: numbers keep their spelling, members their order.
    pub(crate) text: String,
    /// Made when it is first looked into: of payloads most commands want the bytes only.
    value: OnceLock<Value>,
}

impl Deref for Answer {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.value.get_or_init(|| loose::value(&self.text))
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { text: value.to_string(), value: value.into() }
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        if bytes.is_empty() {
            return Ok(Value::Null.into());
        }
        let unreadable = |error: String| ClientError::Unreadable { error };
        let text = std::str::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?.to_owned();
        loose::check(&text).map_err(unreadable)?;
        Ok(Self { text, value: OnceLock::new() })
    }
}

/// Why a request got no good answer.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// Nobody listens on the socket.
    NotRunning { socket: PathBuf, error: std::io::Error },
    /// The server answered with an error.
    Refused { status: StatusCode, code: String, detail: String, retry_after: Option<String> },
    /// The conversation broke.
    Broken { error: String },
    /// The answer has more bytes than are taken.
    TooLarge { limit_bytes: usize },
    /// The answer came whole and is no JSON that can be read here.
    Unreadable { error: String },
}

impl Client {
    /// A client of the server that listens on `socket`.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, answer_limit_bytes: ANSWER_LIMIT_BYTES }
    }

    /// One that takes answers of fewer bytes.
    #[cfg(test)]
    pub(crate) fn with_answer_limit(self, answer_limit_bytes: usize) -> Self {
        Self { answer_limit_bytes, ..self }
    }

    /// Reads.
    pub(crate) async fn get(&self, path: Path) -> Result<Answer, ClientError> {
        self.call(Method::GET, path, None, None).await
    }

    /// Creates, or does something.
    pub(crate) async fn post(&self, path: Path, body: &Value) -> Result<Answer, ClientError> {
        self.call(Method::POST, path, Some(body.to_string()), None).await
    }

    /// The same with a body that is JSON already: its bytes stay as they are.
    pub(crate) async fn post_text(&self, path: Path, body: String) -> Result<Answer, ClientError> {
        self.call(Method::POST, path, Some(body), None).await
    }

    /// Does something once, however often it is asked with this key: within 24 hours, with the same bytes.
    pub(crate) async fn post_once(&self, path: Path, body: String, key: &str) -> Result<Answer, ClientError> {
        self.call(Method::POST, path, Some(body), Some(key)).await
    }

    /// Replaces the whole.
    pub(crate) async fn put(&self, path: Path, body: &Value) -> Result<Answer, ClientError> {
        self.call(Method::PUT, path, Some(body.to_string()), None).await
    }

    /// Reads what may not be there.
    pub(crate) async fn find(&self, path: Path) -> Result<Option<Answer>, ClientError> {
        match self.get(path).await {
            Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Changes some fields.
    pub(crate) async fn patch(&self, path: Path, body: &Value) -> Result<Answer, ClientError> {
        self.call(Method::PATCH, path, Some(body.to_string()), None).await
    }

    /// Deletes.
    pub(crate) async fn delete(&self, path: Path) -> Result<Answer, ClientError> {
        self.call(Method::DELETE, path, None, None).await
    }

    async fn call(
        &self,
        method: Method,
        path: Path,
        body: Option<String>,
        key: Option<&str>,
    ) -> Result<Answer, ClientError> {
        let exchange = self.exchange(method, path, body, key);
        let (status, headers, bytes) = match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer?,
            Err(_) => return Err(ClientError::broken(format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        if !status.is_success() {
            return Err(refused(status, &headers, &bytes));
        }
        Answer::parse(&bytes)
    }

    async fn exchange(
        &self,
        method: Method,
        path: Path,
        body: Option<String>,
        key: Option<&str>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let connected = UnixStream::connect(&self.socket).await;
        let stream = connected.map_err(|error| ClientError::NotRunning { socket: self.socket.clone(), error })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::broken)?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path.as_str()).header(header::HOST, "localhost");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(ClientError::broken)?;
        let answer = sender.send_request(request).await.map_err(ClientError::broken)?;
        let (head, body) = answer.into_parts();
        let limit_bytes = self.answer_limit_bytes;
        let body = Limited::new(body, limit_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ClientError::TooLarge { limit_bytes }
            } else {
                ClientError::broken(error)
            }
        })?;
        connection.abort();
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

/// Fields of the API whose flags have other names.
const FLAGS: &[(&str, &str)] = &[
    ("channels", "--channel"),
    ("eventTypes", "--event-type"),
    ("gracePeriodSeconds", "--grace"),
    ("headers", "--header"),
    ("throttleRate", "--throttle"),
    ("timeoutMs", "--timeout-ms"),
];

/// Reads the two forms of error bodies: `{code, detail}`, and a list of fields with what is wrong.
fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = body.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
    let detail = match body.get("detail") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(problems)) => problems.iter().map(field_problem).collect::<Vec<_>>().join("; "),
        _ => String::new(),
    };
    let retry_after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    ClientError::Refused { status, code, detail, retry_after }
}

fn field_problem(problem: &Value) -> String {
    let place = problem.get("loc").and_then(Value::as_array).into_iter().flatten();
    let place: Vec<_> = place.filter_map(Value::as_str).filter(|part| *part != "body").collect();
    let what = problem.get("msg").and_then(Value::as_str).unwrap_or("is not valid");
    let flag = FLAGS.iter().find(|(field, _)| place.first() == Some(field));
    let flag = flag.map(|(_, flag)| format!(" (`{flag}`)")).unwrap_or_default();
    if place.is_empty() { what.to_owned() } else { format!("{}{flag}: {what}", place.join(".")) }
}

impl ClientError {
    fn broken(error: impl ToString) -> Self {
        Self::Broken { error: error.to_string() }
    }

    /// What was asked for is not there, or cannot be read from disk any more.
    pub(crate) fn is_gone_or_damaged(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if matches!(code.as_str(), "not_found" | "damaged"))
    }

    /// The server is well, but what is needed is still being read back.
    pub(crate) fn is_rebuilding(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "index_rebuilding")
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotRunning { socket, error } => not_running(&socket, &error),
            ClientError::Refused { status, code, detail, retry_after } => {
                let text = match (detail.is_empty(), code.is_empty()) {
                    (false, false) => format!("{detail} ({code})"),
                    (false, true) => detail,
                    (true, _) => format!("the server answered {status}"),
                };
                let mut failure = Self::runtime(crate::output::printable(&text));
                if code == "disk_full" {
                    failure = failure.hint(DISK_FULL_HINT);
                }
                match retry_after {
                    Some(seconds) => failure.hint(format!("try again in {seconds} s")),
                    None => failure,
                }
            }
            ClientError::Broken { error } => Self::runtime(format!("the connection to the server broke: {error}"))
                .hint("the server's log says more; `postrider serve` starts it again"),
            ClientError::TooLarge { limit_bytes } => {
                Self::runtime(format!("the server's answer has more than {limit_bytes} bytes"))
            }
            ClientError::Unreadable { error } => Self::runtime(format!("failed to read the server's answer: {error}")),
        }
    }
}

/// No server is there, or this user may not talk to it.
pub(crate) fn not_running(socket: &std::path::Path, error: &std::io::Error) -> Failure {
    let failure = Failure::runtime(format!("failed to connect to {}: {error}", socket.display()));
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint(
            "the socket belongs to the server's user; `api.socket_mode`, `api.socket_group` and `api.allow_uids` \
             (or those of `ingest`) open it to others",
        ),
        _ => failure
            .hint("start a server with `postrider serve`")
            .hint("if it runs elsewhere, name its data directory: `--data-dir DIR` or POSTRIDER_DATA_DIR"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_encoded() {
        let path = Path::new(["app", "my shop/1", "msg"]).expect("good segments");
        let path = path.query("limit", Some(5)).query("iterator", None::<&str>).query("tag", Some("a&b"));
        assert_eq!(path.as_str(), "/api/v1/app/my%20shop%2F1/msg?limit=5&tag=a%26b");
        assert!(Path::new(["app", ".."]).is_err());
    }

    fn report(status: u16, headers: &HeaderMap, body: &Value) -> String {
        let status = StatusCode::from_u16(status).expect("a status");
        Failure::from(refused(status, headers, body.to_string().as_bytes())).report()
    }

    #[test]
    fn both_forms_of_errors_are_shown_in_words() {
        let none = HeaderMap::new();
        let body = json!({ "code": "not_found", "detail": "application not found" });
        assert_eq!(report(404, &none, &body), "error: application not found (not_found)\n");
        let body = json!({ "detail": [{ "loc": ["body", "url"], "msg": "has no host", "type": "value_error" }] });
        assert_eq!(report(422, &none, &body), "error: url: has no host\n");
        let body = json!({ "detail": [{ "loc": ["body", "throttleRate"], "msg": "is 0", "type": "value_error" }] });
        assert_eq!(report(422, &none, &body), "error: throttleRate (`--throttle`): is 0\n");
        assert_eq!(report(502, &none, &json!("?")), "error: the server answered 502 Bad Gateway\n");
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_no_broken_connection() {
        for answer in [format!("{}{}", "[".repeat(200), "]".repeat(200)).as_bytes(), b"<html>", b"\xff"] {
            let report = Failure::from(Answer::parse(answer).expect_err("it is no good answer")).report();
            assert!(report.starts_with("error: failed to read the server's answer: "), "{report}");
        }
    }

    #[test]
    fn a_server_that_is_too_busy_says_when_to_try_again() {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, header::HeaderValue::from_static("10"))]);
        let body = json!({ "code": "disk_full", "detail": "disk is full" });
        assert_eq!(
            report(503, &headers, &body),
            format!("error: disk is full (disk_full)\nhint: {DISK_FULL_HINT}\nhint: try again in 10 s\n")
        );
    }
}
