//! Backups of a store on a simulated disk, and stores made of them.

mod bare;
mod content;
mod crash;
mod erased;
mod lineage;
mod lost;
mod points;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::id::MessageId;
use postrider_model::ports::{Accept as _, Configure as _};
use postrider_model::position::Position;
use postrider_model::query::{MessageFilter, PageRequest, Query as _};
use postrider_model::time::{Clock as _, UnixMs};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::stepper::{self, Stepper, runtime, sim_dir};
use super::support::{ManualClock, message};
use crate::backup::{
    BackedUp, BackupError, BackupRequest, Point, RestoreRequest, RestoredStore, Verified, backup, restore, verify,
};
use crate::disk::Disk;
use crate::disk::sim::{SimDisk, Survival};
use crate::{MasterKey, OpenError, Options};

const APP: &str = "shop";
const PAID: &str = "order.paid";

/// What there is of messages: their bodies, and how their deliveries stand.
type Seen = BTreeMap<MessageId, (String, &'static str)>;

/// A message that was accepted.
#[derive(Clone, Copy)]
struct Sent {
    id: MessageId,
    at: UnixMs,
}

struct World {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    runtime: Arc<Runtime>,
    /// Stays empty: the index is in memory.
    index: TempDir,
}

fn target() -> PathBuf {
    PathBuf::from("/backup")
}

fn new_dir() -> PathBuf {
    PathBuf::from("/new")
}

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 16 << 10,
        retain_history: Duration::from_secs(3_600),
        retention_grace: Duration::ZERO,
        waiting_bytes: 64 << 10,
        max_in_flight: 16,
        ..Options::new(dir, MasterKey::new([7; 32]))
    }
}

fn body(number: usize) -> String {
    format!("{number} {}", "x".repeat(3_000))
}

impl World {
    fn new() -> Self {
        let (index, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
        Self { disk: SimDisk::new(), clock, runtime: runtime(), index }
    }

    /// The same on a disk of its own.
    fn on(&self, disk: SimDisk) -> Self {
        let index = tempfile::tempdir().expect("a temporary directory");
        Self { disk, clock: ManualClock::at(self.clock.now()), runtime: Arc::clone(&self.runtime), index }
    }

    /// A copy that goes its own way.
    fn fork(&self) -> Self {
        self.on(self.disk.crash(Survival::Everything))
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn try_open(&self, dir: &Path) -> Result<Stepper, OpenError> {
        Stepper::start(options(dir), self.index.path(), &self.clock, self.arc(), &self.runtime)
    }

    fn open(&self, dir: &Path) -> Stepper {
        self.try_open(dir).expect("the store opens")
    }

    /// A store with an application and an endpoint, at work.
    fn begin(&self) -> Stepper {
        let mut stepper = self.open(&sim_dir());
        let outbox = stepper.outbox.clone();
        stepper.ask(outbox.execute(stepper::app(APP))).expect("it is legal");
        stepper.ask(outbox.execute(stepper::endpoint(APP, "e", &[PAID]))).expect("it is legal");
        stepper
    }

    /// Sends a message a second later.
    fn send(&self, stepper: &mut Stepper, number: usize) -> Sent {
        self.clock.forward(Duration::from_secs(1));
        let outbox = stepper.outbox.clone();
        let accepted = stepper.ask(outbox.accept(message(APP, PAID, &body(number)))).expect("there is room");
        Sent { id: accepted.id, at: self.clock.now() }
    }

    /// A store of some segments that was stopped, and a backup of it.
    fn stopped_and_backed_up() -> Self {
        let world = Self::new();
        let mut stepper = world.begin();
        for number in 0..12 {
            world.send(&mut stepper, number);
        }
        stepper.stop();
        world.backup().expect("nothing is wrong");
        world
    }

    fn backup(&self) -> Result<BackedUp, BackupError> {
        self.backup_that_keeps(None)
    }

    fn backup_that_keeps(&self, keep: Option<Duration>) -> Result<BackedUp, BackupError> {
        let request = BackupRequest { dir: sim_dir(), target: target(), keep };
        backup(&request, &self.arc(), &*self.clock, &mut |done, of| assert!(done <= of))
    }

    fn restore(&self, point: Point) -> Result<RestoredStore, BackupError> {
        let request = RestoreRequest { backup: target(), dir: new_dir(), point, accept_damage: false };
        restore(&request, &self.arc(), &*self.clock, &mut |done, of| assert!(done <= of))
    }

    fn verify(&self) -> Verified {
        verify(&target(), &self.arc(), &mut |_, _| {}).expect("it can be read")
    }

    fn assert_sound(&self, case: &str) {
        assert_eq!(self.verify().problems, Vec::<String>::new(), "{case}");
    }

    /// Restores into a directory of its own disk, and shows what a start finds there.
    fn restored(&self, point: Point) -> Seen {
        let world = self.fork();
        world.restore(point).expect("the backup reaches that point");
        seen(&mut world.open(&new_dir()))
    }
}

fn position(stepper: &Stepper, message: MessageId) -> Position {
    stepper.outbox.shared.mask.position(message.0)
}

fn deliver(stepper: &mut Stepper, sent: Sent) {
    let endpoint = stepper.endpoint_id(APP, "e").expect("it is there");
    let key = DeliveryKey { endpoint, message: position(stepper, sent.id) };
    stepper.attempt(key, 200, Next::Delivered).expect("it is recorded");
}

fn seen(stepper: &mut Stepper) -> Seen {
    let Some(app) = stepper.app_id(APP) else { return Seen::new() };
    let page = PageRequest { limit: 1_000, ..PageRequest::default() };
    let outbox = stepper.outbox.clone();
    let messages = outbox.messages(app, &MessageFilter::default(), &page).expect("the index is whole").items;
    let stands = messages.into_iter().map(|message| {
        let deliveries = outbox.deliveries_of(app, message.id).expect("they can be read");
        let state = deliveries.first().map_or("none", |delivery| delivery.state.name());
        let body = message.body.map_or_else(String::new, |body| String::from_utf8_lossy(&body).into_owned());
        (message.id, (body, state))
    });
    stands.collect()
}
