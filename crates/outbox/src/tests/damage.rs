//! Bytes that are not what was written, on a real directory: what nothing needs
//! is set aside and named, what something needs stops the start until it is
//! salvaged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::expunge::Expunge as _;
use postrider_model::message::Accepted;
use postrider_model::ports::{Accept as _, Configure as _, ControlError, Unavailable};
use postrider_model::query::{
    AttemptFilter, AttemptsOf, Delivery, DeliveryFilter, MessageFilter, PageRequest, Query as _, QueryError,
};
use tempfile::TempDir;

use super::at_rest::files;
use super::stepper::{self, Stepper, runtime};
use super::support::{ManualClock, Running, message, options, wait};
use crate::disk::{Disk, RealDisk};
use crate::{OpenError, Options, Salvaged, salvage};

pub(super) const PAID: &str = "order.paid";

/// A store that was stopped, with three messages, of which the first is delivered.
pub(super) struct Store {
    pub(super) dir: TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) delivered: Accepted,
    pub(super) live: [Accepted; 2],
}

impl Store {
    pub(super) fn new(clean: bool) -> Self {
        let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
        let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
        running.app("shop");
        let endpoint = running.endpoint("shop", &[PAID]);
        let [delivered, first, second] =
            ["delivered-body", "first-live-body", "second-live-body"].map(|body| running.send("shop", PAID, body));
        let (key, _) = running.waiting()[0];
        running.attempt(key, 200, Next::Delivered);
        if clean {
            running.stop();
        } else {
            running.kill();
        }
        Self { dir, clock, endpoint, delivered, live: [first, second] }
    }

    fn start(&self) -> Result<Running, OpenError> {
        let mut running = Running::start(options(self.dir.path()), &self.clock)?;
        running.keeper.round();
        Ok(running)
    }

    pub(super) fn segment(&self) -> PathBuf {
        let journal = self.dir.path().join("journal");
        let files = std::fs::read_dir(journal).expect("it is there").map(|entry| entry.expect("it is there").path());
        files.filter(|path| path.extension().is_some_and(|ending| ending == "journal")).min().expect("there is one")
    }

    /// Goes on in a new directory; what is there stays as it is.
    fn salvage(&mut self) -> Salvaged {
        let (to, salvaged) = salvage_into_new(self.dir.path(), &self.clock);
        self.dir = to;
        salvaged
    }

    fn body(&self, running: &Running, of: &Accepted) -> Result<Option<String>, QueryError> {
        let found = running.outbox.message(self.endpoint.app, of.id)?;
        Ok(found.map(|message| String::from_utf8_lossy(&message.body.unwrap_or_default()).into_owned()))
    }

    fn refused(&self) -> OpenError {
        match self.start() {
            Ok(_) => panic!("something needs what is damaged"),
            Err(error) => error,
        }
    }
}

/// Salvages into a new directory.
pub(super) fn salvage_into_new(from: &Path, clock: &ManualClock) -> (TempDir, Salvaged) {
    let (disk, to): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), tempfile::tempdir().expect("a temporary directory"));
    let before = files(from);
    let salvaged = salvage(&options(from), to.path(), &disk, clock, &mut |_, _| {}).expect("the file system works");
    assert!(files(from) == before, "the damaged directory stays as it is");
    (to, salvaged)
}

/// Changes one byte where a text stands.
pub(super) fn flip(path: &Path, text: &str) {
    let mut bytes = std::fs::read(path).expect("it can be read");
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("the text is there");
    bytes[at] ^= 0x20;
    std::fs::write(path, bytes).expect("it can be written");
}

pub(super) fn dead(running: &Running) -> Vec<Delivery> {
    running.outbox.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).expect("they are listed").items
}

#[test]
fn damage_that_nothing_live_needs_is_quarantined_and_named() {
    let store = Store::new(true);
    flip(&store.segment(), "delivered-body");
    let mut running = store.start().expect("nothing live needs it");
    let [named] = running.report.quarantined.as_slice() else { panic!("one part: {:?}", running.report) };
    assert!(named.contains("segment-0000000001.journal"), "{named}");
    assert!(matches!(store.body(&running, &store.delivered), Err(QueryError::Damaged { .. })));
    for (message, body) in store.live.iter().zip(["first-live-body", "second-live-body"]) {
        assert_eq!(store.body(&running, message), Ok(Some(body.to_owned())));
    }
    let waiting = running.waiting();
    assert_eq!(waiting.len(), 2);
    for (key, _) in waiting {
        running.attempt(key, 200, Next::Delivered);
    }
    assert!(running.send("shop", PAID, "more").deliveries == 1);
    running.stop();
}

