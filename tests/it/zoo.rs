//! Receivers that misbehave, all at once, against the real binary with its defaults.
//!
//! ```text
//!   one message ---> application zoo ---> one endpoint for each animal, and a good one
//!   ever again  ---> application neighbour ---> a good endpoint, which gets them all meanwhile
//! ```
//!
//! Of each animal it is known what a person is shown of the attempts, to the letter: so
//! nothing of the server's own network or libraries is in it. The server lets go of
//! each connection, and is afterwards as small as it was.

mod answers;
mod asking;
mod broken;
mod cage;
mod http2;
mod slow;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use postrider_proof::{Dice, Proof};
use serde_json::{Value, json};

use self::cage::{Animal, Shown};
use self::tls::Authority;
use crate::support::{Api, Receiver, Server, Setup, until};

/// Attempts of each delivery; few enough that no breaker opens.
const ATTEMPTS: usize = 2;
/// Bytes of the payloads of a round. The second is more than a connection takes ahead.
const PAYLOADS: [usize; 2] = [10, 300_000];
/// Bytes that are kept of an answer that is a success.
const KEPT_OF_SUCCESS: usize = 1_024;
/// How long after its deadline the server may keep a connection; less than it keeps good ones.
const MOST_MS_TO_LET_GO: u64 = 15_000;
/// Lines that the server may write: the animals write none.
const MOST_LOG_LINES: usize = 20;
/// How much larger the server may be afterwards.
const MORE_FILES: usize = 50;
const MORE_MEMORY_KIB: u64 = 100 << 10;
/// What nobody but the operator is to be told.
const SECRETS: [&str; 9] =
    ["os error", "hyper", "rustls", "hickory", "resolv", "handshake", "no answer within", "failed to", "169.254."];

