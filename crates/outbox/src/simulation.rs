//! An outbox in one thread, for simulations: committer and keeper take a step
//! when their caller says so, what is read is read in turn, and what is random
//! follows from a seed.
//!
//! ```text
//!   caller --step--> committer            caller --keep--> keeper --waits--> committer
//!             (one frame, or one sync)               (one duty, with the steps it waits for)
//! ```
//!
//! The index keeps all of its rows in memory, so that there is no disk but the
//! injected one.

use std::ops::ControlFlow;

use postrider_model::position::Position;

use crate::Outbox;
use crate::index::Row;
use crate::lookup::scan;
use crate::rows::Rows;

#[cfg(feature = "simulation")]
pub use stepped::{Duty, Start, Stepped};

impl Outbox {
    /// Puts the rows of all segments into memory, so that a start needs no disk but
    /// the injected one.
    pub(crate) fn index_in_memory(&self) {
        let (shared, mut rows) = (&self.shared, Rows::default());
        for segment in shared.reader.segments() {
            let mut found: Vec<Row> = vec![];
            let (from, to) = (Position::new(segment.number, 0), Position::new(segment.number + 1, 0));
            scan(&shared.reader, from, to, &mut |position, record| {
                rows.each(position, &record, &mut |row| found.push(row));
                ControlFlow::Continue(())
            });
            shared.index.insert_all(segment.number, found);
        }
        let missing = shared.index.unindexed(&[], shared.now()).expect("the directory is empty");
        assert!(missing.is_empty());
    }
}

#[cfg(feature = "simulation")]
mod stepped {
    use std::path::Path;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use postrider_model::time::Clock;

    use crate::answers::Answers;
    use crate::committer::{Committer, leave_clean_stop};
    use crate::disk::Disk;
    use crate::ids::repeatable;
    use crate::index::{Index, IndexOptions};
    use crate::journal::AppendError;
    use crate::open::open_for;
    use crate::reads::Reads;
    use crate::{CommitError, Keeper, OpenError, Opened, Options, Outbox, Report};

    /// What a start needs.
    pub struct Start<'a> {
        /// The outbox's settings.
        pub options: Options,
        /// The simulated disk.
        pub disk: Arc<dyn Disk>,
        /// The simulated clock.
        pub clock: Arc<dyn Clock>,
        /// An empty directory that stays empty.
        pub index_dir: &'a Path,
        /// Equal seeds give equal ids.
        pub seed: u64,
    }

    /// One thing that the keeper does.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Duty {
        /// Reads lanes on that run dry.
        Lanes,
        /// Lets tasks go on.
        Tasks,
        /// Writes a checkpoint, due or not.
        Checkpoint,
    }

    /// An outbox whose work is done by whoever holds this.
    pub struct Stepped {
        /// The handle.
        pub outbox: Outbox,
        /// What the start found.
        pub report: Report,
        keeper: Keeper,
        work: Arc<Mutex<Work>>,
        disk: Arc<dyn Disk>,
    }

    enum Work {
        Goes(Box<Committer>),
        Ended(Option<CommitError>),
    }

    impl Stepped {
        /// Opens it, on the thread that is to do its work.
        ///
        /// # Errors
        /// As [`crate::open`].
        ///
        /// # Panics
        /// The directory of the index cannot be used.
        pub fn open(start: Start<'_>) -> Result<Self, OpenError> {
            let Start { options, disk, clock, index_dir, seed } = start;
            repeatable::from(seed);
            let index = Index::open(&IndexOptions::new(index_dir)).expect("a directory can be made");
            let opened = open_for(options, Arc::clone(&disk), clock, index, Reads::InTurn)?;
            let Opened { outbox, committer, mut keeper, report } = opened;
            outbox.index_in_memory();
            let work = Arc::new(Mutex::new(Work::Goes(Box::new(committer.into_committer()))));
            let theirs = Arc::clone(&work);
            keeper.answers = Answers::Stepping(Arc::new(move || theirs.lock().step()));
            Ok(Self { outbox, report, keeper, work, disk })
        }

        /// Whether something waits for the committer.
        #[must_use]
        pub fn has_work(&self) -> bool {
            let outbox = &self.outbox;
            let asked = !outbox.errands.is_empty() || !outbox.urgent.is_empty() || !outbox.ingest.is_empty();
            asked
                || !outbox.shared.outcomes.is_empty()
                || matches!(&*self.work.lock(), Work::Goes(committer) if !committer.is_idle())
        }

        /// Lets the committer take one step: a frame of what waits, or else a sync of
        /// what is not synced.
        ///
        /// # Errors
        /// The journal is poisoned, now or before (W8).
        pub fn step(&self) -> Result<(), CommitError> {
            self.work.lock().step();
            self.error()
        }

        /// Why the committer has ended, told once.
        fn error(&self) -> Result<(), CommitError> {
            match &mut *self.work.lock() {
                Work::Ended(error) => error.take().map_or(Ok(()), Err),
                Work::Goes(_) => Ok(()),
            }
        }

        /// Whether a frame of outcomes is written and not synced. The product syncs it after
        /// [`Options::outcome_sync`].
        #[must_use]
        pub fn is_unsynced(&self) -> bool {
            matches!(&*self.work.lock(), Work::Goes(committer) if committer.is_unsynced())
        }

        /// Syncs it.
        ///
        /// # Errors
        /// As [`Self::step`].
        pub fn sync(&self) -> Result<(), CommitError> {
            self.work.lock().go_on(|committer| committer.sync());
            self.error()
        }

        /// Whether the committer has ended, because the journal is poisoned.
        #[must_use]
        pub fn has_ended(&self) -> bool {
            matches!(&*self.work.lock(), Work::Ended(_))
        }

        /// Lets the keeper do something, with as many steps of the committer as it waits for.
        pub fn keep(&mut self, duty: Duty) {
            match duty {
                Duty::Lanes => self.keeper.fill_lanes(),
                Duty::Tasks => self.keeper.work_on_tasks(),
                Duty::Checkpoint => drop(self.keeper.write_checkpoint()),
            }
        }

        /// A clean stop: records what waits, and leaves a checkpoint. `false` if the journal is poisoned.
        #[must_use]
        pub fn stop(self) -> bool {
            self.outbox.stop();
            while self.has_work() && !self.has_ended() {
                self.work.lock().step();
            }
            let Work::Goes(mut committer) = std::mem::replace(&mut *self.work.lock(), Work::Ended(None)) else {
                return false;
            };
            if committer.journal.sync().is_err() {
                return false;
            }
            leave_clean_stop(&self.outbox.shared, &*self.disk, &committer.journal);
            true
        }
    }

    impl Work {
        /// Gives whether there can be another.
        fn step(&mut self) -> bool {
            self.go_on(|committer| committer.step())
        }

        fn go_on(&mut self, work: impl FnOnce(&mut Committer) -> Result<(), AppendError>) -> bool {
            let Self::Goes(committer) = self else { return false };
            match work(committer) {
                Ok(()) => true,
                Err(error) => {
                    committer.end();
                    *self = Self::Ended(Some(CommitError::Poisoned(error)));
                    false
                }
            }
        }
    }
}
