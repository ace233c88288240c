//! An outbox in one thread: the committer takes a step when the test lets it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use postrider_model::command::{Command, Write};
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::endpoint::DisabledBy;
use postrider_model::id::{AppId, EndpointId};
use postrider_model::job::{AttemptResult, Job, Outcome, Response};
use postrider_model::lane::{DeliveryStore, Settlement};
use postrider_model::time::Clock;
use tokio::runtime::Runtime;

use super::support::{ManualClock, ORG};
use crate::committer::{Committer, leave_clean_stop};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::index::{Index, IndexOptions};
use crate::journal::AppendError;
use crate::{Keeper, OpenError, Opened, Options, Outbox, Report, open};

/// How often the committer may step before an answer must be there.
const STEPS: usize = 50;

pub(crate) struct Stepper {
    pub(crate) outbox: Outbox,
    pub(crate) keeper: Option<Keeper>,
    pub(crate) report: Report,
    /// `None` after it has ended.
    pub(crate) committer: Option<Committer>,
    /// Why it has ended.
    pub(crate) error: Option<AppendError>,
    disk: Arc<dyn Disk>,
    runtime: Arc<Runtime>,
}

/// A runtime for many steppers, one after the other.
pub(crate) fn runtime() -> Arc<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    Arc::new(runtime.expect("a runtime can be made"))
}

/// What outlives a process: a simulated disk, a clock, and a place for the index.
pub(crate) struct SimWorld {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disk: SimDisk,
    index: tempfile::TempDir,
    runtime: Arc<Runtime>,
}

impl SimWorld {
    pub(crate) fn new() -> Self {
        let index = tempfile::tempdir().expect("a temporary directory");
        Self { clock: ManualClock::new(), disk: SimDisk::new(), index, runtime: runtime() }
    }

    pub(crate) fn start(&self, options: Options) -> Result<Stepper, OpenError> {
        let disk = Arc::new(self.disk.clone());
        Stepper::start(options, self.index.path(), &self.clock, disk, &self.runtime)
    }
}

impl Stepper {
    /// Opens an outbox whose index has no rows on disk: all of them are read
    /// from the journal into memory. `index_dir` stays empty.
    pub(crate) fn start(
        options: Options,
        index_dir: &Path,
        clock: &Arc<ManualClock>,
        disk: Arc<dyn Disk>,
        runtime: &Arc<Runtime>,
    ) -> Result<Self, OpenError> {
        let index = Index::open(&IndexOptions::new(index_dir)).expect("a directory can be made");
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        let Opened { outbox, committer, keeper, report } = open(options, Arc::clone(&disk), clock, index)?;
        outbox.index_in_memory();
        let committer = Some(committer.into_committer());
        let runtime = Arc::clone(runtime);
        Ok(Self { outbox, keeper: Some(keeper), report, committer, error: None, disk, runtime })
    }

    /// Lets the committer take one step.
    pub(crate) fn step(&mut self) {
        if let Some(committer) = &mut self.committer
            && let Err(error) = committer.step()
        {
            committer.end();
            self.error = Some(error);
            self.committer = None;
        }
    }

