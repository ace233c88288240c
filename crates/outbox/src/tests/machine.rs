//! Anything that doors, scheduler and keeper may do, in any order, with stops
//! and kills in between, beside a model that is a table of deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeliveryKey, DeliveryState, Next, Trigger};
use postrider_model::id::{EndpointId, MessageId};
use postrider_model::job::Job;
use postrider_model::lane::{DeliveryStore as _, LaneEvent};
use postrider_model::ports::{Accept as _, Configure as _, Control as _, ControlError};
use postrider_model::query::{Delivery, DeliveryFilter, Page, PageRequest, Query as _, QueryError};
use postrider_model::task::TaskWork;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio::runtime::Runtime;

use super::stepper::{Stepper, app, endpoint, runtime, sim_dir};
use super::support::{ManualClock, ORG, message};
use crate::disk::sim::SimDisk;
use crate::{MasterKey, Options};

mod known;

use known::{End, Known, Stand};

const APP: &str = "shop";
const LANE_WINDOW: usize = 3;

#[derive(Clone, Debug)]
enum Action {
    /// A message of one of three types.
    Accept(u8),
    /// A job is handed out for the nth that waits.
    Take(usize),
    /// The nth job in flight ends.
    End(usize, End),
    /// The nth delivery that waits is cancelled.
    Cancel(usize),
    /// The nth delivery that has ended is replayed.
    Replay(usize),
    /// The nth message is replayed to the nth endpoint, which it may not have matched.
    Add(usize, usize),
    /// The nth delivery is resent, whatever it is.
    Resend(usize),
    /// The nth dead letter is purged.
    Purge(usize),
    /// All dead letters are.
    ReplayAll,
    CancelAll,
    PauseAll(bool),
    AddEndpoint,
    DeleteEndpoint(usize),
    Round,
    Checkpoint,
    Stop,
    Kill,
}

fn any_action() -> impl Strategy<Value = Action> {
    let end = prop_oneof![2 => Just(End::Delivered), 1 => Just(End::Retry), 2 => Just(End::Dead)];
    prop_oneof![
        12 => (0u8..3).prop_map(Action::Accept),
        8 => (0usize..20).prop_map(Action::Take),
        8 => (0usize..6, end).prop_map(|(nth, end)| Action::End(nth, end)),
        3 => (0usize..40).prop_map(Action::Cancel),
        3 => (0usize..40).prop_map(Action::Replay),
        3 => (0usize..40, 0usize..4).prop_map(|(message, to)| Action::Add(message, to)),
        5 => (0usize..40).prop_map(Action::Resend),
        2 => (0usize..20).prop_map(Action::Purge),
        1 => Just(Action::ReplayAll),
        1 => Just(Action::CancelAll),
        1 => any::<bool>().prop_map(Action::PauseAll),
        1 => Just(Action::AddEndpoint),
        1 => (0usize..4).prop_map(Action::DeleteEndpoint),
        4 => Just(Action::Round),
        1 => Just(Action::Checkpoint),
        1 => Just(Action::Stop),
        2 => Just(Action::Kill),
    ]
}

struct Machine {
    clock: Arc<ManualClock>,
    disk: SimDisk,
    index: tempfile::TempDir,
    runtime: Arc<Runtime>,
    stepper: Option<Stepper>,
    /// What the scheduler knows by what it was told.
    told: BTreeSet<DeliveryKey>,
    in_flight: Vec<Job>,
    messages: BTreeMap<DeliveryKey, MessageId>,
    model: BTreeMap<DeliveryKey, Known>,
    endpoints: Vec<(String, EndpointId)>,
    made: usize,
    /// Deliveries that came by a replay alone.
    added: BTreeSet<DeliveryKey>,
    /// A bulk replay was asked for.
    replays: bool,
}

impl Machine {
    fn new() -> Self {
        let mut machine = Self {
            clock: ManualClock::new(),
            disk: SimDisk::new(),
            index: tempfile::tempdir().expect("a temporary directory"),
            runtime: runtime(),
            stepper: None,
            told: BTreeSet::new(),
            in_flight: vec![],
            messages: BTreeMap::new(),
            model: BTreeMap::new(),
            endpoints: vec![],
            made: 0,
            added: BTreeSet::new(),
            replays: false,
        };
        machine.start();
        let made = machine.stepper().outbox.execute(app(APP));
        machine.stepper().ask(made).expect("the application is new");
        machine.add_endpoint();
        machine.add_endpoint();
        machine
    }

