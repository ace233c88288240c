//! What was expunged in the store goes from the backup, too.
//!
//! Segments that the store has written anew are copied again. All other copies that may hold the
//! content are written anew here, also of segments that the store has given up.

use std::sync::Arc;

use bytes::Bytes;

use super::copy::{Making, read_hashed};
use super::error::{BackupError, failed};
use super::lost::Lost;
use super::manifest::{FileCopy, Layout, Manifest, SegmentCopy};
use crate::journal::{Subject, rewrite_file};
use crate::record::{Record, decode, erase as erase_content};
use crate::state::Expunging;

/// Takes it out; gives how many files were written anew. It is not forgotten as long as files are
/// lost: somebody may put them back.
pub(super) fn erase(layout: &Layout<'_>, manifest: &mut Manifest, lost: &Lost) -> Result<u64, BackupError> {
    let gone = manifest.expunging.clone();
    let mut written = 0;
    let is_due = |segment: &&SegmentCopy| may_hold(&gone, segment.number) && !lost.contains(&segment.file);
    let segments: Vec<SegmentCopy> = manifest.segments.iter().filter(is_due).cloned().collect();
    for segment in segments {
        if holds(layout, manifest.store_id, &segment, &gone)? {
            let file = write_anew(layout, manifest.store_id, &segment, &gone)?;
            manifest.put(SegmentCopy { file, ..segment });
            written += 1;
        }
    }
    if lost.is_empty() {
        manifest.expunging = Expunging::new();
    }
    Ok(written)
}

/// A payload may have been carried from where it was first recorded to any later segment, up to
/// the one that says that it is gone.
fn may_hold(gone: &Expunging, number: u32) -> bool {
    gone.iter().any(|(first, expunge)| {
        let first = first.segment();
        number == first || (expunge.is_payload && (first..=expunge.last_segment).contains(&number))
    })
}

fn holds(layout: &Layout<'_>, store_id: u64, segment: &SegmentCopy, gone: &Expunging) -> Result<bool, BackupError> {
    let path = layout.segment(segment);
    let file = layout.disk.open_to_read(&path).map_err(failed("open", &path))?;
    let subject = Subject { file: &Arc::clone(&file), path: &path, number: segment.number, store_id, is_last: false };
    let mut holds = false;
    let survey = subject.survey(&mut |_, records| {
        for record in records {
            let decoded = decode(&Bytes::copy_from_slice(record.bytes));
            holds |= decoded.is_ok_and(|decoded| gone.holds(record.position, &decoded) && has_content(&decoded));
        }
    });
    // A damaged part may be what is to go.
    Ok(!survey.map_err(failed("read", &path))?.damage.is_empty() || holds)
}

const fn has_content(record: &Record) -> bool {
    match record {
        Record::Accepted(_, content) | Record::Outcome(_, content) | Record::Carried(_, content) => content.is_some(),
        _ => false,
    }
}

fn write_anew(
    layout: &Layout<'_>,
    store_id: u64,
    segment: &SegmentCopy,
    gone: &Expunging,
) -> Result<FileCopy, BackupError> {
    let (disk, old) = (&**layout.disk, layout.segment(segment));
    let stem = format!("segment-{:010}", segment.number);
    let making = Making::beside(disk, &layout.journal().join(&stem))?;
    rewrite_file(disk, (&old, making.path()), (segment.number, store_id), &mut |position, bytes| {
        let record = decode(&Bytes::copy_from_slice(bytes));
        record.is_ok_and(|record| gone.holds(position, &record)) && erase_content(bytes)
    })
    .map_err(failed("write anew", &old))?;
    let file = disk.open_to_read(making.path()).map_err(failed("open", making.path()))?;
    let bytes = file.len().map_err(failed("look at", making.path()))?;
    let sha256 = read_hashed(&*file, bytes, &mut |_, _| Ok(())).map_err(failed("read", making.path()))?;
    let copied = FileCopy::new(&stem, bytes, sha256);
    making.name(&layout.journal().join(&copied.name))?;
    Ok(copied)
}
