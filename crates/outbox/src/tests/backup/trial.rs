//! A start from a backup that is tried, where there is no data directory yet.

use super::super::support::Running;
use super::*;
use crate::backup::try_backup;
use crate::disk::RealDisk;
use crate::index::{Index, IndexOptions};

#[test]
fn a_start_is_tried_for_a_data_directory_that_is_not_there() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (dir, target) = (home.path().join("data"), home.path().join("backup"));
    let clock = ManualClock::new();
    let running = Running::start(options(&dir), &clock).expect("the store opens");
    running.app(APP);
    running.endpoint(APP, &[PAID]);
    running.send(APP, PAID, "one");
    running.stop();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let request = BackupRequest { dir, target: target.clone(), keep: None };
    backup(&request, &disk, &*clock, &mut |_, _| {}).expect("nothing is wrong");
    let nowhere = home.path().join("nowhere");
    // Nor does it matter how much room there would be.
    for max_bytes in [None, Some(0)] {
        let options = Options { max_bytes, ..options(&nowhere) };
        let name = format!("index-{}", max_bytes.is_some());
        let index = Index::open(&IndexOptions::new(home.path().join(name))).expect("a directory can be made");
        let clock = Arc::clone(&clock) as Arc<dyn postrider_model::time::Clock>;
        let tried = try_backup(&target, &options, &disk, clock, index).expect("it can be read");
        assert_eq!(tried.expect("a start would work").waiting, 1, "{max_bytes:?}");
    }
    assert!(!nowhere.exists(), "nothing is made there");
}