    fn start(&mut self) {
        let options = Options {
            segment_bytes: 256 << 10,
            lane_window: LANE_WINDOW,
            waiting_bytes: 64 << 10,
            max_in_flight: 32,
            ..Options::new(sim_dir(), MasterKey::new([7; 32]))
        };
        let disk = Arc::new(self.disk.clone());
        let stepper = Stepper::start(options, self.index.path(), &self.clock, disk, &self.runtime);
        self.stepper = Some(stepper.expect("nothing is damaged"));
        self.told.clear();
        self.in_flight.clear();
    }

    fn stepper(&mut self) -> &mut Stepper {
        self.stepper.as_mut().expect("it was started")
    }

    fn add_endpoint(&mut self) {
        let uid = format!("e{}", self.made);
        // The first wants everything, the others one type each.
        let types: &[&str] = match self.made % 3 {
            0 => &["t0", "t1", "t2"],
            1 => &["t1"],
            _ => &["t2"],
        };
        self.made += 1;
        let made = self.stepper().outbox.execute(endpoint(APP, &uid, types));
        self.stepper().ask(made).expect("the endpoint is new");
        let id = self.stepper().endpoint_id(APP, &uid).expect("it is there");
        self.endpoints.push((uid, id));
    }

    fn act(&mut self, action: &Action) {
        self.clock.forward(Duration::from_millis(7));
        let outbox = self.stepper().outbox.clone();
        let app = self.stepper().app_id(APP).expect("it is never deleted");
        match *action {
            Action::Accept(of_type) => {
                let accepted = outbox.accept(message(APP, &format!("t{of_type}"), "body"));
                let accepted = self.stepper().ask(accepted).expect("there is room");
                let found = outbox.message(app, accepted.id).expect("it can be read").expect("it was accepted");
                for endpoint in found.endpoints {
                    let key = DeliveryKey { endpoint, message: found.sequence };
                    self.messages.insert(key, accepted.id);
                    self.model.insert(key, Known::NEW);
                }
            }
            Action::Take(nth) => {
                self.listen();
                let free = self.told.iter().filter(|key| self.in_flight.iter().all(|job| job.key != **key));
                let Some(key) = free.copied().nth(nth % self.told.len().max(1)) else { return };
                let job = self.stepper().ask(outbox.job(key)).expect("what the scheduler knows can be attempted");
                let known = self.model.get(&key).copied().expect("it was accepted");
                let resend = job.scheduled.trigger == Trigger::Resent;
                assert_eq!((job.scheduled.attempt, resend), (known.next(), known.resending.is_some()), "{known:?}");
                self.in_flight.push(job);
            }
            Action::End(nth, end) => self.end(nth, end),
            Action::Cancel(nth) => {
                let Some(key) = self.nth(nth, Known::waits) else { return };
                let message = self.messages.get(&key).copied().expect("it was accepted");
                self.stepper().ask(outbox.cancel(app, message, key.endpoint)).expect("it waits");
                self.model.entry(key).and_modify(Known::cancel);
            }
            Action::Replay(nth) => self.replay(nth),
            Action::Add(message, to) => self.add(message, to),
            Action::Resend(nth) => self.resend(nth),
            Action::Purge(nth) => {
                let is_dead = |known: &Known| matches!(known.stand, Stand::Dead(_));
                let Some(key) = self.nth(nth, is_dead) else { return };
                let message = self.messages.get(&key).copied().expect("it was accepted");
                self.stepper().ask(outbox.purge(app, message, key.endpoint)).expect("it is a dead letter");
                self.model.entry(key).and_modify(Known::purge);
            }
            Action::ReplayAll => {
                let replay = outbox.start_task(TaskWork::ReplayDeadLetters(DeliveryFilter::default()));
                // At most so many run at once.
                self.replays |= self.stepper().ask(replay).is_ok();
            }
            Action::CancelAll => {
                let cancelled = outbox.cancel_where(DeliveryFilter::default());
                let cancelled = self.stepper().ask(cancelled).expect("they can be found");
                let mut expected = 0;
                for known in self.model.values_mut().filter(|known| known.is_pending()) {
                    known.cancel();
                    expected += 1;
                }
                assert_eq!(cancelled, expected);
            }
            Action::PauseAll(paused) => {
                let done = outbox.execute(Command::PauseDispatch { paused });
                self.stepper().ask(done).expect("it is legal");
            }
            Action::AddEndpoint => self.add_endpoint(),
            Action::DeleteEndpoint(nth) => self.delete_endpoint(nth),
            Action::Round => {
                self.stepper().keeper(|keeper| keeper.round());
                self.settle_replays();
            }
            Action::Checkpoint => self.stepper().keeper(|keeper| assert!(keeper.write_checkpoint())),
            Action::Stop => {
                self.stepper.take().expect("it was started").stop();
                self.start();
            }
            Action::Kill => {
                self.stepper = None;
                self.start();
            }
        }
    }

