//! What was expunged in the store: which copies are written anew for it, and which are not.

use postrider_model::expunge::Expunge as _;
use postrider_model::query::{AttemptFilter, AttemptsOf};

use super::*;

/// A message in one of many segments that are sealed and in a backup, and expunged since then; so
/// many others came before it.
fn expunged_since_a_backup(before: usize) -> (World, Stepper) {
    let world = World::new();
    let mut stepper = world.begin();
    for number in 0..before {
        let sent = world.send(&mut stepper, number);
        deliver(&mut stepper, sent);
    }
    let secret = world.send(&mut stepper, 7_777);
    for number in 0..16 {
        let sent = world.send(&mut stepper, number);
        deliver(&mut stepper, sent);
    }
    let told = world.backup().expect("nothing is wrong");
    assert!(told.segments > 3, "{told:?}");
    let app = stepper.app_id(APP).expect("it is there");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.expunge_payload(app, secret.id)).expect("it is there");
    (world, stepper)
}

/// The copies of the backup's segments, in their order.
fn copies(world: &World) -> Vec<PathBuf> {
    let dir = target().join("journal");
    world.disk.list(&dir).expect("it is there").into_iter().map(|name| dir.join(name)).collect()
}

fn hold(world: &World, paths: &[PathBuf], text: &str) -> usize {
    let content = |path: &PathBuf| world.disk.content(path).expect("it is there");
    paths.iter().filter(|path| content(path).windows(text.len()).any(|window| window == text.as_bytes())).count()
}

/// What the manifest says of what is to go.
fn still_to_go(world: &World) -> usize {
    let bytes = world.disk.content(&target().join("manifest.json")).expect("it is there");
    let whole: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
    whole["manifest"]["expunging"].as_object().expect("it is a map").len()
}

#[test]
fn only_copies_that_hold_what_is_to_go_are_written_anew() {
    let (world, _stepper) = expunged_since_a_backup(0);
    let before = copies(&world);
    assert_eq!(hold(&world, &before, &body(7_777)), 1);
    let told = world.backup().expect("nothing is wrong");
    let after = copies(&world);
    assert_eq!(hold(&world, &after, &body(7_777)), 0);
    let changed = after.iter().filter(|path| !before.contains(path)).count();
    assert_eq!(
        (told.copied_files, changed),
        (2, 2),
        "the one with the content, and the one that says that it is to go"
    );
    assert_eq!(still_to_go(&world), 0);
    world.assert_sound("one was written anew");
}

#[test]
fn a_copy_that_is_damaged_may_hold_what_is_to_go_and_is_written_anew() {
    let (world, _stepper) = expunged_since_a_backup(0);
    let first = copies(&world).swap_remove(0);
    let content = world.disk.content(&first).expect("it is there");
    let text = body(7_777);
    let at = content.windows(text.len()).position(|window| window == text.as_bytes()).expect("it is in it");
    // A byte of the record before its body: the frame's checksum does not match any more.
    world.disk.flip(&first, at - 12, 1).expect("it is there");
    let told = world.backup().expect("nothing is wrong");
    assert_eq!(told.copied_files, 2);
    assert_eq!(hold(&world, &copies(&world), &text), 0);
    // So may one that comes later, to which it may have been carried.
    let (world, _stepper) = expunged_since_a_backup(0);
    let second = copies(&world).swap_remove(1);
    world.disk.flip(&second, 200, 1).expect("it is there");
    assert_eq!(world.backup().expect("nothing is wrong").copied_files, 3);
    // One that comes before it never held it.
    let (world, _stepper) = expunged_since_a_backup(8);
    let first = copies(&world).swap_remove(0);
    world.disk.flip(&first, 200, 1).expect("it is there");
    assert_eq!(world.backup().expect("nothing is wrong").copied_files, 2);
    assert_eq!(hold(&world, &copies(&world), &body(7_777)), 0);
    assert!(copies(&world).contains(&first));
}

#[test]
fn an_answer_that_was_expunged_goes_from_the_copy_of_the_segment_that_holds_it() {
    let world = World::new();
    let mut stepper = world.begin();
    let sent = world.send(&mut stepper, 0);
    deliver(&mut stepper, sent);
    for number in 1..12 {
        world.send(&mut stepper, number);
    }
    let told = world.backup().expect("nothing is wrong");
    assert!(told.segments > 2, "{told:?}");
    assert_eq!(hold(&world, &copies(&world), "answer"), 1);
    let (app, outbox) = (stepper.app_id(APP).expect("it is there"), stepper.outbox.clone());
    let of = AttemptsOf::Message(sent.id);
    let listed =
        outbox.attempts(app, of, &AttemptFilter::default(), &PageRequest::default()).expect("the index is there");
    let attempt = listed.items.first().expect("there was one").id;
    stepper.ask(outbox.expunge_response(app, sent.id, attempt)).expect("it is there");
    let told = world.backup().expect("nothing is wrong");
    assert_eq!((told.copied_files, hold(&world, &copies(&world), "answer")), (2, 0));
    world.assert_sound("one was written anew");
}

#[test]
fn what_is_to_go_from_a_file_that_is_lost_is_remembered() {
    let (world, _stepper) = expunged_since_a_backup(0);
    let [first, lost, ..] = &copies(&world)[..] else { panic!("there are more") };
    // The store does not have it any more either.
    world.disk.remove_file(lost).expect("it is there");
    let ours = crate::journal::segment_path(&sim_dir().join("journal"), 2);
    world.disk.remove_file(&ours).expect("it is there");
    for written in [2, 0] {
        let before = copies(&world);
        assert!(matches!(world.backup(), Err(BackupError::Lost { more: 0, .. })));
        assert_eq!(copies(&world).iter().filter(|path| !before.contains(path)).count(), written);
        assert_eq!(still_to_go(&world), 1);
    }
    assert!(!copies(&world).contains(first));
    assert_eq!(hold(&world, &copies(&world), &body(7_777)), 0);
}

#[test]
fn a_copy_from_which_the_content_is_gone_is_not_written_anew() {
    let (world, mut stepper) = expunged_since_a_backup(0);
    world.clock.forward(Duration::from_secs(7_200));
    for _ in 0..50 {
        stepper.keeper(crate::Keeper::expunge_some);
    }
    assert_eq!(stepper.outbox.stats().expunged_on_disk, 0);
    world.backup().expect("nothing is wrong");
    assert_eq!(hold(&world, &copies(&world), &body(7_777)), 0);
    assert_eq!(world.backup().expect("nothing is wrong").copied_files, 0);
}