/// What was counted.
#[derive(Default)]
struct Tally {
    attempts: usize,
    /// For how long an attempt went on after its deadline at most, and a connection.
    late_ms: u64,
    let_go_ms: u64,
    /// Messages that the neighbour got, and for how long one was on its way at most.
    neighbours: usize,
    neighbours_ms: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_animal_costs_the_others_or_the_server_anything() {
    let proof = Proof::new("zoo", 1);
    let (setup, rounds) = (Setup::new(), proof.rounds());
    let ca_file = setup.home().join("authority.pem");
    let authority = Authority::new(&ca_file);
    let server = setup.set("dispatch.ca_file", &ca_file.display().to_string()).start().await;
    let mut animals = all(&authority, &mut proof.dice()).await;
    let (good, neighbour) = (Receiver::start().await, Receiver::start().await);
    server.api().register("neighbour", &neighbour).await;
    let mut tally = Tally::default();
    beside(&server, &neighbour, &mut tally, async || ()).await;
    let before = Size::of(&server);
    for round in 0..rounds {
        let app = format!("zoo-{round}");
        let endpoints = settle_in(&server.api(), &app, &animals, &good).await;
        let messages = beside(&server, &neighbour, &mut tally, async || send_and_wait(&server.api(), &app).await).await;
        for message in &messages {
            check(&server, &app, message, &animals, &endpoints, &mut tally).await;
        }
        server.api().call("DELETE", &format!("/app/{app}"), &Value::Null).await;
    }
    for animal in &mut animals {
        let visits = animal.until_alone().await;
        let longest = visits.longest.as_millis() as u64;
        tally.let_go_ms = tally.let_go_ms.max(longest.saturating_sub(animal.shown.deadline_ms()));
        let attempts = rounds as usize * PAYLOADS.len() * animal.shown.attempts();
        assert!(!animal.once || visits.begun == attempts, "{} was visited {} times", animal.name, visits.begun);
    }
    assert!(tally.let_go_ms < MOST_MS_TO_LET_GO, "a connection was kept for {} ms", tally.let_go_ms);
    let after = Size::of(&server);
    after.assert_hardly_larger_than(&before);
    assert_eq!(good.arrivals().len(), rounds as usize * PAYLOADS.len(), "the good one beside them got everything");
    assert_eq!(neighbour.arrivals().len(), tally.neighbours, "and so did the neighbour");
    assert_sound(&server).await;
    server.stop().await;
    proof.found(
        rounds,
        json!({
            "kinds": animals.len(),
            "attempts": tally.attempts,
            "deliveries_to_others": tally.neighbours + good.arrivals().len(),
            "most_ms_over_deadline": tally.late_ms,
            "most_ms_to_let_go": tally.let_go_ms,
            "most_ms_to_others": tally.neighbours_ms,
            "most_more_open_files": after.files.saturating_sub(before.files),
            "most_more_memory_kib": after.memory_kib.saturating_sub(before.memory_kib),
        }),
    );
}

async fn all(authority: &Authority, dice: &mut Dice) -> Vec<Animal> {
    let mut animals = slow::animals().await;
    animals.extend(broken::animals(dice).await);
    animals.extend(answers::animals().await);
    animals.extend(tls::animals(authority).await);
    animals.extend(http2::animals(authority).await);
    animals
}

/// Makes an application with an endpoint for each animal, and one for the good receiver.
/// Gives the animals' endpoints.
async fn settle_in(api: &Api, app: &str, animals: &[Animal], good: &Receiver) -> Vec<String> {
    api.app(app).await;
    api.endpoint(app, good, json!({})).await;
    let mut endpoints = Vec::new();
    let policy = json!({ "retrySchedule": vec![0; ATTEMPTS], "retryJitterPercent": 0 });
    for animal in animals {
        let body = json!({ "url": animal.url, "timeoutMs": animal.shown.deadline_ms(), "policy": policy });
        let made = api.post(&format!("/app/{app}/endpoint"), body).await;
        endpoints.push(made["id"].as_str().expect("an endpoint has an id").to_owned());
    }
    endpoints
}

/// Sends the messages of a round, and waits until nothing of them is to be delivered any more.
async fn send_and_wait(api: &Api, app: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for bytes in PAYLOADS {
        messages.push(api.send(app, "order.paid", json!({ "long": "x".repeat(bytes) })).await);
    }
    until("all deliveries to the animals to end", async || {
        let pending = api.get(&format!("/app/{app}/delivery?limit=1")).await;
        pending["data"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    messages
}

/// Does something, while the neighbour gets one message after the other.
async fn beside<T>(server: &Server, neighbour: &Receiver, tally: &mut Tally, work: impl AsyncFnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let working = async {
        let done = work().await;
        over.store(true, Ordering::Relaxed);
        done
    };
    let sending = async {
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            server.api().send("neighbour", "order.paid", json!({})).await;
            tally.neighbours += 1;
            neighbour.expect(tally.neighbours).await;
            tally.neighbours_ms = tally.neighbours_ms.max(began.elapsed().as_millis() as u64);
        }
    };
    tokio::join!(working, sending).0
}

async fn attempts(api: &Api, app: &str, message: &str) -> Vec<Value> {
    let (mut attempts, mut iterator) = (Vec::new(), String::new());
    loop {
        let path = format!("/app/{app}/attempt/msg/{message}?limit=250&iterator={iterator}");
        let page = api.get(&path).await;
        attempts.extend(page["data"].as_array().expect("a list has members").iter().cloned());
        if page["done"] == true {
            return attempts;
        }
        page["iterator"].as_str().expect("there is a way on").clone_into(&mut iterator);
    }
}

/// Each animal's attempts are shown as they are to be, and nothing else is.
async fn check(server: &Server, app: &str, message: &str, animals: &[Animal], endpoints: &[String], tally: &mut Tally) {
    let attempts = attempts(&server.api(), app, message).await;
    tally.attempts += attempts.len();
    let mut wrong = Vec::new();
    for (animal, endpoint) in animals.iter().zip(endpoints) {
        let of_animal: Vec<_> = attempts.iter().filter(|attempt| attempt["endpointId"] == endpoint.as_str()).collect();
        let shown: Vec<_> = of_animal.iter().map(|attempt| Shown::of(attempt)).collect();
        if shown.len() != animal.shown.attempts() || !shown.iter().all(|one| animal.shown.allows(one)) {
            wrong.push(format!("{}: {shown:?} instead of {:?}", animal.name, animal.shown));
        }
        let longest = of_animal.iter().filter_map(|attempt| attempt["responseDurationMs"].as_u64()).max();
        tally.late_ms = tally.late_ms.max(longest.unwrap_or(0).saturating_sub(animal.shown.deadline_ms()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let shown = ["attempts", "show"].map(|what| server.run(&["message", what, "--app", app, message]));
    let data_dir = server.setup.data_dir().display().to_string();
    for text in shown.iter().map(|ran| &ran.ok().stdout) {
        for secret in SECRETS.iter().copied().chain([&*data_dir]) {
            assert!(!text.contains(secret), "`{secret}` is shown: {text}");
        }
    }
}

/// How much of the machine the server has (proc(5)).
struct Size {
    files: usize,
    memory_kib: u64,
}

impl Size {
    fn of(server: &Server) -> Self {
        let process = format!("/proc/{}", server.process.pid().as_raw_nonzero());
        let files = std::fs::read_dir(format!("{process}/fd")).expect("the process runs").count();
        let status = std::fs::read_to_string(format!("{process}/status")).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        Self { files, memory_kib: line.trim().trim_end_matches(" kB").parse().expect("a number") }
    }

    fn assert_hardly_larger_than(&self, before: &Self) {
        let Self { files, memory_kib } = *self;
        assert!(files <= before.files + MORE_FILES, "{files} open files, {} before", before.files);
        assert!(memory_kib <= before.memory_kib + MORE_MEMORY_KIB, "{memory_kib} KiB, {} before", before.memory_kib);
    }
}

async fn assert_sound(server: &Server) {
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
    let log = server.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(log.lines().count() <= MOST_LOG_LINES, "animals write into the log");
}
