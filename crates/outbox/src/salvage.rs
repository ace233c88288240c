//! Makes a damaged store usable again, and says what is lost.
//!
//! Everything that can be read is kept: a new checkpoint covers it, so the next
//! start does not look at the damage any more. Deliveries whose payload is gone
//! become dead letters that say so. The damaged files stay where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use postrider_model::config::Config;
use postrider_model::delivery::{DeadReason, DeliveryEvent, transition};
use postrider_model::position::Position;
use postrider_model::time::{Clock, UnixMs};

use crate::checkpoint::{self, CheckpointError};
use crate::disk::Disk;
use crate::journal::JournalReader;
use crate::lookup::scan;
use crate::open::{OpenError, Recovered, recover};
use crate::options::Options;
use crate::record::{DeliveryRef, Record, decode};
use crate::seal::Sealer;
use crate::state::State;

/// What salvaging found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Records that were read after the checkpoint.
    pub records: u64,
    /// What could not be read, by file and position.
    pub lost: Vec<String>,
    /// Where a damaged checkpoint was moved to.
    pub checkpoint_aside: Option<std::path::PathBuf>,
    /// Deliveries that are dead letters now, since their payload is gone.
    pub payloads_lost: u64,
    /// Deliveries that nothing is known of any more: they had never been
    /// attempted, and the damaged part held their messages.
    pub deliveries_lost: u64,
}

/// Salvages a store that no process works on: the caller has locked it.
///
/// # Errors
/// The file system fails.
pub fn salvage(options: &Options, disk: &Arc<dyn Disk>, clock: &dyn Clock) -> Result<Salvaged, OpenError> {
    let mut salvaged =
        Salvaged { checkpoint_aside: set_damaged_checkpoint_aside(options, disk)?, ..Salvaged::default() };
    let Recovered { mut state, mut config, journal, reader, report, lost, .. } = recover(options, disk, clock)?;
    salvaged.records = report.records;
    let mut whole = BTreeSet::new();
    if !lost.is_empty() {
        let applied = apply_whole_records(options, disk, &reader, journal.end())?;
        (state, config, whole) = applied;
        salvaged.records = whole.len() as u64;
    }
    salvaged.lost = lost;
    let is_readable = |delivery: &DeliveryRef| {
        whole.contains(&delivery.position) || reader.read(delivery.position).is_ok_and(|bytes| decode(&bytes).is_ok())
    };
    salvaged.payloads_lost = bury_lost_payloads(&mut state, clock.now(), is_readable);
    salvaged.deliveries_lost = step_over_damage(&mut state, &reader, journal.end());
    let bytes = checkpoint::encode(&state, &config, &Sealer::new(&options.master_key), journal.end());
    checkpoint::write(&**disk, &options.dir, &bytes)?;
    Ok(salvaged)
}

/// Recovery again, with the whole records of damaged frames, which an ordinary
/// start does not trust. Gives also where they are.
fn apply_whole_records(
    options: &Options,
    disk: &Arc<dyn Disk>,
    reader: &JournalReader,
    end: Position,
) -> Result<(State, Config, BTreeSet<Position>), OpenError> {
    let restored = checkpoint::read(&**disk, options)?;
    let (mut state, mut config, from) = match restored {
        Some(restored) => (restored.state, restored.config, restored.position),
        None => (State::new(options), Config::default(), Position::ZERO),
    };
    let (mut whole, mut unheard) = (BTreeSet::new(), Vec::new());
    let sealer = Sealer::new(&options.master_key);
    scan(reader, from, end, &mut |position, record| {
        let Ok(record) = sealer.unsealed(record) else { return ControlFlow::Continue(()) };
        state.apply(&mut config, position, &record, &mut unheard);
        unheard.clear();
        whole.insert(position);
        ControlFlow::Continue(())
    });
    state.applied = end;
    Ok((state, config, whole))
}

/// Lets lanes whose backlog lies around damage read on behind it. What can be
/// read before it comes into their windows.
fn step_over_damage(state: &mut State, reader: &JournalReader, end: Position) -> u64 {
    let mut lost = 0;
    for (endpoint, lane) in &mut state.lanes {
        let Some(cursor) = lane.backlog.cursor() else { continue };
        let mut behind = Vec::new();
        let (_, unreadable) = scan(reader, cursor, end, &mut |position, record| {
            if let Record::Accepted(meta, _) = record
                && meta.endpoints.contains(endpoint)
            {
                behind.push(meta.named_delivery(*endpoint, position, position));
            }
            ControlFlow::Continue(())
        });
        let Some(last) = unreadable.last() else { continue };
        let (before, after): (Vec<_>, Vec<_>) = behind.into_iter().partition(|delivery| delivery.position < last.to);
        lost += lane.fill(&before, last.to).1;
        let behind: Vec<_> = after.iter().filter(|delivery| lane.is_behind(delivery)).collect();
        lost += lane.backlog.expect(behind.into_iter().map(|delivery| delivery.sequence));
    }
    state.recount();
    lost
}

/// Without it everything is read that the journal still has.
fn set_damaged_checkpoint_aside(
    options: &Options,
    disk: &Arc<dyn Disk>,
) -> Result<Option<std::path::PathBuf>, OpenError> {
    let Err(CheckpointError::Damaged { path, .. }) = checkpoint::read(&**disk, options) else {
        return Ok(None);
    };
    let aside = options.dir.join("checkpoint.damaged");
    let moved = disk.rename(&path, &aside).and_then(|()| disk.sync_dir(Path::new(&options.dir)));
    moved.map_err(|source| OpenError::Io { what: "set aside", path, source })?;
    Ok(Some(aside))
}

fn bury_lost_payloads(state: &mut State, now: UnixMs, is_readable: impl Fn(&DeliveryRef) -> bool) -> u64 {
    let mut lost = 0;
    for (endpoint, lane) in &mut state.lanes {
        let app = lane.app;
        let window = lane.window.iter().map(|(sequence, live)| live.delivery(app, *endpoint, sequence));
        let dead = lane.dead.iter().map(|(sequence, dead)| dead.delivery(app, *endpoint, *sequence));
        // A dead letter that is resent is in both.
        let unreadable: BTreeMap<_, _> = window.chain(dead).map(|delivery| (delivery.sequence, delivery)).collect();
        let unreadable: Vec<_> = unreadable.into_values().filter(|delivery| !is_readable(delivery)).collect();
        for delivery in unreadable {
            let expired = DeliveryEvent::Expired { at: now, reason: DeadReason::PayloadDamaged };
            if let Some(Ok(buried)) = lane.state(delivery.sequence).map(|before| transition(&before, &expired)) {
                lane.put(&delivery, &buried);
                lost += 1;
            }
        }
    }
    state.recount();
    lost
}
