//! What is counted, under which name, and what is said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Gauge, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString};
use parking_lot::Mutex;
use postrider_model::delivery::{Scheduled, Trigger};
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId, RawId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::*;
use crate::record::{Accepted, Deliveries, DeliveryRef, Expunged, Outcome};

/// Keeps what is counted, set and recorded, by name and labels.
#[derive(Default)]
struct Told {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
    described: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().push(value);
    }
}

/// The name, and the values of its labels behind it.
fn name(key: &Key) -> String {
    key.labels().fold(key.name().to_owned(), |name, label| format!("{name} {}", label.value()))
}

impl Recorder for Told {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().insert(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().insert(name.as_str().to_owned());
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().insert(name.as_str().to_owned());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(self.counters.lock().entry(name(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.gauges.lock().entry(name(key)).or_default()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(self.histograms.lock().entry(name(key)).or_default()))
    }
}

impl Told {
    /// What went up, and by how much.
    fn counted(&self) -> BTreeMap<String, u64> {
        let counters = self.counters.lock();
        let counts = counters.iter().map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn recorded(&self, name: &str) -> Vec<f64> {
        self.histograms.lock().get(name).map(|values| values.0.lock().clone()).unwrap_or_default()
    }

    /// All that was ever counted, set or recorded, without labels.
    fn names(&self) -> BTreeSet<String> {
        let (counters, gauges, histograms) = (self.counters.lock(), self.gauges.lock(), self.histograms.lock());
        let all = counters.keys().chain(gauges.keys()).chain(histograms.keys());
        all.map(|name| name.split(' ').next().unwrap_or_default().to_owned()).collect()
    }
}

/// What these records add to the counters, and the seconds of their deliveries.
fn counted(records: &[Record]) -> (BTreeMap<String, u64>, Vec<f64>) {
    let told = Told::default();
    metrics::with_local_recorder(&told, || {
        let meters = Meters::new();
        records.iter().for_each(|record| meters.count(record));
    });
    (told.counted(), told.recorded(DELIVERY_SECONDS))
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

fn id(n: u8) -> RawId {
    RawId::new(UnixMs(10_000), u64::from(n), [n; 6])
}

fn delivery() -> DeliveryRef {
    DeliveryRef {
        app: AppId(id(1)),
        endpoint: EndpointId(id(2)),
        message: MessageId(id(3)),
        sequence: Position::new(1, 64),
        position: Position::new(1, 64),
        order_key: 0,
        added: false,
    }
}

fn accepted(endpoints: Vec<EndpointId>) -> Record {
    let meta = Accepted {
        id: MessageId(id(3)),
        app: AppId(id(1)),
        config_version: 1,
        event_type: "order.paid".to_owned(),
        content_type: None,
        event_id: None,
        channels: vec![],
        tags: vec![],
        idempotency: None,
        order_key: 0,
        endpoints,
        orders: vec![],
        payload_until: None,
    };
    Record::Accepted(meta, None)
}

/// An attempt that began five seconds after the message was accepted.
fn outcome(next: Next, stale: bool) -> Record {
    let outcome = Outcome {
        id: AttemptId(id(4)),
        delivery: delivery(),
        ended: Scheduled::first(UnixMs(10_000)),
        trigger: Trigger::Scheduled,
        started: UnixMs(15_000),
        duration_ms: 250,
        url: "https://example.com/hook".to_owned(),
        status: Some(200),
        failure: None,
        next,
        stale,
    };
    Record::Outcome(outcome, None)
}

fn changed(what: DeliveryChange) -> Record {
    Record::Deliveries(Deliveries { at: UnixMs(1), what, deliveries: vec![delivery(); 3], task: None })
}

fn expunged(what: ExpungedContent) -> Record {
    let (waiting, dead) = (vec![delivery(); 2], vec![delivery(); 5]);
    Record::Expunged(Expunged { at: UnixMs(1), app: AppId(id(1)), what, waiting, dead })
}

#[test]
fn messages_are_counted_and_those_that_nobody_asked_for() {
    let (counted, _) = counted(&[accepted(vec![EndpointId(id(2))]), accepted(vec![]), accepted(vec![])]);
    assert_eq!(counted, counts([(ACCEPTED, 3), (UNMATCHED, 2)]));
}

#[test]
fn a_delivery_is_counted_with_the_time_from_acceptance_to_the_end_of_its_attempt() {
    let (counted, seconds) = counted(&[outcome(Next::Delivered, false)]);
    assert_eq!(counted, counts([(DELIVERED, 1)]));
    assert_eq!(seconds, [5.25]);
}

#[test]
fn an_attempt_that_fails_is_counted_where_it_is_the_last() {
    let refused = Next::Dead { reason: DeadReason::Refused };
    let attempts = [Next::Retry { due: UnixMs(9) }, Next::AsBefore, refused].map(|next| outcome(next, false));
    assert_eq!(counted(&attempts), (counts([("postrider_dead_letters_total refused", 1)]), vec![]));
}

#[test]
fn an_outcome_that_came_too_late_is_counted_as_that_alone() {
    let late = outcome(Next::Delivered, true);
    assert_eq!(counted(&[late]), (counts([(STALE, 1)]), vec![]));
}

#[test]
fn each_delivery_that_is_changed_counts() {
    let cases = [
        (DeliveryChange::Cancelled, Some(CANCELLED)),
        (DeliveryChange::Replayed { attempts_made: 1 }, Some(REPLAYED)),
        (DeliveryChange::Expired(DeadReason::HeldTooLong), Some("postrider_dead_letters_total held_too_long")),
        (DeliveryChange::Resent { ended: None }, Some(RESENT)),
        (DeliveryChange::Purged, Some(PURGED)),
        (DeliveryChange::Forgotten, None),
        (DeliveryChange::CalledOff, None),
    ];
    for (what, name) in cases {
        let expected = name.map(|name| (name.to_owned(), 3)).into_iter().collect();
        assert_eq!(counted(&[changed(what)]).0, expected, "{what:?}");
    }
}

#[test]
fn what_is_expunged_counts_once_and_makes_dead_letters_of_what_waited() {
    let payload = ExpungedContent::Payload { message: MessageId(id(3)), sequence: Position::new(1, 64) };
    let (counted_payload, _) = counted(&[expunged(payload)]);
    let expected =
        counts([("postrider_expunged_total payload", 1), ("postrider_dead_letters_total payload_expunged", 2)]);
    assert_eq!(counted_payload, expected);
    let what = ExpungedContent::Response { attempt: AttemptId(id(4)), position: Position::new(1, 64) };
    let response = Expunged { at: UnixMs(1), app: AppId(id(1)), what, waiting: vec![], dead: vec![] };
    let (counted_response, _) = counted(&[Record::Expunged(response)]);
    assert_eq!(counted_response, counts([("postrider_expunged_total response", 1)]));
}

#[test]
fn frames_and_syncs_are_counted_with_their_size_and_time() {
    let told = Told::default();
    metrics::with_local_recorder(&told, || {
        let meters = Meters::new();
        meters.appended(3, 400);
        meters.appended(1, 120);
        meters.synced(Duration::from_millis(1_500));
    });
    assert_eq!(told.counted(), counts([(FRAMES, 2)]));
    assert_eq!(told.recorded(COMMIT_RECORDS), [3.0, 1.0]);
    assert_eq!(told.recorded(COMMIT_BYTES), [400.0, 120.0]);
    assert_eq!(told.recorded(SYNC_SECONDS), [1.5]);
}

const STATS: Stats = Stats {
    pending: 100,
    behind_window: 40,
    dead_letters: 7,
    in_flight: 3,
    held: 20,
    oldest_pending_ms: 2_500,
    expunged_on_disk: 11,
    journal_bytes: 12,
    index_bytes: 13,
    fresh_body_bytes: 14,
    waiting_messages: 15,
    waiting_requests: 16,
    full: true,
};

#[test]
fn gauges_are_the_figures_of_the_moment() {
    let told = Told::default();
    let limits = Limits { waiting_messages: 50, waiting_requests: 60 };
    metrics::with_local_recorder(&told, || set_gauges(&STATS, &limits));
    let expected: BTreeMap<String, f64> = [
        ("postrider_deliveries waiting", 77.0),
        ("postrider_deliveries held", 20.0),
        ("postrider_deliveries in_flight", 3.0),
        ("postrider_deliveries dead", 7.0),
        (BEHIND_WINDOW, 40.0),
        (OLDEST_SECONDS, 2.5),
        (EXPUNGING, 11.0),
        (JOURNAL_BYTES, 12.0),
        (INDEX_BYTES, 13.0),
        (FRESH_BYTES, 14.0),
        (FULL, 1.0),
        ("postrider_queue_depth messages_to_commit", 15.0),
        ("postrider_queue_limit messages_to_commit", 50.0),
        ("postrider_queue_depth requests_to_commit", 16.0),
        ("postrider_queue_limit requests_to_commit", 60.0),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let gauges = told.gauges.lock();
    let set = gauges.iter().map(|(name, bits)| (name.clone(), f64::from_bits(bits.load(Ordering::Relaxed))));
    assert_eq!(set.collect::<BTreeMap<_, _>>(), expected);
}

#[test]
fn whatever_is_counted_is_described() {
    let told = Told::default();
    metrics::with_local_recorder(&told, || {
        describe_metrics();
        let meters = Meters::new();
        let changes = [DeliveryChange::Cancelled, DeliveryChange::Purged, DeliveryChange::Resent { ended: None }];
        changes.map(changed).iter().for_each(|record| meters.count(record));
        meters.count(&changed(DeliveryChange::Replayed { attempts_made: 1 }));
        meters.count(&accepted(vec![]));
        meters.count(&outcome(Next::Delivered, true));
        meters.count(&expunged(ExpungedContent::Response { attempt: AttemptId(id(4)), position: Position::ZERO }));
        set_gauges(&STATS, &Limits { waiting_messages: 1, waiting_requests: 1 });
        for name in [FILTERED, MISMATCHES, UNCHECKED, SEGMENTS_REMOVED, DAMAGE, LOST, EVENTS_DROPPED] {
            counter!(name).increment(0);
        }
    });
    let described = told.described.lock();
    let not_described: Vec<_> = told.names().into_iter().filter(|name| !described.contains(name)).collect();
    assert_eq!(not_described, [""; 0]);
    assert_eq!(described.len(), told.names().len(), "and nothing else: {described:?}");
}
