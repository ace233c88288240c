//! A disk that stops to answer for a while.

use std::time::Duration;

use postrider_proof::Proof;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::books::Books;
use crate::support::{Setup, build_shim};

/// Memory that lines may take which wait for the disk, in KiB: the documented limit of
/// what waits and the buffers of the connections, and room for the allocator.
const WAITING_KIB: u64 = 128 << 10;

/// While no sync returns, nobody is told "yes" and memory is bounded; what waited is
/// answered when the disk goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_stalls_nobody_is_told_yes_and_memory_is_bounded() {
    let proof = Proof::new("stall", 2);
    let (books, _receiver, setup) = Books::open(Setup::new()).await;
    let (shim, stalled) = (build_shim("faults", setup.home()), setup.home().join("stalled"));
    let below = setup.data_dir().display().to_string();
    let faulty = setup
        .env("LD_PRELOAD", shim.display().to_string())
        .env("FAULTS_BELOW", below)
        .env("FAULTS_STALL", stalled.display().to_string());
    let server = faulty.start().await;
    let (mut first, mut flood) = (server.ingest().await, server.ingest().await);
    assert_eq!(books.send(&mut first, 10, 1_000).await, 10);
    let before_kib = server.resident_kib();

    std::fs::write(&stalled, "").expect("it can be written");
    let stall = Duration::from_secs(proof.rounds());
    let (n, line) = books.line(1_000);
    assert!(first.try_write(line.as_bytes()).await);
    // More than waits anywhere: the socket takes what there is room for.
    let lines: String = (0..10_000).map(|_| books.line(10_000).1).collect();
    let told = {
        let written = tokio::time::timeout(stall, flood.lines.write_all(lines.as_bytes()));
        let answered = tokio::time::timeout(stall, first.try_answer());
        let (_, told) = tokio::join!(written, answered);
        told.ok().flatten()
    };
    assert_eq!(told, None, "nobody is told anything while no sync returns");
    let most_kib = server.resident_kib();
    assert!(most_kib < before_kib + WAITING_KIB, "{before_kib} KiB before, {most_kib} KiB while it stalls");

    std::fs::remove_file(&stalled).expect("it is there");
    drop(flood);
    let answer = first.try_answer().await.expect("the disk goes on");
    assert!(books.answer(n, &answer), "what waited is accepted: {answer}");
    assert_eq!(books.send(&mut first, 10, 1_000).await, 10);
    books.settle(&server, "after the stall").await;
    assert_eq!(books.duplicates(), 0, "nothing was sent again");
    server.stop().await;
    proof.found(
        stall.as_secs(),
        json!({ "accepted": books.accepted(), "lost": 0, "false_answers": 0, "most_kib_more": most_kib.saturating_sub(before_kib) }),
    );
}
