//! How far long work is told to be.

use super::*;

/// What is told by one run: bytes done, and bytes in all.
fn told_by<T>(work: impl FnOnce(&mut crate::backup::Progress<'_>) -> T) -> (Vec<(u64, u64)>, T) {
    let mut told = vec![];
    let result = work(&mut |done, of| told.push((done, of)));
    (told, result)
}

/// The whole is known from the beginning on, and the work ends with it.
fn assert_goes_up_to(told: &[(u64, u64)], whole: u64) {
    assert!(told.iter().all(|(_, of)| *of == whole), "{whole}: {told:?}");
    assert!(told.is_sorted_by(|before, after| before.0 < after.0), "{told:?}");
    assert_eq!(told.last(), Some(&(whole, whole)));
}

/// More segments than are held open at once, each of the same size: what is not open yet is
/// estimated by what is.
#[test]
fn a_backup_tells_from_its_beginning_on_how_much_it_has_to_copy() {
    let world = World::new();
    world.disk.create_dir_all(&sim_dir().join(JOURNAL)).expect("it works");
    let segment = |number: u32| {
        let (frame, time) = (u64::from(number), world.clock.now());
        let bytes =
            journal::segment_of_one_frame((number, STORE_ID), frame, time, &[b"record"]).expect("there is room");
        let file = world.disk.create(&segment_in(&sim_dir(), number)).expect("there is none");
        file.write_all_at(&bytes, 0).expect("it can be written");
        bytes.len() as u64
    };
    let size = segment(1);
    (2..=259).for_each(|number| assert_eq!(segment(number), size));
    let run = || {
        let request = BackupRequest { dir: sim_dir(), target: target(), keep: None };
        let (told, result) = told_by(|progress| backup(&request, &world.arc(), &*world.clock, progress));
        result.expect("nothing is wrong");
        told
    };
    assert_goes_up_to(&run(), 259 * size);
    segment(260);
    // The one that was the last may have grown.
    assert_eq!(run(), [(size, 2 * size)]);
    for lost in [5, 258] {
        world.disk.remove_file(&copy_of(&world, lost)).expect("it is there");
    }
    assert_eq!(run(), [(size, 3 * size), (2 * size, 3 * size)]);
}

#[test]
fn a_restore_and_a_verification_tell_how_much_they_have_to_read() {
    let mut store = Bare::new();
    for _ in 0..3 {
        store.segment(2);
    }
    store.backup();
    let world = &store.world;
    let whole = world.verify().bytes;
    let (told, verified) = told_by(|progress| verify(&target(), &world.arc(), progress));
    verified.expect("it can be read");
    assert_goes_up_to(&told, whole);
    let request = RestoreRequest { backup: target(), dir: new_dir(), point: Point::End, accept_damage: false };
    let (told, restored) = told_by(|progress| restore(&request, &world.arc(), &*world.clock, progress));
    restored.expect("nothing is wrong");
    assert_goes_up_to(&told, whole);
}
