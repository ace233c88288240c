//! A page of a list as it is collected: what it holds, what it has cost, and
//! where the next one begins.

use postrider_model::query::{Page, PageKey, QueryError};

/// Rows that one page looks at at most: a filter that matches little answers
/// with a short page and an iterator instead of reading on and on.
pub(super) const PAGE_ROWS: usize = 10_000;

/// Collects a page and remembers where it stopped.
pub(super) struct Pager<T, R> {
    items: Vec<T>,
    limit: usize,
    looked_at: usize,
    last_key: Option<PageKey>,
    /// The last row that was passed over, newer than `last_key`.
    last_row: Option<R>,
    more: bool,
    error: Option<QueryError>,
}

impl<T, R: Copy> Pager<T, R> {
    pub(super) fn new(limit: usize) -> Self {
        let items = Vec::with_capacity(limit.min(256));
        Self { items, limit, looked_at: 0, last_key: None, last_row: None, more: false, error: None }
    }

    /// Takes a member; `false` when the page is full.
    pub(super) fn take(&mut self, item: T, key: PageKey) -> bool {
        if self.items.len() >= self.limit {
            self.more = true;
            return false;
        }
        self.items.push(item);
        self.last_key = Some(key);
        self.last_row = None;
        self.count()
    }

    /// Passes a row over; `stop` if none that follows can match.
    pub(super) fn look(&mut self, row: &R, stop: bool) -> bool {
        self.last_row = Some(*row);
        !stop && self.count()
    }

    /// Passes over a row whose record is damaged, so that it does not hide the others; whoever
    /// asks for it by its id is told.
    pub(super) fn damaged(&mut self, row: &R, detail: &str) -> bool {
        tracing::warn!(detail, "a list leaves out a record that is damaged");
        self.look(row, false)
    }

    /// Something was done for a row that costs as much as looking at so many.
    pub(super) fn spend(&mut self, rows: usize) {
        self.looked_at += rows;
    }

    fn count(&mut self) -> bool {
        self.looked_at += 1;
        self.more = self.looked_at >= PAGE_ROWS;
        !self.more
    }

    pub(super) fn fail(&mut self, error: QueryError) -> bool {
        self.error = Some(error);
        false
    }

    pub(super) fn finish(self, key_of: impl FnOnce(R) -> PageKey) -> Result<Page<T>, QueryError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let next =
            if self.looked_at >= PAGE_ROWS { self.last_row.map(key_of).or(self.last_key) } else { self.last_key };
        Ok(Page { items: self.items, next, done: !self.more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_after_so_many_rows_whatever_was_done_with_them() {
        let mut pager = Pager::<(), u8>::new(PAGE_ROWS);
        pager.spend(PAGE_ROWS - 3);
        assert!(pager.take((), vec![1]));
        assert!(pager.look(&2, false));
        assert!(!pager.look(&3, false));
        let page = pager.finish(|row| vec![row]).expect("nothing has failed");
        assert_eq!((page.items.len(), page.next, page.done), (1, Some(vec![3]), false));
    }

    #[test]
    fn a_page_is_full_with_its_last_member_and_goes_on_after_it() {
        for (limit, taken) in [(2, 2), (3, 3), (4, 3)] {
            let mut pager = Pager::<u8, u8>::new(limit);
            let all = (0..3).take_while(|n| pager.take(*n, vec![*n])).count();
            assert_eq!(all, taken);
            let page = pager.finish(|row| vec![row]).expect("nothing has failed");
            assert_eq!((page.items.len(), page.done), (taken, taken == 3));
            assert_eq!(page.next, Some(vec![page.items[taken - 1]]));
        }
    }

    #[test]
    fn a_list_ends_where_nothing_more_can_match() {
        let mut pager = Pager::<u8, u8>::new(9);
        assert!(pager.look(&1, false) && !pager.look(&2, true));
        let page = pager.finish(|row| vec![row]).expect("nothing has failed");
        assert_eq!((page.items, page.done), (vec![], true));
    }

    #[test]
    fn a_damaged_row_is_passed_over_and_counts() {
        let mut pager = Pager::<u8, u8>::new(9);
        pager.spend(PAGE_ROWS - 2);
        assert!(pager.damaged(&1, "damaged"));
        assert!(!pager.damaged(&2, "damaged"));
        let page = pager.finish(|row| vec![row]).expect("nothing has failed");
        assert_eq!((page.items, page.next, page.done), (vec![], Some(vec![2]), false));
    }

    #[test]
    fn who_asks_is_told_that_reading_failed() {
        let mut pager = Pager::<u8, u8>::new(9);
        assert!(pager.take(1, vec![1]));
        let error = QueryError::Failed("the disk is gone".to_owned());
        assert!(!pager.fail(error.clone()));
        assert_eq!(pager.finish(|row| vec![row]), Err(error));
    }
}
