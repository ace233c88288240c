//! How much of a task over messages is one part, and where the next one begins.

use postrider_model::filter::Filter;
use postrider_model::id::AppId;
use postrider_model::ports::Control as _;
use tempfile::TempDir;

use super::*;
use crate::Options;
use crate::tests::support::{ManualClock, Running, Unopenable, message, options, wait};

const PAID: &str = "order.paid";

/// An application with messages that went to nobody, an endpoint that asks for them, and a task that sends them.
struct Store {
    _dir: TempDir,
    running: Running,
    endpoint: Arc<Endpoint>,
    id: TaskId,
    sent: Vec<Position>,
}

impl Store {
    fn new(messages: usize, body: &str, filter: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let running = Running::start(options(dir.path()), &ManualClock::new()).expect("an empty directory opens");
        running.app("shop");
        let group = vec![message("shop", PAID, body); messages];
        let accepted = wait(postrider_model::ports::Accept::accept_all(&running.outbox, group));
        let mask = &running.outbox.shared.mask;
        let sent = accepted.into_iter().map(|accepted| mask.position(accepted.expect("there is room").id.0)).collect();
        let endpoint = running.endpoint("shop", &[PAID]);
        if let Some(text) = filter {
            let filter = Filter::new(text);
            running.edit(&endpoint, move |fields| fields.filter = Some(filter));
        }
        let found = running.outbox.shared.config.read().endpoint(endpoint.id).map(Arc::clone);
        let endpoint = found.expect("it is there");
        let span = EndpointSpan { app: endpoint.app, endpoint: endpoint.id, since: UnixMs(0), until: None };
        let id = wait(running.outbox.start_task(TaskWork::ReplayMissing(span))).expect("it is recorded").id;
        Self { _dir: dir, running, endpoint, id, sent }
    }

    fn app(&self) -> AppId {
        self.endpoint.app
    }

    /// The part that comes after a message: the messages of its deliveries, and the last that was looked at.
    fn part(&self, after: Option<Position>, room: usize) -> (Vec<Position>, Option<Position>) {
        let shared = &self.running.outbox.shared;
        let mut task = shared.state.lock().tasks.get(&self.id).expect("it goes on").clone();
        task.cursor = after.map(|message| DeliveryKey { endpoint: self.endpoint.id, message });
        let span = EndpointSpan { app: self.app(), endpoint: self.endpoint.id, since: UnixMs(0), until: None };
        let part = shared.next_part(self.id, &task, (&span, &self.endpoint), room).expect("it can be read");
        (part.deliveries.iter().map(|meant| meant.delivery.sequence).collect(), part.last)
    }
}

#[test]
fn a_part_has_as_many_deliveries_as_there_is_room_for() {
    let store = Store::new(5, "{}", None);
    let sent = &store.sent;
    for room in 1..=5 {
        assert_eq!(store.part(None, room), (sent[..room].to_vec(), Some(sent[room - 1])), "{room}");
    }
    assert_eq!(store.part(None, 6), (sent.clone(), Some(sent[4])));
    assert_eq!(store.part(Some(sent[1]), 2), (sent[2..4].to_vec(), Some(sent[3])), "the next one");
    assert_eq!(store.part(Some(sent[4]), 2), (vec![], None), "there is no more");
    store.running.stop();
}

#[test]
fn a_part_reads_so_many_messages_and_no_more() {
    let store = Store::new(READS + 3, "{}", None);
    let sent = &store.sent;
    assert_eq!(store.part(None, 10_000), (sent[..READS].to_vec(), Some(sent[READS - 1])));
    assert_eq!(store.part(Some(sent[READS - 1]), 10_000), (sent[READS..].to_vec(), sent.last().copied()));
    // Also where the filter takes none of them.
    let store_of_none = Store::new(READS + 3, "{}", Some("@.n == 1"));
    assert_eq!(store_of_none.part(None, 10_000), (vec![], Some(store_of_none.sent[READS - 1])));
    store.running.stop();
    store_of_none.running.stop();
}

