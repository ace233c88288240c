//! Outcomes that came too late, as they are found on record and counted (W6).

use std::collections::BTreeMap;

use crate::pair::PairKey;
use crate::succession::Kept;

/// Those of this life of the server.
#[derive(Default)]
pub(crate) struct Late {
    /// What the server had counted before.
    pub(crate) counted_before: u64,
    /// Those that were found on record, by delivery.
    on_record: BTreeMap<PairKey, usize>,
    /// Those that were found since its start.
    pub(crate) found: u64,
    /// All outcomes that were told, by endpoint.
    pub(crate) told: BTreeMap<usize, u64>,
}

impl Late {
    /// These attempts of a delivery are on record.
    pub(crate) fn find(&mut self, key: PairKey, history: &[Kept]) {
        let stale = history.iter().filter(|kept| kept.stale).count();
        let before = self.on_record.insert(key, stale).unwrap_or(0);
        self.found += stale.saturating_sub(before) as u64;
    }

    /// Whether each is counted once. So many outcomes cannot be found on record, because
    /// their endpoints are deleted.
    pub(crate) fn agrees_with(&self, counted: u64, hidden: u64) -> bool {
        (self.found..=self.found + hidden).contains(&counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_that_came_too_late_is_counted_once() {
        let mut late = Late::default();
        let key = |message| PairKey { endpoint: 1, message };
        let kept = |number, stale| Kept { number, stale };
        late.find(key(0), &[kept(1, true)]);
        late.find(key(0), &[kept(1, true), kept(2, false)]);
        late.find(key(1), &[kept(1, false), kept(2, true)]);
        assert!(late.agrees_with(2, 0));
        assert!(!late.agrees_with(1, 0), "one is not counted");
        assert!(!late.agrees_with(3, 0), "one is counted twice");
        assert!(late.agrees_with(3, 1), "its endpoint may be gone");
    }
}
