//! Whether the service can do its work, and the figures of a scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use postrider_api::RenderMetrics;
use postrider_model::explain::Wait;
use postrider_model::ports::{Health, Readiness};
use postrider_outbox::Outbox;
use postrider_scheduler::Handle;

use crate::config::Config;

/// Says what keeps the service from accepting or delivering.
pub(super) struct Checks {
    outbox: Outbox,
    ending: AtomicBool,
}

impl Checks {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self { outbox, ending: AtomicBool::new(false) }
    }

    /// From now on the service is not ready: it ends.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

impl Health for Checks {
    /// A pause is no problem: somebody wants it, and events are accepted.
    fn readiness(&self) -> Readiness {
        let mut problems = vec![];
        if self.ending.load(Ordering::Relaxed) {
            problems.push("the server is stopping".to_owned());
        }
        if self.outbox.is_full() {
            problems.push("the disk is full: no event can be accepted".to_owned());
        }
        Readiness { problems }
    }
}

/// Renders all metrics. What only a look at the whole tells is looked at now.
pub(super) fn renderer(
    config: &Config,
    outbox: Outbox,
    scheduler: Handle,
    recorder: PrometheusHandle,
) -> RenderMetrics {
    let in_flight_limit = config.limits.in_flight;
    Arc::new(move || {
        outbox.publish_gauges();
        let lanes = scheduler.gauges();
        gauge!("postrider_in_flight_limit").set(in_flight_limit as f64);
        gauge!("postrider_beginning_allowed").set(lanes.beginning_limit as f64);
        gauge!("postrider_oldest_due_age_seconds").set(lanes.oldest_due_age.as_secs_f64());
        for reason in Wait::OF_LANES {
            let waiting = lanes.waiting_by.get(reason).copied().unwrap_or(0);
            gauge!("postrider_scheduler_waiting_by_reason", "reason" => reason).set(waiting as f64);
        }
        recorder.render()
    })
}
