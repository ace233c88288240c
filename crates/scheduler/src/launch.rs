//! From a pick to the dispatcher.
//!
//! An attempt needs the slot of its outcome, its job, and room towards the
//! dispatcher. All picks of a turn for which everything can be had at once start
//! together: so it is with fresh messages. For each of the others a task waits, and for
//! each batch.

mod batch;

use std::sync::Arc;

use postrider_model::delivery::DeliveryKey;
use postrider_model::job::{Assignment, Job, Outcome};
use postrider_model::lane::JobError;
use tokio::sync::mpsc::{self, OwnedPermit, Permit};
use tokio::task::JoinSet;

use self::batch::Batch;
use crate::handle::Shared;
use crate::moment::Moment;
use crate::reply;
use crate::routes::Routes;
use crate::scheduler::Pick;

/// Starts what was picked.
pub(crate) struct Launch {
    shared: Arc<Shared>,
    routes: Routes,
    outcome_slots: mpsc::Sender<Outcome>,
    /// Those that wait for something.
    waiting: JoinSet<()>,
    /// Empty between two turns; kept for their room.
    keys: Vec<DeliveryKey>,
    jobs: Vec<Option<Result<Job, JobError>>>,
}

impl Launch {
    pub(crate) fn new(shared: Arc<Shared>, routes: Routes, outcome_slots: mpsc::Sender<Outcome>) -> Self {
        Self { shared, routes, outcome_slots, waiting: JoinSet::new(), keys: Vec::new(), jobs: Vec::new() }
    }

    /// Ends when a dispatcher has.
    pub(crate) fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        self.routes.broken()
    }

    /// Starts the attempts that were picked, and leaves the list empty.
    pub(crate) fn start(&mut self, picks: &mut Vec<Pick>) {
        self.reap();
        if picks.is_empty() {
            return;
        }
        let mut granted = Vec::with_capacity(picks.len());
        for Pick { key, batch, .. } in picks.drain(..) {
            if let Some(together) = batch {
                let assignments = self.routes.to(key.endpoint).clone();
                let batch = Batch::new(Arc::clone(&self.shared), key, together);
                self.waiting.spawn(batch.attempt(self.outcome_slots.clone(), assignments));
                continue;
            }
            let slot = self.outcome_slots.clone().try_reserve_owned();
            if let (Ok(slot), Ok(room)) = (slot, self.routes.to(key.endpoint).try_reserve()) {
                self.keys.push(key);
                granted.push((slot, room));
            } else {
                wait(&mut self.waiting, &self.shared, &self.routes, &self.outcome_slots, key);
            }
        }
        self.shared.store.jobs_at_once(&self.keys, &mut self.jobs);
        let mut ready = Vec::with_capacity(granted.len());
        let mut failed = Vec::new();
        let at = Moment::of(&*self.shared.clock);
        {
            let mut scheduler = self.shared.scheduler.lock();
            for ((key, job), granted) in self.keys.drain(..).zip(self.jobs.drain(..)).zip(granted) {
                match job {
                    Some(Ok(job)) if scheduler.fetched(key, job.scheduled, job.message.0.time(), at) => {
                        ready.push((job, granted));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => failed.push((key, error)),
                    None => wait(&mut self.waiting, &self.shared, &self.routes, &self.outcome_slots, key),
                }
            }
        }
        for (job, (slot, room)) in ready {
            room.send(reply::assign(job, slot, Arc::clone(&self.shared.clock), at));
        }
        for (key, error) in failed {
            no_job(&self.shared, key, &error);
        }
    }

    fn reap(&mut self) {
        while let Some(ended) = self.waiting.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "the task that prepares an attempt has failed");
            }
        }
    }
}

/// Lets a task wait for what a pick needs.
fn wait(
    waiting: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    routes: &Routes,
    outcome_slots: &mpsc::Sender<Outcome>,
    key: DeliveryKey,
) {
    let fetch = Fetch { shared: Arc::clone(shared), key, open: true };
    waiting.spawn(attempt(fetch, outcome_slots.clone(), routes.to(key.endpoint).clone()));
}

/// Prepares one attempt and hands it to the dispatcher, waiting for what is needed.
/// Room towards the dispatcher comes last, so that slow reading keeps it from nobody.
async fn attempt(fetch: Fetch, outcome_slots: mpsc::Sender<Outcome>, assignments: mpsc::Sender<Assignment>) {
    // The loop holds the other ends; when they are closed it ends, and so does this.
    let Ok(slot) = outcome_slots.reserve_owned().await else { return };
    let job = match fetch.shared.store.job(fetch.key).await {
        Ok(job) => job,
        Err(error) => return fetch.failed(&error),
    };
    let Ok(room) = assignments.reserve().await else { return };
    fetch.send(job, slot, room);
}

/// There is no job for a pick.
fn no_job(shared: &Shared, key: DeliveryKey, error: &JobError) {
    let at = Moment::of(&*shared.clock);
    let tell = shared.scheduler.lock().no_job(key, error, at);
    if tell {
        let DeliveryKey { endpoint, message } = key;
        tracing::warn!(%endpoint, %message, %error, "no job for a delivery; it stays pending");
    }
    shared.wake.notify_one();
}

/// A pick whose job is being read. If it is dropped, the reading has failed.
struct Fetch {
    shared: Arc<Shared>,
    key: DeliveryKey,
    open: bool,
}

impl Fetch {
    fn send(mut self, job: Job, slot: OwnedPermit<Outcome>, room: Permit<'_, Assignment>) {
        self.open = false;
        let (at, accepted) = (Moment::of(&*self.shared.clock), job.message.0.time());
        let expected = self.shared.scheduler.lock().fetched(self.key, job.scheduled, accepted, at);
        if expected {
            room.send(reply::assign(job, slot, Arc::clone(&self.shared.clock), at));
        }
    }

    fn failed(mut self, error: &JobError) {
        self.open = false;
        no_job(&self.shared, self.key, error);
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if self.open {
            no_job(&self.shared, self.key, &JobError::Failed("reading was given up".to_owned()));
        }
    }
}
