//! A checkpoint: everything derived from the journal up to a position, in a
//! file of its own, so that a start need not read the journal from its
//! beginning (`docs/format.md`, "Checkpoint").
//!
//! ```text
//! magic "PRCHKPT3" | length of body u64 LE | CRC-32C of body u32 LE | body
//! ```
//!
//! It is written under a temporary name, synced, renamed, and the directory is
//! synced: there is always a whole one, the old or the new.

use std::io;
use std::path::{Path, PathBuf};

use postrider_model::config::{Config, ConfigChange};
use postrider_model::id::{EndpointId, TaskId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk};
use crate::options::Options;
use crate::record::{DecodeError, beginning_of_bincode, from_checked_bincode, to_bincode};
use crate::seal::{Sealer, UnsealError};
use crate::state::{AuditLog, Expunging, LaneState, State, TaskState};
use crate::stored_json;

const MAGIC: &[u8; 8] = b"PRCHKPT3";
/// That of one without the audit log.
const OLDER_MAGIC: &[u8; 8] = b"PRCHKPT2";
/// Of a checkpoint in which the configuration is not sealed.
pub(crate) const PLAIN_MAGIC: &[u8; 8] = b"PRCHKPT1";
const HEAD_BYTES: usize = 20;
/// The file's name in the data directory.
pub(crate) const NAME: &str = "checkpoint";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading or writing failed.
    #[error("failed to {what} checkpoint {path}: {source}")]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer version of postrider has written it.
    #[error("checkpoint {path} is of a format that this version does not know")]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// It was sealed with another key.
    #[error("checkpoint {path} was written with another store's key")]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// It was sealed with a key of the store that was not given.
    #[error("checkpoint {path} was sealed with key {number}, which was not given")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The key's number.
        number: u32,
    },
    /// Its bytes are not what was written.
    #[error("checkpoint {path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl CheckpointError {
    /// Whether it could not be written because there is no room.
    pub(crate) fn is_no_room(&self) -> bool {
        matches!(self, Self::Io { source, .. } if disk::is_full(source))
    }
}

/// What a checkpoint gives back.
pub(crate) struct Restored {
    pub(crate) state: State,
    pub(crate) config: Config,
    /// The journal goes on from here.
    pub(crate) position: Position,
    /// The checkpoint's size.
    pub(crate) bytes: u64,
    /// The number of the key with which its configuration is sealed, if it is.
    pub(crate) sealed_by: Option<u32>,
}

#[derive(Serialize)]
struct BodyRef<'a> {
    position: Position,
    last_record: UnixMs,
    /// JSON, because the configuration's objects grow new fields; sealed.
    config: Vec<u8>,
    lanes: Vec<(&'a EndpointId, &'a LaneState)>,
    tasks: Vec<(&'a TaskId, &'a TaskState)>,
    expunging: &'a Expunging,
}

#[derive(Deserialize)]
struct Body {
    position: Position,
    last_record: UnixMs,
    config: Vec<u8>,
    lanes: Vec<(EndpointId, LaneState)>,
    tasks: Vec<(TaskId, TaskState)>,
    expunging: Expunging,
}

/// The bytes of a checkpoint of all that the journal holds before `position`.
pub(crate) fn encode(state: &State, config: &Config, sealer: &Sealer, position: Position) -> Vec<u8> {
    let changes: Vec<_> = config.to_changes().iter().map(|change| sealer.renewed(change)).collect();
    let body = BodyRef {
        position,
        last_record: state.last_record,
        config: sealer.seal_config(&changes),
        lanes: state.lanes.iter().collect(),
        tasks: state.tasks.iter().collect(),
        expunging: &state.expunging,
    };
    headed(MAGIC, &to_bincode(&(body, &state.audit)))
}

