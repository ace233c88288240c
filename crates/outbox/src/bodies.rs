//! Bodies of messages that were not tried yet, so that their first attempts need not
//! read the journal each: fresh ones, and those that were read ahead.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_model::batch;
use postrider_model::delivery::Next;
use postrider_model::id::MessageId;
use postrider_model::message::JSON;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::record::{Accepted, DeliveryChange, Record};

/// What an attempt needs of a message.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) id: MessageId,
    /// `None` means JSON.
    pub(crate) content_type: Option<Arc<str>>,
    pub(crate) event_type: Arc<str>,
    pub(crate) body: Bytes,
    /// From then on it is not sent any more.
    pub(crate) until: Option<UnixMs>,
}

/// Holds at most `limit_bytes`; what came first goes first. A body goes earlier when
/// nothing needs it any more. Whoever does not find one reads the journal.
pub(crate) struct Bodies {
    inner: Mutex<Kept>,
    limit_bytes: usize,
}

/// What lies under the lock.
#[derive(Default)]
pub(crate) struct Kept {
    by_position: HashMap<Position, Entry>,
    /// In the order in which they came.
    by_number: BTreeMap<u64, Position>,
    next_number: u64,
    bytes: usize,
}

struct Entry {
    number: u64,
    fresh: Fresh,
    /// Deliveries that are not over, as far as can be told here.
    deliveries: usize,
}

/// What an entry costs besides its body: two maps' places, and what the allocator
/// needs for the body and the event type.
const ENTRY_BYTES: usize = 256;
/// A body is a slice of the buffer that a door read into, at most 64 KiB for a
/// short one. What is shorter than this is copied, so that a few bytes do not
/// keep a whole buffer alive that nobody counts.
const COPIED_BELOW_BYTES: usize = 32 << 10;

