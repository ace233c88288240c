//! Takes what was expunged off the disk.
//!
//! A pass takes all that there is at its beginning, and looks at each segment
//! that may hold it, one a round. One that does is sealed if it is open, written
//! anew without it and put in the place of the old one. After the last the
//! records themselves say that their content is gone, so the pass is forgotten.
//! After a crash the next start makes the whole pass once more.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::Keeper;
use crate::committer::request::Errand;
use crate::journal::SegmentInfo;
use crate::record::{decode, erase};
use crate::state;

/// Between a failure and the next try.
const RETRY: Duration = Duration::from_secs(60);

/// The pass that is being made, if one is.
#[derive(Default)]
pub(super) struct Expunging {
    pass: Option<Pass>,
    /// Not before this time, by the monotonic clock.
    not_before: Duration,
}

struct Pass {
    of: state::Expunging,
    /// What is still to be looked at.
    segments: BTreeSet<u32>,
}

/// Something failed and was reported; it is tried again later.
struct Later;

impl Keeper {
    /// Begins a pass if it is time to, or makes a step of the one that was begun.
    pub(crate) fn expunge_some(&mut self) {
        let now = self.shared.clock.monotonic();
        if now < self.expunging.not_before {
            return;
        }
        let Some(mut pass) = self.expunging.pass.take().or_else(|| self.begin_pass()) else { return };
        let step = match pass.segments.first().copied() {
            Some(segment) => self.expunge_from(segment, &pass.of).map(|()| pass.segments.remove(&segment)),
            None => self.ask(Errand::RemoveTornTails).ok_or(Later).map(|()| false),
        };
        match step {
            Ok(true) => {
                self.expunging.pass = Some(pass);
                self.signal.wake();
            }
            Ok(false) => {
                // In this order, so that nobody who has read from an old file shows it.
                self.shared.rewrites.fetch_add(1, Ordering::AcqRel);
                self.shared.state.lock().expunging.forget(&pass.of);
            }
            Err(Later) => {
                self.expunging.pass = Some(pass);
                self.expunging.not_before = now + RETRY;
            }
        }
    }

    fn begin_pass(&self) -> Option<Pass> {
        let of = {
            let state = self.shared.state.lock();
            let oldest = state.expunging.oldest()?;
            if self.shared.now().since(oldest) < self.shared.options.expunge_after {
                return None;
            }
            state.expunging.clone()
        };
        let segments = segments_that_may_hold(&of, &self.shared.reader.segments());
        Some(Pass { of, segments })
    }

    fn expunge_from(&self, segment: u32, gone: &state::Expunging) -> Result<(), Later> {
        let Some(sealed) = self.shared.reader.segments().iter().find(|info| info.number == segment).map(|s| s.sealed)
        else {
            // Retention has removed it.
            return Ok(());
        };
        // One that is erased already counts, too: if that was before a start, it is not
        // known whether the file that a process saw there is the one on disk.
        let mut holds = false;
        let damage = self.shared.reader.salvage(segment, &mut |record| {
            let decoded = decode(&Bytes::copy_from_slice(record.bytes));
            holds |= decoded.is_ok_and(|decoded| gone.holds(record.position, &decoded));
        });
        // Damaged parts may hold it, too; they are reported elsewhere.
        if !holds && damage.map_err(later(segment))?.is_empty() {
            return Ok(());
        }
        if !sealed {
            self.ask(|reply| Errand::SealSegment(segment, reply)).ok_or(Later)?;
        }
        let erased = self.shared.reader.rewrite(segment, &mut |position, bytes| {
            let record = decode(&Bytes::copy_from_slice(bytes));
            record.is_ok_and(|record| gone.holds(position, &record)) && erase(bytes)
        });
        erased.map_err(later(segment))?;
        self.ask(|reply| Errand::ReplaceSegment(segment, reply)).ok_or(Later)
    }
}

fn later<E: std::fmt::Display>(segment: u32) -> impl Fn(E) -> Later {
    move |error| {
        tracing::warn!(segment, %error, "expunged content stays on disk for now");
        Later
    }
}

/// The segments in which something was first recorded, and those to which it
/// may have been carried.
fn segments_that_may_hold(gone: &state::Expunging, segments: &[SegmentInfo]) -> BTreeSet<u32> {
    let numbers: BTreeSet<u32> = segments.iter().map(|segment| segment.number).collect();
    let Some(oldest) = numbers.first().copied() else { return numbers };
    let mut found = BTreeSet::new();
    for (first, expunge) in gone.iter() {
        found.extend(numbers.get(&first.segment()));
        // Only what lies in the oldest segment is carried, before that is removed.
        if expunge.is_payload && first.segment() <= oldest {
            found.extend(numbers.range(..=expunge.last_segment));
        }
    }
    found
}

#[cfg(test)]
mod tests;
