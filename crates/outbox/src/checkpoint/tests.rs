//! The bytes of a checkpoint, and how one takes the place of another.

use postrider_model::id::{AppId, OrgId, RawId};

use super::*;
use crate::MasterKey;
use crate::disk::sim::{SimDisk, Survival};

/// As they were written before the configuration was sealed, and before there was an audit log.
#[test]
fn older_checkpoints_stay_readable() {
    let options = Options::new("/nowhere", MasterKey::new([7; 32]));
    let (state, mut config) = (State::new(&options), Config::default());
    config.apply(&ConfigChange::DefaultOrg(OrgId(RawId::from_bytes([9; 20]))));
    let body = |config: Vec<u8>| {
        to_bincode(&BodyRef {
            position: Position::new(3, 64),
            last_record: UnixMs(17),
            config,
            lanes: vec![],
            tasks: vec![],
            expunging: &state.expunging,
        })
    };
    let plain = serde_json::to_vec(&config.to_changes()).expect("it is JSON");
    let Ok(restored) = decode(&headed(PLAIN_MAGIC, &body(plain.clone())), &options) else { panic!("it is readable") };
    assert_eq!((restored.position, restored.config.default_org()), (Position::new(3, 64), config.default_org()));
    assert!(matches!(decode(&headed(OLDER_MAGIC, &body(plain)), &options), Err(Unfit::OtherKey)));
    let sealed = Sealer::new(&options.master_key).seal_config(&config.to_changes());
    let Ok(restored) = decode(&headed(OLDER_MAGIC, &body(sealed.clone())), &options) else {
        panic!("one without the audit log is readable")
    };
    assert_eq!(restored.config.default_org(), config.default_org());
    assert!(matches!(decode(&headed(MAGIC, &body(sealed)), &options), Err(Unfit::Damaged(_))));
    let damaged = headed(PLAIN_MAGIC, &body(b"[".to_vec()));
    assert!(matches!(decode(&damaged, &options), Err(Unfit::Damaged(_))));
    assert!(matches!(decode(&headed(b"PRCHKPT4", b""), &options), Err(Unfit::Newer)));
    assert!(matches!(decode(&headed(b"PRCHKPT0", b""), &options), Err(Unfit::Damaged(_))));
}

fn options() -> Options {
    Options::new("/data", MasterKey::new([7; 32]))
}

fn org() -> OrgId {
    OrgId(RawId::from_bytes([9; 20]))
}

/// One with something in each of its parts.
fn sample(options: &Options) -> (State, Config, Vec<u8>) {
    let (mut state, mut config) = (State::new(options), Config::default());
    config.apply(&ConfigChange::DefaultOrg(org()));
    state.last_record = UnixMs(1_800_000_000_000);
    let mut lane = LaneState::new(AppId(RawId::from_bytes([1; 20])));
    lane.failing_since = Some(UnixMs(17));
    state.lanes.insert(EndpointId(RawId::from_bytes([2; 20])), lane);
    let bytes = encode(&state, &config, &Sealer::new(&options.master_key), Position::new(3, 64));
    (state, config, bytes)
}

#[test]
fn what_is_written_comes_back() {
    let options = options();
    let (state, config, bytes) = sample(&options);
    let Ok(restored) = decode(&bytes, &options) else { panic!("it is readable") };
    assert_eq!(restored.position, Position::new(3, 64));
    assert_eq!(restored.bytes, bytes.len() as u64);
    assert_eq!(restored.sealed_by, Some(0));
    assert_eq!(restored.state.last_record, state.last_record);
    assert_eq!(restored.state.lanes, state.lanes);
    assert_eq!(restored.config.to_changes(), config.to_changes());
    assert!(matches!(reach(&bytes), Ok(position) if position == Position::new(3, 64)), "without a key");
}

#[test]
fn no_change_of_a_byte_and_no_missing_end_goes_unseen() {
    let options = options();
    let (_, _, bytes) = sample(&options);
    for at in 0..bytes.len() {
        let mut touched = bytes.clone();
        touched[at] ^= 1;
        let unfit = decode(&touched, &options).err();
        assert!(matches!(unfit, Some(Unfit::Damaged(_))), "byte {at}");
        let cut = decode(&bytes[..at], &options).err();
        assert!(matches!(cut, Some(Unfit::Damaged(_))), "{at} bytes");
        assert!(reach(&bytes[..at]).is_err(), "{at} bytes");
        // As if it were one of an earlier release, which says as much of itself.
        assert!(at == 7 || reach(&touched).is_err(), "byte {at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(decode(&longer, &options), Err(Unfit::Damaged(_))));
}

#[test]
fn only_a_newer_version_of_ours_is_newer() {
    for (magic, is_newer) in [(b"PRCHKPT4", true), (b"PRCHKPT9", true), (b"PRCHKPU4", false), (b"QRCHKPT4", false)] {
        let unfit = decode(&headed(magic, b""), &options()).err();
        assert_eq!(matches!(unfit, Some(Unfit::Newer)), is_newer, "{magic:?}");
    }
}

#[test]
fn the_configuration_of_a_damaged_one_is_what_was_written_or_none() {
    let (options, disk) = (options(), SimDisk::new());
    disk.create_dir_all(&options.dir).expect("it is free");
    assert!(config_of_damaged(&disk, &options).is_none(), "there is none");
    let (_, config, mut bytes) = sample(&options);
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    write(&disk, &options.dir, &bytes).expect("there is room");
    assert!(matches!(read(&disk, &options), Err(CheckpointError::Damaged { .. })));
    assert_eq!(config_of_damaged(&disk, &options), Some(config.to_changes()));
    let other = Options { master_key: MasterKey::new([8; 32]), ..options.clone() };
    assert!(config_of_damaged(&disk, &other).is_none(), "another key does not open it");
    disk.flip(&options.dir.join(NAME), 60, 1).expect("it is in the configuration");
    assert!(config_of_damaged(&disk, &options).is_none());
}

#[test]
fn one_takes_the_place_of_the_other_or_leaves_it_and_no_rest() {
    let (options, disk) = (options(), SimDisk::new());
    disk.create_dir_all(&options.dir).expect("it is free");
    assert!(matches!(read(&disk, &options), Ok(None)));
    let (_, _, bytes) = sample(&options);
    write(&disk, &options.dir, &bytes).expect("there is room");
    let left = disk.crash(Survival::Nothing);
    assert!(matches!(read(&left, &options), Ok(Some(restored)) if restored.position == Position::new(3, 64)));
    disk.set_free_bytes(10);
    let refused = write(&disk, &options.dir, b"another one").expect_err("there is no room");
    assert!(refused.is_no_room(), "{refused}");
    assert_eq!(disk.list(&options.dir).expect("it is there"), [NAME]);
    assert_eq!(disk.content(&options.dir.join(NAME)).expect("it is there"), bytes);
    disk.set_out_of_files(true);
    assert!(matches!(read(&disk, &options), Err(CheckpointError::Io { what: "read", .. })), "it is there");
}

#[test]
fn only_a_full_disk_has_no_room() {
    let path = || PathBuf::from("/data/checkpoint");
    let failed = |source: io::Error| CheckpointError::Io { what: "write", path: path(), source }.is_no_room();
    assert!(failed(io::ErrorKind::StorageFull.into()) && failed(io::ErrorKind::QuotaExceeded.into()));
    assert!(!failed(io::ErrorKind::PermissionDenied.into()));
    assert!(!CheckpointError::Newer { path: path() }.is_no_room());
}
