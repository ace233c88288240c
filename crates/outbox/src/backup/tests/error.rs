//! What is said of what went wrong, and the names of keys.

use super::super::error::BackupError;
use super::super::{key_name, key_name_needed, key_name_of};
use super::*;
use crate::checkpoint::CheckpointError;
use crate::journal::{segment_of_one_frame, segment_path};
use crate::open::{JOURNAL, store_id};
use crate::{MasterKey, Options};

#[test]
fn what_else_is_lost_is_counted() {
    let text = |more| BackupError::Lost { what: "/backup/file is missing".to_owned(), more }.to_string();
    let alone = "/backup/file is missing, and the store does not have it any more";
    assert_eq!(text(0), alone);
    assert_eq!(text(1), format!("{alone}, nor 1 other file that the backup has lost"));
    assert_eq!(text(2), format!("{alone}, nor 2 other files that the backup has lost"));
}

#[test]
fn damage_is_what_has_become_of_the_backup_or_of_the_checkpoint() {
    let (path, dir) = (PathBuf::from("/file"), PathBuf::from("/dir"));
    let damage = [
        BackupError::Damaged { what: "it".to_owned() },
        BackupError::Lost { what: "it".to_owned(), more: 0 },
        BackupError::Manifest { path: path.clone(), detail: "its checksum does not match".to_owned() },
        CheckpointError::Damaged { path: path.clone(), detail: "it is too short".to_owned() }.into(),
    ];
    let none = [
        BackupError::Io { what: "read", path: path.clone(), source: io::ErrorKind::Other.into() },
        BackupError::NoBackup { dir: dir.clone() },
        BackupError::OtherStore { dir },
        BackupError::Newer { path: path.clone(), format: 2 },
        BackupError::TooEarly { earliest: None },
        CheckpointError::Newer { path }.into(),
    ];
    assert!(damage.iter().all(BackupError::is_damage));
    assert!(!none.iter().any(BackupError::is_damage));
}

/// Somebody has written it down beside the key.
#[test]
fn the_name_of_a_key_stays_and_is_told_by_the_key_and_by_the_store_alike() {
    assert_eq!(key_name(0x0123_4567_89ab_cdef), "6799726a7eeb");
    let named = |byte| Options::new("/data", MasterKey::new([byte; 32]));
    assert_ne!(key_name_of(&named(7)), key_name_of(&named(8)));
    let (sim, _) = disk();
    let dir = PathBuf::from("/data");
    assert_eq!(key_name_needed(&sim, &dir), None, "there is no store");
    sim.create_dir_all(&dir.join(JOURNAL)).expect("it works");
    assert_eq!(key_name_needed(&sim, &dir), None, "there is no store");
    let store_id = store_id(&named(7));
    let bytes = segment_of_one_frame((1, store_id), 0, UnixMs(1), &[b"record"]).expect("there is room");
    put(&sim, &segment_path(&dir.join(JOURNAL), 1), &bytes);
    assert_eq!(key_name_needed(&sim, &dir), Some(key_name_of(&named(7))));
}
