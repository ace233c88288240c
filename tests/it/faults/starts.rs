//! The process is killed while it starts, again and again, on a directory that
//! needs recovery each time.

use std::time::{Duration, Instant};

use postrider_proof::Proof;
use serde_json::json;

use super::books::Books;
use crate::support::Setup;

/// So many starts are killed before one is let come up and work again.
const KILLED_IN_A_ROW: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_can_be_killed_at_any_moment_and_the_next_one_comes_up() {
    let proof = Proof::new("start-kills", 40);
    let mut dice = proof.dice();
    let (books, _receiver, setup) = Books::open(Setup::new().with_small_segments()).await;
    let mut before_ready = 0;
    let mut start_took = Duration::from_millis(200);
    for round in 0..proof.rounds() {
        if round % KILLED_IN_A_ROW == 0 {
            let began = Instant::now();
            let server = setup.start().await;
            start_took = began.elapsed();
            books.settle(&server, "before the next kills").await;
            let mut ingest = server.ingest().await;
            assert_eq!(books.send(&mut ingest, 50, 40_000).await, 50);
            server.kill().await;
        }
        let moment = start_took.mul_f64(dice.below(1_000) as f64 / 1_000.0);
        let mut process = setup.spawn();
        let ready = tokio::time::timeout(moment, process.line(|line| line["message"] == "ready")).await;
        process.kill().await;
        before_ready += u64::from(ready.is_err());
    }
    assert!(before_ready * 2 >= proof.rounds(), "{before_ready} were killed before they were ready");
    let server = setup.start().await;
    books.settle(&server, "at the end").await;
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
    server.stop().await;
    let rounds = proof.rounds();
    proof.found(
        rounds,
        json!({ "accepted": books.accepted(), "lost": 0, "not_opened": 0, "before_ready": before_ready }),
    );
}
