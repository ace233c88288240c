//! What the counters and gauges are at, for who installs this as the recorder of its thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

/// By name, and by name and the values of the labels, such as `queue_depth requests`.
#[derive(Default)]
pub(crate) struct Counted {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

fn name(key: &Key) -> String {
    let labels = key.labels().map(|label| label.value());
    std::iter::once(key.name()).chain(labels).collect::<Vec<_>>().join(" ")
}

impl Counted {
    /// A counter, 0 if nothing was counted.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let all = self.counters.lock();
        let of_name = all.iter().filter(|(found, _)| found.as_str() == name || found.starts_with(&format!("{name} ")));
        of_name.map(|(_, count)| count.load(Ordering::Relaxed)).sum()
    }

    /// A gauge, if it was set.
    pub(crate) fn gauge(&self, name: &str) -> Option<f64> {
        self.gauges.lock().get(name).map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)))
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(self.counters.lock().entry(name(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.gauges.lock().entry(name(key)).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
