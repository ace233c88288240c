//! Restoring to a point: what is there then, what is not, and that nothing is given out twice.

use postrider_model::command::Command;
use postrider_model::endpoint::Hold;
use postrider_model::lane::{DeliveryStore as _, LaneEvent};

use super::*;

/// A second between two messages; three backups, and old segments go between them.
fn with_history() -> (World, Stepper, Vec<Sent>) {
    let world = World::new();
    let mut stepper = world.begin();
    let mut sent = vec![];
    for number in 0..36 {
        let message = world.send(&mut stepper, number);
        if number % 3 != 0 {
            deliver(&mut stepper, message);
            stepper.step();
        }
        sent.push(message);
        if number % 12 == 11 {
            world.backup().expect("nothing is wrong");
            world.clock.forward(Duration::from_secs(7_200));
            stepper.keeper(crate::Keeper::remove_old_segments);
        }
    }
    world.backup().expect("nothing is wrong");
    (world, stepper, sent)
}

#[test]
fn each_point_shows_what_was_there_then_and_nothing_after_it() {
    let (world, stepper, sent) = with_history();
    let gone = stepper.outbox.shared.reader.segments().first().map(|segment| segment.number);
    assert!(gone > Some(3), "old segments were removed from the store: {gone:?}");
    world.assert_sound("after three backups");
    for (number, message) in sent.iter().enumerate() {
        let by_time = world.restored(Point::Time(message.at));
        let expected: Vec<_> = sent.iter().take(number + 1).map(|sent| sent.id).collect();
        // What ended before the history that the store then kept is not listed any more.
        let found: Vec<_> = by_time.keys().copied().collect();
        assert!(expected.ends_with(&found[found.len().saturating_sub(6)..]), "{number}: the newest are there");
        let waiting = |id: &&MessageId| sent.iter().position(|sent| sent.id == **id).is_some_and(|at| at % 3 == 0);
        for id in expected.iter().filter(waiting) {
            let (text, state) = by_time.get(id).unwrap_or_else(|| panic!("{number}: {id} waits, and is not there"));
            assert_eq!((text.as_str(), *state), (body(number_of(&sent, *id)).as_str(), "scheduled"), "{number}");
        }
        let by_position = world.restored(Point::Position(position(&stepper, message.id)));
        assert!(by_position.contains_key(&message.id), "{number}: by its position");
        let later = sent.get(number + 1);
        assert!(later.is_none_or(|later| !by_position.contains_key(&later.id)), "{number}");
    }
}

fn number_of(sent: &[Sent], id: MessageId) -> usize {
    sent.iter().position(|sent| sent.id == id).expect("it was sent")
}

#[test]
fn what_lies_behind_the_point_is_counted() {
    let (world, _, sent) = with_history();
    let all = world.fork().restore(Point::End).expect("it reaches that");
    assert_eq!((all.behind.frames, all.behind.records, all.behind.bytes), (0, 0, 0));
    // Message 34, its outcome, message 35, its outcome; carried records may come with it.
    let some = world.fork().restore(Point::Time(sent[33].at)).expect("it reaches that");
    assert!(some.behind.records >= 4 && some.behind.frames >= 4 && some.behind.bytes > 6_000, "{:?}", some.behind);
    let more = world.fork().restore(Point::Time(sent[2].at)).expect("it reaches that");
    assert!(more.behind.records > some.behind.records + 30, "{:?}", more.behind);
}

#[test]
fn no_position_and_no_id_is_given_out_twice() {
    let (world, mut original, sent) = with_history();
    // The store goes on after the backup, and is lost then.
    let mut known: Vec<_> = sent.iter().map(|sent| sent.id).collect();
    known.extend((0..20).map(|number| world.send(&mut original, 100 + number).id));
    let highest = known.iter().map(|id| position(&original, *id)).max().expect("there are some");
    let mut fresh = vec![];
    for (case, point) in [Point::End, Point::Time(sent[20].at), Point::Time(sent[20].at)].into_iter().enumerate() {
        world.clock.forward(Duration::from_secs(60));
        let restored = world.fork();
        let told = restored.restore(point).expect("it reaches that");
        assert!(told.next_segment >= highest.segment() + 10_000, "{told:?}");
        let mut stepper = restored.open(&new_dir());
        for number in 0..12 {
            let message = restored.send(&mut stepper, 200 + number);
            let place = position(&stepper, message.id);
            assert!(place > highest && place.segment() >= told.next_segment, "{case}: {place}");
            fresh.push((place, message.id));
        }
        // A crash and another start change nothing of that.
        let again = restored.on(restored.disk.crash(Survival::Nothing));
        let mut stepper = again.open(&new_dir());
        assert!(stepper.report.quarantined.is_empty());
        let found = seen(&mut stepper);
        assert!(fresh.iter().rev().take(12).all(|(_, id)| found.contains_key(id)), "{case}");
    }
    let count = fresh.len();
    fresh.sort_unstable();
    fresh.dedup_by_key(|(place, _)| *place);
    assert_eq!(fresh.len(), count, "three stores of one backup share no position");
    assert!(fresh.iter().all(|(_, id)| !known.contains(id)));
}

