//! A process that may open few files only.

use postrider_proof::Proof;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::books::Books;
use crate::support::{Ingest, Setup, until};

/// Files that it may have open, far below what its connections would need.
const FILES: usize = 256;

/// Clients that take every file there is hold up others; nothing is lost, nothing is
/// closed that works, and when they go, it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_to_open_nothing_is_lost_and_it_goes_on_by_itself() {
    let proof = Proof::new("few-files", 2);
    let (books, _receiver, setup) = Books::open(Setup::new().with_small_segments()).await;
    let limit = format!("--nofile={FILES}:{FILES}");
    let setup = setup.through(&["prlimit", &limit]);
    let server = setup.start().await;
    let mut ingest = server.ingest().await;
    assert_eq!(books.send(&mut ingest, 10, 500).await, 10);
    let mut refused = 0;
    for _ in 0..proof.rounds() {
        let mut takers = JoinSet::new();
        for _ in 0..2 * FILES {
            takers.spawn(TcpStream::connect(server.api_address()));
        }
        // Those that it does not accept wait in the kernel, the last of them for long.
        let mut taken = vec![];
        while taken.len() < FILES / 2 {
            let taker = takers.join_next().await.expect("there are more").expect("it ends");
            taken.push(taker.expect("the kernel takes it"));
        }
        // Segments are made meanwhile; what cannot be taken is refused and not lost.
        let accepted = books.send(&mut ingest, 60, 100_000).await;
        refused += 60 - accepted;
        drop((takers, taken));
        until("an event over a new connection", async || {
            let mut fresh = Ingest::try_connect(&setup.data_dir().join("ingest.sock")).await?;
            (books.send(&mut fresh, 1, 500).await == 1).then_some(())
        })
        .await;
        books.settle(&server, "after the files were free again").await;
    }
    assert_eq!(books.duplicates(), 0, "nothing was sent again");
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
    server.stop().await;
    let rounds = proof.rounds();
    proof.found(rounds, json!({ "accepted": books.accepted(), "lost": 0, "refused": refused }));
}
