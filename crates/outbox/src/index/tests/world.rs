//! A journal of rows, an index over it, and the answers that the index should give.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::rows::id;
use crate::index::store::PartitionStore;
use crate::index::{
    AttemptRow, Day, EndpointMask, Index, IndexError, KeyRow, MessageRow, Row, Seen, SegmentRows, SettledRow,
};

pub(super) const APPS: u64 = 4;
pub(super) const ENDPOINTS: u64 = 3;
const SEGMENTS_PER_DAY: u32 = 2;
const START: UnixMs = UnixMs(1_700_000_000_000);

type OpenStore = Box<dyn Fn() -> Box<dyn PartitionStore>>;

pub(super) struct World {
    open_store: OpenStore,
    pub(super) index: Index,
    journal: BTreeMap<u32, Vec<Row>>,
    segment: u32,
    offset: u32,
    /// All messages as they were first, also those that the journal has dropped.
    accepted: Vec<MessageRow>,
    /// Rows made so far; makes hashes differ.
    made: u64,
}

pub(super) fn day(segment: u32) -> Day {
    Day(Day::of(START).0 + segment / SEGMENTS_PER_DAY)
}

impl World {
    pub(super) fn new(open_store: OpenStore) -> Self {
        let index = open(&open_store);
        let journal = BTreeMap::from([(1, Vec::new())]);
        let world = Self { open_store, index, journal, segment: 1, offset: 0, accepted: Vec::new(), made: 0 };
        world.rebuild();
        world
    }

    fn now(&self) -> UnixMs {
        UnixMs(u64::from(day(self.segment).0) * 86_400_000)
    }

    fn put(&mut self, row: impl Into<Row>) {
        let row = row.into();
        self.index.insert(self.segment, row);
        self.journal.entry(self.segment).or_default().push(row);
    }

    fn next_position(&mut self) -> Position {
        self.made += 1;
        self.offset += 100;
        Position::new(self.segment, self.offset)
    }

    fn hash(n: u64) -> [u8; 16] {
        u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
    }

    pub(super) fn accept(&mut self, app: u64) {
        let position = self.next_position();
        let at = self.now();
        let (endpoints, event_type) = (EndpointMask(self.made as u32 % 2), self.made);
        let app = AppId(id(app));
        let message = MessageRow { app, sequence: position, position, accepted: at, endpoints, event_type };
        self.accepted.push(message);
        self.put(message);
        // Now and then a key comes again, as it may when its time is over.
        self.put(KeyRow { hash: Self::hash(self.made / 3), position, at });
    }

    /// The messages, each with its newest place.
    fn messages(&self) -> BTreeMap<Position, MessageRow> {
        let mut messages = BTreeMap::new();
        for row in self.journal.values().flatten() {
            if let Row::Message(row) = row {
                messages.insert(row.sequence, *row);
            }
        }
        messages
    }

    fn some_message(&self, choice: usize) -> Option<MessageRow> {
        self.accepted.get(choice % self.accepted.len().max(1)).copied()
    }

    pub(super) fn attempt(&mut self, choice: usize, endpoint: u64) {
        let Some(MessageRow { app, sequence, .. }) = self.some_message(choice) else { return };
        let position = self.next_position();
        let (ended, status) = (self.now(), if endpoint == 0 { 0 } else { 200 });
        let endpoint = EndpointId(id(endpoint));
        let (succeeded, delivered) = (status == 200, status == 200);
        self.put(AttemptRow { app, endpoint, message: sequence, position, ended, status, succeeded, delivered });
    }

    /// One record that ends the deliveries of a message to all endpoints.
    pub(super) fn settle(&mut self, choice: usize) {
        let Some(MessageRow { app, sequence, .. }) = self.some_message(choice) else { return };
        let (position, at) = (self.next_position(), self.now());
        for endpoint in 0..ENDPOINTS {
            let endpoint = EndpointId(id(endpoint));
            self.put(SettledRow { app, endpoint, message: sequence, position, state: 3, at, attempt: 9 });
        }
    }

    pub(super) fn carry(&mut self, choice: usize) {
        let Some(message) = self.some_message(choice) else { return };
        let position = self.next_position();
        self.put(MessageRow { position, ..message });
    }

    pub(super) fn roll(&mut self) {
        self.segment += 1;
        self.offset = 0;
        self.journal.entry(self.segment).or_default();
    }

