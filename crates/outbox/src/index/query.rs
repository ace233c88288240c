//! Lists and look-ups, over rows in memory and on disk alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_model::id::{AppId, EndpointId, ID_BYTES};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::family::{Family, OfEndpoint, OfMessage, Scanned, SettledOfEndpoint, SortKey, Span};
use super::row::{AttemptRow, KeyRow, MessageRow, SettledRow};
use super::scan::{Broken, RunReader, Scan};
use super::summary::Sealed;
use super::{Index, IndexError};

/// How far a list was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// To its end.
    All,
    /// The limit was reached, or the caller wanted no more: there may be more.
    Part,
}

/// How exact [`Index::messages_since`] is: there are few messages in so many bytes.
const NEAR_BYTES: u64 = 64 << 10;

/// Where a list begins and ends. `after` is exclusive.
fn span(low: SortKey, high: SortKey, after: Option<SortKey>, descending: bool) -> Option<Span> {
    let (mut low, mut high) = (low, high);
    match after {
        Some(after) if descending => high = high.min(after.before()?),
        Some(after) => low = low.max(after.after()?),
        None => {}
    }
    (low <= high).then_some(Span { low, high, descending })
}

/// All keys of an owner.
fn whole(owner: [u8; ID_BYTES]) -> (SortKey, SortKey) {
    (SortKey::new(owner, Position::ZERO, Position::ZERO), SortKey::new(owner, Position::MAX, Position::MAX))
}

/// All keys of a message of an owner.
fn of_message(app: AppId, message: Position) -> (SortKey, SortKey) {
    let owner = *app.as_bytes();
    (SortKey::new(owner, message, Position::ZERO), SortKey::new(owner, message, Position::MAX))
}

impl Index {
    /// Shows the messages of an application by their sequence, those after
    /// `after` in the order asked for, until `each` says `false` or `limit` were
    /// shown. The cost does not depend on where it begins. Reads partitions; no
    /// lock is held while `each` works.
    ///
    /// # Errors
    /// Something that may be needed is being rebuilt, or reading failed.
    pub fn messages(
        &self,
        app: AppId,
        after: Option<Position>,
        descending: bool,
        limit: usize,
        each: &mut dyn FnMut(&MessageRow) -> bool,
    ) -> Result<Seen, IndexError> {
        let (low, high) = whole(*app.as_bytes());
        let after = after.map(|after| SortKey::new(*app.as_bytes(), after, edge(descending)));
        self.scan(span(low, high, after, descending), limit, each)
    }

    /// Shows the attempts of a message by the positions of their outcomes, as
    /// [`Index::messages`] does.
    ///
    /// # Errors
    /// As [`Index::messages`].
    pub fn attempts_of_message(
        &self,
        app: AppId,
        message: Position,
        after: Option<Position>,
        descending: bool,
        limit: usize,
        each: &mut dyn FnMut(&AttemptRow) -> bool,
    ) -> Result<Seen, IndexError> {
        let (low, high) = of_message(app, message);
        // An outcome lies in the segment that its row is of.
        let from = after.filter(|_| !descending).map_or(0, Position::segment);
        let after = after.map(|after| SortKey::new(*app.as_bytes(), message, after));
        self.scan_from(from, span(low, high, after, descending), limit, &mut |row: &OfMessage| each(&row.0))
    }

    /// Where the first segment begins whose rows are in memory. No I/O.
    pub(crate) fn in_memory(&self) -> Position {
        self.catalog.read().live.keys().next().map_or(Position::MAX, |first| Position::new(*first, 0))
    }

    /// Shows the attempts of an endpoint by the positions of their outcomes, as
    /// [`Index::messages`] does.
    ///
    /// # Errors
    /// As [`Index::messages`].
    pub fn attempts_of_endpoint(
        &self,
        endpoint: EndpointId,
        after: Option<Position>,
        descending: bool,
        limit: usize,
        each: &mut dyn FnMut(&AttemptRow) -> bool,
    ) -> Result<Seen, IndexError> {
        let (low, high) = whole(*endpoint.as_bytes());
        let after = after.map(|after| SortKey::new(*endpoint.as_bytes(), after, edge(descending)));
        self.scan(span(low, high, after, descending), limit, &mut |row: &OfEndpoint| each(&row.0))
    }

    /// Shows the deliveries of an endpoint that ended without an attempt by the
    /// positions of their records, newest first, as [`Index::messages`] does.
    ///
    /// # Errors
    /// As [`Index::messages`].
    pub fn settled_of_endpoint(
        &self,
        endpoint: EndpointId,
        limit: usize,
        each: &mut dyn FnMut(&SettledRow) -> bool,
    ) -> Result<Seen, IndexError> {
        let (low, high) = whole(*endpoint.as_bytes());
        self.scan(span(low, high, None, true), limit, &mut |row: &SettledOfEndpoint| each(&row.0))
    }

