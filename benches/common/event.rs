//! The events: numbered, of one size.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The event type of them all.
pub(crate) const TYPE: &str = "order.paid";
/// What every body begins with.
const HEAD: &[u8] = b"{\"n\":";

/// Makes events and reads them back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Events {
    /// Bytes of one body.
    body_bytes: usize,
    /// Event `n` goes to application `n` modulo this.
    applications: usize,
}

impl Events {
    pub(crate) fn new(body_bytes: usize, applications: usize) -> Self {
        Self { body_bytes, applications: applications.max(1) }
    }

    /// Bytes of one body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// The uid of the application that gets event `n`.
    pub(crate) fn application(&self, n: usize) -> String {
        application(n % self.applications)
    }

    /// Appends the body of event `n`. It is a few bytes longer than asked for if
    /// the size leaves no room for the number.
    pub(crate) fn push_body(&self, out: &mut Vec<u8>, n: usize) {
        let begin = out.len();
        out.extend_from_slice(HEAD);
        out.extend_from_slice(n.to_string().as_bytes());
        out.extend_from_slice(b",\"text\":\"");
        let filled = out.len() - begin + 2;
        out.resize(out.len() + self.body_bytes.saturating_sub(filled), b'x');
        out.extend_from_slice(b"\"}");
    }

    /// Appends the line for the ingest socket.
    pub(crate) fn push_line(&self, out: &mut Vec<u8>, n: usize) {
        let head = format!(r#"{{"app":"{}","type":"{TYPE}","payload":"#, self.application(n));
        out.extend_from_slice(head.as_bytes());
        self.push_body(out, n);
        out.extend_from_slice(b"}\n");
    }

    /// The body of the request to the HTTP API that sends one event.
    pub(crate) fn api_body(&self, n: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body_bytes + 64);
        self.push_message(&mut out, n);
        out
    }

    /// The body of the request to the HTTP API that sends many events of one application.
    pub(crate) fn batch_body(&self, numbers: Range<usize>) -> Vec<u8> {
        let mut out = Vec::with_capacity(numbers.len() * (self.body_bytes + 64));
        out.extend_from_slice(br#"{"messages":"#);
        let mut before = b'[';
        for n in numbers {
            out.push(before);
            self.push_message(&mut out, n);
            before = b',';
        }
        out.extend_from_slice(b"]}");
        out
    }

    fn push_message(&self, out: &mut Vec<u8>, n: usize) {
        out.extend_from_slice(format!(r#"{{"eventType":"{TYPE}","payload":"#).as_bytes());
        self.push_body(out, n);
        out.push(b'}');
    }
}

/// The uid of an application.
pub(crate) fn application(index: usize) -> String {
    format!("bench-{index}")
}

/// The path of an endpoint of an application.
pub(crate) fn path(endpoint: usize) -> String {
    format!("/hook/{endpoint}")
}

/// The endpoint with this path, if it is one of ours.
pub(crate) fn endpoint(path: &str) -> Option<usize> {
    path.strip_prefix("/hook/")?.parse().ok()
}

/// The number in a body, if it is one of ours.
pub(crate) fn number(body: &[u8]) -> Option<usize> {
    let rest = body.strip_prefix(HEAD)?;
    let digits = rest.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
