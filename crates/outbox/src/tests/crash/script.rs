//! Runs a script against an outbox on a simulated disk, and looks at what a
//! start finds after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryKey, DeliveryState, Next};
use postrider_model::expunge::Expunge as _;
use postrider_model::id::MessageId;
use postrider_model::lane::DeliveryStore as _;
use postrider_model::message::{Message, NewMessage};
use postrider_model::ports::Unavailable;
use postrider_model::ports::{Accept, AcceptError, Configure, Control};
use postrider_model::query::{DeliveryFilter, MessageFilter, PageRequest, Query};
use postrider_model::time::{Clock as _, UnixMs};
use tokio::runtime::Runtime;

use super::world::{End, Ledger, Name, Op, Stand, World};
use crate::disk::Disk as _;
use crate::disk::sim::SimDisk;
use crate::tests::stepper::{Stepper, app, endpoint, sim_dir};
use crate::tests::support::{ManualClock, ORG};
use crate::{MasterKey, OpenError, Options};

const APP: Name = "shop";
const SEGMENT_BYTES: u32 = 16 << 10;

/// What all runs share.
pub(super) struct Place<'a> {
    pub(super) runtime: &'a Arc<Runtime>,
    /// Stays empty: the index is in memory.
    pub(super) index: &'a Path,
}

pub(super) fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        retain_history: Duration::from_secs(3_600),
        retention_grace: Duration::ZERO,
        // The channels have as many places, and each run makes new ones.
        waiting_bytes: 64 << 10,
        max_in_flight: 16,
        ..Options::new(sim_dir(), MasterKey::new([7; 32]))
    }
}

/// A script at work.
pub(super) struct Run<'a> {
    place: &'a Place<'a>,
    pub(super) clock: Arc<ManualClock>,
    disk: SimDisk,
    pub(super) options: Options,
    /// `None` after something has failed.
    pub(super) stepper: Option<Stepper>,
    pub(super) ledger: Ledger,
}

impl<'a> Run<'a> {
    pub(super) fn start(place: &'a Place<'a>, disk: &SimDisk, options: Options) -> Self {
        let clock = ManualClock::new();
        let disk = disk.clone();
        let mut run = Self { place, clock, disk, options, stepper: None, ledger: Ledger::new() };
        run.stepper = run.open().ok();
        run
    }

    /// The same moment on another disk.
    pub(super) fn on(&self, disk: &SimDisk) -> Self {
        let clock = ManualClock::at(self.clock.now());
        let (place, options) = (self.place, self.options.clone());
        Self { place, clock, disk: disk.clone(), options, stepper: None, ledger: Ledger::new() }
    }

    pub(super) fn open(&self) -> Result<Stepper, OpenError> {
        let Place { runtime, index } = self.place;
        let disk = Arc::new(self.disk.clone());
        Stepper::start(self.options.clone(), index, &self.clock, disk, runtime)
    }

    /// Goes on until something fails.
    pub(super) fn all(&mut self, script: &[Op]) {
        for op in script {
            self.clock.forward(Duration::from_millis(10));
            let Some(stepper) = &mut self.stepper else { return };
            self.ledger.begin(*op);
            match perform(stepper, &mut self.ledger, *op) {
                Done::Synced => self.ledger.answered(),
                Done::Lazy => {}
                Done::Restart => {
                    if let Some(stepper) = self.stepper.take() {
                        stepper.stop();
                    }
                    self.stepper = self.open().ok();
                    if self.stepper.is_some() {
                        self.ledger.answered();
                    }
                }
                Done::Retire => {
                    self.clock.forward(Duration::from_secs(7_200));
                    stepper.keeper(|keeper| keeper.remove_old_segments());
                }
                Done::Erase => {
                    self.clock.forward(Duration::from_secs(7_200));
                    if erase(stepper) {
                        self.ledger.erased();
                    }
                }
                Done::Refused => drop(self.ledger.worlds.pop()),
                Done::Failed => return,
            }
        }
    }
}

