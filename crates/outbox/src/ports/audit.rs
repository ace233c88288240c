//! The audit log: ports whose changes tell of a call, and the entries.

use std::sync::Arc;

use postrider_model::audit::{Audit, AuditFilter, AuditedPorts, Call, Entry, Told};
use postrider_model::id::{AuditId, ID_BYTES, RawId};
use postrider_model::ports::{Answer, ControlError};
use postrider_model::query::{Page, PageRequest, QueryError};

use super::pager::Pager;
use crate::Outbox;
use crate::committer::request::Urgent;
use crate::lookup::ReadRecordError;
use crate::record::Record;
use crate::shared::Shared;
use crate::state::AuditRow;

/// Rows that are taken out of memory at once.
const ROWS: usize = 256;

impl Audit for Outbox {
    fn bind(&self, call: &Arc<Told>) -> AuditedPorts {
        let outbox = Arc::new(Self { call: Some(Arc::clone(call)), ..self.clone() });
        AuditedPorts { configure: Arc::clone(&outbox) as _, control: Arc::clone(&outbox) as _, expunge: outbox }
    }

    fn note(&self, call: Call) -> Answer<Result<(), ControlError>> {
        // The note is no change of the request's, so its key stays for that.
        let outbox = self.without_key();
        Box::pin(async move { outbox.ask(|reply| Urgent::Note(Box::new(call), reply)).await })
    }

    fn entries(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<Entry>, QueryError> {
        let mut pager = Pager::new(page.limit);
        let mut after = page.after.as_deref().and_then(id_of);
        loop {
            let rows = self.shared.state.lock().audit.rows(after, page.descending, ROWS);
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            if !rows.into_iter().all(|row| self.shared.look(row, filter, page.descending, &mut pager)) {
                break;
            }
        }
        pager.finish(|id: AuditId| id.as_bytes().to_vec())
    }
}

fn id_of(key: &[u8]) -> Option<AuditId> {
    Some(AuditId(RawId::from_bytes(<[u8; ID_BYTES]>::try_from(key).ok()?)))
}

impl Shared {
    /// Takes an entry into the page if it is wanted; `false` if nothing that follows is.
    fn look(
        &self,
        (id, row): (AuditId, AuditRow),
        filter: &AuditFilter,
        descending: bool,
        pager: &mut Pager<Entry, AuditId>,
    ) -> bool {
        let at = id.0.time();
        let is_early = filter.after.is_some_and(|after| at <= after);
        let is_late = filter.before.is_some_and(|before| at >= before);
        if is_early || is_late || filter.app.is_some_and(|app| row.app != Some(app)) {
            return pager.look(&id, if descending { is_early } else { is_late });
        }
        match self.read_record(row.position) {
            Ok(Record::Audit(entry)) if filter.wants(&entry) => pager.take(*entry, id.as_bytes().to_vec()),
            // Retention may have removed it since its row was seen.
            Ok(_) | Err(ReadRecordError::NotFound(_)) => pager.look(&id, false),
            Err(ReadRecordError::Damaged(detail)) => {
                tracing::error!(entry = %id, detail, "an entry of the audit log is damaged");
                pager.look(&id, false)
            }
            Err(error) => pager.fail(QueryError::Failed(error.to_string())),
        }
    }
}