    /// What the bulk replay did: it takes dead letters as the windows have room.
    /// What it left is read off the list, and must be what the model says it may be.
    fn settle_replays(&mut self) {
        if !self.replays {
            return;
        }
        let outbox = self.stepper().outbox.clone();
        let dead: BTreeSet<DeliveryKey> =
            pages(1_000, |page| outbox.dead_letters(&DeliveryFilter::default(), page)).iter().map(|d| d.key).collect();
        for (key, known) in &mut self.model {
            if matches!(known.stand, Stand::Dead(_)) && !dead.contains(key) {
                known.replay();
            }
        }
    }

    fn end(&mut self, nth: usize, end: End) {
        if self.in_flight.is_empty() {
            return;
        }
        let job = self.in_flight.remove(nth % self.in_flight.len());
        let resend = job.scheduled.trigger == Trigger::Resent;
        let (status, next) = end.outcome(resend, self.clock_now());
        self.stepper().settle(&job, status, next);
        if let Some(known) = self.model.get_mut(&job.key) {
            known.end(job.scheduled.attempt, resend, end);
        }
    }

    fn clock_now(&self) -> postrider_model::time::UnixMs {
        postrider_model::time::Clock::now(&*self.clock)
    }

    /// Whether the endpoint of a delivery is there.
    fn is_reachable(&self, key: &DeliveryKey) -> bool {
        self.endpoints.iter().any(|(_, id)| *id == key.endpoint)
    }

    fn replay(&mut self, nth: usize) {
        let outbox = self.stepper().outbox.clone();
        let app = self.stepper().app_id(APP).expect("it is never deleted");
        let ended = self.model.iter().filter(|(key, known)| self.is_reachable(key) && !known.is_pending());
        let Some((key, before)) = ended.map(|(key, known)| (*key, *known)).nth(nth) else { return };
        let message = self.messages.get(&key).copied().expect("it was accepted");
        // One that is in flight has to end first, else its outcome would be stale.
        self.stepper().ask(outbox.replay(app, message, key.endpoint)).expect("it has ended");
        let shown = Stand::of(&self.shown(key));
        assert!(matches!(shown, Stand::Pending(now) if now >= before.next()), "{shown:?} after {before:?}");
        self.model.insert(key, Known { stand: shown, resending: None });
    }

    fn resend(&mut self, nth: usize) {
        let outbox = self.stepper().outbox.clone();
        let app = self.stepper().app_id(APP).expect("it is never deleted");
        let reachable = self.model.iter().filter(|(key, _)| self.is_reachable(key));
        let Some((key, before)) = reachable.map(|(key, known)| (*key, *known)).nth(nth) else { return };
        let message = self.messages.get(&key).copied().expect("it was accepted");
        self.stepper().ask(outbox.resend(app, message, key.endpoint)).expect("it is always legal");
        let state = self.shown(key);
        let number = state.waits_for().expect("it waits for the resend").attempt;
        assert!(number >= before.next(), "attempt {number} after {before:?}");
        self.model.insert(key, Known { resending: Some(number), ..before });
    }