    /// Where the messages of an application that were accepted at a time or later
    /// begin: all before the first position are earlier, none from the second on
    /// is. Between the two lie at most `NEAR_BYTES` of the journal. It costs some
    /// dozen look-ups, however many messages there are. Reads partitions.
    ///
    /// # Errors
    /// As [`Index::messages`].
    pub fn messages_since(&self, app: AppId, at: UnixMs) -> Result<(Position, Position), IndexError> {
        let (mut low, mut high) = (0, u64::MAX);
        // Sequences grow with the time of acceptance, so that a search by halves finds the place.
        while high - low > NEAR_BYTES {
            let middle = low + (high - low) / 2;
            let mut first = None;
            self.messages(app, Some(Position::from_u64(middle - 1)), false, 1, &mut |row| {
                first = Some(*row);
                false
            })?;
            match first {
                Some(row) if row.accepted < at => low = row.sequence.as_u64() + 1,
                _ => high = middle,
            }
        }
        Ok((Position::from_u64(low), Position::from_u64(high)))
    }

    /// For each endpoint the newest of the message's deliveries that ended
    /// without an attempt, in the order of the endpoints' ids. Reads partitions.
    ///
    /// # Errors
    /// As [`Index::messages`].
    pub fn settled_of_message(&self, app: AppId, message: Position) -> Result<Vec<SettledRow>, IndexError> {
        let (low, high) = of_message(app, message);
        let mut newest: BTreeMap<EndpointId, SettledRow> = BTreeMap::new();
        self.scan(span(low, high, None, false), usize::MAX, &mut |row: &SettledRow| {
            newest.insert(row.endpoint, *row);
            true
        })?;
        Ok(newest.into_values().collect())
    }

    /// A message of an application by its sequence: where its record lies now.
    /// Reads partitions.
    ///
    /// # Errors
    /// As [`Index::messages`].
    pub fn message(&self, app: AppId, sequence: Position) -> Result<Option<MessageRow>, IndexError> {
        let key = SortKey::new(*app.as_bytes(), sequence, Position::ZERO);
        let mut found = None;
        self.scan(span(key, key, None, false), 1, &mut |row: &MessageRow| {
            found = Some(*row);
            true
        })?;
        Ok(found)
    }

    /// The newest row of a key or an event id. Rows and filters in memory are
    /// asked first; only if a filter says "perhaps" are partitions read. The
    /// caller compares its time with the key window and confirms it against the
    /// record.
    ///
    /// # Errors
    /// Keys of the window are being rebuilt, or reading failed.
    pub fn find_key(&self, hash: &[u8; 16]) -> Result<Option<KeyRow>, IndexError> {
        let catalog = self.catalog.read();
        if !catalog.keys_ready() {
            return Err(IndexError::Rebuilding { percent: catalog.progress().unwrap_or(99) });
        }
        let live = catalog.newest_live_key(hash);
        // Segments may be sealed in any order, so a newer one may be on disk already.
        let candidates = catalog.keys.candidates(hash).into_iter();
        let newer = candidates.filter(|segment| live.is_none_or(|(of_live, _)| *segment > of_live));
        let newer: Vec<Arc<Sealed>> =
            newer.filter_map(|segment| catalog.sealed.get(&segment).map(Arc::clone)).collect();
        drop(catalog);
        for sealed in newer {
            if let Some(row) = self.find_key_in(&sealed, hash)? {
                return Ok(Some(row));
            }
        }
        Ok(live.map(|(_, row)| row))
    }

    fn find_key_in(&self, sealed: &Arc<Sealed>, hash: &[u8; 16]) -> Result<Option<KeyRow>, IndexError> {
        let (low, high) = whole(KeyRow::owner(hash));
        let span = Span { low, high, descending: false };
        let mut newest: Option<KeyRow> = None;
        for run in sealed.runs_of(Family::Keys) {
            let reader = RunReader { store: &*self.store, day: sealed.day, id: run.id, blocks: run.blocks };
            match reader.of_owner::<KeyRow>(&span) {
                Ok(rows) => newest = rows.into_iter().chain(newest).max_by_key(|row| row.position),
                Err(error) => self.judge(Broken { sealed: Arc::clone(sealed), error })?,
            }
        }
        Ok(newest)
    }

    fn scan<R: Scanned>(
        &self,
        span: Option<Span>,
        limit: usize,
        each: &mut dyn FnMut(&R) -> bool,
    ) -> Result<Seen, IndexError> {
        self.scan_from(0, span, limit, each)
    }

    /// Looks into no segment before this one.
    fn scan_from<R: Scanned>(
        &self,
        first: u32,
        span: Option<Span>,
        limit: usize,
        each: &mut dyn FnMut(&R) -> bool,
    ) -> Result<Seen, IndexError> {
        let mut scan = {
            let catalog = self.catalog.read();
            if let Some(percent) = catalog.progress() {
                return Err(IndexError::Rebuilding { percent });
            }
            let Some(span) = span else { return Ok(Seen::All) };
            Scan::<R>::new(&*self.store, &catalog, first, span)
        };
        let mut shown = 0;
        while shown < limit {
            match scan.next() {
                Ok(Some(row)) if each(&row) => shown += 1,
                Ok(Some(_)) => return Ok(Seen::Part),
                Ok(None) => return Ok(Seen::All),
                Err(broken) => self.judge(broken)?,
            }
        }
        Ok(Seen::Part)
    }
}

/// The far end of the keys with one major number.
const fn edge(descending: bool) -> Position {
    if descending { Position::ZERO } else { Position::MAX }
}
