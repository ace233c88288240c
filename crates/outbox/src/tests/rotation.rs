//! The sealing key is exchanged: at every point at which the process can die the store opens,
//! and in the end nothing needs the old key.

use std::sync::Arc;

use postrider_model::endpoint::Endpoint;
use postrider_model::secret::Secret;
use zeroize::Zeroizing;

use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use crate::checkpoint::CheckpointError;
use crate::disk::Disk;
use crate::disk::sim::Survival;
use crate::journal;
use crate::{MasterKey, OpenError, Options, SealingKey, key_use, seal_anew};

fn first() -> MasterKey {
    MasterKey::new([7; 32])
}

fn both() -> MasterKey {
    let newer = SealingKey { number: 1, key: Zeroizing::new([9; 32]) };
    let all = std::iter::once(newer).chain(first().sealing().iter().cloned()).collect();
    MasterKey::of_parts(first().identity(), all).expect("there are two")
}

fn newer_alone() -> MasterKey {
    MasterKey::of_parts(first().identity(), both().sealing()[..1].to_vec()).expect("there is one")
}

fn options(key: MasterKey) -> Options {
    Options { segment_bytes: 16 << 10, waiting_bytes: 64 << 10, max_in_flight: 16, ..Options::new(sim_dir(), key) }
}

/// A store with an endpoint, sealed with the first key; with its secret.
fn furnished(stopped: bool) -> (SimWorld, Secret) {
    let world = SimWorld::new();
    let mut stepper = world.start(options(first())).expect("it starts");
    for command in [app("shop"), endpoint("shop", "main", &["a"])] {
        stepper.ask(postrider_model::ports::Configure::execute(&stepper.outbox.clone(), command)).expect("it is legal");
    }
    let secret = secret(&stepper);
    if stopped {
        stepper.stop();
    }
    (world, secret)
}

fn disk(world: &SimWorld) -> Arc<dyn Disk> {
    Arc::new(world.disk.clone())
}

fn secret(stepper: &Stepper) -> Secret {
    let config = stepper.outbox.shared.config.read();
    let endpoint: Arc<Endpoint> = config.apps().flat_map(|app| app.endpoints()).next().expect("there is one").clone();
    drop(config);
    stepper.outbox.shared.secrets(&endpoint).expect("it is opened").remove(0)
}

#[test]
fn at_every_crash_point_the_store_opens_with_both_keys() {
    for stopped in [false, true] {
        let mut has_finished = false;
        for count in 0..200 {
            let (mut world, secret_before) = furnished(stopped);
            world.disk.crash_after(count);
            has_finished = seal_anew(&options(both()), &disk(&world), &*world.clock).is_ok();
            let dead = world.disk.clone();
            for survival in [Survival::Nothing, Survival::Everything, Survival::Mixed { seed: count }] {
                world.disk = dead.crash(survival);
                let case = format!("{stopped} after {count} operations, {survival:?}");
                let stepper = world.start(options(both())).unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(secret(&stepper), secret_before, "{case}");
                stepper.stop();
                // Whatever was left, a stop has sealed it anew.
                let found = key_use(&options(both()), &disk(&world), &mut |_, _| ()).expect("it is read");
                assert_eq!(found.checkpoint, [1].into(), "{case}");
            }
            if has_finished {
                break;
            }
        }
        assert!(has_finished);
    }
}

#[test]
fn a_retired_key_is_needed_until_its_segments_are_gone() {
    let (world, secret_before) = furnished(true);
    let uses = |world: &SimWorld| key_use(&options(both()), &disk(world), &mut |_, _| ()).expect("it is read");
    assert_eq!((uses(&world).checkpoint, uses(&world).segments), ([0].into(), [(0, 1)].into()));
    seal_anew(&options(both()), &disk(&world), &*world.clock).expect("it is sealed anew");
    let found = uses(&world);
    assert_eq!((&found.checkpoint, &found.segments), (&[1].into(), &[(0, 1)].into()));
    assert!(!found.is_free(0) && !found.is_free(1) && found.is_free(2));
    // Also where that key is not given, so that nothing can be read of what it sealed.
    let without = key_use(&options(newer_alone()), &disk(&world), &mut |_, _| ()).expect("the checkpoint is read");
    assert_eq!(without.segments, found.segments);
    // What is changed from now on needs the new key only, also where it was sealed before.
    let mut stepper = world.start(options(both())).expect("it starts");
    stepper
        .ask(postrider_model::ports::Configure::execute(&stepper.outbox.clone(), endpoint("shop", "main", &["b"])))
        .expect("it is legal");
    assert_eq!(secret(&stepper), secret_before);
    stepper.stop();
    assert_eq!(uses(&world).segments, [(0, 1), (1, 1)].into());
}

#[test]
fn another_stores_keys_are_refused_and_not_taken_for_free_ones() {
    for stopped in [false, true] {
        let (world, _) = furnished(stopped);
        let foreign = options(MasterKey::new([8; 32]));
        let refused = key_use(&foreign, &disk(&world), &mut |_, _| ()).err();
        let is_foreign = matches!(
            refused,
            Some(
                OpenError::Journal(journal::OpenError::ForeignStore { .. })
                    | OpenError::Checkpoint(CheckpointError::OtherKey { .. })
            )
        );
        assert!(is_foreign, "{stopped}: {refused:?}");
    }
}

#[test]
fn without_the_key_that_is_needed_a_start_is_refused_by_its_number_and_nothing_is_damaged() {
    let (world, secret_before) = furnished(true);
    let refused = world.start(options(newer_alone())).err();
    assert!(matches!(refused, Some(OpenError::Checkpoint(CheckpointError::NoKey { number: 0, .. }))), "{refused:?}");
    let (killed, _) = furnished(false);
    let refused = killed.start(options(newer_alone())).err();
    assert!(matches!(refused, Some(OpenError::NoKey { number: 0, .. })), "{refused:?}");
    seal_anew(&options(both()), &disk(&world), &*world.clock).expect("it is sealed anew");
    let refused = world.start(options(first())).err();
    assert!(matches!(refused, Some(OpenError::Checkpoint(CheckpointError::NoKey { number: 1, .. }))), "{refused:?}");
    let stepper = world.start(options(newer_alone())).expect("the checkpoint needs no other");
    assert_eq!(secret(&stepper), secret_before);
}