#[test]
fn a_restored_store_is_paused_until_a_person_lets_it_go_on() {
    let (world, _, sent) = with_history();
    world.clock.forward(Duration::from_secs(5));
    world.restore(Point::Time(sent[30].at)).expect("it reaches that");
    let mut stepper = world.open(&new_dir());
    let restoration = stepper.outbox.restoration().expect("it says so");
    assert_eq!((restoration.to, restoration.at), (sent[30].at, world.clock.now()));
    assert_eq!(stepper.outbox.shared.config.read().dispatch_paused(), Some(restoration.at));
    assert_eq!(held(&stepper), Some(Hold::AllPaused), "the scheduler is told");
    stepper.keeper(|keeper| {
        keeper.write_checkpoint();
    });
    // By the journal and by the checkpoint alike.
    drop(stepper);
    let mut stepper = world.open(&new_dir());
    let outbox = stepper.outbox.clone();
    assert_eq!(outbox.restoration(), Some(restoration));
    assert!(world.send(&mut stepper, 300).at >= restoration.at, "events are accepted");
    stepper.ask(outbox.execute(Command::PauseDispatch { paused: false })).expect("it is legal");
    assert_eq!((outbox.restoration(), outbox.shared.config.read().dispatch_paused()), (None, None));
    assert_eq!(held(&stepper), None);
}

/// Why the endpoint gets nothing, as the scheduler is told.
fn held(stepper: &Stepper) -> Option<Hold> {
    let mut events = vec![];
    stepper.outbox.take(&mut events);
    let mut lanes = events.iter().filter_map(|event| match event {
        LaneEvent::Endpoint(lane) => Some(lane.hold),
        _ => None,
    });
    lanes.next_back().expect("it is told of the endpoint")
}

#[test]
fn a_point_that_is_not_in_the_backup_is_refused_with_the_one_that_is() {
    let (world, _, sent) = with_history();
    let at = |time| Point::Time(time);
    let begin = sent[0].at - Duration::from_secs(10);
    let Err(BackupError::TooEarly { earliest: Some(earliest) }) = world.restore(at(begin)) else {
        panic!("nothing was there then")
    };
    assert!(earliest <= sent[0].at);
    world.clock.forward(Duration::from_secs(60));
    let Err(BackupError::TooLate { latest }) = world.restore(at(world.clock.now())) else {
        panic!("the backup does not know of then")
    };
    assert!(latest < world.clock.now() && latest >= sent[35].at);
    world.restore(at(latest)).expect("nothing came between the last record and the backup");
}

/// What a store without a journal from its beginning on can be restored to.
#[test]
fn a_backup_that_gave_up_its_oldest_part_reaches_back_to_a_checkpoint() {
    let (world, mut stepper, sent) = with_history();
    let whole = world.verify().earliest.expect("it reaches back");
    assert!(whole <= sent[0].at);
    stepper.keeper(|keeper| {
        keeper.write_checkpoint();
    });
    let last = world.send(&mut stepper, 50);
    let files = world.disk.list(&target().join("journal")).expect("it is there").len();
    world.clock.forward(Duration::from_secs(7_200));
    let told = world.backup_that_keeps(Some(Duration::from_secs(3_600))).expect("nothing is wrong");
    assert!(world.disk.list(&target().join("journal")).expect("it is there").len() < files);
    let earliest = told.earliest.expect("it reaches back");
    assert!(earliest > sent[11].at && earliest < last.at, "{earliest:?}");
    world.assert_sound("after it was thinned out");
    assert!(world.restored(Point::End) == seen(&mut stepper));
    assert!(matches!(world.restore(Point::Time(sent[5].at)), Err(BackupError::TooEarly { .. })));
    let seen = world.restored(Point::Time(earliest));
    assert!(!seen.contains_key(&last.id) && !seen.is_empty());
}
