//! Those that speak HTTP/1.1, or something that begins like it.

use std::time::Duration;

use postrider_model::job::FailureKind;

use super::endpoint::{Act, Certified, Endpoint, Way};
use super::hostile::{ALL_BYTES, AT_ONCE, BODY_BYTES, Case, DEADLINE, HEAD_BYTES, Shown};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n";
/// Those that say little say less than this.
const FEW_BYTES: usize = 1_024;
/// What is read of a head, and of whatever comes meanwhile.
const HEAD_TAKEN_BYTES: usize = 2 * HEAD_BYTES;
/// What is read of a body, and behind the head and the body ahead of that.
const BODY_TAKEN_BYTES: usize = BODY_BYTES + 2 * HEAD_BYTES;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = slow();
    cases.extend(endless_heads());
    cases.extend(endless_bodies());
    cases.extend(cut_off());
    cases
}

fn slow() -> Vec<Case> {
    let no_answer = || Shown::Failure(FailureKind::Timeout, "no answer within 20s");
    let incomplete = || Shown::Failure(FailureKind::Timeout, "the answer with status 200 was not complete within 20s");
    let each_second = |head: &str, byte: u8| vec![Act::Reads, says(head), Act::SaysEachSecond(vec![byte])];
    let interim = Act::SaysEachSecond(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec());
    let stops = |said: &str| vec![Act::Reads, says(said), Act::Hangs];
    let at_the_deadline = |name, acts, shown| case(name, acts, shown, DEADLINE, FEW_BYTES);
    let secure = Endpoint { way: Way::Https(Certified::new()), acts: vec![Act::Hangs] };
    let behind_tls = at_the_deadline("never answers behind TLS", Vec::new(), no_answer());
    vec![
        at_the_deadline("never answers", vec![Act::Hangs], no_answer()),
        Case { endpoint: secure, takes_at_most: 4 * FEW_BYTES, ..behind_tls },
        at_the_deadline("stops in the head", stops("HTTP/1.1 200 OK\r\ncontent-"), no_answer()),
        at_the_deadline("says a byte a second in the status line", each_second("HTTP/1.1 200 ", b'K'), no_answer()),
        at_the_deadline(
            "says a byte a second in the headers",
            each_second("HTTP/1.1 200 OK\r\nx: ", b'a'),
            no_answer(),
        ),
        at_the_deadline("says an interim answer a second", vec![Act::Reads, interim], no_answer()),
        at_the_deadline("stops in the body", stops(&format!("{LONG}half")), incomplete()),
        at_the_deadline("says a byte a second in the body", each_second(LONG, b'x'), incomplete()),
        at_the_deadline("says a byte a second in a chunk's length", each_second(CHUNKED, b'0'), incomplete()),
    ]
}

fn endless_heads() -> Vec<Case> {
    let ends = |name, acts, says, takes| case(name, acts, Shown::Failure(FailureKind::Protocol, says), AT_ONCE, takes);
    let too_large = |name, head, more| ends(name, after(head, more), "message head is too large", HEAD_TAKEN_BYTES);
    let too_much = |name, more| ends(name, after("", more), "far more than an answer has", ALL_BYTES);
    vec![
        too_large("never ends the status line", "HTTP/1.1 200 ", "a"),
        too_large("never ends the headers", "HTTP/1.1 200 OK\r\n", "x-more: aaaa\r\n"),
        too_large("never ends one header", "HTTP/1.1 200 OK\r\nx-more: ", "a"),
        too_large("never ends with empty lines", "", "\r\n"),
        too_much("says 100 for ever", "HTTP/1.1 100 Continue\r\n\r\n"),
        too_much("says 103 for ever", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        ends("says without having been asked", vec![Act::Floods(vec![b'x'])], NOT_SENT, HEAD_TAKEN_BYTES),
    ]
}

fn endless_bodies() -> Vec<Case> {
    let answered =
        |name, head, more, bytes, takes| case(name, after(head, more), Shown::Answer(200, bytes), AT_ONCE, takes);
    let trailers = format!("{CHUNKED}4\r\ndone\r\n0\r\n");
    vec![
        answered("never ends the body", "HTTP/1.1 200 OK\r\n\r\n", "x", BODY_BYTES, BODY_TAKEN_BYTES),
        answered("never ends the chunks", CHUNKED, "8\r\nmoreover\r\n", BODY_BYTES, 2 * BODY_TAKEN_BYTES),
        // Nothing of it is kept, so only the limit of everything ends it.
        answered("never ends a chunk's length", CHUNKED, "0", 0, ALL_BYTES),
        answered("never ends a chunk's extension", &format!("{CHUNKED}4;a="), "b", 0, BODY_TAKEN_BYTES),
        answered("never ends the trailers", &trailers, "x-more: aaaa\r\n", 4, BODY_TAKEN_BYTES),
    ]
}

fn cut_off() -> Vec<Case> {
    let failed = |name, acts, says| case(name, acts, Shown::Failure(FailureKind::Protocol, says), AT_ONCE, FEW_BYTES);
    let answered = |name, acts| case(name, acts, Shown::Answer(200, 4), AT_ONCE, FEW_BYTES);
    let half = || says("HTTP/1.1 200 OK\r\ncontent-le");
    let half_a_body = || says(&format!("{LONG}half"));
    vec![
        failed("closes at once", vec![], NOT_SENT),
        failed("resets at once", vec![Act::Resets], NOT_SENT),
        failed("closes after the request", vec![Act::Reads], "connection closed before message completed"),
        failed("resets after the request", vec![Act::Reads, Act::Resets], "connection reset"),
        failed("closes in the head", vec![Act::Reads, half()], "connection closed before message completed"),
        failed("resets in the head", vec![Act::Reads, half(), Act::Resets], "connection reset"),
        answered("closes in the body", vec![Act::Reads, half_a_body()]),
        answered("resets in the body", vec![Act::Reads, half_a_body(), Act::Resets]),
    ]
}

const NOT_SENT: &str = "the connection ended before the request was sent";

fn says(text: &str) -> Act {
    Act::Says(text.into())
}

/// Answers `head`, and `more` without end.
fn after(head: &str, more: &str) -> Vec<Act> {
    vec![Act::Reads, says(head), Act::Floods(more.into())]
}

fn case(name: &'static str, acts: Vec<Act>, shown: Shown, ends: Duration, takes_at_most: usize) -> Case {
    Case { name, endpoint: Endpoint { way: Way::Http, acts }, shown, ends, takes_at_most }
}
