//! Which sealing keys something on disk still needs, and how a store is sealed anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use postrider_model::config::{Config, ConfigChange};
use postrider_model::time::Clock;

use crate::checkpoint;
use crate::disk::Disk;
use crate::journal;
use crate::open::{JOURNAL, OpenError, Recovered, recover};
use crate::options::Options;
use crate::record::{Record, decode};
use crate::seal::Sealer;

/// Where envelopes lie, by the number of the key with which they are sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// In the checkpoint.
    pub checkpoint: BTreeSet<u32>,
    /// In segments of the journal, and how many of them.
    pub segments: BTreeMap<u32, usize>,
}

impl KeyUse {
    /// Whether nothing lies on disk that this key has sealed.
    #[must_use]
    pub fn is_free(&self, number: u32) -> bool {
        !self.checkpoint.contains(&number) && !self.segments.contains_key(&number)
    }
}

/// Looks through the checkpoint and all segments. What is damaged there no key opens. `progress` is
/// told after each segment how many of how many were read.
///
/// # Errors
/// The files cannot be read, the keys are another store's, or one that the checkpoint needs was not given.
pub fn key_use(
    options: &Options,
    disk: &Arc<dyn Disk>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<KeyUse, OpenError> {
    let mut found = KeyUse::default();
    if let Some(restored) = checkpoint::read(&**disk, options)? {
        found.checkpoint = of_config(&restored.config);
        found.checkpoint.extend(restored.sealed_by);
    }
    let sealer = Sealer::new(&options.master_key);
    let dir = options.dir.join(JOURNAL);
    let failed = |what| {
        let path = dir.clone();
        move |source| OpenError::Io { what, path, source }
    };
    // All would be damage to another store's keys, so that nothing seemed to need them.
    let known = journal::store_id(&**disk, &dir).map_err(failed("list"))?;
    if known.is_some_and(|id| id != options.master_key.store_id()) {
        return Err(journal::OpenError::ForeignStore { path: dir }.into());
    }
    let numbers = journal::segment_numbers(&**disk, &dir).map_err(failed("list"))?;
    for (done, number) in numbers.iter().enumerate() {
        let mut keys = BTreeSet::new();
        let mut look = |record: journal::RecordAt<'_>| {
            if let Ok(record) = decode(&Bytes::copy_from_slice(record.bytes)) {
                of_record(&sealer, record, &mut keys);
            }
        };
        match journal::salvage_segment(&**disk, &dir, *number, options.master_key.store_id(), &mut look) {
            // A server has removed it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            read => drop(read.map_err(failed("read"))?),
        }
        for key in keys {
            *found.segments.entry(key).or_default() += 1;
        }
        progress(done + 1, numbers.len());
    }
    Ok(found)
}

fn of_record(sealer: &Sealer, record: Record, keys: &mut BTreeSet<u32>) {
    match &record {
        Record::SealedConfig(envelope) => keys.extend(Sealer::number_of(envelope)),
        Record::Answered(_, sealed) => keys.extend(Sealer::number_of(sealed)),
        _ => {}
    }
    // Signing secrets are sealed once more within.
    if let Ok(Record::Config(change)) = sealer.unsealed(record) {
        of_change(&change, keys);
    }
}

fn of_config(config: &Config) -> BTreeSet<u32> {
    let mut keys = BTreeSet::new();
    config.to_changes().iter().for_each(|change| of_change(change, &mut keys));
    keys
}

fn of_change(change: &ConfigChange, keys: &mut BTreeSet<u32>) {
    if let ConfigChange::Endpoint(endpoint) = change {
        keys.extend(endpoint.secrets.iter().filter_map(|secret| Sealer::number_of(&secret.sealed.0)));
    }
}

/// Leaves a checkpoint in which all is sealed with the key that seals now. No process works on the
/// store: the caller has locked it.
///
/// # Errors
/// What a start would refuse, or the file system fails.
pub fn seal_anew(options: &Options, disk: &Arc<dyn Disk>, clock: &dyn Clock) -> Result<(), OpenError> {
    let Recovered { state, config, journal, lost, .. } = recover(options, disk, clock)?;
    if let Some(what) = lost.into_iter().next() {
        let why = "it may hold live deliveries or configuration, since no checkpoint covers it";
        return Err(OpenError::Damaged { what, why });
    }
    let sealer = Sealer::new(&options.master_key);
    let bytes = checkpoint::encode(&state, &config, &sealer, journal.end());
    checkpoint::write(&**disk, &options.dir, &bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests;
