//! The short form of what `cargo xtask prove --only simulation` runs at length,
//! and tests of the harness itself.

use postrider_proof::Proof;
use serde_json::json;

use crate::plan::Plant;
use crate::run::{Broken, Found, run, run_with};

/// Lines of a broken run that are shown.
const SHOWN: usize = 200;

fn show(seed: u64, broken: &Broken) -> String {
    let from = broken.trace.len().saturating_sub(SHOWN);
    let trace = broken.trace.get(from..).unwrap_or_default().join("\n");
    format!(
        "{trace}\nseed {seed} breaks {}\nrepeat it: cargo xtask prove --only simulation --rounds 1 --seed {seed}",
        broken.what
    )
}

#[test]
fn whatever_fails_every_message_comes_to_an_end_that_can_be_seen() {
    let proof = Proof::new("simulation", 30);
    let mut all = Vec::<Found>::new();
    for round in 0..proof.rounds() {
        let seed = proof.seed().wrapping_add(round);
        match run(seed) {
            Ok(found) => all.push(Found { lines: vec![], ..found }),
            Err(broken) => panic!("{}", show(seed, &broken)),
        }
    }
    let sum = |of: fn(&Found) -> u64| all.iter().map(of).sum::<u64>();
    let found = json!({
        "violations": 0,
        "messages": sum(|found| found.accepted),
        "attempts": sum(|found| found.attempts),
        "ends_of_the_server": sum(|found| found.deaths),
        "allowed_duplicates": sum(|found| found.duplicates),
        "late_outcomes": sum(|found| found.late),
        "looks": sum(|found| found.looks),
        "simulated_hours": (sum(|found| found.simulated_ms) / 36_000) as f64 / 100.0,
    });
    let rounds = proof.rounds();
    proof.found(rounds, found);
}

fn found(seed: u64) -> Found {
    match run(seed) {
        Ok(found) => found,
        Err(broken) => panic!("{}", show(seed, &broken)),
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let mut late = 0;
    for seed in 0..6 {
        let (one, two) = (found(seed), found(seed));
        late += one.late;
        let (one, two) = (one.lines, two.lines);
        let differs = one.iter().zip(&two).position(|(one, two)| one != two);
        let around = |lines: &[String], at: usize| {
            lines
                .get(at.saturating_sub(8)..)
                .unwrap_or_default()
                .iter()
                .take(12)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(
            differs,
            None,
            "seed {seed}\n{}\n---\n{}",
            around(&one, differs.unwrap_or(0)),
            around(&two, differs.unwrap_or(0))
        );
        assert_eq!(one.len(), two.len(), "seed {seed}");
        assert!(one.len() > 100, "seed {seed} does little");
    }
    assert!(late > 0, "no outcome comes too late");
    assert_ne!(found(0).lines, found(1).lines);
}

/// Runs seeds until one breaks one of these laws.
fn notices(plant: Plant, rules: &[&str]) {
    let mut seen = Vec::new();
    for seed in 0..60 {
        if let Err(broken) = run_with(seed, Some(plant)) {
            if rules.iter().any(|rule| broken.what.starts_with(&format!("{rule}: "))) {
                return;
            }
            seen.push(broken.what);
        }
    }
    panic!("nobody notices {plant:?}; seen: {seen:?}");
}

#[test]
fn a_disk_that_lies_about_a_sync_is_noticed() {
    notices(Plant::LyingDisk(0), &["W1", "W2"]);
}

#[test]
fn an_outcome_that_is_lost_on_its_way_is_noticed() {
    notices(Plant::LostOutcome, &["end"]);
}

#[test]
fn a_success_that_is_told_as_a_failure_is_noticed() {
    notices(Plant::WrongOutcome, &["duplicate"]);
}

#[test]
fn a_confirmation_that_nobody_gave_is_noticed() {
    notices(Plant::ForgetfulReceiver, &["success"]);
}

#[test]
fn a_request_that_goes_out_twice_is_noticed() {
    notices(Plant::TwiceSent, &["W5"]);
}

#[test]
fn a_retry_before_the_receiver_wants_it_is_noticed() {
    notices(Plant::LostRetryAfter, &["retry"]);
}
