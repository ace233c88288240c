//! The rows of one segment in memory: of the open segment, of one that is
//! being sealed, or of one that is read again from the journal.

use std::collections::HashMap;
use std::hash::Hash;

use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;

use super::family::{Listed, OfEndpoint, OfMessage, SettledOfEndpoint, Span};
use super::row::{AttemptRow, KeyRow, MessageRow, Row, SettledRow};

/// The rows of one segment. Adding one costs a push and one look-up in a hash
/// table for each list that it is in; nothing is sorted before it has to be.
/// Adding a row twice does no harm.
#[derive(Default)]
pub struct SegmentRows {
    messages: Vec<MessageRow>,
    by_app: Groups<AppId>,
    attempts: Vec<AttemptRow>,
    by_message: Groups<Position>,
    by_endpoint: Groups<EndpointId>,
    settled: Vec<SettledRow>,
    settled_by_message: Groups<Position>,
    settled_by_endpoint: Groups<EndpointId>,
    keys: HashMap<[u8; 16], KeyRow>,
}

impl SegmentRows {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        match row {
            Row::Message(row) => {
                let place = self.messages.len();
                self.messages.push(row);
                self.by_app.add(row.app, place, |i| self.messages.get(i).copied());
            }
            Row::Attempt(row) => {
                let place = self.attempts.len();
                self.attempts.push(row);
                let of_message = |i| self.attempts.get(i).map(|row| OfMessage(*row));
                self.by_message.add(row.message, place, of_message);
                let of_endpoint = |i| self.attempts.get(i).map(|row| OfEndpoint(*row));
                self.by_endpoint.add(row.endpoint, place, of_endpoint);
            }
            Row::Settled(row) => {
                let place = self.settled.len();
                self.settled.push(row);
                self.settled_by_message.add(row.message, place, |i| self.settled.get(i).copied());
                let of_endpoint = |i| self.settled.get(i).map(|row| SettledOfEndpoint(*row));
                self.settled_by_endpoint.add(row.endpoint, place, of_endpoint);
            }
            // The same key again means that the first one's time was over.
            Row::Key(row) => {
                let newest = self.keys.entry(row.hash).or_insert(row);
                if row.position > newest.position {
                    *newest = row;
                }
            }
        }
    }

    /// Rows in all, in number; an attempt counts once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len() + self.attempts.len() + self.settled.len() + self.keys.len()
    }

    /// There is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn messages_of(&self, app: AppId, span: &Span, limit: usize) -> Vec<MessageRow> {
        self.by_app.range(&app, |i| self.messages.get(i).copied(), span, limit)
    }

    pub(super) fn attempts_of_message(&self, message: Position, span: &Span, limit: usize) -> Vec<OfMessage> {
        let row = |i| self.attempts.get(i).map(|row| OfMessage(*row));
        self.by_message.range(&message, row, span, limit)
    }

    pub(super) fn attempts_of_endpoint(&self, endpoint: EndpointId, span: &Span, limit: usize) -> Vec<OfEndpoint> {
        let row = |i| self.attempts.get(i).map(|row| OfEndpoint(*row));
        self.by_endpoint.range(&endpoint, row, span, limit)
    }

    pub(super) fn settled_of_message(&self, message: Position, span: &Span, limit: usize) -> Vec<SettledRow> {
        let row = |i| self.settled.get(i).copied();
        self.settled_by_message.range(&message, row, span, limit)
    }

    pub(super) fn settled_of_endpoint(
        &self,
        endpoint: EndpointId,
        span: &Span,
        limit: usize,
    ) -> Vec<SettledOfEndpoint> {
        let row = |i| self.settled.get(i).map(|row| SettledOfEndpoint(*row));
        self.settled_by_endpoint.range(&endpoint, row, span, limit)
    }

    pub(super) fn key(&self, hash: &[u8; 16]) -> Option<KeyRow> {
        self.keys.get(hash).copied()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = MessageRow> + '_ {
        self.messages.iter().copied()
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = AttemptRow> + '_ {
        self.attempts.iter().copied()
    }

    pub(super) fn settled(&self) -> impl Iterator<Item = SettledRow> + '_ {
        self.settled.iter().copied()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = KeyRow> + '_ {
        self.keys.values().copied()
    }
}

impl Extend<Row> for SegmentRows {
    fn extend<I: IntoIterator<Item = Row>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| self.push(row));
    }
}

impl FromIterator<Row> for SegmentRows {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut all = Self::default();
        all.extend(rows);
        all
    }
}

/// For each group the places of its rows, in the order of their keys. Most
/// groups of attempts have one member, and then nothing is allocated.
struct Groups<G>(HashMap<G, Places>);

enum Places {
    One(u32),
    Many(Vec<u32>),
}

impl<G> Default for Groups<G> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Places {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }

    /// Puts a row behind those with smaller keys. Rows come nearly always in
    /// order, so this is a push.
    fn add<R: Listed>(&mut self, place: u32, row: &impl Fn(u32) -> Option<R>) {
        if let Self::One(first) = *self {
            *self = Self::Many(vec![first]);
        }
        let (Self::Many(places), Some(new)) = (self, row(place)) else { return };
        let key = new.sort_key();
        let is_before = |other: &u32| row(*other).is_some_and(|other| other.sort_key() <= key);
        let at = if places.last().is_none_or(is_before) { places.len() } else { places.partition_point(is_before) };
        let neighbour = at.checked_sub(1).and_then(|before| places.get_mut(before));
        match neighbour.map(|place| (row(*place), place)) {
            Some((Some(old), old_place)) if R::UNIQUE && old.sort_key() == key => {
                if old.position() <= new.position() {
                    *old_place = place;
                }
            }
            _ => places.insert(at, place),
        }
    }
}

impl<G: Eq + Hash> Groups<G> {
    fn add<R: Listed>(&mut self, group: G, place: usize, row: impl Fn(usize) -> Option<R>) {
        // A segment has less than 2^32 bytes, hence fewer rows.
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let row = |place: u32| row(place as usize);
        self.0.entry(group).and_modify(|places| places.add(place, &row)).or_insert(Places::One(place));
    }

    fn range<R: Listed>(&self, group: &G, row: impl Fn(usize) -> Option<R>, span: &Span, limit: usize) -> Vec<R> {
        let Some(places) = self.0.get(group).map(Places::as_slice) else { return Vec::new() };
        let key_of = |place: &u32| row(*place as usize).map(|row| row.sort_key());
        let from = places.partition_point(|place| key_of(place) < Some(span.low));
        let to = places.partition_point(|place| key_of(place) <= Some(span.high));
        let inside = places.get(from..to).unwrap_or_default().iter();
        let row = |place: &u32| row(*place as usize);
        if span.descending {
            inside.rev().filter_map(row).take(limit).collect()
        } else {
            inside.filter_map(row).take(limit).collect()
        }
    }
}
