//! `postrider backup` and `restore`: what was accepted before a point is there after it, paused;
//! nothing is given out twice; damage has a name.

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::kill::load::Load;
use crate::kill::world::{APPS, World, until_deliveries};
use crate::support::{POSTRIDER, Ran, Receiver, Server, Setup, in_time, run, until};

/// Events of one application in a round.
const LINES: usize = 32;

/// Sends so many rounds of events to each application.
async fn send(world: &World, server: &Server, rounds: usize) {
    let load = Load::new(Arc::clone(&world.ledger), Box::new(|_| false), Box::new(|| {}));
    let mut ingest = server.ingest().await;
    for round in 0..rounds * APPS.len() {
        let events = world.ledger.take(LINES, round % APPS.len(), APPS.len());
        assert!(load.exchange(&mut ingest, &events).await, "the server runs");
    }
}

/// What was accepted and never confirmed by the receiver.
fn missing(world: &World) -> BTreeSet<String> {
    world.ledger.lost(&BTreeSet::new(), &BTreeSet::new()).into_iter().collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it is UTF-8")
}

/// With the configuration of the server, since a start depends on it.
fn ran(data_dir: &Path, arguments: &[&str]) -> Ran {
    let configured = ["--set", "journal.segment_bytes=1048576", "--set", "limits.body_bytes=262144"];
    run(data_dir, &[arguments, &configured].concat())
}

/// The same on a thread that may block.
async fn backup(setup: &Setup, target: &Path) -> Value {
    let (dir, target) = (setup.data_dir().to_owned(), target.to_owned());
    tokio::task::spawn_blocking(move || ran(&dir, &["backup", text(&target)]).json()).await.expect("it does not panic")
}

