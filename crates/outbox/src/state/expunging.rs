//! Contents that were expunged and whose bytes may still be on disk.
//!
//! Every read looks here and shows nothing of them. When the keeper has written
//! the segments anew, the records themselves say that their content is gone, and
//! the entry goes. It may come back with an older checkpoint, and then the keeper
//! does the same once more.

use std::collections::BTreeMap;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::record::{Expunged, ExpungedContent, Record};

/// By where the content was first recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expunging(BTreeMap<Position, Expunge>);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expunge {
    /// When that was asked for.
    pub(crate) at: UnixMs,
    /// The segment that says so: no later one holds a copy.
    pub(crate) last_segment: u32,
    /// A message may have been carried to other places; an outcome stays.
    pub(crate) is_payload: bool,
}

impl Expunging {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes in the record at `position`.
    pub(crate) fn add(&mut self, position: Position, record: &Expunged) {
        let is_payload = matches!(record.what, ExpungedContent::Payload { .. });
        let expunge = Expunge { at: record.at, last_segment: position.segment(), is_payload };
        self.0.insert(record.what.position(), expunge);
    }

    /// Whether the content that was first recorded at this place is expunged.
    pub(crate) fn contains(&self, first: Position) -> bool {
        self.0.contains_key(&first)
    }

    /// Whether the content of the record at `position` is expunged.
    pub(crate) fn holds(&self, position: Position, record: &Record) -> bool {
        match record {
            Record::Accepted(..) | Record::Outcome(..) => self.contains(position),
            Record::Carried(carried, _) => self.contains(carried.sequence),
            _ => false,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first of them was asked for.
    pub(crate) fn oldest(&self) -> Option<UnixMs> {
        self.0.values().map(|expunge| expunge.at).min()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Position, &Expunge)> {
        self.0.iter().map(|(position, expunge)| (*position, expunge))
    }

    /// Forgets those whose bytes are gone. One that was asked for again since
    /// then stays.
    pub(crate) fn forget(&mut self, gone: &Self) {
        self.0.retain(|position, expunge| gone.0.get(position) != Some(expunge));
    }
}

#[cfg(test)]
mod tests;