impl Bodies {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { inner: Mutex::default(), limit_bytes }
    }

    /// Keeps and forgets what the records of a frame say that has to be. A message is
    /// kept if it is one of those of which lanes were `told`: what lies behind all
    /// windows is not sent soon, and read ahead when it is.
    pub(crate) fn follow(&self, records: &[(Position, Record)], told: &HashSet<Position>) {
        let fresh = records.iter().filter_map(|(position, record)| match record {
            Record::Accepted(meta, Some(body)) if told.contains(position) => {
                Some((*position, Fresh::new(meta, body.clone()).apart(), meta.endpoints.len()))
            }
            _ => None,
        });
        // Copied before the lock is taken.
        let fresh: Vec<_> = fresh.collect();
        let mut inner = self.inner.lock();
        records.iter().for_each(|(_, record)| inner.forget_after(record));
        for (position, fresh, deliveries) in fresh {
            inner.insert(position, fresh, deliveries, self.limit_bytes);
        }
    }

    /// Keeps a body for so many deliveries.
    pub(crate) fn insert(&self, position: Position, fresh: Fresh, deliveries: usize) {
        let fresh = fresh.apart();
        self.inner.lock().insert(position, fresh, deliveries, self.limit_bytes);
    }

    pub(crate) fn find(&self, position: Position) -> Option<Fresh> {
        self.inner.lock().find(position)
    }

    /// To find several under one lock.
    pub(crate) fn opened(&self) -> impl Deref<Target = Kept> {
        self.inner.lock()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl Kept {
    pub(crate) fn find(&self, position: Position) -> Option<Fresh> {
        self.by_position.get(&position).map(|entry| entry.fresh.clone())
    }

    fn insert(&mut self, position: Position, fresh: Fresh, deliveries: usize, limit_bytes: usize) {
        self.remove(position);
        self.bytes += fresh.bytes();
        let number = self.next_number;
        self.next_number += 1;
        self.by_number.insert(number, position);
        self.by_position.insert(position, Entry { number, fresh, deliveries });
        while self.bytes > limit_bytes {
            let Some((_, first)) = self.by_number.first_key_value() else { break };
            let first = *first;
            self.remove(first);
        }
    }

    fn forget_after(&mut self, record: &Record) {
        match record {
            Record::Outcome(outcome, _)
                if !outcome.stale && matches!(outcome.next, Next::Delivered | Next::Dead { .. }) =>
            {
                self.is_over(outcome.delivery.position);
            }
            Record::Deliveries(change)
                if matches!(change.what, DeliveryChange::Cancelled | DeliveryChange::Expired(_)) =>
            {
                change.deliveries.iter().for_each(|delivery| self.is_over(delivery.position));
            }
            Record::Expunged(expunged) => self.remove(expunged.what.position()),
            _ => {}
        }
    }

    /// A delivery of this message is over; with the last one its body goes.
    fn is_over(&mut self, position: Position) {
        let Some(entry) = self.by_position.get_mut(&position) else { return };
        entry.deliveries = entry.deliveries.saturating_sub(1);
        if entry.deliveries == 0 {
            self.remove(position);
        }
    }

    fn remove(&mut self, position: Position) {
        if let Some(gone) = self.by_position.remove(&position) {
            self.by_number.remove(&gone.number);
            self.bytes -= gone.fresh.bytes();
        }
    }
}

impl Fresh {
    /// What an attempt needs of an accepted message.
    pub(crate) fn new(meta: &Accepted, body: Bytes) -> Self {
        let content_type = meta.content_type.as_deref().filter(|text| *text != JSON).map(Arc::from);
        let event_type = meta.event_type.as_str().into();
        Self { id: meta.id, content_type, event_type, body, until: meta.payload_until }
    }

    /// What it takes in a batch.
    pub(crate) fn element_bytes(&self) -> usize {
        batch::element_bytes(&self.event_type, self.content_type.as_deref(), self.body.len())
    }

    /// Whether it is not sent any more.
    pub(crate) fn is_over(&self, now: UnixMs) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The same with a body of its own, if that is short.
    fn apart(mut self) -> Self {
        if self.body.len() < COPIED_BELOW_BYTES {
            self.body = Bytes::copy_from_slice(&self.body);
        }
        self
    }

    fn bytes(&self) -> usize {
        self.body.len() + ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::delivery::DeadReason;
    use postrider_model::id::RawId;

    use super::*;
    use crate::record::tests::{accepted, delivery, outcome};
    use crate::record::{Deliveries, DeliveryRef, Expunged, ExpungedContent, Outcome};

    fn fresh(body: Bytes) -> Fresh {
        let id = MessageId(RawId::from_bytes([0; 20]));
        Fresh { id, content_type: None, event_type: "order.paid".into(), body, until: None }
    }

    fn kept(bodies: &Bodies) -> Vec<u32> {
        (0..10).filter(|n| bodies.find(Position::new(0, *n)).is_some()).collect()
    }

    #[test]
    fn a_short_body_does_not_keep_the_buffer_it_was_read_into() {
        let buffer = Bytes::from(vec![b'x'; 64 << 10]);
        let bodies = Bodies::new(1 << 20);
        bodies.insert(Position::ZERO, fresh(buffer.slice(10..110)), 1);
        assert!(buffer.is_unique());
        assert_eq!(bodies.find(Position::ZERO).map(|fresh| fresh.body.len()), Some(100));
    }

    #[test]
    fn what_came_first_goes_when_the_limit_is_passed() {
        let bodies = Bodies::new(3 * (ENTRY_BYTES + 100));
        for n in 0..5 {
            bodies.insert(Position::new(0, n), fresh(vec![0; 100].into()), 1);
        }
        assert_eq!(kept(&bodies), [2, 3, 4]);
        assert_eq!(bodies.bytes(), 3 * (ENTRY_BYTES + 100));
        bodies.inner.lock().remove(Position::new(0, 3));
        bodies.inner.lock().remove(Position::new(0, 0));
        assert_eq!(kept(&bodies), [2, 4]);
        assert_eq!(bodies.bytes(), 2 * (ENTRY_BYTES + 100));
        // An old message that was read ahead is new here.
        bodies.insert(Position::new(0, 1), fresh(vec![0; 100].into()), 1);
        bodies.insert(Position::new(0, 5), fresh(vec![0; 100].into()), 1);
        assert_eq!(kept(&bodies), [1, 4, 5]);
    }

    #[test]
    fn a_body_goes_with_the_last_of_its_deliveries() {
        let bodies = Bodies::new(1 << 20);
        for (n, deliveries) in [(0, 1), (1, 2), (2, 1)] {
            bodies.insert(Position::new(0, n), fresh(vec![0; 100].into()), deliveries);
        }
        bodies.inner.lock().is_over(Position::new(0, 1));
        assert_eq!(kept(&bodies), [0, 1, 2]);
        bodies.inner.lock().is_over(Position::new(0, 1));
        bodies.inner.lock().is_over(Position::new(0, 2));
        // One that is over twice, after a replay, or was never here.
        bodies.inner.lock().is_over(Position::new(0, 1));
        bodies.inner.lock().is_over(Position::new(0, 7));
        assert_eq!(kept(&bodies), [0]);
        assert_eq!(bodies.bytes(), ENTRY_BYTES + 100);
    }

    #[test]
    fn a_long_body_is_not_copied() {
        for (bytes, shares) in [(COPIED_BELOW_BYTES - 1, false), (COPIED_BELOW_BYTES, true)] {
            let body = Bytes::from(vec![b'x'; bytes]);
            let bodies = Bodies::new(1 << 20);
            bodies.insert(Position::ZERO, fresh(body.clone()), 1);
            assert_eq!(!body.is_unique(), shares, "{bytes}");
        }
    }

    #[test]
    fn a_payload_is_over_from_its_last_moment_on() {
        let until = |until| Fresh { until, ..fresh(Bytes::new()) };
        for (now, is_over) in [(9, false), (10, true), (11, true)] {
            assert_eq!(until(Some(UnixMs(10))).is_over(UnixMs(now)), is_over, "{now}");
        }
        assert!(!until(None).is_over(UnixMs(u64::MAX)));
    }

    #[test]
    fn a_message_is_kept_if_a_lane_was_told_of_it() {
        let bodies = Bodies::new(1 << 20);
        let accepted = |n| (Position::new(0, n), Record::Accepted(accepted(), Some(Bytes::from_static(b"body"))));
        bodies.follow(&[accepted(0), accepted(1), accepted(2)], &[0, 2].map(|n| Position::new(0, n)).into());
        assert_eq!(kept(&bodies), [0, 2]);
        assert_eq!(bodies.bytes(), 2 * (ENTRY_BYTES + 4));
    }

    #[test]
    fn a_body_goes_when_a_record_tells_that_nothing_needs_it() {
        let delivery = DeliveryRef { position: Position::new(0, 1), ..delivery() };
        let ended = |next, stale| Record::Outcome(Outcome { delivery, next, stale, ..outcome() }, None);
        let changed =
            |what| Record::Deliveries(Deliveries { at: UnixMs(0), what, deliveries: vec![delivery], task: None });
        let expunged = Record::Expunged(Expunged {
            at: UnixMs(0),
            app: delivery.app,
            what: ExpungedContent::Payload { message: delivery.message, sequence: delivery.position },
            waiting: vec![],
            dead: vec![],
        });
        let (dead, retry) = (Next::Dead { reason: DeadReason::TooOld }, Next::Retry { due: UnixMs(0) });
        // With two deliveries it takes two that are over; what is expunged goes at once.
        for (record, deliveries, goes) in [
            (ended(Next::Delivered, false), 1, true),
            (ended(Next::Delivered, false), 2, false),
            (ended(dead, false), 1, true),
            (ended(retry, false), 1, false),
            (ended(Next::AsBefore, false), 1, false),
            (ended(Next::Delivered, true), 1, false),
            (ended(retry, true), 1, false),
            (changed(DeliveryChange::Cancelled), 1, true),
            (changed(DeliveryChange::Expired(DeadReason::HeldTooLong)), 1, true),
            (changed(DeliveryChange::Replayed { attempts_made: 1 }), 1, false),
            (changed(DeliveryChange::CalledOff), 1, false),
            (expunged, 2, true),
        ] {
            let bodies = Bodies::new(1 << 20);
            for n in [0, 1] {
                bodies.insert(Position::new(0, n), fresh(Bytes::new()), deliveries);
            }
            let case = format!("{record:?}");
            bodies.follow(&[(Position::new(0, 9), record)], &HashSet::new());
            assert_eq!(kept(&bodies), if goes { vec![0] } else { vec![0, 1] }, "{case}");
        }
    }
}