/// Begins a backup, and ends it as a power cut would once it has begun to copy.
async fn killed_backup(setup: &Setup, target: &Path) {
    let mut command = Command::new(POSTRIDER);
    command.current_dir("/").arg("backup").arg(target).arg("--data-dir").arg(setup.data_dir());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary can be started");
    let journal = target.join("journal");
    until("something to be copied", async || {
        let begun = std::fs::read_dir(&journal).is_ok_and(|mut entries| entries.next().is_some());
        (begun || child.try_wait().expect("it is our child").is_some()).then_some(())
    })
    .await;
    // If it was quicker than that, it is killed after its end.
    let _ = child.kill();
    child.wait().expect("it is our child");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("it is there").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn assert_without_sockets(dir: &Path) {
    let is_socket = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sock");
    assert_eq!(files(dir).into_iter().find(is_socket), None, "a start that is refused leaves no socket");
}

fn give_key(from: &Setup, to: &Path) {
    std::fs::DirBuilder::new().mode(0o700).create(to).expect("it is new");
    std::fs::copy(from.data_dir().join("store.key"), to.join("store.key")).expect("the key lies there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_before_a_point_is_there_after_a_restore_to_it() {
    let world = World::make(Setup::new()).await;
    let home = world.setup.home().to_owned();
    let target = home.join("backup");
    let server = world.setup.start().await;

    // Under load: one run is killed, the next ones go on where it was.
    let (.., taken) = tokio::join!(send(&world, &server, 12), async {
        killed_backup(&world.setup, &target).await;
        backup(&world.setup, &target).await
    });
    assert!(taken["segments"].as_u64() >= Some(1), "{taken}");
    until_deliveries(&server, &["waiting", "in_flight"], 0.0).await;
    assert_eq!(missing(&world), BTreeSet::new());
    server.run(&["pause"]).ok();
    send(&world, &server, 6).await;
    let before = missing(&world);
    let now = jiff::Timestamp::now();
    // What comes later bears a later time.
    until("the next millisecond", async || {
        (jiff::Timestamp::now().as_millisecond() > now.as_millisecond()).then_some(())
    })
    .await;
    send(&world, &server, 6).await;
    let after: BTreeSet<_> = missing(&world).difference(&before).cloned().collect();
    assert!(before.len() >= 500 && after.len() >= 500, "{} {}", before.len(), after.len());
    let taken = backup(&world.setup, &target).await;
    let again = backup(&world.setup, &target).await;
    assert!(again["copiedBytes"].as_u64() <= Some(1 << 20), "only the open segment may have changed: {again}");
    assert_eq!((&again["end"], &again["damage"]), (&taken["end"], &json!([])));
    let verified = ran(world.setup.data_dir(), &["backup", "--verify", text(&target)]).json();
    assert_eq!(
        (&verified["healthy"], &verified["start"]["waiting"]),
        (&json!(true), &json!(before.len() + after.len()))
    );
    server.kill().await;

    flipped_bits_have_names(&world.setup, &target);
    let known = world.ledger.ids();
    let (to_point, to_end) = (home.join("to-point"), home.join("to-end"));
    for dir in [&to_point, &to_end] {
        give_key(&world.setup, dir);
    }
    let point = format!("{now:.3}");
    let restored = ran(&to_point, &["restore", text(&target), text(&to_point), "--to", &point]);
    let told = restored.json();
    assert_eq!(told["start"]["waiting"], json!(before.len()), "{told}");
    assert!(told["notRestored"]["records"].as_u64() >= Some(after.len() as u64), "{told}");
    assert!(restored.stderr.contains("postrider resume --data-dir"), "{restored:?}");
    let told = ran(&to_end, &["restore", text(&target), text(&to_end)]).json();
    assert_eq!(
        (&told["start"]["waiting"], &told["notRestored"]["records"]),
        (&verified["start"]["waiting"], &json!(0))
    );

    let server = world.setup.clone().at(&to_point).start().await;
    it_says_that_it_is_paused(&server).await;
    // Events with a key wait for the index, which is made anew.
    world.listed(&server.api()).await;
    let confirmed_before = missing(&world);
    send(&world, &server, 2).await;
    let fresh: BTreeSet<_> = world.ledger.ids().difference(&known).cloned().collect();
    assert_eq!(fresh.len(), 2 * LINES * APPS.len(), "no id is one that was given out before");
    assert_eq!(missing(&world).difference(&fresh).cloned().collect::<BTreeSet<_>>(), confirmed_before, "it is paused");
    server.run(&["resume"]).ok();
    until_deliveries(&server, &["waiting", "held", "in_flight"], 0.0).await;
    assert_eq!(missing(&world), after, "all that was accepted before the point has arrived, and nothing after it");
    assert_eq!(server.api().get("/status").await["restored"], Value::Null);
    world.ledger.kill_begins();
    server.kill().await;
    world.ledger.cut_ended();

    let server = world.setup.clone().at(&to_end).start().await;
    server.run(&["resume"]).ok();
    until_deliveries(&server, &["waiting", "held", "in_flight"], 0.0).await;
    world.ledger.assert_all_confirmed();
    world.ledger.assert_sound();
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
}

/// Each kind of file of a backup, with a bit that is not what it was.
fn flipped_bits_have_names(setup: &Setup, target: &Path) {
    for dir in ["journal", "checkpoints"] {
        let file = files(&target.join(dir)).into_iter().next().expect("there is one");
        let name = file.file_name().expect("it has a name").to_string_lossy().into_owned();
        let whole = std::fs::read(&file).expect("it can be read");
        let mut flipped = whole.clone();
        *flipped.get_mut(whole.len() / 2).expect("it is not empty") ^= 1;
        std::fs::write(&file, flipped).expect("it can be written");
        let found = ran(setup.data_dir(), &["backup", "--verify", text(target)]);
        assert_eq!(found.code, Some(70), "{found:?}");
        let problems = found.answered()["problems"].to_string();
        assert!(problems.contains(&name), "{problems}");
        assert_eq!(problems.contains("bytes "), dir == "journal", "{problems}");
        let refused_dir = setup.home().join("refused");
        let refused = ran(&refused_dir, &["restore", text(target), text(&refused_dir)]);
        assert!(refused.code == Some(70) && refused.stderr.contains(&name), "{refused:?}");
        std::fs::remove_dir_all(&refused_dir).expect("it was begun");
        std::fs::write(&file, whole).expect("it can be written");
    }
    ran(setup.data_dir(), &["backup", "--verify", text(target)]).ok();
}

async fn it_says_that_it_is_paused(server: &Server) {
    let status = server.api().get("/status").await;
    assert!(status["dispatchPausedAt"].is_string() && status["restored"]["to"].is_string(), "{status}");
    assert!(server.log().contains("restored from a backup of"), "{}", server.log());
    let ready = server.metrics_door().ask("GET", "/health/ready", &[], "").await;
    assert_eq!(ready.status, 200, "events are accepted: {ready:?}");
    let doctor = ran(server.setup.data_dir(), &["doctor"]).json();
    let findings = doctor["findings"].to_string();
    assert!(findings.contains("restored from a backup of") && findings.contains("postrider resume"), "{findings}");
}

#[tokio::test]
async fn a_restore_that_was_not_finished_is_refused_by_name() {
    let setup = Setup::new();
    std::fs::create_dir(setup.data_dir()).expect("it is new");
    std::fs::write(setup.data_dir().join("restoring"), "{}").expect("it can be written");
    let ended = setup.refused().await;
    assert!(ended.code == Some(70) && ended.stderr.contains("a restore that was not finished"), "{ended:?}");
    assert!(!setup.data_dir().join("store.key").exists(), "no key is made for it");
    assert_without_sockets(setup.data_dir());
    let salvaged = setup.home().join("salvaged");
    for arguments in [&["doctor"][..], &["doctor", "--salvage", text(&salvaged)]] {
        let ran = run(setup.data_dir(), arguments);
        assert!(ran.code == Some(70), "{ran:?}");
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("postrider restore"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_stopped_store_is_backed_up_too_and_what_cannot_be_done_is_said() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "a.b", json!({ "n": 1 })).await;
    in_time("the message", receiver.expect(1)).await;
    let setup = server.stop().await;
    let (target, dir) = (setup.home().join("backup"), setup.home().join("new"));
    let taken = run(setup.data_dir(), &["backup", text(&target)]);
    let key = taken.json()["key"].as_str().expect("it names the key").to_owned();
    assert!(taken.stderr.contains("NOT in the backup") && taken.stderr.contains("store.key"), "{taken:?}");
    let secrets = ["store.key", "jwt-secret"].map(|name| std::fs::read(setup.data_dir().join(name)).expect("a key"));
    for path in files(&target.join("journal")).into_iter().chain([target.join("manifest.json")]) {
        let bytes = std::fs::read(&path).expect("it can be read");
        let secret = |secret: &Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!secrets.iter().any(secret), "no key is in {}", path.display());
    }
    let inside = run(setup.data_dir(), &["backup", text(&setup.data_dir().join("backup"))]);
    assert!(inside.code == Some(64) && inside.stderr.contains("data directory"), "{inside:?}");
    let started = setup.clone().at(&target).refused().await;
    assert!(started.code == Some(1) && started.stderr.contains("is a backup"), "{started:?}");
    assert_without_sockets(&target);
    // Earlier versions left some.
    let left = ["api.sock", "ingest.sock"].map(|name| UnixListener::bind(target.join(name)).expect("it is free"));
    drop(left);
    run(setup.data_dir(), &["backup", text(&target)]).ok();
    let doctor = run(&target, &["doctor"]);
    assert!(doctor.code == Some(70) && doctor.stdout.contains("is a backup"), "{doctor:?}");
    run(setup.data_dir(), &["backup", "--verify", text(&target)]).ok();

    let nothing = run(&dir, &["restore", text(setup.home()), text(&dir)]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("holds no backup"), "{nothing:?}");
    let used = run(&dir, &["restore", text(&target), text(setup.data_dir())]);
    assert!(used.code == Some(1) && used.stderr.contains("is not empty"), "{used:?}");
    let within = target.join("sub/restored");
    let inside = run(&dir, &["restore", text(&target), text(&within)]);
    assert!(inside.code == Some(64) && inside.stderr.contains("lies in the backup"), "{inside:?}");
    assert!(!target.join("sub").exists(), "nothing was made");
    for (at, says) in [("2999-01-01T00:00:00Z", "it was taken at"), ("2001-01-01T00:00:00Z", "can be restored")] {
        let never = run(&dir, &["restore", text(&target), text(&dir), "--to", at]);
        assert!(never.code == Some(1) && never.stderr.contains(says), "{never:?}");
    }
    assert!(!dir.exists(), "nothing is left of what was refused");

    let keyless = run(&dir, &["restore", text(&target), text(&dir)]);
    assert!(keyless.ok().stderr.contains(&format!("the key {key} is not here")), "{keyless:?}");
    for said in [setup.clone().at(&dir).refused().await.stderr, run(&dir, &["doctor"]).stdout] {
        assert!(said.contains(&key), "it says which key is missing: {said}");
    }
    assert_without_sockets(&dir);
    std::fs::copy(setup.data_dir().join("store.key"), dir.join("store.key")).expect("the key lies there");
    let server = setup.clone().at(&dir).start().await;
    server.run(&["resume"]).ok();
    assert_eq!(server.api().get(&format!("/app/shop/msg/{message}")).await["id"], message.as_str());
    assert_eq!(receiver.arrivals().len(), 1, "what was delivered before the backup is not delivered again");
}

#[tokio::test]
async fn a_backup_is_judged_by_itself_and_takes_no_restored_store() {
    let (setup, receiver) = (Setup::new().with_small_segments(), Receiver::start().await);
    let server = setup.start().await;
    server.api().register("shop", &receiver).await;
    server.run(&["pause"]).ok();
    let big = json!({ "text": "x".repeat(200_000) });
    server.api().send("shop", "a.b", big.clone()).await;
    let (target, dir) = (server.setup.home().join("backup"), server.setup.home().join("new"));
    let taken = backup(&server.setup, &target).await;
    // The server goes on to another segment.
    for _ in 0..8 {
        server.api().send("shop", "a.b", big.clone()).await;
    }
    let segments = files(&server.setup.data_dir().join("journal")).len();
    assert!(segments > 3, "beside two spare ones: {segments}");
    let verified = ran(server.setup.data_dir(), &["backup", "--verify", text(&target)]).json();
    assert_eq!((&verified["problems"], &verified["start"]["waiting"]), (&json!([]), &json!(1)), "{verified}");
    assert_eq!(verified["end"], taken["end"]);

    backup(&server.setup, &target).await;
    let lost = files(&target.join("journal")).swap_remove(0);
    std::fs::remove_file(&lost).expect("it is there");
    let mended = ran(server.setup.data_dir(), &["backup", text(&target)]);
    assert!(mended.ok().stderr.contains(&format!("{} is missing", lost.display())), "{mended:?}");
    assert!(mended.json()["copiedAgain"].as_array().is_some_and(|again| again.len() == 1), "{mended:?}");
    ran(server.setup.data_dir(), &["backup", "--verify", text(&target)]).ok();
    ran(&dir, &["restore", text(&target), text(&dir), "--to-position", "1:64"]).ok();
    let refused = ran(&dir, &["backup", text(&target)]);
    assert!(refused.code == Some(1) && refused.stderr.contains("was restored since"), "{refused:?}");
    assert!(refused.stderr.contains("name a new directory"), "{refused:?}");
    ran(server.setup.data_dir(), &["backup", "--verify", text(&target)]).ok();
    ran(&dir, &["backup", text(&server.setup.home().join("second"))]).ok();
}

#[tokio::test]
async fn a_backup_that_another_key_seals_is_not_called_damaged() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    server.api().register("shop", &receiver).await;
    let setup = server.stop().await;
    let before = setup.home().join("before.key");
    std::fs::copy(setup.data_dir().join("store.key"), &before).expect("the key lies there");
    let rotated = run(setup.data_dir(), &["key", "rotate"]);
    assert!(rotated.ok().stderr.contains("backups do not hold the keys"), "{rotated:?}");
    let target = setup.home().join("backup");
    let taken = run(setup.data_dir(), &["backup", text(&target)]);
    assert_eq!(taken.json()["sealingKey"], json!(1), "{taken:?}");
    assert!(taken.stderr.contains("seals with key 1"), "{taken:?}");
    let tried = run(setup.data_dir(), &["backup", "--verify", text(&target)]);
    assert!(tried.json()["start"].is_object(), "{tried:?}");
    let key_file = format!("store.key_file={}", before.display());
    let verified = run(setup.data_dir(), &["backup", "--verify", text(&target), "--set", &key_file]);
    assert_eq!((verified.code, &verified.json()["start"]), (Some(0), &Value::Null), "{verified:?}");
    assert!(verified.stderr.contains("was not tried") && verified.stderr.contains("key file"), "{verified:?}");
}

#[test]
fn nothing_is_made_for_a_backup_of_what_is_not_there() {
    let home = tempfile::tempdir().expect("there is room for temporary files");
    let target = home.path().join("backup");
    let refused = ran(&home.path().join("none"), &["backup", text(&target)]);
    assert!(refused.code == Some(1) && refused.stderr.contains("holds no store"), "{refused:?}");
    assert!(!target.exists() && !home.path().join("none").exists(), "{refused:?}");
}