    /// Asks, and lets the committer step until there is an answer.
    pub(crate) fn ask<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let runtime = Arc::clone(&self.runtime);
        let _entered = runtime.enter();
        let mut answer = std::pin::pin!(answer);
        for _ in 0..STEPS {
            if let Poll::Ready(done) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            if !self.has_work() {
                // It waits for a look-up on another thread.
                let patience = Duration::from_secs(10);
                let answered = runtime.block_on(tokio::time::timeout(patience, async {
                    tokio::select! {
                        done = answer.as_mut() => Some(done),
                        () = self.asked() => None,
                    }
                }));
                let answered = answered.expect("somebody answers");
                if let Some(done) = answered {
                    return done;
                }
            }
            self.step();
        }
        panic!("there is no answer after {STEPS} steps");
    }

    /// Whether something waits for the committer. What lies there for one that has ended waits for nobody.
    pub(crate) fn has_work(&self) -> bool {
        let Some(committer) = &self.committer else { return false };
        let taken = !committer.is_idle();
        let asked = !self.outbox.errands.is_empty() || !self.outbox.urgent.is_empty() || !self.outbox.ingest.is_empty();
        taken || asked || !self.outbox.shared.outcomes.is_empty()
    }

    /// Ends when something waits for the committer.
    async fn asked(&self) {
        while !self.has_work() {
            tokio::task::yield_now().await;
        }
    }

    /// One round of the keeper on a thread of its own, with the committer here.
    pub(crate) fn keeper(&mut self, work: impl FnOnce(&mut Keeper) + Send) {
        let mut keeper = self.keeper.take().expect("the keeper is here between two calls");
        std::thread::scope(|scope| {
            let keeper = &mut keeper;
            let working = scope.spawn(move || work(keeper));
            while !working.is_finished() {
                if self.has_work() {
                    self.step();
                } else {
                    std::thread::yield_now();
                }
            }
            working.join().expect("the keeper does not panic");
        });
        self.keeper = Some(keeper);
    }

    /// Hands out a job and records how it ended; `None` if there is no job or
    /// the committer has ended.
    pub(crate) fn attempt(&mut self, key: DeliveryKey, status: u16, next: Next) -> Option<()> {
        let job = self.ask(self.outbox.job(key)).ok()?;
        self.settle(&job, status, next);
        self.committer.as_ref().map(drop)
    }

    /// Lets the committer record how an attempt ended.
    pub(crate) fn settle(&mut self, job: &Job, status: u16, next: Next) {
        self.settle_in_order(job, status, next, false);
    }

    /// The same, where others may wait for it in order.
    pub(crate) fn settle_in_order(&mut self, job: &Job, status: u16, next: Next, ordered: bool) {
        self.post(job, status, next, ordered);
        self.step();
    }

    /// Leaves it for the committer's next step.
    pub(crate) fn post(&self, job: &Job, status: u16, next: Next, ordered: bool) {
        self.post_settlement(job, status, Bytes::from_static(b"answer"), next, ordered);
    }

    /// The same of an answer with this body, where nobody waits for it.
    pub(crate) fn post_answer(&self, job: &Job, status: u16, body: Bytes, next: Next) {
        self.post_settlement(job, status, body, next, false);
    }

    fn post_settlement(&self, job: &Job, status: u16, body: Bytes, next: Next, ordered: bool) {
        let key = job.key;
        let response = Response { status, body, ..Response::default() };
        let outcome = Outcome {
            key,
            attempt: job.scheduled.attempt,
            started: self.outbox.shared.clock.now(),
            duration: Duration::from_millis(3),
            url: job.target.url.clone(),
            result: AttemptResult::Answered(response),
        };
        let disable = (status == 410).then_some(DisabledBy::Gone);
        let settlement = Settlement { outcome, trigger: job.scheduled.trigger, next, disable, ordered };
        self.outbox.settle(&mut vec![settlement]);
    }

    /// A clean stop. Nothing waits.
    pub(crate) fn stop(mut self) {
        self.outbox.stop();
        self.step();
        let Some(mut committer) = self.committer.take() else { return };
        if committer.journal.sync().is_ok() {
            leave_clean_stop(&self.outbox.shared, &*self.disk, &committer.journal);
        }
    }

    pub(crate) fn app_id(&self, uid: &str) -> Option<AppId> {
        let config = self.outbox.shared.config.read();
        config.find_app(ORG, uid).map(|entry| entry.app.id)
    }

    pub(crate) fn endpoint_id(&self, app: &str, uid: &str) -> Option<EndpointId> {
        let config = self.outbox.shared.config.read();
        config.find_app(ORG, app)?.find_endpoint(uid).map(|endpoint| endpoint.id)
    }
}

pub(crate) fn app(uid: &str) -> Command {
    let fields_uid = uid.to_owned();
    Command::Application {
        org: ORG,
        app: uid.to_owned(),
        write: Write::Upsert,
        edit: Box::new(move |fields| {
            fields.name = "name".to_owned();
            fields.uid = Some(fields_uid);
        }),
    }
}

pub(crate) fn endpoint(app: &str, uid: &str, types: &[&str]) -> Command {
    let types = types.iter().map(|name| (*name).to_owned()).collect();
    let fields_uid = uid.to_owned();
    Command::Endpoint {
        org: ORG,
        app: app.to_owned(),
        endpoint: uid.to_owned(),
        write: Write::Upsert,
        secret: None,
        disabled: None,
        edit: Box::new(move |fields| {
            fields.url = "https://example.com/hook".to_owned();
            fields.uid = Some(fields_uid);
            fields.event_types = Some(types);
        }),
    }
}

pub(crate) fn sim_dir() -> PathBuf {
    PathBuf::from("/data")
}
