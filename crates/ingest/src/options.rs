//! What the operator may set.

use std::time::Duration;

/// The limits of the door and who may use it. A connection holds at most two
/// lines' limit, [`Options::bytes_in_flight`], and 64 KiB each of what was read
/// and of answers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a line without its line feed (`limits.line_bytes`).
    pub max_line_bytes: usize,
    /// Bytes of a message's body, after base64 (`limits.body_bytes`).
    pub body_limit_bytes: usize,
    /// Connections open at once (`limits.client_connections`).
    pub max_connections: usize,
    /// Lines of one connection that wait for their answer.
    pub lines_in_flight: usize,
    /// No further line of a connection is taken while those that wait for their
    /// answer have this many bytes or more.
    pub bytes_in_flight: usize,
    /// Users, besides root and the server's own, that may send (`ingest.allow_uids`).
    pub allow_uids: Vec<u32>,
    /// How long a stopping service waits until the clients have read the answers
    /// to the lines that were taken.
    pub stop_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_line_bytes: 2 * 1_024 * 1_024,
            body_limit_bytes: 1_024 * 1_024,
            max_connections: 1_024,
            lines_in_flight: 1_024,
            bytes_in_flight: 1_024 * 1_024,
            allow_uids: Vec::new(),
            stop_wait: Duration::from_secs(5),
        }
    }
}