    /// Seals a segment that is no longer open; `choice` says which.
    pub(super) fn seal(&mut self, choice: usize) -> Result<(), IndexError> {
        let closed: Vec<u32> = self.journal.keys().copied().filter(|segment| *segment < self.segment).collect();
        let live: Vec<u32> = closed.into_iter().filter(|segment| self.index.is_live(*segment)).collect();
        match live.get(choice % live.len().max(1)) {
            Some(segment) => self.index.seal(*segment, day(*segment)),
            None => Ok(()),
        }
    }

    pub(super) fn seal_all(&mut self) {
        self.roll();
        while self.journal.keys().any(|segment| *segment < self.segment && self.index.is_live(*segment)) {
            self.seal(0).expect("the store works");
        }
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some((segment, _)) = self.journal.first_key_value().filter(|(segment, _)| **segment < self.segment) {
            let segment = *segment;
            self.journal.remove(&segment);
            self.index.drop_segment(segment).expect("the store works");
        }
    }

    /// Stops and starts: what was in memory is gone but for the open segment.
    pub(super) fn reopen(&mut self) {
        self.close();
        self.start();
    }

    pub(super) fn close(&mut self) {
        self.index = Index::over(Box::new(super::memory::MemoryPartitions::default()), Duration::ZERO);
    }

    pub(super) fn start(&mut self) {
        self.index = open(&self.open_store);
        if let Some(open) = self.journal.get(&self.segment) {
            self.index.insert_all(self.segment, open.iter().copied());
        }
        assert!(!self.index.keys_ready(), "nothing is known before the partitions were looked at");
        self.rebuild();
    }

    /// Reads again what is missing, newest first.
    pub(super) fn rebuild(&self) {
        let closed = self.journal.keys().copied().filter(|segment| *segment < self.segment);
        let all: Vec<_> = closed.map(|segment| (segment, day(segment))).collect();
        let missing = self.index.unindexed(&all, self.now()).expect("the store works");
        assert!(missing.is_sorted_by(|a, b| a > b));
        assert_eq!(self.index.progress().is_some(), !missing.is_empty());
        for segment in missing {
            assert!(matches!(self.ask_all(), Err(IndexError::Rebuilding { percent: 0..100 })));
            let rows: SegmentRows = self.journal.get(&segment).into_iter().flatten().copied().collect();
            self.index.load(segment, day(segment), &rows).expect("the store works");
        }
        assert_eq!(self.index.progress(), None);
        assert!(self.index.keys_ready());
    }

    fn ask_all(&self) -> Result<(), IndexError> {
        self.index.messages(AppId(id(0)), None, true, 10, &mut |_| true).map(|_| ())
    }

