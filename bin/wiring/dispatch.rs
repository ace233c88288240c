//! The threads of delivery. The scheduler and the first dispatcher share one, so
//! that an attempt on its way between them wakes nobody; each further dispatcher
//! has another. The doors' threads have no part in it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use postrider_dispatcher::Dispatcher;
use postrider_outbox::Outbox;
use postrider_scheduler::{Drained, Handle};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::verifying::{Verifier, Verifying};
use super::{jitter, options};
use crate::config::Config;
use crate::exit::Failure;

/// Assignments on their way to a dispatcher, which takes each at once: as many as
/// the scheduler starts in one turn.
const ASSIGNMENTS: usize = 1_024;

/// Scheduler and dispatchers.
pub(super) struct Dispatch {
    pub(super) scheduler: Handle,
    scheduling: JoinHandle<Result<Drained, postrider_scheduler::Error>>,
    dispatching: JoinSet<()>,
    /// Verifies endpoints, on the first of the threads.
    pub(super) verifier: Verifier,
    verifying: JoinHandle<()>,
    _threads: Vec<Thread>,
}

impl Dispatch {
    pub(super) fn start(config: &Config, outbox: &Outbox, dispatcher: &Dispatcher) -> Result<Self, Failure> {
        let own = dispatcher.beside();
        let (verifying, verifier) = Verifying::new(outbox.clone(), own.clone(), options::verification(config));
        let mut own = Some(own);
        let first = Thread::start(0)?;
        let scheduling_on = first.runtime.clone();
        let mut threads = vec![first];
        for number in 1..options::dispatch_threads(config) {
            threads.push(Thread::start(number)?);
        }
        let mut dispatching = JoinSet::new();
        let dispatchers = threads.iter().map(|thread| {
            let (assignments, assigned) = mpsc::channel(ASSIGNMENTS);
            let service = postrider_dispatcher::Service::new(own.take().unwrap_or_else(|| dispatcher.beside()));
            dispatching.spawn_on(service.run(assigned), &thread.runtime);
            assignments
        });
        let parts = postrider_scheduler::Parts {
            store: Arc::new(outbox.clone()),
            clock: outbox.clock(),
            random: Box::new(jitter()),
            dispatchers: dispatchers.collect(),
        };
        let (service, scheduler) = postrider_scheduler::Service::new(options::scheduler(config), parts)?;
        let verifying = scheduling_on.spawn(verifying.run());
        let scheduling = scheduling_on.spawn(service.run());
        Ok(Self { scheduler, scheduling, dispatching, verifier, verifying, _threads: threads })
    }

    /// Waits until a part ends by itself, which it never should.
    pub(super) async fn broken(&mut self) -> Failure {
        let what = tokio::select! {
            ended = &mut self.scheduling => match ended {
                Ok(Err(error)) => error.to_string(),
                _ => "the scheduler has ended by itself".to_owned(),
            },
            _ = &mut self.verifying => "the verification of endpoints has ended by itself".to_owned(),
            _ = self.dispatching.join_next() => "a dispatcher has ended by itself".to_owned(),
        };
        Failure::runtime(what).hint("the log above says more")
    }

    /// Starts nothing any more and lets what is in flight end, within a time.
    pub(super) async fn stop(&mut self, within: Duration) {
        self.verifying.abort();
        self.scheduler.stop(within);
        if !self.scheduling.is_finished()
            && let Ok(Ok(Drained { in_flight })) = (&mut self.scheduling).await
            && in_flight > 0
        {
            tracing::warn!(in_flight, "requests did not end in time; they are made again after the next start");
        }
        self.dispatching.abort_all();
    }
}

/// A thread that runs the tasks it is given until this is dropped. What then still
/// runs ends at its next wait.
struct Thread {
    runtime: runtime::Handle,
    _end: oneshot::Sender<()>,
}

impl Thread {
    fn start(number: usize) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let handle = runtime.handle().clone();
        let body = move || {
            // The sender is dropped without a word.
            let _ = runtime.block_on(ended);
            // A read from disk that still goes on holds up nobody.
            runtime.shutdown_background();
        };
        thread::Builder::new().name(format!("dispatch-{number}")).spawn(body)?;
        Ok(Self { runtime: handle, _end: end })
    }
}
