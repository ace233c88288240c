//! Where the entries of the audit log lie. Of each only its place is in memory; the
//! entry itself is read from the journal. What is young enough is carried forward
//! before its segment goes, as messages are.

use std::collections::BTreeMap;

use postrider_model::audit::Entry;
use postrider_model::id::{AppId, AuditId, RawId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

/// Of so many entries one may be a refusal: who is refused again and again drives out
/// no entry of a change.
const REFUSALS_SHARE: usize = 10;

/// An entry's place, and what a list can pass over without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditRow {
    pub(crate) position: Position,
    pub(crate) app: Option<AppId>,
}

/// All entries that are kept, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditLog {
    changes: BTreeMap<AuditId, AuditRow>,
    refusals: BTreeMap<AuditId, AuditRow>,
}

impl AuditLog {
    /// Takes in an entry whose record lies at `position` now. Of more than `limit` the
    /// oldest is forgotten.
    pub(super) fn add(&mut self, position: Position, entry: &Entry, limit: usize) {
        let (rows, limit) = match entry.is_refusal() {
            true => (&mut self.refusals, limit / REFUSALS_SHARE),
            false => (&mut self.changes, limit),
        };
        rows.insert(entry.id, AuditRow { position, app: entry.target.app });
        while rows.len() > limit.max(1) {
            rows.pop_first();
        }
    }

    /// Forgets what was recorded before this time.
    pub(crate) fn forget_before(&mut self, time: UnixMs) {
        let first = AuditId(RawId::new(time, 0, [0; 6]));
        for rows in [&mut self.changes, &mut self.refusals] {
            if rows.first_key_value().is_some_and(|(oldest, _)| *oldest < first) {
                *rows = rows.split_off(&first);
            }
        }
    }

    /// Whether the entry is kept, and its record lies here.
    pub(crate) fn is_at(&self, id: AuditId, position: Position) -> bool {
        let row = self.changes.get(&id).or_else(|| self.refusals.get(&id));
        row.is_some_and(|row| row.position == position)
    }

    /// At most so many rows behind one of them, in order.
    pub(crate) fn rows(&self, after: Option<AuditId>, descending: bool, limit: usize) -> Vec<(AuditId, AuditRow)> {
        let mut found: Vec<_> = [&self.changes, &self.refusals]
            .into_iter()
            .flat_map(|rows| behind(rows, after, descending, limit))
            .collect();
        found.sort_by(|(one, _), (other, _)| if descending { other.cmp(one) } else { one.cmp(other) });
        found.truncate(limit);
        found
    }
}

fn behind(
    rows: &BTreeMap<AuditId, AuditRow>,
    after: Option<AuditId>,
    descending: bool,
    limit: usize,
) -> Vec<(AuditId, AuditRow)> {
    use std::ops::Bound::{Excluded, Unbounded};
    let after = after.map_or(Unbounded, Excluded);
    let copy = |(id, row): (&AuditId, &AuditRow)| (*id, *row);
    match descending {
        true => rows.range((Unbounded, after)).rev().take(limit).map(copy).collect(),
        false => rows.range((after, Unbounded)).take(limit).map(copy).collect(),
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::audit::{Actor, Call, Origin, Target};
    use postrider_model::id::OrgId;

    use super::*;

    fn entry(number: u64, status: u16) -> Entry {
        let id = |number| RawId::new(UnixMs(100 + number), number, [0; 6]);
        let call = Call {
            operation: "v1.application.create".to_owned(),
            org: OrgId(id(0)),
            actor: Actor::Server,
            from: Origin::Start,
            request_id: None,
            target: Target::default(),
            status,
            status_if_created: status,
        };
        Entry::new(AuditId(id(number)), &call)
    }

    fn numbers(rows: &[(AuditId, AuditRow)]) -> Vec<u64> {
        rows.iter().map(|(id, _)| id.0.time().as_u64() - 100).collect()
    }

    #[test]
    fn changes_and_refusals_are_one_list_and_drive_out_only_their_own() {
        let mut log = AuditLog::default();
        for number in 0..40 {
            let status = if number % 2 == 0 { 200 } else { 403 };
            log.add(Position::new(1, 64), &entry(number, status), 10);
        }
        assert_eq!(numbers(&log.rows(None, false, 100)), [20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 39]);
        assert_eq!(numbers(&log.rows(None, true, 3)), [39, 38, 36]);
        let (after, _) = log.rows(None, true, 3)[2];
        assert_eq!(numbers(&log.rows(Some(after), true, 2)), [34, 32]);
        assert_eq!(numbers(&log.rows(Some(after), false, 9)), [38, 39]);
        log.forget_before(UnixMs(136));
        assert_eq!(numbers(&log.rows(None, false, 100)), [36, 38, 39]);
    }

    #[test]
    fn an_entry_that_was_carried_lies_in_its_new_place_only() {
        let mut log = AuditLog::default();
        let (first, second) = (Position::new(1, 64), Position::new(2, 64));
        log.add(first, &entry(1, 200), 10);
        assert!(log.is_at(entry(1, 200).id, first));
        log.add(second, &entry(1, 200), 10);
        assert!(log.is_at(entry(1, 200).id, second) && !log.is_at(entry(1, 200).id, first));
        assert_eq!(log.rows(None, true, 10).len(), 1);
    }
}
