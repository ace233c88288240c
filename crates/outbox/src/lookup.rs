//! From an id or a key to its record.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::once::Answered;
use postrider_model::ports::{ControlError, Unavailable};
use postrider_model::position::Position;
use postrider_model::query::QueryError;

use bytes::Bytes;

use crate::committer::KEY_WINDOW;
use crate::index::IndexError;
use crate::journal::{JournalReader, ReadError, RecordAt};
use crate::record::{Accepted, Content, DecodeError, DeliveryRef, IdempotencyKey, Kept, Record, decode};
use crate::shared::Shared;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadRecordError {
    /// It is not there: past retention, or it never was.
    #[error("there is no record at {0}")]
    NotFound(Position),
    /// Its bytes are damaged, and stay so.
    #[error("{0}")]
    Damaged(String),
    /// Reading failed; it may succeed later.
    #[error(transparent)]
    Read(ReadError),
    /// A newer version wrote it.
    #[error("record at {position}: {source}")]
    Decode { position: Position, source: DecodeError },
}

/// What a request with the same key came to.
pub(crate) enum Earlier {
    /// Its change was made; the reply to that in JSON.
    Reply(Vec<u8>),
    /// It was answered.
    Answer(Answered),
}

/// A message, wherever its record lies now.
pub(crate) struct Found {
    pub(crate) sequence: Position,
    pub(crate) position: Position,
    pub(crate) meta: Accepted,
    pub(crate) body: Content,
}

impl Found {
    pub(crate) fn delivery(&self, endpoint: EndpointId) -> DeliveryRef {
        self.meta.delivery(endpoint, self.sequence, self.position)
    }
}

impl Shared {
    /// Reads and decodes one record, without content that was expunged or is past
    /// its retention. Blocks.
    pub(crate) fn read_record(&self, position: Position) -> Result<Record, ReadRecordError> {
        loop {
            let rewrites = self.rewrites.load(Ordering::Acquire);
            let mut record = self.read_whole_record(position)?;
            self.hide_content(position, &mut record);
            // If its segment was written anew meanwhile, the bytes may be those of
            // the old file, and what said that they are expunged may be gone.
            if self.rewrites.load(Ordering::Acquire) == rewrites {
                return Ok(record);
            }
        }
    }

    fn hide_content(&self, position: Position, record: &mut Record) {
        let is_expunged = self.state.lock().expunging.holds(position, record);
        let is_over = match record {
            Record::Accepted(meta, _) => meta.payload_is_over(self.now()),
            Record::Carried(carried, _) => carried.message.payload_is_over(self.now()),
            _ => false,
        };
        if let Record::Accepted(_, content) | Record::Outcome(_, content) | Record::Carried(_, content) = record
            && (is_expunged || is_over)
        {
            *content = None;
        }
    }

    fn read_whole_record(&self, position: Position) -> Result<Record, ReadRecordError> {
        let bytes = self.reader.read(position).map_err(|error| match error {
            ReadError::NotFound(_) => ReadRecordError::NotFound(position),
            ReadError::Damaged { .. } => ReadRecordError::Damaged(error.to_string()),
            error => ReadRecordError::Read(error),
        })?;
        decode(&bytes).map_err(|source| ReadRecordError::Decode { position, source })
    }

    /// The message of an application with this id. Blocks. The id leads to the
    /// record without an index, unless the record was carried to another place.
    pub(crate) fn find_message(&self, app: AppId, id: MessageId) -> Result<Option<Found>, QueryError> {
        let sequence = self.mask.position(id.0);
        match self.message_at(sequence, sequence) {
            Ok(Some(found)) if found.meta.id == id => return Ok(Some(found).filter(|found| found.meta.app == app)),
            Err(error @ QueryError::Damaged { .. }) => return Err(error),
            // Another id's bytes lead anywhere; what cannot be read there is not this message.
            _ => {}
        }
        let Some(row) = self.index.message(app, sequence).map_err(query_error)? else { return Ok(None) };
        Ok(self
            .message_from(app, (sequence, row.position))?
            .filter(|found| found.meta.id == id && found.meta.app == app))
    }

    /// A message whose record lay at `position`, also if it was carried to another place since. Blocks.
    pub(crate) fn message_from(
        &self,
        app: AppId,
        (sequence, mut position): (Position, Position),
    ) -> Result<Option<Found>, QueryError> {
        loop {
            if let Some(found) = self.message_at(sequence, position)? {
                return Ok(Some(found));
            }
            match self.index.message(app, sequence).map_err(query_error)? {
                Some(now) if now.position > position => position = now.position,
                _ => return Ok(None),
            }
        }
    }

    /// The endpoints that a message's record names, and those to which a replay
    /// added it and where it is live or a dead letter.
    pub(crate) fn endpoints_of(&self, message: &Found) -> Vec<EndpointId> {
        let state = self.state.lock();
        let config = self.config.read();
        let mut endpoints = message.meta.endpoints.clone();
        endpoints
            .extend(config.app(message.meta.app).into_iter().flat_map(|app| state.added_to(app, message.sequence)));
        endpoints
    }

    /// The message whose record lies at `position`. Blocks.
    pub(crate) fn message_at(&self, sequence: Position, position: Position) -> Result<Option<Found>, QueryError> {
        match self.read_record(position) {
            Ok(Record::Accepted(meta, body)) => Ok(Some(Found { sequence, position, meta, body })),
            Ok(Record::Carried(carried, body)) => {
                Ok(Some(Found { sequence: carried.sequence, position, meta: carried.message, body }))
            }
            Ok(_) | Err(ReadRecordError::NotFound(_)) => Ok(None),
            Err(ReadRecordError::Damaged(detail)) => Err(QueryError::Damaged { detail }),
            Err(error) => Err(QueryError::Failed(error.to_string())),
        }
    }

