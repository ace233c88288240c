//! Those that speak HTTP/2, in frames written by hand (RFC 9113, 4.1).

use std::sync::Arc;
use std::time::Duration;

use postrider_model::job::FailureKind;

use super::endpoint::{Act, Certified, Endpoint, Way};
use super::hostile::{ALL_BYTES, AT_ONCE, Case, DEADLINE, RECORD_BYTES, Shown};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// The first request's.
const STREAM: u32 = 1;
/// `:status` 200 and 100 (RFC 7541, appendix A and 6.2.2).
const STATUS_200: &[u8] = &[0x88];
const STATUS_100: &[u8] = &[0x08, 3, b'1', b'0', b'0'];
/// What the product's own signs of life carry: an answer to it counts as one.
const ALIVE: &[u8] = &[0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4];
/// A connection is asked for a sign of life after 10 s of silence, and has 5 s for it.
const SILENT: Duration = Duration::from_secs(15);
/// What may come for a request, and what comes before it and behind it: the handshake and a record.
const TAKEN_BYTES: usize = ALL_BYTES + 2 * RECORD_BYTES;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn cases() -> Vec<Case> {
    let certified = Certified::new();
    let case = |(name, acts, shown, ends)| {
        let endpoint = Endpoint { way: Way::Http2(Arc::clone(&certified)), acts };
        Case { name, endpoint, shown, ends, takes_at_most: TAKEN_BYTES }
    };
    silent().into_iter().chain(flooding()).chain(answering()).chain(leaving()).map(case).collect()
}

type Told = (&'static str, Vec<Act>, Shown, Duration);

fn silent() -> Vec<Told> {
    let head = || Act::Says(frame(HEADERS, END_HEADERS, STREAM, STATUS_200));
    let lives = || Act::SaysEachSecond(frame(PING, ACK, 0, ALIVE));
    let drips = || Act::SaysEachSecond(frame(DATA, 0, STREAM, b"x"));
    let no_requests = || Act::Says(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]));
    let no_window = || Act::Says(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let timeout = |says| Shown::Failure(FailureKind::Timeout, says);
    let dead = || timeout("keep-alive timed out");
    let no_answer = || timeout("no answer within 20s");
    let incomplete = || timeout("the answer with status 200 was not complete within 20s");
    vec![
        ("never says its settings", vec![Act::Hangs], dead(), SILENT),
        ("never answers", vec![ready(), Act::Hangs], dead(), SILENT),
        ("lives and never answers", vec![ready(), Act::Reads, lives()], no_answer(), DEADLINE),
        ("takes no requests", vec![no_requests(), lives()], no_answer(), DEADLINE),
        ("opens no window", vec![no_window(), lives()], no_answer(), DEADLINE),
        ("lives and never ends the body", vec![ready(), Act::Reads, head(), lives()], incomplete(), DEADLINE),
        ("says a byte a second in the body", vec![ready(), Act::Reads, head(), drips()], incomplete(), DEADLINE),
        // It counts as any body that breaks off.
        ("is dead behind its head", vec![ready(), Act::Reads, head(), Act::Hangs], Shown::Answer(200, 0), SILENT),
    ]
}

fn flooding() -> Vec<Told> {
    let settings = |flags| frame(SETTINGS, flags, 0, &[]);
    let ping = || frame(PING, 0, 0, &[7; 8]);
    let timeout = Shown::Failure(FailureKind::Timeout, "keep-alive timed out");
    vec![
        ("floods with settings", vec![ready(), Act::Floods(settings(0))], protocol(TOO_MUCH), AT_ONCE),
        ("floods with pings", vec![ready(), Act::Floods(ping())], protocol(TOO_MUCH), AT_ONCE),
        // Nobody reads on whose answers find no room.
        ("floods with pings and reads nothing", vec![ready(), Act::FloodsDeaf(ping())], timeout, SILENT),
        (
            "floods with acknowledgements",
            vec![ready(), Act::Floods(settings(ACK))],
            protocol("connection closed"),
            AT_ONCE,
        ),
        (
            "floods with frames of no kind",
            vec![ready(), Act::Floods(frame(0x77, 0, 0, &[0; 8]))],
            protocol(TOO_MUCH),
            AT_ONCE,
        ),
    ]
}

fn answering() -> Vec<Told> {
    let answer = |head: Vec<u8>, more| vec![ready(), Act::Reads, Act::Says(head), Act::Floods(more)];
    let head = |flags| frame(HEADERS, flags, STREAM, STATUS_200);
    let interim = frame(HEADERS, END_HEADERS, STREAM, STATUS_100);
    let data = |bytes: usize| frame(DATA, 0, STREAM, &vec![b'x'; bytes]);
    let continuation = frame(CONTINUATION, 0, STREAM, &[0x40, 1, b'x', 1, b'y']);
    vec![
        ("never ends the headers", answer(head(0), continuation), protocol("too_many_continuations"), AT_ONCE),
        ("never ends interim answers", answer(Vec::new(), interim), protocol(TOO_MUCH), AT_ONCE),
        // It does not wait for room, so what finds none breaks it off.
        ("never ends the body", answer(head(END_HEADERS), data(1_000)), Shown::Answer(200, 65_000), AT_ONCE),
        ("never ends a body of nothing", answer(head(END_HEADERS), data(0)), Shown::Answer(200, 0), AT_ONCE),
    ]
}

fn leaving() -> Vec<Told> {
    let then = |last: Vec<u8>| vec![ready(), Act::Reads, Act::Says(last), Act::Hangs];
    let refusal = frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 7]);
    let farewell = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]);
    vec![
        ("closes after the request", vec![ready(), Act::Reads], protocol("peer closed connection"), AT_ONCE),
        ("resets after the request", vec![ready(), Act::Reads, Act::Resets], protocol("connection reset"), AT_ONCE),
        ("refuses the request", then(refusal), protocol("refused stream"), AT_ONCE),
        ("leaves with an error", then(farewell), protocol("connection error received"), AT_ONCE),
    ]
}

/// What each side says first.
fn ready() -> Act {
    Act::Says(frame(SETTINGS, 0, 0, &[]))
}

const TOO_MUCH: &str = "far more than an answer has";

const fn protocol(says: &'static str) -> Shown {
    Shown::Failure(FailureKind::Protocol, says)
}
