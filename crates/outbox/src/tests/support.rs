//! An outbox with its threads, a clock that is moved by hand, and short words
//! for what tests do with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::command::{Command, Reply, Write};
use postrider_model::delivery::{DeliveryKey, Next, Scheduled};
use postrider_model::endpoint::{DisabledBy, Endpoint, EndpointFields};
use postrider_model::id::{OrgId, RawId};
use postrider_model::job::{AttemptResult, Job, Outcome, Response};
use postrider_model::lane::{DeliveryStore, LaneEvent, Settlement};
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::ports::{Accept, AcceptError, Configure};
use postrider_model::time::{Clock, UnixMs};

use crate::disk::{Disk, RealDisk};
use crate::index::{Index, IndexOptions};
use crate::{CommitError, Keeper, MasterKey, OpenError, Opened, Options, Outbox, Report, open};

/// A clock that moves only by hand.
pub(crate) struct ManualClock {
    now_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Self::at(UnixMs(1_800_000_000_000))
    }

    pub(crate) fn at(now: UnixMs) -> Arc<Self> {
        Arc::new(Self { now_ms: AtomicU64::new(now.as_u64()), monotonic_ms: AtomicU64::new(0) })
    }

    /// Time goes by.
    pub(crate) fn forward(&self, by: Duration) {
        self.monotonic_ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
        self.jump(by);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, by: Duration) {
        self.now_ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

/// A running outbox. The keeper runs only when a test calls it.
pub(crate) struct Running {
    pub(crate) outbox: Outbox,
    pub(crate) keeper: Keeper,
    pub(crate) report: Report,
    committer: JoinHandle<Result<(), CommitError>>,
    events: Vec<LaneEvent>,
}

pub(crate) fn options(dir: &Path) -> Options {
    Options { segment_bytes: 8 << 20, ..Options::new(dir, MasterKey::new([7; 32])) }
}

pub(crate) const ORG: OrgId = OrgId(RawId::from_bytes([3; 20]));

impl Running {
    pub(crate) fn start(options: Options, clock: &Arc<ManualClock>) -> Result<Self, OpenError> {
        Self::start_on(options, clock, Arc::new(RealDisk))
    }

    pub(crate) fn start_on(options: Options, clock: &Arc<ManualClock>, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let index = options.dir.join("index");
        Self::start_beside(options, &index, clock, disk)
    }

    /// The same, with the index in a directory of its own.
    pub(crate) fn start_beside(
        options: Options,
        index: &Path,
        clock: &Arc<ManualClock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenError> {
        let index = Index::open(&IndexOptions::new(index)).expect("a directory can be made");
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        let Opened { outbox, committer, keeper, report } = open(options, disk, clock, index)?;
        let committer = std::thread::spawn(move || committer.run());
        Ok(Self { outbox, keeper, report, committer, events: vec![] })
    }

    pub(crate) fn stop(self) {
        self.outbox.stop();
        self.committer.join().expect("the committer does not panic").expect("the journal is not poisoned");
    }

    /// The process is gone: what it leaves is as if no stop was asked for.
    pub(crate) fn kill(self) {
        let dir = self.outbox.shared.options.dir.clone();
        let before = std::fs::read(dir.join("checkpoint")).ok();
        self.stop();
        for left in ["clean-stop", "checkpoint"] {
            std::fs::remove_file(dir.join(left)).expect("a clean stop leaves it");
        }
        if let Some(before) = before {
            std::fs::write(dir.join("checkpoint"), before).expect("it can be written");
        }
    }

    pub(crate) fn app(&self, uid: &str) {
        let name = uid.to_owned();
        let uid = Some(uid.to_owned());
        self.command(Command::Application {
            org: ORG,
            app: String::new(),
            write: Write::Create,
            edit: Box::new(move |fields| {
                fields.name = name;
                fields.uid = uid;
            }),
        });
    }

    pub(crate) fn endpoint(&self, app: &str, types: &[&str]) -> Arc<Endpoint> {
        let types = types.iter().map(|name| (*name).to_owned()).collect();
        let reply = self.command(Command::Endpoint {
            org: ORG,
            app: app.to_owned(),
            endpoint: String::new(),
            write: Write::Create,
            secret: None,
            disabled: None,
            edit: Box::new(move |fields| {
                fields.url = "https://example.com/hook".to_owned();
                fields.event_types = Some(types);
            }),
        });
        match reply {
            Reply::Endpoint { endpoint, created: true } => endpoint,
            other => panic!("an endpoint was asked for, not {other:?}"),
        }
    }

    pub(crate) fn command(&self, command: Command) -> Reply {
        wait(self.outbox.execute(command)).expect("the command is legal")
    }

    /// Changes an endpoint of the application `shop`.
    pub(crate) fn edit(&self, endpoint: &Endpoint, edit: impl FnOnce(&mut EndpointFields) + Send + 'static) {
        self.command(Command::Endpoint {
            org: ORG,
            app: "shop".to_owned(),
            endpoint: endpoint.id.to_string(),
            write: Write::Update,
            secret: None,
            disabled: None,
            edit: Box::new(edit),
        });
    }

    pub(crate) fn send(&self, app: &str, event_type: &str, body: &str) -> Accepted {
        self.accept(message(app, event_type, body)).expect("the message is fine")
    }

    pub(crate) fn accept(&self, message: NewMessage) -> Result<Accepted, AcceptError> {
        wait(self.outbox.accept(message))
    }

    /// Everything that waits now, as the scheduler has been told.
    pub(crate) fn waiting(&mut self) -> Vec<(DeliveryKey, Scheduled)> {
        self.outbox.take(&mut self.events);
        let mut waiting = std::collections::BTreeMap::new();
        for event in &self.events {
            match event {
                LaneEvent::Waiting { key, scheduled, .. } => drop(waiting.insert(*key, *scheduled)),
                LaneEvent::Recorded { key, waits: Some(scheduled), .. } => drop(waiting.insert(*key, *scheduled)),
                LaneEvent::Left(key) | LaneEvent::Died { key, .. } | LaneEvent::Recorded { key, .. } => {
                    waiting.remove(key);
                }
                LaneEvent::EndpointGone(endpoint) => waiting.retain(|key, _| key.endpoint != *endpoint),
                LaneEvent::Endpoint(_) => {}
            }
        }
        waiting.into_iter().collect()
    }

    pub(crate) fn job(&self, key: DeliveryKey) -> Job {
        wait(self.outbox.job(key)).expect("the delivery waits")
    }

    /// Makes one attempt of a delivery and waits until it is recorded.
    pub(crate) fn attempt(&mut self, key: DeliveryKey, status: u16, next: Next) -> Job {
        let job = self.job(key);
        self.settle(&job, status, next);
        job
    }

    pub(crate) fn settle(&mut self, job: &Job, status: u16, next: Next) {
        let response = Response { status, body: Bytes::from_static(b"answer"), ..Response::default() };
        let outcome = Outcome {
            key: job.key,
            attempt: job.scheduled.attempt,
            started: self.outbox.shared.clock.now(),
            duration: Duration::from_millis(3),
            url: job.target.url.clone(),
            result: AttemptResult::Answered(response),
        };
        let trigger = job.scheduled.trigger;
        let disable = (status == 410).then_some(DisabledBy::Gone);
        self.outbox.settle(&mut vec![Settlement { outcome, trigger, next, disable, ordered: false }]);
        let recorded = |events: &[LaneEvent]| {
            events.iter().any(|event| matches!(event, LaneEvent::Recorded { key, .. } if *key == job.key))
        };
        loop {
            let mut news = vec![];
            wait(self.outbox.changed());
            self.outbox.take(&mut news);
            let done = recorded(&news);
            self.events.append(&mut news);
            if done {
                return;
            }
        }
    }
}

/// A segment's file that cannot be opened for a while.
pub(crate) struct Unopenable {
    path: PathBuf,
    aside: PathBuf,
}

impl Unopenable {
    pub(crate) fn new(dir: &Path, segment: u32) -> Self {
        let path = dir.join("journal").join(crate::journal::segment_name(segment));
        let aside = dir.join("aside");
        std::fs::rename(&path, &aside).expect("it is there");
        std::fs::create_dir(&path).expect("its name is free");
        Self { path, aside }
    }

    pub(crate) fn give_back(self) {
        std::fs::remove_dir(&self.path).expect("it is empty");
        std::fs::rename(&self.aside, &self.path).expect("its name is free");
    }
}

pub(crate) fn message(app: &str, event_type: &str, body: &str) -> NewMessage {
    NewMessage::new(ORG, app, event_type, Bytes::copy_from_slice(body.as_bytes()))
}

/// Waits for an answer, on a runtime of its own. A test that waits in vain fails instead of hanging.
pub(crate) fn wait<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let waited = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), answer).await });
    waited.expect("it is answered")
}