    /// Whether something live needs what cannot be read between two positions. Blocks.
    pub(crate) fn misses(&self, from: Position, to: Position) -> bool {
        let (positions, reads_on) = self.state.lock().needed(from, to);
        reads_on || positions.into_iter().any(|position| self.read_record(position).is_err())
    }

    /// The message that an idempotency key or event id was used for, with its
    /// place. Looks into the index, whose Bloom filters keep the committer from
    /// reading for keys that are new.
    pub(crate) fn message_with_key(&self, key: [u8; 16]) -> Result<Option<(Position, Accepted)>, Unavailable> {
        let Some(row) = self.index.find_key(&key).map_err(unavailable)? else { return Ok(None) };
        match self.message_at(row.position, row.position) {
            Ok(found) => Ok(found.map(|found| (found.position, found.meta))),
            Err(error) => {
                tracing::error!(%error, "a message with a known key cannot be read; the key is taken for new");
                Ok(None)
            }
        }
    }

    /// What a request with this key came to, if it was one of the last 24 hours. Blocks.
    pub(crate) fn earlier(&self, once: IdempotencyKey) -> Result<Option<Earlier>, ControlError> {
        let Some(row) = self.index.find_key(&once.key).map_err(unavailable)? else { return Ok(None) };
        let (found, sealed) = match self.read_record(row.position) {
            Ok(Record::Answered(found, sealed)) if found.once.key == once.key => (found, sealed),
            Ok(_) | Err(ReadRecordError::NotFound(_)) => return Ok(None),
            Err(error) => {
                tracing::error!(%error, "an answer with a known key cannot be read; the key is taken for new");
                return Ok(None);
            }
        };
        if self.now().since(found.at) >= KEY_WINDOW {
            return Ok(None);
        }
        if found.once.content != once.content {
            return Err(ControlError::KeyReused);
        }
        let bytes = self.sealer.open_bytes(&sealed).map_err(|error| QueryError::Failed(error.to_string()))?;
        Ok(Some(match found.kept {
            Kept::Reply => Earlier::Reply(bytes),
            Kept::Answer { status } => Earlier::Answer(Answered { status, body: bytes.into() }),
        }))
    }
}

pub(crate) fn query_error(error: IndexError) -> QueryError {
    match error {
        IndexError::Rebuilding { percent } => Unavailable::IndexRebuilding { percent }.into(),
        error => QueryError::Failed(error.to_string()),
    }
}

fn unavailable(error: IndexError) -> Unavailable {
    let percent = if let IndexError::Rebuilding { percent } = error { percent } else { 0 };
    Unavailable::IndexRebuilding { percent }
}

/// A part of the journal that a scan could not read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) from: Position,
    pub(crate) to: Position,
    pub(crate) detail: String,
    /// It is no damage, for all that is known: reading failed.
    pub(crate) failed: Option<ReadError>,
}

/// Visits the records that can be read between two positions, decoded; whole
/// records of a damaged frame are among them. Gives where to go on, and what
/// could not be read: damaged parts are passed over, and where reading failed,
/// which is told last, is where to go on. Blocks.
pub(crate) fn scan(
    reader: &JournalReader,
    from: Position,
    to: Position,
    visit: &mut dyn FnMut(Position, Record) -> ControlFlow<()>,
) -> (Position, Vec<Unreadable>) {
    let mut at = from;
    let mut unreadable = Vec::new();
    loop {
        let mut seen = at;
        let mut look = |record: RecordAt<'_>| {
            seen = record.end;
            match decode(&Bytes::copy_from_slice(record.bytes)) {
                Ok(decoded) => visit(record.position, decoded),
                Err(error) => {
                    let (from, to, detail) = (record.position, record.end, error.to_string());
                    unreadable.push(Unreadable { from, to, detail, failed: None });
                    ControlFlow::Continue(())
                }
            }
        };
        let error = match reader.scan(at, to, &mut look) {
            Ok(next) => return (next, unreadable),
            Err(ReadError::Damaged { position, resume, path }) if resume > at => {
                let whole = whole_records(reader, at.max(position), resume.min(to), &mut look);
                let detail = ReadError::Damaged { path, position, resume }.to_string();
                unreadable.push(Unreadable { from: position, to: resume, detail, failed: None });
                match whole {
                    Ok(ControlFlow::Continue(())) => {
                        at = resume;
                        continue;
                    }
                    Ok(ControlFlow::Break(())) => return (seen, unreadable),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // Another try may succeed, so nothing after what was seen is passed over.
        unreadable.push(Unreadable { from: seen, to, detail: error.to_string(), failed: Some(error) });
        return (seen, unreadable);
    }
}

/// Visits the records between two positions of a damaged part that are whole.
fn whole_records(
    reader: &JournalReader,
    from: Position,
    to: Position,
    look: &mut dyn FnMut(RecordAt<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ReadError> {
    let mut flow = ControlFlow::Continue(());
    reader.salvage(from.segment(), &mut |record| {
        if flow.is_continue() && (from..to).contains(&record.position) {
            flow = look(record);
        }
    })?;
    Ok(flow)
}