    /// Where a delivery stands, as its message tells it. An attempt whose outcome
    /// was stale counts there, too.
    fn shown(&mut self, key: DeliveryKey) -> DeliveryState {
        let outbox = self.stepper().outbox.clone();
        let app = self.stepper().app_id(APP).expect("it is never deleted");
        let message = self.messages.get(&key).copied().expect("it was accepted");
        let deliveries = outbox.deliveries_of(app, message).expect("they can be read");
        let found = deliveries.iter().find(|delivery| delivery.key == key).expect("it was accepted");
        found.state
    }

    fn add(&mut self, nth: usize, to: usize) {
        let Some((_, endpoint)) = self.endpoints.get(to).cloned() else { return };
        let Some((key, id)) = self.messages.iter().nth(nth).map(|(key, id)| (*key, *id)) else { return };
        let key = DeliveryKey { endpoint, ..key };
        if self.model.contains_key(&key) {
            return;
        }
        let outbox = self.stepper().outbox.clone();
        let app = self.stepper().app_id(APP).expect("it is never deleted");
        let cancelled = self.stepper().ask(outbox.cancel(app, id, endpoint));
        assert_eq!(cancelled, Err(ControlError::NotFound { kind: "delivery" }), "it never was");
        self.stepper().ask(outbox.replay(app, id, endpoint)).expect("it never was");
        self.added.insert(key);
        self.messages.insert(key, id);
        self.model.insert(key, Known::NEW);
    }

    fn delete_endpoint(&mut self, nth: usize) {
        if nth >= self.endpoints.len() {
            return;
        }
        let (uid, id) = self.endpoints.remove(nth);
        let outbox = self.stepper().outbox.clone();
        let done = outbox.execute(Command::DeleteEndpoint { org: ORG, app: APP.to_owned(), endpoint: uid });
        self.stepper().ask(done).expect("it is there");
        for (_, known) in self.model.iter_mut().filter(|(key, _)| key.endpoint == id) {
            known.lose_endpoint();
        }
    }

    fn nth(&self, nth: usize, wanted: impl Fn(&Known) -> bool) -> Option<DeliveryKey> {
        self.model.iter().filter(|(_, known)| wanted(known)).map(|(key, _)| *key).nth(nth)
    }

    /// Learns what the scheduler is told.
    fn listen(&mut self) {
        let mut events = vec![];
        self.stepper().outbox.take(&mut events);
        for event in events {
            match event {
                LaneEvent::Waiting { key, .. } => drop(self.told.insert(key)),
                LaneEvent::Recorded { key, waits: Some(_), .. } => drop(self.told.insert(key)),
                LaneEvent::Left(key) | LaneEvent::Died { key, .. } | LaneEvent::Recorded { key, .. } => {
                    self.told.remove(&key);
                }
                LaneEvent::EndpointGone(endpoint) => self.told.retain(|key| key.endpoint != endpoint),
                LaneEvent::Endpoint(_) => {}
            }
        }
    }

