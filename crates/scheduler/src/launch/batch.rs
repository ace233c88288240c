//! From the pick of a batch to the dispatcher.
//!
//! The jobs are read one after the other, in the order of acceptance, until one has no
//! room; the rest waits as it did. One slot of an outcome serves them all.

use std::sync::Arc;

use postrider_model::batch::element_bytes;
use postrider_model::delivery::DeliveryKey;
use postrider_model::job::{Assignment, Job, Outcome};
use postrider_model::lane::JobError;
use tokio::sync::mpsc::{OwnedPermit, Permit, Sender};

use super::no_job;
use crate::handle::Shared;
use crate::moment::Moment;
use crate::reply;
use crate::scheduler::Together;

/// The pick of a batch whose jobs are being read. If it is dropped, what was not read
/// has failed, and what was read is given up with an outcome.
pub(super) struct Batch {
    shared: Arc<Shared>,
    /// By which its pick is known.
    lead: DeliveryKey,
    /// Those whose jobs are still to be read, the next one last.
    keys: Vec<DeliveryKey>,
    jobs: Vec<Job>,
    room_bytes: usize,
    /// Those for which there is no job.
    without: Vec<(DeliveryKey, JobError)>,
    slot: Option<OwnedPermit<Outcome>>,
}

impl Batch {
    pub(super) fn new(shared: Arc<Shared>, lead: DeliveryKey, together: Together) -> Self {
        let Together { others: mut keys, max_bytes } = together;
        keys.push(lead);
        keys.sort_by_key(|key| std::cmp::Reverse(key.message));
        Self { shared, lead, keys, jobs: Vec::new(), room_bytes: max_bytes, without: Vec::new(), slot: None }
    }

    /// Prepares the attempt and hands it to the dispatcher, waiting for what is needed.
    pub(super) async fn attempt(mut self, outcome_slots: Sender<Outcome>, assignments: Sender<Assignment>) {
        // The loop holds the other ends; when they are closed it ends, and so does this.
        self.slot = outcome_slots.reserve_owned().await.ok();
        if self.slot.is_none() {
            return;
        }
        while let Some(key) = self.keys.last().copied() {
            self.read(key).await;
            self.keys.pop();
        }
        if self.jobs.is_empty() {
            return;
        }
        if let Ok(room) = assignments.reserve().await {
            self.send(Some(room));
        }
    }

    async fn read(&mut self, key: DeliveryKey) {
        // The first goes whatever it takes.
        let room_bytes = if self.jobs.is_empty() { usize::MAX } else { self.room_bytes };
        let full = self.without.last().is_some_and(|(_, error)| *error == JobError::NoRoom);
        let job = if full { Err(JobError::NoRoom) } else { self.shared.store.job_within(key, room_bytes).await };
        match job {
            Ok(job) => {
                let taken = element_bytes(&job.event_type, job.content_type.as_deref(), job.body.len());
                self.room_bytes = self.room_bytes.saturating_sub(taken);
                self.jobs.push(job);
            }
            Err(error) => self.without.push((key, error)),
        }
    }

    /// Without room towards the dispatcher the attempt is given up, and its reply says so.
    fn send(&mut self, room: Option<Permit<'_, Assignment>>) {
        let (at, mut jobs) = (Moment::of(&*self.shared.clock), std::mem::take(&mut self.jobs));
        self.shared.scheduler.lock().fetched_together(self.lead, &mut jobs, at);
        let lead = jobs.iter().position(|job| job.key == self.lead).unwrap_or(0);
        if lead < jobs.len()
            && let Some(slot) = self.slot.take()
        {
            let lead = jobs.remove(lead);
            let job = Job { others: Some(jobs), ..lead };
            let assignment = reply::assign(job, slot, Arc::clone(&self.shared.clock), at);
            if let Some(room) = room {
                room.send(assignment);
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.jobs.is_empty() {
            self.send(None);
        }
        for key in self.keys.drain(..) {
            self.without.push((key, JobError::Failed("reading was given up".to_owned())));
        }
        for (key, error) in std::mem::take(&mut self.without) {
            no_job(&self.shared, key, &error);
        }
    }
}
