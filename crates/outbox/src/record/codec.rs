//! Records as bytes (`docs/format.md`, "Records"):
//!
//! ```text
//! kind u8 | version u8 | meta length u32 LE | meta | raw bytes to the end
//! ```
//!
//! The highest bit of the kind says that the raw bytes were expunged: what
//! stands in their place is nothing, or zeros.
//!
//! `meta` is bincode for what is written often, JSON for configuration and the audit
//! log, which are rare and grow new fields. A message's body and an answer's body are the
//! raw bytes: no codec touches them. This is the one place that knows bincode.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::seal::UnsealError;
use crate::stored_json;

use super::{Accepted, Answered, Carried, Content, Deliveries, Expunged, Outcome, Record, TaskFinished, TaskStarted};

const VERSION: u8 = 1;
/// Of a change of the configuration that is sealed.
const SEALED_VERSION: u8 = 2;
/// Bytes of a record's head.
const HEAD_BYTES: usize = 6;
/// A meta part that claims to be longer is refused before anything is allocated.
const MAX_META_BYTES: usize = 16 << 20;

const ACCEPTED: u8 = 1;
const OUTCOME: u8 = 2;
pub(crate) const CONFIG: u8 = 3;
const DELIVERIES: u8 = 4;
const TASK_STARTED: u8 = 5;
const TASK_FINISHED: u8 = 6;
const CARRIED: u8 = 7;
const EXPUNGED: u8 = 8;
const ANSWERED: u8 = 9;
const AUDIT: u8 = 10;

/// Set in the kind of a record whose raw bytes were expunged.
const ERASED: u8 = 0x80;

/// Bytes that are no record that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("record of kind {kind}, version {version} is not known: it was written by a newer postrider")]
    Unknown { kind: u8, version: u8 },
    #[error("record ends too early")]
    Short,
    #[error("record of kind {kind} cannot be decoded: {detail}")]
    Meta { kind: u8, detail: String },
    #[error(transparent)]
    Sealed(#[from] UnsealError),
}

/// Encodes the head and the meta part of records into one buffer that is used again.
#[derive(Default)]
pub(crate) struct Encoder {
    buffer: Vec<u8>,
}

impl Encoder {
    /// The head and meta of a record; its raw bytes follow them.
    pub(crate) fn encode(&mut self, record: &Record) -> &[u8] {
        match record {
            Record::Accepted(meta, raw) => self.bincode(marked(ACCEPTED, raw), meta),
            Record::Outcome(meta, raw) => self.bincode(marked(OUTCOME, raw), meta),
            Record::Config(change) => self.json(CONFIG, change),
            Record::SealedConfig(envelope) => self.sealed(CONFIG, envelope),
            Record::Deliveries(meta) => self.bincode(DELIVERIES, meta),
            Record::TaskStarted(meta) => self.bincode(TASK_STARTED, meta),
            Record::TaskFinished(meta) => self.bincode(TASK_FINISHED, meta),
            Record::Carried(meta, raw) => self.bincode(marked(CARRIED, raw), meta),
            Record::Expunged(meta) => self.bincode(EXPUNGED, meta),
            Record::Answered(meta, _) => self.bincode(ANSWERED, meta),
            Record::Audit(entry) => self.json(AUDIT, entry),
        }
    }

    fn bincode(&mut self, kind: u8, meta: &impl Serialize) -> &[u8] {
        self.begin(kind, VERSION);
        bincode::serde::encode_into_std_write(meta, &mut self.buffer, bincode::config::standard())
            .expect("our record types encode, and a vector takes every write");
        self.finish()
    }

    fn json(&mut self, kind: u8, meta: &impl Serialize) -> &[u8] {
        self.begin(kind, VERSION);
        serde_json::to_writer(&mut self.buffer, meta).expect("our types in JSON have string keys only");
        self.finish()
    }

    fn sealed(&mut self, kind: u8, envelope: &[u8]) -> &[u8] {
        self.begin(kind, SEALED_VERSION);
        self.buffer.extend_from_slice(envelope);
        self.finish()
    }

    fn begin(&mut self, kind: u8, version: u8) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[kind, version, 0, 0, 0, 0]);
    }

    fn finish(&mut self) -> &[u8] {
        let meta_bytes = u32::try_from(self.buffer.len() - HEAD_BYTES).expect("a meta part is far below 4 GiB");
        if let Some(length) = self.buffer.get_mut(2..HEAD_BYTES) {
            length.copy_from_slice(&meta_bytes.to_le_bytes());
        }
        &self.buffer
    }
}

impl Record {
    /// The raw bytes that follow the meta part.
    pub(crate) fn raw(&self) -> &[u8] {
        match self {
            Self::Accepted(_, raw) | Self::Outcome(_, raw) | Self::Carried(_, raw) => {
                raw.as_deref().unwrap_or_default()
            }
            Self::Answered(_, sealed) => sealed,
            _ => &[],
        }
    }
}

const fn marked(kind: u8, raw: &Content) -> u8 {
    if raw.is_some() { kind } else { kind | ERASED }
}

/// Takes the raw bytes out of an encoded record for good; its length and its
/// meta part stay. `false` if it has none, or none any more.
pub(crate) fn erase(record: &mut [u8]) -> bool {
    let Some([kind, _, length @ ..]) = record.first_chunk_mut::<HEAD_BYTES>() else { return false };
    if !matches!(*kind, ACCEPTED | OUTCOME | CARRIED) {
        return false;
    }
    let meta_end = HEAD_BYTES.saturating_add(u32::from_le_bytes(*length) as usize);
    *kind |= ERASED;
    record.get_mut(meta_end..).unwrap_or_default().fill(0);
    true
}