enum Done {
    /// It was answered, so it is on disk.
    Synced,
    /// It is not synced yet.
    Lazy,
    Restart,
    Retire,
    Erase,
    /// There was no room, and nothing has happened.
    Refused,
    /// There was no answer, or an error.
    Failed,
}

impl Done {
    fn of<T, E>(result: Result<T, E>) -> Self {
        if result.is_ok() { Self::Synced } else { Self::Failed }
    }
}

fn perform(stepper: &mut Stepper, ledger: &mut Ledger, op: Op) -> Done {
    let app_id = stepper.app_id(APP);
    let id_of = |name: Name| ledger.ids.get(name).copied().expect("it was answered");
    match op {
        Op::App => command(stepper, app(APP)),
        Op::Endpoint(name, types) => command(stepper, endpoint(APP, name, types)),
        Op::DeleteEndpoint(name) => {
            let command_ = Command::DeleteEndpoint { org: ORG, app: APP.to_owned(), endpoint: name.to_owned() };
            command(stepper, command_)
        }
        Op::Pause(name, paused) => {
            let (app, endpoint) = (APP.to_owned(), name.to_owned());
            command(stepper, Command::PauseEndpoint { org: ORG, app, endpoint, paused })
        }
        Op::PauseAll(paused) => command(stepper, Command::PauseDispatch { paused }),
        Op::Send { name, event_type, key, .. } => {
            let message = message(ledger, name, event_type, key);
            let accepted = stepper.ask(stepper.outbox.accept(message));
            match accepted {
                Ok(accepted) => {
                    ledger.ids.insert(name, accepted.id);
                    Done::Synced
                }
                Err(AcceptError::Unavailable(Unavailable::DiskFull)) => Done::Refused,
                Err(_) => Done::Failed,
            }
        }
        Op::Attempt(name, endpoint, end) => {
            let Some(key) = key(stepper, id_of(name), endpoint) else { return Done::Failed };
            let (status, next) = match end {
                End::Delivered => (200, Next::Delivered),
                End::Retry => (500, Next::Retry { due: stepper.outbox.shared.clock.now() + Duration::from_secs(5) }),
                End::Dead => (500, Next::Dead { reason: DeadReason::AttemptsExhausted }),
                End::AsBefore => (500, Next::AsBefore),
            };
            stepper.attempt(key, status, next).map_or(Done::Failed, |()| Done::Lazy)
        }
        Op::Cancel(name, to) => {
            let (Some(app), Some(to)) = (app_id, stepper.endpoint_id(APP, to)) else { return Done::Failed };
            Done::of(stepper.ask(stepper.outbox.cancel(app, id_of(name), to)))
        }
        Op::Replay(name, to) => {
            let (Some(app), Some(to)) = (app_id, stepper.endpoint_id(APP, to)) else { return Done::Failed };
            Done::of(stepper.ask(stepper.outbox.replay(app, id_of(name), to)))
        }
        Op::Resend(name, to) => {
            let (Some(app), Some(to)) = (app_id, stepper.endpoint_id(APP, to)) else { return Done::Failed };
            Done::of(stepper.ask(stepper.outbox.resend(app, id_of(name), to)))
        }
        Op::Purge(name, to) => {
            let (Some(app), Some(to)) = (app_id, stepper.endpoint_id(APP, to)) else { return Done::Failed };
            Done::of(stepper.ask(stepper.outbox.purge(app, id_of(name), to)))
        }
        Op::Checkpoint => {
            stepper.keeper(|keeper| {
                keeper.write_checkpoint();
            });
            Done::Lazy
        }
        Op::Expunge(name) => {
            let Some(app) = app_id else { return Done::Failed };
            Done::of(stepper.ask(stepper.outbox.expunge_payload(app, id_of(name))))
        }
        Op::Erase => Done::Erase,
        Op::Retire => Done::Retire,
        Op::Restart => Done::Restart,
    }
}

/// Whether all is off the disk that was expunged.
fn erase(stepper: &mut Stepper) -> bool {
    for _ in 0..50 {
        if stepper.outbox.stats().expunged_on_disk == 0 {
            return true;
        }
        stepper.keeper(crate::Keeper::expunge_some);
    }
    false
}

