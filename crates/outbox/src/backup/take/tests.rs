//! What a kill in the middle of a run costs.

use super::*;
use crate::disk::sim::SimDisk;

#[test]
fn the_manifest_is_saved_each_time_when_so_much_was_copied() {
    let (target, dir) = (PathBuf::from("/backup"), PathBuf::from("/data"));
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let layout = Layout { disk: &disk, target: &target };
    for dir in [layout.journal(), layout.checkpoints()] {
        disk.create_dir_all(&dir).expect("it works");
    }
    let manifest = Manifest::new(7);
    let lost = Lost::find(&layout, &manifest).expect("the directories are there");
    let mut progress = |_, _| {};
    let counter = Counter::new(&mut progress);
    let (copied, copied_again, damage) = ((0, 0), vec![], vec![]);
    let mut taking = Taking {
        dir: &dir,
        layout,
        manifest,
        lost,
        counter,
        unsaved: 0,
        sealed_by: None,
        copied,
        copied_again,
        damage,
    };
    // Whether it is written once more is told by whether it is there again.
    let mut is_saved_after = |bytes| {
        taking.note_copied(bytes);
        taking.save_if_much().expect("it can be written");
        disk::remove_if_there(&*disk, &target.join("manifest.json")).expect("it can be removed")
    };
    for _ in 0..2 {
        assert!(!is_saved_after(UNSAVED_BYTES / 2));
        assert!(!is_saved_after(UNSAVED_BYTES / 2 - 1));
        assert!(is_saved_after(1));
    }
    assert!(is_saved_after(UNSAVED_BYTES + 1));
    assert!(!is_saved_after(UNSAVED_BYTES - 1), "what was copied before is saved");
}