/// A body with the head that belongs to it.
pub(crate) fn headed(magic: &[u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Puts a checkpoint in the place of the one before. Blocks.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let path = dir.join(NAME);
    let written = disk::replace_file(disk, &path, bytes).inspect_err(|_| {
        // On a full disk what is half written takes the last room.
        let _ = disk::remove_if_there(disk, &disk::temporary_name(&path));
    });
    written.map_err(|source| CheckpointError::Io { what: "write", path, source })
}

/// The checkpoint of a data directory, if there is one.
pub(crate) fn read(disk: &dyn Disk, options: &Options) -> Result<Option<Restored>, CheckpointError> {
    let path = options.dir.join(NAME);
    let bytes = match disk::read_file(disk, &path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(source) => return Err(CheckpointError::Io { what: "read", path, source }),
    };
    decode(&bytes, options).map(Some).map_err(|unfit| CheckpointError::from_unfit(unfit, path))
}

impl CheckpointError {
    pub(crate) fn from_unfit(unfit: Unfit, path: PathBuf) -> Self {
        match unfit {
            Unfit::OtherKey => Self::OtherKey { path },
            Unfit::NoKey(number) => Self::NoKey { path, number },
            Unfit::Newer => Self::Newer { path },
            Unfit::Damaged(detail) => Self::Damaged { path, detail },
        }
    }
}

/// How a body begins.
#[derive(Deserialize)]
struct Beginning {
    _position: Position,
    _last_record: UnixMs,
    config: Vec<u8>,
}

/// The configuration out of a damaged checkpoint, if that part of it is whole: it is
/// sealed, so what opens is what was written.
pub(crate) fn config_of_damaged(disk: &dyn Disk, options: &Options) -> Option<Vec<ConfigChange>> {
    let bytes = disk::read_file(disk, &options.dir.join(NAME)).ok()??;
    let beginning: Beginning = beginning_of_bincode(bytes.get(HEAD_BYTES..)?).ok()?;
    Sealer::new(&options.master_key).open_config(&beginning.config).ok()
}

/// Why bytes are no checkpoint of this store.
pub(crate) enum Unfit {
    OtherKey,
    NoKey(u32),
    Newer,
    Damaged(String),
}

impl From<&str> for Unfit {
    fn from(detail: &str) -> Self {
        Self::Damaged(detail.to_owned())
    }
}

/// Up to which position a checkpoint holds the journal. Its checksum is looked at; no key is
/// needed.
pub(crate) fn reach(bytes: &[u8]) -> Result<Position, Unfit> {
    let (_, body) = checked(bytes)?;
    beginning_of_bincode(body).map_err(Unfit::Damaged)
}

/// The number of the key with which a checkpoint's configuration is sealed, if it is. No key is needed.
pub(crate) fn sealed_by(bytes: &[u8]) -> Option<u32> {
    let (magic, body) = checked(bytes).ok()?;
    let Beginning { config, .. } = beginning_of_bincode(body).ok().filter(|_| magic != PLAIN_MAGIC)?;
    Sealer::number_of(&config)
}

/// Magic and body.
fn checked(bytes: &[u8]) -> Result<(&[u8; 8], &[u8]), Unfit> {
    let (head, body) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or("it is too short")?;
    let (magic, head) = head.split_first_chunk::<8>().ok_or("it is too short")?;
    let (length, crc) = head.split_first_chunk::<8>().ok_or("it is too short")?;
    let crc: [u8; 4] = crc.try_into().map_err(|_| "it is too short")?;
    // The magic ends with the version, one digit.
    if magic.split_last().map(|(_, name)| name) == MAGIC.split_last().map(|(_, name)| name) && magic > MAGIC {
        return Err(Unfit::Newer);
    }
    if ![MAGIC, OLDER_MAGIC, PLAIN_MAGIC].contains(&magic) {
        return Err("it does not begin as a checkpoint of this version does".into());
    }
    if u64::from_le_bytes(*length) != body.len() as u64 || u32::from_le_bytes(crc) != crc32c::crc32c(body) {
        return Err("its checksum does not match".into());
    }
    Ok((magic, body))
}

pub(crate) fn decode(bytes: &[u8], options: &Options) -> Result<Restored, Unfit> {
    let size = bytes.len() as u64;
    let (magic, body) = checked(bytes)?;
    let (body, audit): (Body, AuditLog) = if magic == MAGIC {
        from_checked_bincode(body).map_err(Unfit::Damaged)?
    } else {
        (from_checked_bincode(body).map_err(Unfit::Damaged)?, AuditLog::default())
    };
    let changes = if magic != PLAIN_MAGIC {
        // Its checksum is right: what does not open was sealed with another key.
        Sealer::new(&options.master_key).open_config::<Vec<ConfigChange>>(&body.config).map_err(
            |error| match error {
                DecodeError::Sealed(UnsealError::NoKey { number }) => Unfit::NoKey(number),
                DecodeError::Sealed(_) => Unfit::OtherKey,
                error => Unfit::Damaged(error.to_string()),
            },
        )?
    } else {
        stored_json::from_slice(&body.config).map_err(Unfit::Damaged)?
    };
    let mut config = Config::default();
    for change in &changes {
        config.apply(change);
    }
    let mut state = State::new(options);
    state.last_record = body.last_record;
    state.lanes = body.lanes.into_iter().collect();
    state.tasks = body.tasks.into_iter().collect();
    state.expunging = body.expunging;
    state.audit = audit;
    state.recount();
    let sealed_by = Sealer::number_of(&body.config).filter(|_| magic != PLAIN_MAGIC);
    Ok(Restored { state, config, position: body.position, bytes: size, sealed_by })
}

#[cfg(test)]
mod tests;