fn command(stepper: &mut Stepper, command: Command) -> Done {
    Done::of(stepper.ask(stepper.outbox.execute(command)))
}

pub(super) fn message(ledger: &Ledger, name: Name, event_type: Name, key: Option<Name>) -> NewMessage {
    let body = ledger.bodies.get(name).cloned().unwrap_or_default();
    let idempotency_key = key.map(str::to_owned);
    NewMessage { idempotency_key, ..NewMessage::new(ORG, APP, event_type, Bytes::from(body)) }
}

fn key(stepper: &Stepper, id: MessageId, endpoint: Name) -> Option<DeliveryKey> {
    let message = stepper.outbox.message(stepper.app_id(APP)?, id).ok()??;
    Some(DeliveryKey { endpoint: stepper.endpoint_id(APP, endpoint)?, message: message.sequence })
}

/// All that there is, as the ports show it; every body is compared, and every
/// list with every other.
pub(super) fn observe(stepper: &mut Stepper, ledger: &Ledger, case: &str) -> World {
    let mut world = World::default();
    let mut names = BTreeMap::new();
    {
        let config = stepper.outbox.shared.config.read();
        world.all_paused = config.dispatch_paused().is_some();
        let entry = config.find_app(ORG, APP);
        world.app = entry.is_some();
        for endpoint in entry.into_iter().flat_map(|entry| entry.endpoints()) {
            let uid = endpoint.fields.uid.clone().unwrap_or_default();
            names.insert(endpoint.id, uid.clone());
            world.endpoints.insert(uid, endpoint.paused.is_some());
        }
    }
    let Some(app) = stepper.app_id(APP) else { return world };
    let page = PageRequest { limit: 1_000, ..PageRequest::default() };
    let outbox = stepper.outbox.clone();
    let messages = outbox.messages(app, &MessageFilter::default(), &page).expect("the index is whole").items;
    let (mut pending, mut dead, mut waits) = (0, 0, 0);
    for message in messages {
        let body = message.body.clone().unwrap_or_default();
        let name = name_of(&message, ledger, case);
        if message.body.is_none() {
            world.expunged.insert(name.clone());
        }
        let by_id = outbox.message(app, message.id).expect("it can be read");
        assert_eq!(by_id.as_ref().map(|found| &found.body), Some(&message.body), "{case}: {name} by its id");
        let mut stands = BTreeMap::new();
        for delivery in outbox.deliveries_of(app, message.id).expect("they can be read") {
            let stand = stand(&delivery.state);
            pending += usize::from(matches!(stand, Stand::Pending(_) | Stand::PendingResent(_)));
            dead += usize::from(matches!(stand, Stand::Dead(_) | Stand::DeadResent(_)));
            // A deleted endpoint is known to the ledger by its name alone.
            let endpoint = names.get(&delivery.key.endpoint).cloned().unwrap_or_else(|| "c".to_owned());
            stands.insert(endpoint, stand);
            if let Some(scheduled) = delivery.state.waits_for() {
                waits += 1;
                let job = stepper.ask(outbox.job(delivery.key));
                let job = job.unwrap_or_else(|error| panic!("{case}: {name} waits, but {error}"));
                assert_eq!((job.message, &job.body, job.scheduled), (message.id, &body, scheduled), "{case}: {name}");
                outbox.shared.in_flight.lock().remove(&delivery.key);
            }
        }
        assert!(world.messages.insert(name.clone(), stands).is_none(), "{case}: {name} is there twice");
    }
    let all = DeliveryFilter::default();
    let count = |listed: Result<postrider_model::query::Page<_>, _>| listed.expect("they can be listed").items.len();
    assert_eq!(count(outbox.pending(&all, &page)), pending, "{case}: pending");
    assert_eq!(count(outbox.dead_letters(&all, &page)), dead, "{case}: dead letters");
    assert_eq!(outbox.shared.state.lock().pending_total(), waits, "{case}: the counter of what waits");
    world
}

