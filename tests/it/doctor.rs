//! `postrider doctor`: says what is wrong, and changes nothing.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::damage::{flip, three_messages};
use crate::support::{Ran, Receiver, Setup, run};

fn doctor(setup: &Setup) -> Ran {
    run(setup.data_dir(), &["doctor", "--set", "journal.segment_bytes=1048576", "--set", "limits.body_bytes=262144"])
}

/// Whether a finding of this level says this.
fn says(told: &Value, level: &str, text: &str) -> bool {
    let findings = told["findings"].as_array().expect("a list");
    findings
        .iter()
        .any(|finding| finding["level"] == level && finding["says"].as_str().is_some_and(|says| says.contains(text)))
}

/// Every file below a directory, with its bytes.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("it is there").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("it has a type"));
        if kind.is_dir() {
            files.extend(self::files(&path));
        } else if kind.is_file() {
            files.insert(path.clone(), std::fs::read(&path).expect("it can be read"));
        }
    }
    files
}

#[tokio::test]
async fn a_healthy_directory_is_fine_whether_it_is_used_or_not_and_stays_as_it_was() {
    let (server, _receiver, ..) = three_messages(true).await;
    let running = doctor(&server.setup).json();
    assert!(says(&running, "note", "a server works on the directory"), "{running}");
    assert!(says(&running, "fine", "2 deliveries wait, 0 dead letters"), "{running}");

    let setup = server.stop().await;
    let before = files(setup.data_dir());
    let stopped = doctor(&setup).json();
    assert_eq!(stopped["healthy"], true, "{stopped}");
    assert!(says(&stopped, "fine", "no server works on the directory"), "{stopped}");
    assert!(says(&stopped, "fine", "after a clean stop; 2 deliveries wait"), "{stopped}");
    assert!(files(setup.data_dir()) == before, "nothing is changed");

    let setup = setup.start().await.kill().await;
    let before = files(setup.data_dir());
    let killed = doctor(&setup).json();
    assert!(says(&killed, "fine", "it would be recovered; 2 deliveries wait"), "{killed}");
    assert!(files(setup.data_dir()) == before, "nor is a recovery left behind");
    setup.start().await;
}

#[tokio::test]
async fn damage_is_named_with_what_to_do_and_the_exit_code_says_whether_a_start_would_be_refused() {
    let (server, ..) = three_messages(false).await;
    let setup = server.stop().await;
    flip(&setup, "middle");
    let harmless = doctor(&setup);
    assert_eq!(harmless.code, Some(1), "{harmless:?}");
    let told = harmless.answered();
    assert!(says(&told, "problem", "segment-") && says(&told, "fine", "a start would succeed"), "{told}");

    let (server, ..) = three_messages(true).await;
    let setup = server.stop().await;
    flip(&setup, "middle");
    let refused = doctor(&setup);
    assert_eq!(refused.code, Some(70), "{refused:?}");
    let told = refused.answered();
    assert!(says(&told, "refused", "segment-"), "{told}");
    assert!(told.to_string().contains("--salvage NEW_DIR"), "{told}");
    let (setup, _) = setup.salvage();
    let told = doctor(&setup).answered();
    assert!(told["healthy"] == false && says(&told, "note", "was salvaged"), "the damage was copied, too: {told}");
    assert!(says(&told, "fine", "a start would succeed"), "{told}");
    setup.start().await;
}

#[tokio::test]
async fn what_is_no_store_or_lacks_its_key_is_said() {
    let setup = Setup::new();
    let nothing = doctor(&setup);
    assert_eq!((nothing.code, nothing.stderr.contains("holds no store")), (Some(1), true), "{nothing:?}");
    assert!(!setup.data_dir().exists(), "nothing is made");
    let setup = setup.start().await.stop().await;
    std::fs::remove_file(setup.data_dir().join("store.key")).expect("it is there");
    let keyless = doctor(&setup);
    assert!(keyless.code == Some(70) && keyless.stdout.contains("keep apart from the backups"), "{keyless:?}");
}

/// As earlier builds have made it, and somebody has opened for a socket.
#[tokio::test]
async fn what_others_can_reach_in_a_directory_that_they_go_through_is_named_by_a_start_and_by_doctor() {
    let setup = Setup::new().start().await.stop().await;
    let dir = setup.data_dir().to_owned();
    let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    set(&dir.join("journal"), 0o755);
    set(&dir.join("checkpoint"), 0o644);
    assert_eq!(doctor(&setup).json()["healthy"], true, "the directory closes what lies in it");
    set(&dir, 0o711);
    let open = doctor(&setup);
    assert_eq!(open.code, Some(1), "{open:?}");
    let server = setup.start().await;
    for name in ["checkpoint", "journal"] {
        let path = dir.join(name).display().to_string();
        let advice = format!("chmod -R go-rwx {path}");
        assert!(says(&open.answered(), "problem", &path) && open.stdout.contains(&advice), "{open:?}");
        assert!(server.log().contains(&advice), "{}", server.log());
        let closed = Command::new("sh").args(["-c", &advice]).status().expect("there is a shell");
        assert!(closed.success(), "{advice}");
    }
    assert_eq!(doctor(&server.stop().await).json()["healthy"], true);
}

#[tokio::test]
async fn the_index_of_a_stopped_server_can_be_removed_and_comes_back() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "a.b", serde_json::json!({})).await;
    receiver.expect(1).await;
    let in_use = run(setup.data_dir(), &["doctor", "--repair-index"]);
    assert_eq!(in_use.code, Some(75), "{in_use:?}");
    let setup = server.stop().await;
    run(setup.data_dir(), &["doctor", "--repair-index"]).ok();
    assert!(!setup.data_dir().join("index").exists());
    let server = setup.start().await;
    assert_eq!(server.api().get(&format!("/app/shop/msg/{message}")).await["id"], message.as_str());
}