#[test]
fn what_a_filter_takes_counts_as_reads() {
    let body = serde_json::json!({ "n": vec![0; 30_000] }).to_string();
    let store = Store::new(15, &body, Some("@.n[?@ == 1 || @ == 2 || @ == 3 || @ == 4]"));
    let (deliveries, last) = store.part(None, 10_000);
    assert_eq!(deliveries, [], "it lets none through");
    let looked_at = store.sent.iter().position(|sent| Some(*sent) == last).expect("it looked at some") + 1;
    assert!((5..=14).contains(&looked_at), "each costs as much as some 25 reads: {looked_at}");
    store.running.stop();
}

/// What lies before it can be sent, and nothing after it is passed over.
#[test]
fn a_part_ends_before_a_message_that_cannot_be_read_at_present() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = || Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
    let mut running = Running::start(small(), &clock).expect("an empty directory opens");
    running.app("shop");
    let sent: Vec<_> = (0..25).map(|_| running.send("shop", PAID, &"x".repeat(7_000)).id).collect();
    let sent: Vec<_> = sent.into_iter().map(|message| running.outbox.shared.mask.position(message.0)).collect();
    let endpoint = running.endpoint("shop", &[PAID]);
    let span = EndpointSpan { app: endpoint.app, endpoint: endpoint.id, since: UnixMs(0), until: None };
    let id = wait(running.outbox.start_task(TaskWork::ReplayMissing(span))).expect("it is recorded").id;
    running.keeper.index_some();
    running.stop();

    let mut running = Running::start(small(), &clock).expect("the store opens");
    running.keeper.index_some();
    let shared = Arc::clone(&running.outbox.shared);
    let part = |after: Option<Position>| -> Result<(Vec<Position>, Option<Position>), QueryError> {
        let mut task = shared.state.lock().tasks.get(&id).expect("it goes on").clone();
        task.cursor = after.map(|message| DeliveryKey { endpoint: endpoint.id, message });
        let part = shared.next_part(id, &task, (&span, &endpoint), 100)?;
        Ok((part.deliveries.iter().map(|meant| meant.delivery.sequence).collect(), part.last))
    };
    let in_first = sent.iter().filter(|sent| sent.segment() == 1).count();
    assert!(in_first > 5 && sent[in_first].segment() == 2);
    let hidden = Unopenable::new(dir.path(), 2);
    let before = sent.get(..in_first).expect("they are there").to_vec();
    assert_eq!(part(None), Ok((before.clone(), before.last().copied())));
    let failed = part(before.last().copied());
    assert!(matches!(failed, Err(QueryError::Failed(_))), "{failed:?}");
    hidden.give_back();
    let rest = sent.get(in_first..).expect("they are there").to_vec();
    assert_eq!(part(before.last().copied()), Ok((rest.clone(), rest.last().copied())));
    running.stop();
}

#[test]
fn what_has_ended_tells_when_and_what_waits_does_not() {
    let waits = DeliveryState::Scheduled(postrider_model::delivery::Scheduled::first(UnixMs(1)));
    let resent = postrider_model::delivery::transition(
        &waits,
        &postrider_model::delivery::DeliveryEvent::Resent { at: UnixMs(2) },
    );
    let reason = postrider_model::delivery::DeadReason::TooOld;
    for (state, at) in [
        (waits, None),
        (resent.expect("always legal"), None),
        (DeliveryState::Delivered { at: UnixMs(3), attempt: 1 }, Some(UnixMs(3))),
        (DeliveryState::Dead { at: UnixMs(4), reason, attempt: 1 }, Some(UnixMs(4))),
        (DeliveryState::Cancelled { at: UnixMs(5), attempt: 1 }, Some(UnixMs(5))),
    ] {
        assert_eq!(ended_at(&state), at, "{state:?}");
    }
}