/// The body tells it; without one, the id that was answered.
fn name_of(message: &Message, ledger: &Ledger, case: &str) -> String {
    let Some(body) = &message.body else {
        let named = ledger.ids.iter().find(|(_, id)| **id == message.id);
        return named.map(|(name, _)| (*name).to_owned()).expect("only what was answered is expunged");
    };
    let text = String::from_utf8_lossy(body).into_owned();
    let name = text.split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(ledger.bodies.get(&name), Some(&text), "{case}: a body that was never sent");
    name
}

/// What was taken off the disk is in none of its files.
fn check_erased(disk: &SimDisk, ledger: &Ledger, case: &str) {
    let journal = sim_dir().join("journal");
    for name in disk.list(&journal).expect("it is there") {
        let content = disk.content(&journal.join(&name)).expect("it is there");
        for message in &ledger.erased {
            let needle = format!("{message} xxxxxxxxxx");
            let found = content.windows(needle.len()).any(|bytes| bytes == needle.as_bytes());
            assert!(!found, "{case}: {message} is in {name}");
        }
    }
}

fn stand(state: &DeliveryState) -> Stand {
    let made = state.attempts_made();
    let resent = matches!(state, DeliveryState::Resending(_));
    match (state.name(), resent) {
        ("scheduled", false) => Stand::Pending(made + 1),
        ("scheduled", true) => Stand::PendingResent(made + 1),
        ("delivered", false) => Stand::Delivered(made),
        ("delivered", true) => Stand::DeliveredResent(made),
        ("dead", false) => Stand::Dead(made),
        ("dead", true) => Stand::DeadResent(made),
        _ => Stand::Cancelled,
    }
}

/// What the next process finds on `disk` is what the ledger allows; it stays
/// so; equal keys get equal answers; and the outbox goes on.
pub(super) fn check(place: &Place<'_>, disk: &SimDisk, clock: UnixMs, ledger: &Ledger, case: &str) {
    let mut run = Run {
        place,
        clock: ManualClock::at(clock),
        disk: disk.clone(),
        options: options(),
        stepper: None,
        ledger: Ledger::new(),
    };
    let mut first = run.open().unwrap_or_else(|error| panic!("{case}: {error}"));
    // What a crash left half made is gone by now.
    if !ledger.erased.is_empty() {
        check_erased(disk, ledger, case);
    }
    assert_eq!(first.report.quarantined, Vec::<String>::new(), "{case}");
    let found = observe(&mut first, ledger, case);
    assert!(ledger.explains(&found), "{case}: found {found:#?}, possible {:#?}", ledger.worlds.get(ledger.safe..));
    drop(first);

    // What was found is durable. There is room by now, should the disk have been full.
    run.disk = run.disk.crash(crate::disk::sim::Survival::Nothing);
    run.disk.set_free_bytes(1 << 40);
    let mut second = run.open().unwrap_or_else(|error| panic!("{case}: second start: {error}"));
    let again = observe(&mut second, ledger, case);
    assert_eq!(again, found, "{case}: second start");
    if !found.app {
        return;
    }
    for (name, key) in &ledger.keys {
        let wanted = message(ledger, name, "order.paid", Some(key));
        let answer = second.ask(second.outbox.accept(wanted));
        let answer = answer.unwrap_or_else(|error| panic!("{case}: the key of {name} is no reason to refuse: {error}"));
        if let Some(id) = ledger.ids.get(name) {
            assert_eq!((answer.id, answer.duplicate), (*id, true), "{case}: the key of {name}");
        }
        assert_eq!(answer.duplicate, found.messages.contains_key(*name), "{case}: the key of {name}");
    }
    let new = NewMessage::new(ORG, APP, "order.paid", Bytes::from_static(b"new"));
    let accepted: Result<_, AcceptError> = second.ask(second.outbox.accept(new));
    let accepted = accepted.unwrap_or_else(|error| panic!("{case}: after the start: {error}"));
    assert_eq!(accepted.deliveries as usize, found.endpoints.len(), "{case}: everybody wants it");
}
