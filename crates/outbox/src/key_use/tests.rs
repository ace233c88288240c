//! Which keys are needed, by what lies in single files. How a key is exchanged is in `tests/rotation.rs`.

use std::path::{Path, PathBuf};

use postrider_model::endpoint::{Endpoint, EndpointFields, EndpointSecret};
use postrider_model::id::{AppId, EndpointId, RawId};
use postrider_model::position::Position;
use postrider_model::secret::{Secret, SignatureKind};
use postrider_model::time::UnixMs;
use zeroize::Zeroizing;

use super::*;
use crate::disk::RealDisk;
use crate::journal::{segment_of_one_frame, segment_path};
use crate::record::{Answered, Encoder, IdempotencyKey, Kept};
use crate::state::State;
use crate::{MasterKey, SealingKey};

/// Seals with a key of this number.
fn sealer(number: u32) -> Sealer {
    Sealer::new(&keys(&[number]))
}

/// The store's key with sealing keys of these numbers.
fn keys(numbers: &[u32]) -> MasterKey {
    let sealing = |number: &u32| SealingKey { number: *number, key: Zeroizing::new([*number as u8; 32]) };
    let identity = *MasterKey::new([7; 32]).identity();
    MasterKey::of_parts(&identity, numbers.iter().map(sealing).collect()).expect("there is one")
}

/// An endpoint whose secret is sealed with a key of this number.
fn endpoint(number: u32) -> ConfigChange {
    let secret = Secret::from_random(SignatureKind::HmacSha256, &[9; 32]);
    let endpoint = Endpoint {
        id: EndpointId(RawId::from_bytes([1; 20])),
        app: AppId(RawId::from_bytes([2; 20])),
        fields: EndpointFields::default(),
        secrets: vec![EndpointSecret { sealed: sealer(number).seal(&secret), expires: None }],
        disabled: None,
        paused: None,
        unverified: None,
        allowed_per_minute: None,
        created: UnixMs(1),
        updated: UnixMs(1),
    };
    ConfigChange::Endpoint(Arc::new(endpoint))
}

fn sealed(change: &ConfigChange, number: u32) -> Record {
    Record::SealedConfig(sealer(number).seal_config(change).into())
}

fn answered(number: u32) -> Record {
    let once = IdempotencyKey { key: [5; 16], content: [6; 16] };
    let answered = Answered { once, at: UnixMs(17), kept: Kept::Reply };
    Record::Answered(answered, sealer(number).seal_bytes(b"reply").into())
}

/// A store on disk, with a segment for each of these records, from number 1 on.
fn store(keys: MasterKey, records: &[Record]) -> (tempfile::TempDir, Options) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::new(dir.path(), keys);
    std::fs::create_dir(journal(&options)).expect("it is free");
    for (number, record) in (1..).zip(records) {
        let bytes = [Encoder::default().encode(record), record.raw()].concat();
        let store_id = options.master_key.store_id();
        let segment = segment_of_one_frame((number, store_id), u64::from(number), UnixMs(1), &[&bytes]);
        let path = segment_path(&journal(&options), number);
        std::fs::write(path, segment.expect("it fits")).expect("it can be written");
    }
    (dir, options)
}

fn journal(options: &Options) -> PathBuf {
    options.dir.join(JOURNAL)
}

/// What is found, and how far it was told to be.
fn look(options: &Options) -> (Result<KeyUse, OpenError>, Vec<(usize, usize)>) {
    let (disk, mut told): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), vec![]);
    let found = key_use(options, &disk, &mut |done, of| told.push((done, of)));
    (found, told)
}

#[test]
fn whatever_lies_sealed_in_a_segment_needs_its_key() {
    let records = [
        answered(3),
        sealed(&endpoint(4), 5),
        Record::Config(endpoint(6)),
        answered(3),
        Record::Config(ConfigChange::ApplicationDeleted(AppId(RawId::from_bytes([2; 20])))),
    ];
    let (_dir, options) = store(keys(&[5]), &records);
    let (found, told) = look(&options);
    let found = found.expect("it is read");
    assert_eq!(found.segments, [(3, 2), (4, 1), (5, 1), (6, 1)].into());
    assert_eq!(found.checkpoint, BTreeSet::new());
    assert_eq!(told, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    assert_eq!([2, 3, 4, 5, 6, 7].map(|number| found.is_free(number)), [true, false, false, false, false, true]);
    // What that key would open within cannot be seen without it.
    let (found, _) = look(&Options { master_key: keys(&[1]), ..options });
    assert_eq!(found.expect("it is read").segments, [(3, 2), (5, 1), (6, 1)].into());
}

/// A secret that was not opened when the checkpoint was sealed anew lies in it as it was.
#[test]
fn a_checkpoint_needs_its_own_key_and_those_of_the_secrets_in_it() {
    let (_dir, options) = store(keys(&[1]), &[]);
    let mut config = Config::default();
    let app = postrider_model::application::Application {
        id: AppId(RawId::from_bytes([2; 20])),
        org: postrider_model::id::OrgId(RawId::from_bytes([3; 20])),
        fields: postrider_model::application::ApplicationFields::default(),
        created: UnixMs(1),
        updated: UnixMs(1),
    };
    config.apply(&ConfigChange::Application(app.into()));
    config.apply(&endpoint(4));
    let bytes = checkpoint::encode(&State::new(&options), &config, &sealer(1), Position::ZERO);
    checkpoint::write(&RealDisk, &options.dir, &bytes).expect("it can be written");
    let found = look(&options).0.expect("it is read");
    assert_eq!((&found.checkpoint, &found.segments), (&[1, 4].into(), &BTreeMap::new()));
    assert!(!found.is_free(1) && !found.is_free(4) && found.is_free(0));
}

#[test]
fn a_segment_that_went_meanwhile_needs_nothing_and_one_that_cannot_be_read_is_no_word() {
    let (_dir, options) = store(keys(&[3]), &[answered(3), answered(4)]);
    let third = segment_path(&journal(&options), 3);
    // It is listed, and is not there.
    std::os::unix::fs::symlink(Path::new("/nowhere/at/all"), &third).expect("it is free");
    let (found, told) = look(&options);
    assert_eq!(found.expect("the others are read").segments, [(3, 1), (4, 1)].into());
    assert_eq!(told, [(1, 3), (2, 3)]);
    std::fs::remove_file(&third).expect("it is there");
    std::fs::create_dir(&third).expect("it is free");
    let (found, _) = look(&options);
    assert!(matches!(found, Err(OpenError::Io { what: "read", .. })), "{found:?}");
}
