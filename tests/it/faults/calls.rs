//! Every call that changes a file: the process is killed at it, it is torn, or
//! it fails with EIO or ENOSPC.

use std::collections::BTreeMap;
use std::path::Path;

use postrider_proof::Proof;
use serde_json::json;

use super::books::Books;
use crate::support::{Ended, Ingest, Setup, build_shim};

/// What can become of a call.
const FAULTS: [&str; 4] = ["kill", "torn", "eio", "enospc"];
/// Events of a round and their bytes: enough for some segments.
const EVENTS: usize = 24;
const EVENT_BYTES: usize = 100_000;
/// A prime, so that steps of it come everywhere before they come back.
const STRIDE: u64 = 7_919;

/// How a server ended that had a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It was killed at the call.
    Killed,
    /// It did not start, and said why.
    RefusedToStart,
    /// It stopped by itself, with an exit code that says so.
    Stopped,
    /// It went on to the end that it was asked for.
    WentOn,
}

/// A run with a fault: start, events, a clean end.
async fn run(setup: &Setup, books: &Books) -> End {
    let mut server = match setup.try_start().await {
        Ok(server) => server,
        Err(ended) => return how(&ended, End::RefusedToStart),
    };
    if let Some(mut ingest) = Ingest::try_connect(&setup.data_dir().join("ingest.sock")).await {
        books.send(&mut ingest, EVENTS, EVENT_BYTES).await;
    }
    server.process.signal(rustix::process::Signal::TERM);
    let ended = server.process.ended().await;
    if ended.code == Some(0) { End::WentOn } else { how(&ended, End::Stopped) }
}

fn how(ended: &Ended, otherwise: End) -> End {
    match (ended.signal, ended.code) {
        (Some(9), _) => End::Killed,
        // What it cannot do is said, and the codes are those of the manual.
        (None, Some(1 | 70)) if ended.stderr.contains("error") => otherwise,
        _ => panic!("no way to end: {ended:?}"),
    }
}

/// Starts on what is left, and waits until everything has arrived: the next round
/// begins with another copy.
async fn settle(plain: &Setup, books: &Books, case: &str) {
    let server = plain.start().await;
    books.settle(&server, case).await;
    server.stop().await;
}

/// A copy of the directory that every round begins with.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("it can be read").flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("it has a type");
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// A setup on a copy, with a fault at a call.
fn with_fault(setup: &Setup, shim: &Path, number: u64, fault: &str) -> (Setup, Setup) {
    let data_dir = setup.home().join("round");
    let _ = std::fs::remove_dir_all(&data_dir);
    copy(setup.data_dir(), &data_dir);
    let plain = setup.clone().at(&data_dir);
    let faulty = plain
        .clone()
        .env("LD_PRELOAD", shim.display().to_string())
        .env("FAULTS_BELOW", data_dir.display().to_string())
        .env("FAULTS_COUNT", count_file(setup).display().to_string())
        .env("FAULTS_AT", number.to_string())
        .env("FAULTS_DO", fault);
    (plain, faulty)
}

fn count_file(setup: &Setup) -> std::path::PathBuf {
    setup.home().join("calls")
}

/// The number of the last call.
fn counted(setup: &Setup) -> u64 {
    let bytes = std::fs::read(count_file(setup)).expect("the shim has counted");
    u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_fails_what_was_accepted_arrives_after_the_next_start() {
    let proof = Proof::new("calls", 20);
    let mut dice = proof.dice();
    let (books, _receiver, setup) = Books::open(Setup::new().with_small_segments()).await;
    let shim = build_shim("faults", setup.home());

    let (plain, whole) = with_fault(&setup, &shim, 0, "kill");
    assert_eq!(run(&whole, &books).await, End::WentOn);
    assert_eq!(books.accepted(), EVENTS);
    let calls = counted(&setup);
    settle(&plain, &books, "no fault").await;
    assert!(calls > 50, "{calls} calls change files");

    let cases = calls * FAULTS.len() as u64;
    let first = dice.below(cases);
    let mut ends: BTreeMap<End, u64> = BTreeMap::new();
    for round in 0..proof.rounds() {
        let place = (first + round * STRIDE) % cases;
        let (number, fault) = (1 + place / FAULTS.len() as u64, FAULTS[place as usize % FAULTS.len()]);
        let (plain, faulty) = with_fault(&setup, &shim, number, fault);
        let end = run(&faulty, &books).await;
        *ends.entry(end).or_default() += 1;
        if matches!(fault, "kill" | "torn") {
            // A call later than the last one of this run is none.
            assert!(end == End::Killed || counted(&setup) < number, "{fault} at {number}: {end:?}");
        }
        settle(&plain, &books, &format!("{fault} at call {number}, {end:?}")).await;
    }
    assert!(ends.contains_key(&End::Killed) && ends.len() > 1, "{ends:?}");
    let of = |end: End| ends.get(&end).copied().unwrap_or(0);
    proof.found(
        ends.values().sum(),
        json!({
            "accepted": books.accepted(),
            "lost": 0,
            "not_opened": 0,
            "most_calls": calls,
            "killed": of(End::Killed),
            "refused_to_start": of(End::RefusedToStart),
            "stopped_by_itself": of(End::Stopped),
            "went_on": of(End::WentOn),
        }),
    );
}