    /// Compares every answer with the model. What is found to be damaged
    /// meanwhile is rebuilt and asked again.
    pub(super) fn check(&self, page: usize) {
        for _ in 0..=self.journal.len() {
            match self.answers_are_right(page) {
                Ok(()) => return,
                Err(IndexError::Rebuilding { .. }) => self.rebuild(),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("it is rebuilt again and again");
    }

    fn answers_are_right(&self, page: usize) -> Result<(), IndexError> {
        for app in (0..APPS).map(|app| AppId(id(app))) {
            let expected: Vec<_> = self.messages().into_values().filter(|row| row.app == app).collect();
            self.compare(
                &expected,
                page,
                |row| row.sequence,
                |after, descending, each| self.index.messages(app, after, descending, page, each),
            )?;
            self.check_times(app, &expected)?;
        }
        // Of many messages some are enough: every block still has one of them.
        let messages = self.messages();
        for message in messages.values().step_by(1 + messages.len() / 60) {
            self.check_message(*message, page)?;
        }
        for endpoint in (0..ENDPOINTS).map(|endpoint| EndpointId(id(endpoint))) {
            let expected: Vec<_> = self.attempts().filter(|row| row.endpoint == endpoint).collect();
            self.compare(
                &expected,
                page,
                |row| row.position,
                |after, descending, each| self.index.attempts_of_endpoint(endpoint, after, descending, page, each),
            )?;
            self.check_settled(endpoint)?;
        }
        self.check_keys()
    }

    /// Where the messages of a time begin.
    fn check_times(&self, app: AppId, messages: &[MessageRow]) -> Result<(), IndexError> {
        for at in (0..=self.segment + 1).map(|segment| UnixMs(u64::from(day(segment).0) * 86_400_000)) {
            let (low, high) = self.index.messages_since(app, at)?;
            assert!(low <= high);
            assert!(messages.iter().all(|row| row.sequence >= low || row.accepted < at));
            assert!(messages.iter().all(|row| row.sequence < high || row.accepted >= at));
        }
        Ok(())
    }

    fn check_settled(&self, endpoint: EndpointId) -> Result<(), IndexError> {
        let settled = |row: &Row| if let Row::Settled(row) = row { Some(*row) } else { None };
        let rows = self.journal.values().flatten().filter_map(settled);
        let expected: Vec<_> = rows.filter(|row| row.endpoint == endpoint).collect();
        let mut found = Vec::new();
        self.index.settled_of_endpoint(endpoint, usize::MAX, &mut |row| {
            found.push(*row);
            true
        })?;
        found.reverse();
        assert_eq!(found, expected);
        Ok(())
    }

    fn attempts(&self) -> impl Iterator<Item = AttemptRow> + '_ {
        self.journal.values().flatten().filter_map(|row| if let Row::Attempt(row) = row { Some(*row) } else { None })
    }

    fn check_message(&self, message: MessageRow, page: usize) -> Result<(), IndexError> {
        let MessageRow { app, sequence, .. } = message;
        assert_eq!(self.index.message(app, sequence)?, Some(message));
        assert_eq!(self.index.message(AppId(id(APPS)), sequence)?, None);
        let expected: Vec<_> = self.attempts().filter(|row| row.message == sequence).collect();
        self.compare(
            &expected,
            page,
            |row| row.position,
            |after, descending, each| self.index.attempts_of_message(app, sequence, after, descending, page, each),
        )?;
        let mut settled = BTreeMap::new();
        for row in self.journal.values().flatten() {
            if let Row::Settled(row) = row
                && row.message == sequence
            {
                settled.insert(row.endpoint, *row);
            }
        }
        assert_eq!(self.index.settled_of_message(app, sequence)?, settled.into_values().collect::<Vec<_>>());
        Ok(())
    }

    fn check_keys(&self) -> Result<(), IndexError> {
        let mut keys = BTreeMap::new();
        for row in self.journal.values().flatten() {
            if let Row::Key(row) = row {
                keys.insert(row.hash, *row);
            }
        }
        for row in keys.values() {
            assert_eq!(self.index.find_key(&row.hash)?, Some(*row));
        }
        let known: BTreeSet<_> = keys.into_keys().collect();
        for hash in (1 << 40..(1 << 40) + 200).map(Self::hash).filter(|hash| !known.contains(hash)) {
            assert_eq!(self.index.find_key(&hash)?, None);
        }
        Ok(())
    }

    /// Reads a list in pages, in both directions.
    fn compare<R: Copy + PartialEq + std::fmt::Debug>(
        &self,
        expected: &[R],
        page: usize,
        place: impl Fn(&R) -> Position,
        ask: impl Fn(Option<Position>, bool, &mut dyn FnMut(&R) -> bool) -> Result<Seen, IndexError>,
    ) -> Result<(), IndexError> {
        for descending in [false, true] {
            let mut found: Vec<R> = Vec::new();
            loop {
                let before = found.len();
                let after = found.last().map(&place);
                let seen = ask(after, descending, &mut |row| {
                    found.push(*row);
                    true
                })?;
                assert!(found.len() - before <= page);
                if seen == Seen::All {
                    break;
                }
                assert_eq!(found.len() - before, page, "a page that is not the last is full");
            }
            if descending {
                found.reverse();
            }
            assert_eq!(found, expected);
        }
        Ok(())
    }
}

/// The rows that a list shows, and how far it was read.
pub(super) fn shown<R: Copy>(
    ask: impl FnOnce(&mut dyn FnMut(&R) -> bool) -> Result<Seen, IndexError>,
) -> (Vec<R>, Seen) {
    let mut rows = Vec::new();
    let seen = ask(&mut |row| {
        rows.push(*row);
        true
    });
    (rows, seen.expect("nothing is missing"))
}

fn open(open_store: &OpenStore) -> Index {
    // Everything that a test writes lies within the key window.
    Index::over(open_store(), Duration::from_secs(365 * 86_400))
}
