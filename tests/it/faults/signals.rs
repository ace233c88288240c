//! The process is asked to end under load, and stopped for a while.

use std::time::Duration;

use postrider_proof::Proof;
use rustix::process::Signal;
use serde_json::json;

use super::books::Books;
use crate::support::Setup;

/// A clean end under load loses nothing and sends nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_under_load_loses_nothing_and_nothing_arrives_twice() {
    let proof = Proof::new("clean-ends", 20);
    let mut dice = proof.dice();
    let (books, _receiver, setup) = Books::open(Setup::new()).await;
    for round in 0..proof.rounds() {
        let mut server = setup.start().await;
        let mut ingest = server.ingest().await;
        let before = 1 + dice.below(200) as usize;
        assert_eq!(books.send(&mut ingest, before, 500).await, before);
        // These are on their way while it is asked to end.
        let (numbers, lines): (Vec<_>, Vec<_>) = (0..200).map(|_| books.line(500)).unzip();
        ingest.try_write(lines.concat().as_bytes()).await;
        server.process.signal(Signal::TERM);
        for n in numbers {
            let Some(answer) = ingest.try_answer().await else { break };
            books.answer(n, &answer);
        }
        let ended = server.process.ended().await;
        assert_eq!(ended.code, Some(0), "round {round}: {ended:?}");
    }
    let server = setup.start().await;
    books.settle(&server, "at the end").await;
    server.stop().await;
    assert_eq!(books.duplicates(), 0, "a clean end waits for what is in flight");
    let rounds = proof.rounds();
    proof.found(rounds, json!({ "accepted": books.accepted(), "lost": 0, "duplicates": 0 }));
}

/// A process that gets no time for a while goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_for_a_while_goes_on() {
    let proof = Proof::new("stopped", 2);
    let (books, _receiver, setup) = Books::open(Setup::new()).await;
    let server = setup.start().await;
    let mut ingest = server.ingest().await;
    let (numbers, lines): (Vec<_>, Vec<_>) = (0..2_000).map(|_| books.line(500)).unzip();
    ingest.try_write(lines.concat().as_bytes()).await;
    server.process.signal(Signal::STOP);
    let mut read = 0;
    // What it had answered before it was stopped is still to be read.
    let silence = tokio::time::timeout(Duration::from_secs(proof.rounds()), async {
        for n in &numbers {
            let answer = ingest.try_answer().await.expect("a stopped process closes nothing");
            assert!(books.answer(*n, &answer), "{answer}");
            read += 1;
        }
        std::future::pending::<()>().await;
    });
    assert!(silence.await.is_err(), "nothing ends");
    server.process.signal(Signal::CONT);
    for n in numbers.iter().skip(read) {
        let answer = ingest.try_answer().await.expect("it goes on");
        assert!(books.answer(*n, &answer), "{answer}");
    }
    assert_eq!(books.accepted(), numbers.len());
    books.settle(&server, "after it went on").await;
    assert_eq!(books.duplicates(), 0, "nothing was sent again");
    server.stop().await;
    let seconds = proof.rounds();
    proof.found(seconds, json!({ "accepted": books.accepted(), "lost": 0 }));
}
