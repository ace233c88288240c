//! One client: lines in, answers out, in one task.
//!
//! ```text
//!            read: many lines              first polled in line order
//!   client ------------------> Lines --parse--> in flight ---------> Accept
//!      ^                                           |
//!      |  write: many answers                      | in line order
//!      +------------------------- answers <--------+
//! ```
//!
//! Each arrow has its limit (W9), and each stops the one before it: a client
//! that does not read its answers fills `answers`, then `in flight`, and then is
//! not read from. Nothing is read ahead of what may be in flight but one read.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use postrider_model::message::Accepted;
use postrider_model::ports::{Accept, AcceptError, Answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::answer::{self, Refusal, code};
use crate::lines::{Line, Lines};
use crate::options::Options;
use crate::request::{self, Rules};

/// Answers are not collected while those that the client has not taken have so
/// many bytes or more.
const ANSWERS_BYTES: usize = 64 * 1_024;

/// Serves a client until it has ended its side, or `stop` is set, and every line
/// that was taken is answered.
///
/// # Errors
/// The client is gone. What was accepted for it stays accepted.
pub(crate) async fn serve(
    mut stream: UnixStream,
    rules: Rules,
    options: &Options,
    accept: &dyn Accept,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut lines = Lines::new(options.max_line_bytes);
    let mut in_flight = InFlight::new(options);
    let mut answers = BytesMut::new();
    let mut open = true;
    loop {
        take_lines(&mut lines, &mut in_flight, &rules, accept);
        if !open && in_flight.is_empty() && answers.is_empty() {
            return Ok(());
        }
        // In this order: collect all answers that are there, then write them at
        // once, and read more only when neither is possible.
        tokio::select! {
            biased;
            Some(answer) = in_flight.next(), if answers.len() < ANSWERS_BYTES => answer::write(&mut answers, answer),
            written = writer.write_buf(&mut answers), if !answers.is_empty() => {
                if written? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            // A sender that is gone says the same as one that says stop.
            _ = stop.wait_for(|stop| *stop), if open => open = false,
            read = async { reader.read_buf(lines.spare()).await }, if open && in_flight.has_room() => {
                if read? == 0 {
                    open = false;
                    lines.end();
                }
            }
        }
    }
}

/// Takes as many lines as may be in flight.
fn take_lines(lines: &mut Lines, in_flight: &mut InFlight, rules: &Rules, accept: &dyn Accept) {
    while in_flight.has_room() {
        let Some(line) = lines.next() else { return };
        match line {
            Line::Complete(line) if line.trim_ascii().is_empty() => {}
            Line::Complete(line) => in_flight.push(line.len(), Pending::begin(&line, rules, accept)),
            Line::TooLong => {
                let detail = format!("line has more than {} bytes", lines.max_line_bytes());
                in_flight.push(0, Pending::refused(Refusal::new(code::LINE_TOO_LONG, detail)));
            }
            Line::Incomplete => {
                let detail = "the connection ended in the middle of a line";
                in_flight.push(0, Pending::refused(Refusal::new(code::INCOMPLETE_LINE, detail)));
            }
        }
    }
}

/// A line that waits for its answer.
enum Pending {
    Accepting(Answer<Result<Accepted, AcceptError>>),
    /// `None` once the refusal was given out.
    Refused(Option<Box<Refusal>>),
}

impl Pending {
    fn begin(line: &Bytes, rules: &Rules, accept: &dyn Accept) -> Self {
        match request::parse(line, rules) {
            Ok(message) => Self::Accepting(accept.accept(message)),
            Err(refusal) => Self::refused(refusal),
        }
    }

    fn refused(refusal: Refusal) -> Self {
        Self::Refused(Some(Box::new(refusal)))
    }
}

impl Future for Pending {
    type Output = Result<Accepted, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Accepting(answer) => answer.as_mut().poll(cx).map_err(Refusal::from),
            Self::Refused(refusal) => {
                Poll::Ready(Err(*refusal.take().expect("a future is not polled after it was ready")))
            }
        }
    }
}

/// The lines that wait for their answers. They are first polled in line order,
/// so that they are accepted in line order.
struct InFlight {
    pending: FuturesOrdered<Pending>,
    /// The sizes of the lines, in line order.
    sizes: VecDeque<usize>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl InFlight {
    fn new(options: &Options) -> Self {
        Self {
            pending: FuturesOrdered::new(),
            sizes: VecDeque::new(),
            bytes: 0,
            max_lines: options.lines_in_flight.max(1),
            max_bytes: options.bytes_in_flight.max(1),
        }
    }

    fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    fn has_room(&self) -> bool {
        self.sizes.len() < self.max_lines && self.bytes < self.max_bytes
    }

    fn push(&mut self, line_bytes: usize, pending: Pending) {
        self.pending.push_back(pending);
        self.sizes.push_back(line_bytes);
        self.bytes += line_bytes;
    }

    /// The next answer in line order; `None` if no line waits for one.
    async fn next(&mut self) -> Option<Result<Accepted, Refusal>> {
        let answer = self.pending.next().await?;
        self.bytes -= self.sizes.pop_front().unwrap_or_default();
        Some(answer)
    }
}

#[cfg(test)]
mod tests;
