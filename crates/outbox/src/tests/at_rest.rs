//! What lies on disk: nothing that opens other people's doors, and nothing that
//! another key opens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::command::{Command, Reply, Write};
use postrider_model::endpoint::Endpoint;

use super::support::{ManualClock, ORG, Running, options};
use crate::checkpoint::CheckpointError;
use crate::{MasterKey, OpenError, Options, journal};

const HIDDEN: [&str; 4] = ["pa55word-of-the-url", "t0ken-of-a-header", "0wn-header", "query-t0ken"];

fn endpoint(running: &Running) -> Arc<Endpoint> {
    running.app("shop");
    let reply = running.command(Command::Endpoint {
        org: ORG,
        app: "shop".to_owned(),
        endpoint: String::new(),
        write: Write::Create,
        secret: None,
        disabled: None,
        edit: Box::new(|fields| {
            fields.url = "https://till:pa55word-of-the-url@example.com/hook?key=query-t0ken".to_owned();
            fields.headers.insert("authorization".to_owned(), "Bearer t0ken-of-a-header".to_owned());
            fields.headers.insert("x-0wn-header".to_owned(), "17".to_owned());
        }),
    });
    match reply {
        Reply::Endpoint { endpoint, .. } => endpoint,
        other => panic!("an endpoint was asked for, not {other:?}"),
    }
}

fn shown(running: &Running, endpoint: &Endpoint) -> Option<Endpoint> {
    running.outbox.shared.config.read().endpoint(endpoint.id).map(|found| Endpoint::clone(found))
}

/// Every file below a directory but the lock and the index, which any start may make anew.
pub(super) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                if !path.ends_with("index") {
                    dirs.push(path);
                }
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("it can be read"));
            }
        }
    }
    found
}

fn nothing_is_in_the_clear(dir: &Path) {
    for (path, bytes) in files(dir) {
        for hidden in HIDDEN {
            let found = bytes.windows(hidden.len()).any(|part| part == hidden.as_bytes());
            assert!(!found, "{hidden} is in {}", path.display());
        }
    }
}

#[test]
fn an_endpoint_lies_sealed_in_journal_and_checkpoint_and_comes_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let running = Running::start(options(dir.path()), &clock).expect("it opens");
    let made = endpoint(&running);
    running.kill();
    nothing_is_in_the_clear(dir.path());

    let running = Running::start(options(dir.path()), &clock).expect("it opens by the journal");
    assert_eq!(shown(&running, &made).as_ref(), Some(&*made));
    running.stop();
    assert!(dir.path().join("checkpoint").exists());
    nothing_is_in_the_clear(dir.path());

    let running = Running::start(options(dir.path()), &clock).expect("it opens by the checkpoint");
    assert_eq!(shown(&running, &made).as_ref(), Some(&*made));
    running.stop();
}

#[test]
fn another_key_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let running = Running::start(options(dir.path()), &clock).expect("it opens");
    endpoint(&running);
    let other = || Options { master_key: MasterKey::new([8; 32]), ..options(dir.path()) };
    running.kill();
    let before = files(dir.path());
    let refused = Running::start(other(), &clock).err();
    assert!(matches!(refused, Some(OpenError::Journal(journal::OpenError::ForeignStore { .. }))), "{refused:?}");
    assert!(files(dir.path()) == before, "by the journal");

    Running::start(options(dir.path()), &clock).expect("its own key opens it").stop();
    let before = files(dir.path());
    let refused = Running::start(other(), &clock).err();
    assert!(matches!(refused, Some(OpenError::Checkpoint(CheckpointError::OtherKey { .. }))), "{refused:?}");
    let disk: Arc<dyn crate::disk::Disk> = Arc::new(crate::disk::RealDisk);
    let to = tempfile::tempdir().expect("a temporary directory");
    let salvage = || crate::salvage(&other(), to.path(), &disk, &*clock, &mut |_, _| {}).err();
    let refused = salvage();
    assert!(matches!(refused, Some(OpenError::Checkpoint(CheckpointError::OtherKey { .. }))), "{refused:?}");
    assert!(files(dir.path()) == before, "by the checkpoint");
    // Of one that is damaged nobody knows with which key it was sealed.
    std::fs::write(dir.path().join("checkpoint"), "damaged").expect("it can be written");
    let before = files(dir.path());
    let refused = salvage();
    assert!(matches!(refused, Some(OpenError::Journal(journal::OpenError::ForeignStore { .. }))), "{refused:?}");
    assert!(files(dir.path()) == before && files(to.path()).is_empty(), "by the journal again");
}