#[test]
fn a_damaged_record_does_not_hide_the_others_in_a_list() {
    let store = Store::new(true);
    let running = store.start().expect("nothing is damaged yet");
    let app = store.endpoint.app;
    let lists = || {
        let (filter, page) = (MessageFilter::default(), PageRequest::default());
        let all = running.outbox.messages(app, &filter, &page).expect("what can be read is listed");
        let of_endpoint = running.outbox.messages_of_endpoint(app, store.endpoint.id, &filter, None, &page);
        let of_endpoint = of_endpoint.expect("what can be read is listed").items;
        (
            all.items.iter().map(|message| message.id).collect::<BTreeSet<_>>(),
            of_endpoint.iter().map(|listed| listed.message.id).collect::<BTreeSet<_>>(),
        )
    };
    let all = BTreeSet::from([store.delivered.id, store.live[0].id, store.live[1].id]);
    assert_eq!(lists(), (all.clone(), all));
    flip(&store.segment(), "delivered-body");
    let others = BTreeSet::from(store.live.each_ref().map(|message| message.id));
    assert_eq!(lists(), (others.clone(), others));
    running.stop();
}

#[test]
fn who_asks_for_an_attempt_whose_record_is_damaged_is_told() {
    let store = Store::new(true);
    let running = store.start().expect("nothing is damaged yet");
    let (app, of) = (store.endpoint.app, AttemptsOf::Message(store.delivered.id));
    let list = || running.outbox.attempts(app, of, &AttemptFilter::default(), &PageRequest::default());
    let listed = list().expect("they are listed").items;
    let [attempt] = listed.as_slice() else { panic!("one was made: {listed:?}") };
    flip(&store.segment(), "example.com/hook");
    assert!(matches!(running.outbox.attempt(app, attempt.id), Err(QueryError::Damaged { .. })));
    let expunged = wait(running.outbox.expunge_response(app, store.delivered.id, attempt.id));
    assert!(matches!(expunged, Err(ControlError::Query(QueryError::Damaged { .. }))), "{expunged:?}");
    assert_eq!(list().expect("what can be read is listed").items, []);
    running.stop();
}

#[test]
fn damage_that_a_live_delivery_needs_stops_the_start_until_it_is_salvaged() {
    let mut store = Store::new(true);
    flip(&store.segment(), "first-live-body");
    let error = store.refused();
    assert!(error.is_damage(), "{error}");
    assert!(error.to_string().contains("segment-0000000001.journal"), "{error}");
    let salvaged = store.salvage();
    assert_eq!(salvaged.payloads_lost, 1, "{salvaged:?}");
    let [missing] = salvaged.missing.as_slice() else { panic!("one part: {salvaged:?}") };
    assert!(missing.is_covered && missing.segment == 1 && missing.from < missing.to, "{missing:?}");
    let (before, after) = (missing.before.expect("a frame"), missing.after.expect("a frame"));
    assert_eq!(after.number, before.number + 2, "the frames around it are those next to it");
    assert_eq!(missing.broken.iter().map(|record| record.message).collect::<Vec<_>>(), [Some(store.live[0].id)]);
    let [lost] = salvaged.messages.as_slice() else { panic!("one message: {salvaged:?}") };
    assert_eq!((lost.id, lost.event_type.as_deref()), (store.live[0].id, Some(PAID)));
    assert!(lost.deliveries.get(&store.endpoint.id).is_some_and(|delivery| delivery.is_dead_letter), "{lost:?}");

    let mut running = store.start().expect("it was salvaged");
    let listed = dead(&running);
    let [letter] = listed.as_slice() else { panic!("one is lost: {listed:?}") };
    assert_eq!(letter.message, store.live[0].id);
    assert!(matches!(letter.state, DeliveryState::Dead { reason: DeadReason::PayloadDamaged, .. }));
    assert_eq!(store.body(&running, &store.live[1]), Ok(Some("second-live-body".to_owned())));
    assert_eq!(store.body(&running, &store.delivered), Ok(Some("delivered-body".to_owned())));
    let waiting = running.waiting();
    let [(key, _)] = waiting.as_slice() else { panic!("the other one waits: {waiting:?}") };
    assert_eq!(running.attempt(*key, 200, Next::Delivered).message, store.live[1].id);
    running.stop();
    assert!(store.start().is_ok(), "and it stays so");
}

