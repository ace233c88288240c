//! What everybody else holds of the scheduler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postrider_model::delivery::DeliveryKey;
use postrider_model::explain::{Explain, Flow, Wait};
use postrider_model::id::EndpointId;
use postrider_model::lane::DeliveryStore;
use postrider_model::policy::Rules;
use postrider_model::time::Clock;
use tokio::sync::Notify;

use crate::moment::Moment;
use crate::scheduler::Scheduler;

/// What the service, its tasks and its handles share. The lock is held for one
/// step, never across a wait.
pub(crate) struct Shared {
    pub(crate) scheduler: Mutex<Scheduler>,
    /// Wakes the loop when a step outside of it has changed something.
    pub(crate) wake: Notify,
    pub(crate) store: Arc<dyn DeliveryStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What there is at one moment, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Endpoints that are known.
    pub lanes: usize,
    /// Applications with at least one of them.
    pub applications: usize,
    /// Deliveries in the lanes that wait; at most lanes x `lane_window`.
    pub waiting: usize,
    /// Attempts in flight: picked, and not yet recorded.
    pub in_flight: usize,
    /// Attempts that may be at their beginning at present; `max_in_flight` unless the ramp runs.
    pub beginning_limit: usize,
    /// How long the oldest delivery that is due and not held has been due.
    pub oldest_due_age: Duration,
    /// Deliveries in the lanes that wait, by what their lane waits for, as
    /// [`Wait::reason`] spells it. What is not there is 0.
    pub waiting_by: BTreeMap<&'static str, usize>,
}

/// A cheap way to ask and to steer the scheduler.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What there is at this moment. Looks at every lane under the lock: call it
    /// once a scrape, not more often.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let at = self.now();
        self.shared.scheduler.lock().gauges(at)
    }

    /// Takes other rules for the endpoints whose policies say nothing else. They
    /// count at once, for what waits already, too.
    pub fn set_rules(&self, rules: Rules) {
        let at = self.now();
        self.shared.scheduler.lock().set_rules(rules, at);
        self.shared.wake.notify_one();
    }

    /// Asks the service to end: nothing new starts, and what is in flight has
    /// this long to be recorded. A second call can only shorten it.
    pub fn stop(&self, within: Duration) {
        let by = self.shared.clock.monotonic().saturating_add(within);
        self.shared.scheduler.lock().stop(by);
        self.shared.wake.notify_one();
    }

    fn now(&self) -> Moment {
        Moment::of(&*self.shared.clock)
    }
}

impl Explain for Handle {
    fn why(&self, key: DeliveryKey, attempt: u16) -> Option<Wait> {
        let at = self.now();
        let (known, first) = {
            let scheduler = self.shared.scheduler.lock();
            if scheduler.attempt(key).is_some_and(|known| known != attempt) {
                return None;
            }
            (scheduler.why(key, at), scheduler.behind(key))
        };
        let message = || first.and_then(|first| self.shared.store.message_of(first));
        match known {
            Some(Wait::Behind { .. }) => Some(Wait::Behind { message: message() }),
            Some(Wait::BehindDeadLetter { .. }) => Some(Wait::BehindDeadLetter { message: message() }),
            // What lies behind the window has never been told.
            None => self.shared.store.is_behind_window(key).then_some(Wait::BehindWindow),
            known => known,
        }
    }

    fn flow(&self, endpoint: EndpointId) -> Option<Flow> {
        let at = self.now();
        let mut flow = self.shared.scheduler.lock().flow(endpoint, at)?;
        flow.waiting += self.shared.store.behind_window(endpoint);
        Some(flow)
    }
}