    fn check(&mut self, page: usize) {
        let outbox = self.stepper().outbox.clone();
        let app = self.stepper().app_id(APP).expect("it is never deleted");
        let all = DeliveryFilter::default();
        let expected = |wanted: fn(&Stand) -> bool| -> Vec<(DeliveryKey, Stand)> {
            let stands = self.model.iter().map(|(key, known)| (*key, known.stand));
            stands.filter(|(_, stand)| wanted(stand)).collect()
        };
        let pending = expected(|stand| matches!(stand, Stand::Pending(_)));
        let dead = expected(|stand| matches!(stand, Stand::Dead(_)));
        let listed = |listed: Vec<Delivery>| -> Vec<(DeliveryKey, Stand)> {
            listed.iter().map(|delivery| (delivery.key, Stand::of(&delivery.state))).collect()
        };
        assert_eq!(listed(pages(page, |page| outbox.pending(&all, page))), pending, "pending, {page} a page");
        assert_eq!(listed(pages(page, |page| outbox.dead_letters(&all, page))), dead, "dead letters, {page} a page");
        let flying = self.in_flight.iter().map(|job| job.key).filter(|key| pending.iter().any(|(of, _)| of == key));
        let listed: Vec<_> = pages(page, |page| outbox.in_flight(&all, page)).iter().map(|found| found.key).collect();
        assert_eq!(listed, flying.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), "in flight");
        let stats = outbox.stats();
        let waits = self.model.values().filter(|known| known.waits()).count();
        assert_eq!((stats.pending, stats.dead_letters), (waits as u64, dead.len() as u64));
        let ids: BTreeSet<MessageId> = self.messages.values().copied().collect();
        let mut shown: BTreeMap<DeliveryKey, Stand> = BTreeMap::new();
        for id in ids {
            let deliveries = outbox.deliveries_of(app, id).expect("they can be read");
            shown.extend(deliveries.iter().map(|delivery| (delivery.key, Stand::of(&delivery.state))));
        }
        let endpoints: Vec<_> = self.endpoints.iter().map(|(_, id)| *id).collect();
        for (key, Known { stand, resending }) in &self.model {
            match (stand, shown.get(key)) {
                // While it is resent, an attempt whose outcome was stale counts.
                (Stand::Delivered(made), Some(Stand::Delivered(shown))) if resending.is_some() => {
                    assert!(shown >= made)
                }
                // The row of a cancellation does not bear the number.
                (Stand::Cancelled(_), Some(Stand::Cancelled(_))) => {}
                // What it was before its endpoint was deleted is shown as long as it is known.
                (Stand::Cancelled(_), Some(Stand::Delivered(_) | Stand::Dead(_)))
                    if !endpoints.contains(&key.endpoint) => {}
                // Nothing else tells of it.
                (Stand::Cancelled(_), None) if self.added.contains(key) && !endpoints.contains(&key.endpoint) => {}
                (stand, found) => assert_eq!(found, Some(stand), "{key:?}"),
            }
        }
        self.listen();
        let state = outbox.shared.state.lock();
        let windows = state.lanes.iter().flat_map(|(endpoint, lane)| {
            lane.window.iter().map(|(message, _)| DeliveryKey { endpoint: *endpoint, message })
        });
        assert_eq!(windows.collect::<BTreeSet<_>>(), self.told, "the scheduler knows the windows");
    }
}

/// All that a list shows, which is the same both ways.
fn pages(limit: usize, list: impl Fn(&PageRequest) -> Result<Page<Delivery>, QueryError>) -> Vec<Delivery> {
    let [forward, mut back] = [false, true].map(|descending| one_way(limit, descending, &list));
    back.reverse();
    assert_eq!(forward, back, "{limit} a page");
    forward
}

/// All pages of a list, one after the other.
pub(super) fn one_way<T>(
    limit: usize,
    descending: bool,
    list: impl Fn(&PageRequest) -> Result<Page<T>, QueryError>,
) -> Vec<T> {
    let mut all = vec![];
    let mut request = PageRequest { limit, descending, after: None };
    loop {
        let page = list(&request).expect("they can be listed");
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        if page.done {
            return all;
        }
        assert!(page.next.is_some() && page.next != request.after, "a page leads on");
        request.after = page.next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: postrider_proof::cases(48),
        rng_seed: postrider_proof::seed().map_or(RngSeed::Random, RngSeed::Fixed),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_outbox_is_a_table_of_deliveries(
        actions in prop::collection::vec(any_action(), 1..120),
        page in 1usize..9,
    ) {
        let mut machine = Machine::new();
        for (n, action) in actions.iter().enumerate() {
            machine.act(action);
            if n % 8 == 0 || matches!(action, Action::Stop | Action::Kill) {
                machine.check(page);
            }
        }
        machine.check(page);
        machine.act(&Action::Kill);
        machine.check(page);
        // Nothing stays behind a window for ever.
        for _ in 0..machine.model.len() * 3 {
            machine.act(&Action::Round);
            machine.listen();
            let Some(key) = machine.told.first().copied() else { break };
            let told = machine.stepper().attempt(key, 200, Next::Delivered);
            prop_assert!(told.is_some());
            if let Some(known) = machine.model.get_mut(&key) {
                known.end(known.next(), known.resending.is_some(), End::Delivered);
            }
        }
        prop_assert!(!machine.model.values().any(Known::waits));
        machine.check(page);
    }
}
