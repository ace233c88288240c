//! The gauges that the loop sets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;

/// Keeps what gauges are set to, by their names.
#[derive(Default)]
struct Gauges(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Gauges {
    fn of(&self, name: &str) -> Option<f64> {
        self.0.lock().get(name).map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)))
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.0.lock().entry(key.name().to_owned()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn lanes_and_what_waits_and_is_in_flight_are_told_as_metrics() {
    let gauges = Gauges::default();
    let mut running = metrics::with_local_recorder(&gauges, || Running::start(Options::default()));
    for number in [1, 2] {
        running.outbox.configure(lane(1, number));
    }
    running.outbox.configure(Lane { hold: Some(Hold::Paused), ..lane(1, 3) });
    for (number, message) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)] {
        running.accept(number, message);
    }
    let _in_flight = (running.next().await, running.next().await);
    let told = ["lanes", "waiting", "in_flight"].map(|name| gauges.of(&format!("postrider_scheduler_{name}")));
    assert_eq!(told, [Some(3.0), Some(4.0), Some(2.0)]);
}
