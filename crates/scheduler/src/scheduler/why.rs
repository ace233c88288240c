//! Why deliveries wait, as far as the scheduler knows: for one delivery, for a
//! lane, and for all lanes in numbers. All three ask the lane first, and then
//! what its application adds.

use std::collections::BTreeMap;
use std::time::Duration;

use postrider_model::delivery::DeliveryKey;
use postrider_model::explain::{Flow, Wait};
use postrider_model::id::EndpointId;

use super::Scheduler;
use crate::handle::Gauges;
use crate::lane::Lane;
use crate::moment::Moment;

impl Scheduler {
    /// Why a delivery is not in flight; `None` if it is not known here.
    #[must_use]
    pub fn why(&self, key: DeliveryKey, at: Moment) -> Option<Wait> {
        let lane = self.lanes.get(&key.endpoint)?;
        lane.why(key.message, at).map(|wait| self.with_application(lane, wait, at))
    }

    /// The number of the attempt that a delivery waits for or that is in flight, if it is known here.
    #[must_use]
    pub fn attempt(&self, key: DeliveryKey) -> Option<u16> {
        self.lanes.get(&key.endpoint)?.attempt(key.message)
    }

    /// The delivery that a delivery waits for in its order, if it waits for one.
    #[must_use]
    pub fn behind(&self, key: DeliveryKey) -> Option<DeliveryKey> {
        let message = self.lanes.get(&key.endpoint)?.behind(key.message)?;
        Some(DeliveryKey { message, ..key })
    }

    /// How it stands with an endpoint's lane.
    #[must_use]
    pub fn flow(&self, endpoint: EndpointId, at: Moment) -> Option<Flow> {
        let lane = self.lanes.get(&endpoint)?;
        Some(lane.flow(self.lane_waits_for(lane, at), at))
    }

    /// What there is at this moment, in numbers. Looks at every lane, so it is
    /// for a scrape, not for every event.
    #[must_use]
    pub fn gauges(&self, at: Moment) -> Gauges {
        let oldest = self.lanes.values().filter_map(Lane::oldest_due).min();
        let mut waiting_by = BTreeMap::new();
        for lane in self.lanes.values() {
            if let Some(wait) = self.lane_waits_for(lane, at) {
                *waiting_by.entry(wait.reason()).or_insert(0) += lane.counts().waiting;
            }
        }
        let (waiting, in_flight, lanes) = self.counts();
        Gauges {
            lanes,
            applications: self.fair.apps(),
            waiting,
            in_flight: in_flight as usize,
            beginning_limit: self.ramp.limit(at.monotonic) as usize,
            oldest_due_age: oldest.map_or(Duration::ZERO, |due| at.now.since(due)),
            waiting_by,
        }
    }

    /// What a lane as a whole waits for; `None` if nothing waits in it.
    fn lane_waits_for(&self, lane: &Lane, at: Moment) -> Option<Wait> {
        lane.waits_for(at).map(|wait| self.with_application(lane, wait, at))
    }

    /// What counts of the lane's reason and the application's: what the lane could
    /// send waits for its application, and of two times the later one counts.
    fn with_application(&self, lane: &Lane, wait: Wait, at: Moment) -> Wait {
        let app = lane.app();
        if wait == Wait::Turn
            && let Some((in_flight, limit)) = self.fair.full(app)
        {
            return Wait::ApplicationBusy { in_flight, limit };
        }
        let throttled = self.fair.throttled_until(app, at.monotonic).map(|then| at.wall(then));
        match throttled {
            Some(until) if wait == Wait::Turn || wait.until().is_some_and(|own| own < until) => {
                Wait::ApplicationRateLimited { until }
            }
            _ => wait,
        }
    }
}
