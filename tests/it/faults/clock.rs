//! The wall clock jumps, while the server runs and while it does not.

use std::path::{Path, PathBuf};

use postrider_proof::Proof;
use serde_json::json;

use crate::support::{Receiver, Reply, Setup, build_shim};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The jumps, in seconds, one after the other.
const JUMPS: [i64; 8] = [HOUR, -HOUR, DAY, -DAY, 20 * DAY, -20 * DAY, -HOUR, HOUR];

/// The wall clock of the servers.
struct Wall {
    file: PathBuf,
    offset_s: i64,
}

impl Wall {
    fn new(home: &Path) -> Self {
        let wall = Self { file: home.join("offset"), offset_s: 0 };
        wall.set();
        wall
    }

    fn jump(&mut self, by_s: i64) {
        self.offset_s += by_s;
        self.set();
    }

    fn set(&self) {
        // Renamed, so that nobody reads half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, self.offset_s.to_string()).expect("it can be written");
        std::fs::rename(&new, &self.file).expect("it can be renamed");
    }
}

/// Whatever the clock does: what was delivered and what is dead stays, what waits for
/// long is neither dead nor sent a second time for it, and what comes is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_jump_of_the_clock_loses_a_message_or_holds_up_the_next() {
    let proof = Proof::new("clock-jumps", 2 * JUMPS.len() as u64);
    let setup = Setup::new().set("retry.schedule", "0,2592000").set("retry.max_age", "100d");
    let (mut wall, shim) = (Wall::new(setup.home()), build_shim("clock", setup.home()));
    let setup =
        setup.env("LD_PRELOAD", shim.display().to_string()).env("CLOCK_OFFSET", wall.file.display().to_string());
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.always(Reply::Status(500));
    let mut server = setup.start().await;
    let api = server.api();
    api.app("shop").await;
    let fine = api.endpoint("shop", &good, json!({ "eventTypes": ["a.b"] })).await;
    let failing = api.endpoint("shop", &bad, json!({ "eventTypes": ["a.c"] })).await;
    let dying = json!({ "eventTypes": ["a.d"], "policy": { "retrySchedule": [0] } });
    let dying = api.endpoint("shop", &bad, dying).await;
    let waits = api.send("shop", "a.c", json!({})).await;
    let dead = api.send("shop", "a.d", json!({})).await;
    api.until_waits(&failing, &waits, "not_due").await;
    api.until_state(&dying, &dead, "dead").await;
    let mut delivered = vec![];

    for round in 0..proof.rounds() {
        let by_s = JUMPS[round as usize % JUMPS.len()];
        if (round / JUMPS.len() as u64).is_multiple_of(2) {
            wall.jump(by_s);
        } else {
            let stopped = server.stop().await;
            wall.jump(by_s);
            server = stopped.start().await;
        }
        let api = server.api();
        let message = api.send("shop", "a.b", json!({ "round": round })).await;
        api.until_state(&fine, &message, "delivered").await;
        delivered.push(message);
        for message in &delivered {
            assert_eq!(api.get(&format!("/app/shop/msg/{message}")).await["id"], message.as_str(), "{by_s} s");
        }
        api.until_waits(&failing, &waits, "not_due").await;
        api.until_state(&dying, &dead, "dead").await;
    }
    assert_eq!(good.arrivals().len(), delivered.len(), "none arrives twice");
    assert_eq!(bad.arrivals().len(), 2, "none is tried early");
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
    let rounds = proof.rounds();
    proof.found(
        rounds,
        json!({ "messages": delivered.len() + 2, "lost": 0, "early_attempts": 0, "early_dead_letters": 0 }),
    );
}
