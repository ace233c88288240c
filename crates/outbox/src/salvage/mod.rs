//! Makes a new store out of what can be read of a damaged one, and says what is missing.
//!
//! ```text
//!   damaged directory --copy--> new directory --survey--> what is missing, and who refers to it
//!     (only read)               (copy.rs)       (survey.rs)             |
//!                                     recovery, whole records of damaged frames, dead letters
//!                                                         |  (mend.rs)
//!                                                         v
//!                                             a checkpoint that covers the damage
//! ```
//!
//! Everything that can be read is kept: the new checkpoint covers it, so that the next
//! start does not look at the damage any more. Deliveries whose payload is gone become
//! dead letters that say so. The journal's damaged parts are copied as they are.

mod copy;
mod found;
mod homeless;
mod mend;
mod survey;

use std::path::Path;
use std::sync::Arc;

pub use found::{
    Checkpoint, LostDelivery, LostMessage, LostRecord, Missing, Salvaged, UnknownEndpoint, Unread, WhatIsKnown,
};
use postrider_model::config::{Config, ConfigChange};
use postrider_model::position::Position;
use postrider_model::time::Clock;

use crate::checkpoint::{self, CheckpointError};
use crate::disk::Disk;
use crate::ids::SequenceMask;
use crate::journal::{self, Damage, DamageKind, JournalReader, ReadError};
use crate::open::{JOURNAL, OpenError, Recovered, missing_checkpoint, recover, store_id};
use crate::options::Options;
use crate::record::decode;
use crate::seal::Sealer;
use mend::Mend;
use survey::Survey;

/// Salvages the store of `options`, which no process works on, into the directory `to`,
/// which is there and empty. The old directory is only read. `progress` is told how many
/// steps of how many are done: each segment is copied, and read. Blocks.
///
/// # Errors
/// The key is not the store's, a newer version has written to it, or the file system
/// fails otherwise than by not reading a part of a file. The new directory is of no use then.
pub fn salvage(
    options: &Options,
    to: &Path,
    disk: &Arc<dyn Disk>,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Salvaged, OpenError> {
    let old = look_at_checkpoint(options, disk)?;
    let unread = copy::copy(options, to, &**disk, old.is_whole, progress)?;
    let new = Options { dir: to.to_owned(), ..options.clone() };
    let mut recovered = recover(&new, disk, clock)?;
    let may_lack_config = !recovered.lost.is_empty() || !old.is_whole;
    if old.is_missing {
        recovered.damage.extend(before_first(&recovered.reader));
    }
    let mask = SequenceMask::new(&options.master_key.mask());
    let mut survey = Survey::new(&recovered, mask, Sealer::new(&options.master_key));
    if may_lack_config {
        let mut known = recovered.config.clone();
        old.base.iter().for_each(|change| known.apply(change));
        survey.homeless.look_for(&known);
    }
    survey.read(&recovered.reader, progress)?;
    let Recovered { state, config, journal, reader, report, lost, checkpoint, .. } = recovered;
    let mut salvaged = Salvaged { records: survey.records(), torn_bytes: report.torn_bytes, unread, ..old.told() };
    let mut mend = Mend { state, config, reader: &reader, end: journal.end(), now: clock.now() };
    if !lost.is_empty() || !old.base.is_empty() {
        let sealer = Sealer::new(&options.master_key);
        mend.apply_whole_records(&new, &**disk, &old.base, &sealer, survey.broken())?;
    }
    let mut buried = mend.bury_lost_payloads()?;
    buried.extend(mend.bury_behind(survey.broken()));
    salvaged.deliveries_lost = mend.step_over_damage(&survey.ends())?;
    salvaged.payloads_lost = buried.len() as u64;
    salvaged.endpoints = if may_lack_config { survey.unknown_endpoints(&mend.config) } else { vec![] };
    survey.finish(&mut salvaged, &buried, &mend.config, &reader, checkpoint.position)?;
    let bytes = checkpoint::encode(&mend.state, &mend.config, &Sealer::new(&options.master_key), mend.end);
    checkpoint::write(&**disk, to, &bytes)?;
    Ok(salvaged)
}

/// Whether a record is there and whole. What is only not read for now must not count as lost.
fn is_readable(reader: &JournalReader, at: Position) -> Result<bool, OpenError> {
    match reader.read(at) {
        Ok(bytes) => Ok(decode(&bytes).is_ok()),
        Err(ReadError::NotFound(_) | ReadError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The segments before the first that is there. Without a checkpoint nobody knows what they held: retention
/// may have removed them, or something else.
fn before_first(reader: &JournalReader) -> impl Iterator<Item = Damage> + use<> {
    let first = reader.segments().first().map_or(journal::FIRST_SEGMENT, |segment| segment.number);
    (journal::FIRST_SEGMENT..first).rev().take(journal::MISSING_NAMED).map(|segment| Damage {
        segment,
        from: journal::SEGMENT_HEADER_BYTES,
        to: u32::MAX,
        path: journal::segment_name(segment).into(),
        what: DamageKind::MissingSegment,
    })
}

/// What the damaged store's checkpoint is worth.
struct OldCheckpoint {
    /// It can be used, or there never was one.
    is_whole: bool,
    /// There must have been one, and it is not there.
    is_missing: bool,
    damage: Option<String>,
    /// The configuration that could be taken out of a damaged one.
    base: Vec<ConfigChange>,
}

impl OldCheckpoint {
    fn told(&self) -> Salvaged {
        let checkpoint = self.damage.as_ref().map(|damage| {
            let mut config = Config::default();
            self.base.iter().for_each(|change| config.apply(change));
            Checkpoint {
                damage: damage.clone(),
                configuration_saved: !self.base.is_empty(),
                applications: config.apps().count(),
                endpoints: config.apps().map(|app| app.endpoints().count()).sum(),
            }
        });
        Salvaged { checkpoint, ..Salvaged::default() }
    }
}

/// Reads the checkpoint, and refuses a key that is not the store's before anything is done.
fn look_at_checkpoint(options: &Options, disk: &Arc<dyn Disk>) -> Result<OldCheckpoint, OpenError> {
    let dir = options.dir.join(JOURNAL);
    let known = journal::store_id(&**disk, &dir).map_err(|source| OpenError::Io { what: "read", path: dir, source });
    let read = checkpoint::read(&**disk, options);
    let old = match read {
        Ok(Some(_)) => OldCheckpoint { is_whole: true, is_missing: false, damage: None, base: vec![] },
        Ok(None) => {
            let damage = missing_checkpoint(options, &**disk)?;
            OldCheckpoint { is_whole: damage.is_none(), is_missing: damage.is_some(), damage, base: vec![] }
        }
        Err(error @ CheckpointError::Damaged { .. }) => OldCheckpoint {
            is_whole: false,
            is_missing: false,
            damage: Some(error.to_string()),
            base: checkpoint::config_of_damaged(&**disk, options).unwrap_or_default(),
        },
        // A disk that does not give it back has damaged it.
        Err(CheckpointError::Io { what, path, source }) if copy::is_unreadable(&source) => OldCheckpoint {
            is_whole: false,
            is_missing: false,
            damage: Some(CheckpointError::Io { what, path, source }.to_string()),
            base: vec![],
        },
        Err(error) => return Err(error.into()),
    };
    match known? {
        Some(id) if id != store_id(options) => {
            let path = options.dir.join(JOURNAL);
            Err(OpenError::Journal(journal::OpenError::ForeignStore { path }))
        }
        _ => Ok(old),
    }
}
