//! One client: lines in, answers out, in one task.
//!
//! ```text
//!            read: many lines              queued in line order
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
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use postrider_model::message::Accepted;
use postrider_model::ports::{Accept, AcceptError, Answer, Receipt};
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
            Some(next) = in_flight.next(answers.len() < ANSWERS_BYTES) => match next {
                Next::Answer(answer) => answer::write(&mut answers, answer),
                Next::Queued => {}
            },
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
            Line::Complete(line) => match request::parse(&line, rules) {
                Ok(message) => in_flight.queue(line.len(), accept.queue(message)),
                Err(refusal) => in_flight.refuse(line.len(), refusal),
            },
            Line::TooLong => {
                let detail = format!("line has more than {} bytes", lines.max_line_bytes());
                in_flight.refuse(0, Refusal::new(code::LINE_TOO_LONG, detail));
            }
            Line::Incomplete => {
                let detail = "the connection ended in the middle of a line";
                in_flight.refuse(0, Refusal::new(code::INCOMPLETE_LINE, detail));
            }
        }
    }
}

/// The lines that wait for their answers. Only one of them is waited for at a time, the
/// first: a frame's answers wake the task once, and are all there by then.
struct InFlight {
    /// The last line, if its message waits for room. No other is taken before it has it,
    /// so that lines are accepted in their order.
    queueing: Option<(usize, Answer<Result<Receipt, AcceptError>>)>,
    /// The others, in their order, each with its size.
    waiting: VecDeque<(usize, Waiting)>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

/// A line that waits for its answer.
enum Waiting {
    Receipt(Receipt),
    Refused(Box<Refusal>),
}

/// What has happened to the lines in flight.
enum Next {
    /// The last one waits for room no longer.
    Queued,
    /// The answer to the first one.
    Answer(Result<Accepted, Refusal>),
}

impl InFlight {
    fn new(options: &Options) -> Self {
        Self {
            queueing: None,
            waiting: VecDeque::new(),
            bytes: 0,
            max_lines: options.lines_in_flight.max(1),
            max_bytes: options.bytes_in_flight.max(1),
        }
    }

    fn is_empty(&self) -> bool {
        self.queueing.is_none() && self.waiting.is_empty()
    }

    fn has_room(&self) -> bool {
        self.queueing.is_none() && self.waiting.len() < self.max_lines && self.bytes < self.max_bytes
    }

    fn queue(&mut self, line_bytes: usize, mut queueing: Answer<Result<Receipt, AcceptError>>) {
        self.bytes += line_bytes;
        // Nearly always there is room. Else it is polled again by whoever waits for it.
        match queueing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(queued) => self.waiting.push_back((line_bytes, Waiting::from(queued))),
            Poll::Pending => self.queueing = Some((line_bytes, queueing)),
        }
    }

    fn refuse(&mut self, line_bytes: usize, refusal: Refusal) {
        self.bytes += line_bytes;
        self.waiting.push_back((line_bytes, Waiting::Refused(Box::new(refusal))));
    }

    /// What happens next, an answer only if there is room for one; `None` if no line
    /// waits for anything. Whoever waits for room on the way to the disk is always
    /// listened to: it may have been given some.
    async fn next(&mut self, answers: bool) -> Option<Next> {
        poll_fn(|cx| self.poll_next(answers, cx)).await
    }

    fn poll_next(&mut self, answers: bool, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        if let Some((line_bytes, queueing)) = &mut self.queueing
            && let Poll::Ready(queued) = queueing.as_mut().poll(cx)
        {
            self.waiting.push_back((*line_bytes, Waiting::from(queued)));
            self.queueing = None;
            return Poll::Ready(Some(Next::Queued));
        }
        if !answers {
            // They are being written, and it is looked again after that.
            return Poll::Pending;
        }
        let Some((line_bytes, waiting)) = self.waiting.pop_front() else {
            return if self.queueing.is_none() { Poll::Ready(None) } else { Poll::Pending };
        };
        let answer = match waiting {
            Waiting::Refused(refusal) => Err(*refusal),
            Waiting::Receipt(mut receipt) => match receipt.as_mut().poll(cx) {
                Poll::Ready(answer) => answer.map_err(Refusal::from),
                Poll::Pending => {
                    self.waiting.push_front((line_bytes, Waiting::Receipt(receipt)));
                    return Poll::Pending;
                }
            },
        };
        self.bytes -= line_bytes;
        Poll::Ready(Some(Next::Answer(answer)))
    }
}

impl From<Result<Receipt, AcceptError>> for Waiting {
    fn from(queued: Result<Receipt, AcceptError>) -> Self {
        match queued {
            Ok(receipt) => Self::Receipt(receipt),
            Err(error) => Self::Refused(Box::new(error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
