//! What does not fit the cache of bodies is read from the journal, many at a time.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use postrider_model::delivery::Next;
use postrider_model::id::{EndpointId, RawId};
use postrider_model::position::Position;

use super::support::{ManualClock, Running, options};
use crate::Options;
use crate::read_ahead::Turns;

const PAID: &str = "order.paid";
const MESSAGES: usize = 400;

fn body(n: usize) -> String {
    format!("{n:0>512}")
}

/// A store whose cache holds a part of what waits.
fn running(dir: &std::path::Path, fresh_body_bytes: usize) -> Running {
    let running = Running::start(Options { fresh_body_bytes, ..options(dir) }, &ManualClock::new());
    let running = running.expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for n in 0..MESSAGES {
        running.send("shop", PAID, &body(n));
    }
    running
}

fn cached(running: &Running, positions: &[Position]) -> usize {
    positions.iter().filter(|position| running.outbox.shared.bodies.find(**position).is_some()).count()
}

#[test]
fn one_reading_brings_what_the_lane_sends_next() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut running = running(dir.path(), 64 << 10);
    let waiting = running.waiting();
    let first: Vec<_> = waiting.iter().take(10).map(|(key, _)| key.message).collect();
    assert_eq!(cached(&running, &first), 0, "newer ones have taken their place");
    assert_eq!(running.job(waiting[0].0).body, body(0));
    assert_eq!(cached(&running, &first), 9);
    // Each gets its own body, and all of them get one.
    for (n, (key, _)) in waiting.iter().enumerate().skip(1) {
        assert_eq!(running.attempt(*key, 200, Next::Delivered).body, body(n));
    }
    assert!(running.outbox.shared.bodies.bytes() <= 64 << 10);
    running.stop();
}

#[test]
fn without_a_cache_each_message_is_read_by_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut running = running(dir.path(), 0);
    for (n, (key, _)) in running.waiting().into_iter().enumerate() {
        assert_eq!(running.attempt(key, 200, Next::Delivered).body, body(n));
    }
    running.stop();
}

/// The others find what they need when the first of them has read.
#[test]
fn of_the_attempts_of_one_lane_one_reads_at_a_time() {
    let turns = Turns::default();
    let mut nobody = Context::from_waker(Waker::noop());
    for number in 0..50 {
        let endpoint = EndpointId(RawId::from_bytes([number; 20]));
        let (mut first, mut second) = (pin!(turns.of(endpoint)), pin!(turns.of(endpoint)));
        let Poll::Ready(Some(turn)) = first.as_mut().poll(&mut nobody) else { panic!("nobody else reads") };
        assert!(second.as_mut().poll(&mut nobody).is_pending());
        drop(turn);
        assert!(matches!(second.as_mut().poll(&mut nobody), Poll::Ready(Some(_))));
    }
}