#[test]
fn damage_after_the_checkpoint_stops_the_start_until_it_is_salvaged() {
    let mut store = Store::new(false);
    flip(&store.segment(), "first-live-body");
    assert!(store.refused().is_damage());
    let salvaged = store.salvage();
    assert!(salvaged.missing.iter().any(|missing| missing.segment == 1 && !missing.is_covered), "{salvaged:?}");
    assert_eq!(salvaged.endpoints, [], "its endpoint is there");
    let mut running = store.start().expect("it was salvaged");
    // What is left of the record tells for whom it was.
    let listed = dead(&running);
    assert_eq!(listed.iter().map(|letter| letter.message).collect::<Vec<_>>(), [store.live[0].id]);
    assert_eq!(store.body(&running, &store.live[1]), Ok(Some("second-live-body".to_owned())));
    let waiting = running.waiting();
    let [(key, _)] = waiting.as_slice() else { panic!("the other one waits: {waiting:?}") };
    assert_eq!(running.attempt(*key, 200, Next::Delivered).message, store.live[1].id);
    running.stop();
}

/// Messages that share a frame share its checksum, but not their fate.
#[test]
fn the_neighbours_of_a_damaged_record_are_salvaged_whole() {
    for clean in [true, false] {
        let (dir, clock, runtime) =
            (tempfile::tempdir().expect("a temporary directory"), ManualClock::new(), runtime());
        let index = dir.path().join("no-index");
        let start = || Stepper::start(options(dir.path()), &index, &clock, Arc::new(RealDisk), &runtime);
        let mut stepper = start().expect("an empty directory opens");
        let outbox = stepper.outbox.clone();
        stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
        stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is legal");
        let [one, two, three] =
            ["body-one", "body-two", "body-three"].map(|body| outbox.accept(message("shop", PAID, body)));
        let (one, two, three) = stepper.ask(async { tokio::join!(one, two, three) });
        let [one, two, three] = [one, two, three].map(|accepted| accepted.expect("there is room").id);
        // It says that all before it was synced; without it the frame may be a torn tail.
        let four = stepper.ask(outbox.accept(message("shop", PAID, "body-four"))).expect("there is room").id;
        if clean {
            stepper.stop();
        } else {
            drop((stepper, outbox));
        }
        flip(&dir.path().join("journal/segment-0000000001.journal"), "body-two");
        assert!(start().is_err_and(|error| error.is_damage()), "clean: {clean}");
        let (dir, salvaged) = salvage_into_new(dir.path(), &clock);
        let start = || Stepper::start(options(dir.path()), &index, &clock, Arc::new(RealDisk), &runtime);
        let [missing] = salvaged.missing.as_slice() else { panic!("one part: {salvaged:?}") };
        assert_eq!((missing.is_covered, missing.saved, missing.broken.len()), (clean, 2, 1), "{salvaged:?}");
        assert_eq!((salvaged.payloads_lost, salvaged.deliveries_lost), (1, 0), "{salvaged:?}");

        let mut stepper = start().expect("it was salvaged");
        let app = stepper.app_id("shop").expect("the configuration is there");
        let outbox = stepper.outbox.clone();
        let oldest_first = PageRequest { descending: false, ..PageRequest::default() };
        let list = outbox.pending(&DeliveryFilter::default(), &oldest_first).expect("they are listed");
        assert_eq!(list.items.iter().map(|delivery| delivery.message).collect::<Vec<_>>(), [one, three, four]);
        let listed = outbox.messages(app, &MessageFilter::default(), &PageRequest::default()).expect("they are listed");
        assert_eq!(listed.items.iter().map(|message| message.id).collect::<Vec<_>>(), [four, three, one]);
        for delivery in list.items {
            stepper.attempt(delivery.key, 200, Next::Delivered).expect("it can be read");
        }
        let dead = outbox.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).expect("they are listed");
        assert!(dead.items.iter().any(|letter| letter.message == two), "clean: {clean}");
    }
}