/// Decodes a record. Its raw bytes are a slice of `bytes`, not a copy.
pub(crate) fn decode(bytes: &Bytes) -> Result<Record, DecodeError> {
    let head = bytes.first_chunk::<HEAD_BYTES>().ok_or(DecodeError::Short)?;
    let [kind, version, length @ ..] = *head;
    let meta_bytes = u32::from_le_bytes(length) as usize;
    let meta_end = HEAD_BYTES.checked_add(meta_bytes).ok_or(DecodeError::Short)?;
    let meta = bytes.get(HEAD_BYTES..meta_end).ok_or(DecodeError::Short)?;
    let raw = || (kind & ERASED == 0).then(|| bytes.slice(meta_end..));
    match (unmarked(kind), version) {
        (ACCEPTED, 1) => Ok(Record::Accepted(from_bincode::<Accepted>(kind, meta)?, raw())),
        (OUTCOME, 1) => Ok(Record::Outcome(from_bincode::<Outcome>(kind, meta)?, raw())),
        (CONFIG, 1) => from_json(kind, meta).map(Record::Config),
        (CONFIG, SEALED_VERSION) if bytes.len() == meta_end => Ok(Record::SealedConfig(bytes.slice(HEAD_BYTES..))),
        (CONFIG, SEALED_VERSION) => Err(DecodeError::Meta { kind, detail: "bytes are left over".into() }),
        (DELIVERIES, 1) => from_bincode::<Deliveries>(kind, meta).map(Record::Deliveries),
        (TASK_STARTED, 1) => from_bincode::<TaskStarted>(kind, meta).map(Record::TaskStarted),
        (TASK_FINISHED, 1) => from_bincode::<TaskFinished>(kind, meta).map(Record::TaskFinished),
        (CARRIED, 1) => Ok(Record::Carried(from_bincode::<Carried>(kind, meta)?, raw())),
        (EXPUNGED, 1) => from_bincode::<Expunged>(kind, meta).map(Record::Expunged),
        (ANSWERED, 1) => Ok(Record::Answered(from_bincode::<Answered>(kind, meta)?, bytes.slice(meta_end..))),
        (AUDIT, 1) => from_json(kind, meta).map(Record::Audit),
        _ => Err(DecodeError::Unknown { kind, version }),
    }
}

fn from_json<T: DeserializeOwned>(kind: u8, meta: &[u8]) -> Result<T, DecodeError> {
    stored_json::from_slice(meta).map_err(|detail| DecodeError::Meta { kind, detail })
}

/// The kind without the mark, if it is one that may bear it.
const fn unmarked(kind: u8) -> u8 {
    match kind & !ERASED {
        with_content @ (ACCEPTED | OUTCOME | CARRIED) => with_content,
        _ => kind,
    }
}

/// Encodes what is no record: the parts of a checkpoint.
pub(crate) fn to_bincode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("our types encode")
}

/// Decodes what [`to_bincode`] made, whatever its size: a checkpoint's checksum
/// was looked at before. Everything must be used up.
pub(crate) fn from_checked_bincode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.len() {
        size if size <= SMALL_BYTES => within::<T, { SMALL_BYTES * LARGEST }>(bytes),
        size if size <= MEDIUM_BYTES => within::<T, { MEDIUM_BYTES * LARGEST }>(bytes),
        size if size <= LARGE_BYTES => within::<T, { LARGE_BYTES * LARGEST }>(bytes),
        size if size <= HUGE_BYTES => within::<T, { HUGE_BYTES * LARGEST }>(bytes),
        _ => within::<T, { isize::MAX as usize }>(bytes),
    }
}

/// Decodes the beginning of what [`to_bincode`] made, whatever follows it.
pub(crate) fn beginning_of_bincode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let config = bincode::config::standard().with_limit::<HUGE_BYTES>();
    bincode::serde::decode_from_slice(bytes, config).map(|(value, _)| value).map_err(|error| error.to_string())
}

/// Decodes a meta part; everything must be used up.
fn from_bincode<T: DeserializeOwned>(kind: u8, bytes: &[u8]) -> Result<T, DecodeError> {
    let decoded = match bytes.len() {
        size if size <= TINY_BYTES => within::<T, { TINY_BYTES * LARGEST }>(bytes),
        size if size <= SMALL_BYTES => within::<T, { SMALL_BYTES * LARGEST }>(bytes),
        _ => within::<T, MAX_META_BYTES>(bytes),
    };
    decoded.map_err(|detail| DecodeError::Meta { kind, detail })
}

/// bincode makes room for a text before it looks whether that much is there, and
/// counts what it reads against a limit that is fixed when this is compiled. So
/// the limit goes by the size of what is read: a text that claims to be longer
/// than all of it by far gets no memory.
const TINY_BYTES: usize = 1 << 10;
const SMALL_BYTES: usize = 32 << 10;
const MEDIUM_BYTES: usize = 1 << 20;
const LARGE_BYTES: usize = 32 << 20;
const HUGE_BYTES: usize = 1 << 30;
/// A number of one byte may count as eight.
const LARGEST: usize = 8;

fn within<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, String> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok(_) => Err("bytes are left over".into()),
        Err(error) => Err(error.to_string()),
    }
}
