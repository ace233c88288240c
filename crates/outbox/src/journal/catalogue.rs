//! Which segments there are, before their frames are read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::error::OpenError;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::layout::{
    ALIGNMENT_BYTES, HeaderFault, SEGMENT_HEADER_BYTES, SegmentHeader, is_temporary_name, segment_number,
};
use super::recover::{Context, failed};
use super::walk::Walk;
use crate::disk::DiskFile;

/// A segment file.
pub(super) struct Found {
    /// Its length, up to the end of a word: something else may cut a file anywhere, and
    /// what comes next must begin where frames do.
    pub(super) len: u64,
    /// `None` if it is damaged.
    pub(super) header: Option<SegmentHeader>,
    /// Nothing is where its header was, or the file ends before that does.
    pub(super) is_emptied: bool,
    /// The number of its first frame, if that can be read.
    pub(super) first_frame: Option<u64>,
    pub(super) first_frame_time: Option<UnixMs>,
}

impl Found {
    /// Whether the file was cut when it was sealed: its length tells then how
    /// far it was synced.
    pub(super) fn is_cut(&self) -> bool {
        self.header.is_some_and(|header| self.len < header.allocated_bytes.into())
    }
}

/// Lists the segments, and removes what was being made at a crash.
pub(super) fn catalogue(context: &Context<'_>) -> Result<BTreeMap<u32, Found>, OpenError> {
    let dir = context.dir;
    let mut found = BTreeMap::new();
    for name in context.disk.list(dir).map_err(failed("list", dir))? {
        let path = dir.join(&name);
        if is_temporary_name(&name) {
            context.disk.remove_file(&path).map_err(failed("remove", &path))?;
        } else if let Some(number) = segment_number(&name) {
            let file = context.disk.open(&path).map_err(failed("open journal segment", &path))?;
            let (segment, fault) =
                look_at(&*file, number, context.options.store_id).map_err(failed("read journal segment", &path))?;
            if let Some(HeaderFault::Version(version)) = fault {
                return Err(OpenError::Version { path, version });
            }
            if segment.header.is_some_and(|header| header.store_id != context.options.store_id) {
                return Err(OpenError::ForeignStore { path });
            }
            found.insert(number, segment);
        }
    }
    Ok(found)
}

/// Reads a segment's header and that of its first frame.
fn look_at(file: &dyn DiskFile, number: u32, store_id: u64) -> io::Result<(Found, Option<HeaderFault>)> {
    let mut bytes = [0; (SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES) as usize];
    let len = file.len()?.next_multiple_of(ALIGNMENT_BYTES as u64);
    file.read_at(&mut bytes, 0)?;
    let (header, frame) = bytes.split_at(SEGMENT_HEADER_BYTES as usize);
    let decoded = SegmentHeader::decode(header);
    let position = Position::new(number, SEGMENT_HEADER_BYTES);
    let frame = FrameHeader::decode(frame, position, store_id);
    let found = Found {
        len,
        is_emptied: decoded.is_err() && (len <= SEGMENT_HEADER_BYTES.into() || header.iter().all(|byte| *byte == 0)),
        header: decoded.ok().filter(|header| header.number == number),
        first_frame: frame.map(|frame| frame.number),
        first_frame_time: frame.map(|frame| frame.time),
    };
    Ok((found, decoded.err()))
}

/// Begins to walk through a segment.
pub(super) fn walk(context: &Context<'_>, number: u32, found: &Found) -> Result<Walk, OpenError> {
    let path = context.path(number);
    let file = context.disk.open(&path).map_err(failed("open journal segment", &path))?;
    Ok(Walk::new(Arc::clone(&file), number, context.options.store_id, found.len))
}