#[test]
fn a_torn_tail_is_kept_aside() {
    let store = Store::new(false);
    // A frame whose end never reached the disk.
    let path = store.segment();
    let bytes = std::fs::read(&path).expect("it can be read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1;
    let end = used.next_multiple_of(8);
    let mut torn = bytes;
    torn[end..end + 8].copy_from_slice(b"PRFRtorn");
    std::fs::write(&path, torn).expect("it can be written");
    let running = store.start().expect("a torn tail is no damage");
    assert!(running.report.torn_bytes > 0 && !running.report.clean, "{:?}", running.report);
    let names = std::fs::read_dir(store.dir.path().join("journal")).expect("it is there");
    let names: Vec<_> = names.map(|entry| entry.expect("it is there").file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("torn-")), "{names:?}");
    assert_eq!(store.body(&running, &store.live[1]), Ok(Some("second-live-body".to_owned())));
    running.stop();
}

#[test]
fn a_damaged_checkpoint_is_damage_and_the_journal_still_has_it_all() {
    let mut store = Store::new(true);
    let path = store.dir.path().join("checkpoint");
    let bytes = std::fs::read(&path).expect("a clean stop leaves one");
    for at in [0, 10, 25, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).expect("it can be written");
        let error = store.refused();
        assert!(error.is_damage() && error.to_string().contains("checkpoint"), "{error}");
    }
    let salvaged = store.salvage();
    let checkpoint = salvaged.checkpoint.expect("it is damaged");
    assert!(checkpoint.configuration_saved, "its end is damaged: {checkpoint:?}");
    assert_eq!((checkpoint.applications, checkpoint.endpoints), (1, 1));
    assert_eq!((salvaged.missing, salvaged.payloads_lost), (vec![], 0));
    let mut running = store.start().expect("it was salvaged");
    assert_eq!(running.waiting().len(), 2);
    assert_eq!(running.send("shop", PAID, "more").deliveries, 1);
    running.stop();
}

#[test]
fn a_start_between_the_steps_of_replacing_the_checkpoint_finds_the_old_or_the_new_one() {
    let store = Store::new(true);
    let (path, temporary) = (store.dir.path().join("checkpoint"), store.dir.path().join("checkpoint.new"));
    let whole = std::fs::read(&path).expect("a clean stop leaves one");
    for written in [0, 1, 19, whole.len() / 2, whole.len()] {
        std::fs::write(&temporary, &whole[..written]).expect("it can be written");
        let mut running = store.start().expect("the old one is whole");
        assert_eq!(running.waiting().len(), 2, "{written} bytes of the new one were written");
        running.stop();
    }
    assert!(!temporary.exists(), "the next one takes its place");
}

#[test]
fn without_an_index_lists_say_so_until_it_is_there_again() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = || Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
    let mut running = Running::start(small(), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let sent: Vec<_> = (0..40).map(|n| running.send("shop", PAID, &format!("{n} {}", "x".repeat(5_000)))).collect();
    let (key, _) = running.waiting()[0];
    running.attempt(key, 200, Next::Delivered);
    running.stop();
    std::fs::remove_dir_all(dir.path().join("index")).expect("it can be removed");

    let mut running = Running::start(small(), &clock).expect("the journal is the truth");
    let page = PageRequest { limit: 100, ..PageRequest::default() };
    let list = |running: &Running| running.outbox.messages(endpoint.app, &MessageFilter::default(), &page);
    let rebuilding = |error| matches!(error, QueryError::Unavailable(Unavailable::IndexRebuilding { .. }));
    assert!(list(&running).is_err_and(rebuilding));
    // What needs no index is there at once.
    let found = running.outbox.message(endpoint.app, sent[0].id).expect("its id leads to it");
    assert!(found.is_some_and(|found| found.id == sent[0].id));
    assert_eq!(running.waiting().len(), 39);
    let more = running.send("shop", PAID, "more");
    running.keeper.round();
    let listed: Vec<_> = list(&running).expect("it is there again").items.iter().map(|message| message.id).collect();
    let newest_first: Vec<_> = sent.iter().chain([&more]).rev().map(|accepted| accepted.id).collect();
    assert_eq!(listed, newest_first);
    let states = running.outbox.deliveries_of(endpoint.app, sent[0].id).expect("they can be read");
    assert!(matches!(states[0].state, DeliveryState::Delivered { .. }), "{states:?}");
    running.stop();
}
