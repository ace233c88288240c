//! Making a segment file: all of it happens under a temporary name, so that a
//! file with a segment's name is always whole.

use std::io;
use std::path::{Path, PathBuf};

use super::layout::{SegmentHeader, segment_name};
use crate::disk::{AllocateError, Disk, DiskFile, is_full, remove_if_there, temporary_name};

/// Why there is no new segment file.
#[derive(Debug)]
pub(super) enum MakeError {
    /// There is no room. Nothing is left behind.
    Full,
    /// Nothing was lost by it; it may be tried again.
    Failed(io::Error),
    /// A write or a sync failed: the disk cannot be trusted (W8).
    Unsafe(io::Error),
}

/// Makes a segment with room for `header.allocated_bytes`, lets `fill` write
/// into it, and puts it in place. It is durable when this returns.
pub(super) fn make_segment(
    disk: &dyn Disk,
    dir: &Path,
    header: &SegmentHeader,
    fill: &mut dyn FnMut(&dyn DiskFile) -> io::Result<()>,
) -> Result<PathBuf, MakeError> {
    let path = dir.join(segment_name(header.number));
    let temporary = temporary_name(&path);
    remove_if_there(disk, &temporary).map_err(MakeError::Failed)?;
    if let Err(error) = write_segment(disk, &temporary, header, fill) {
        // A file that stays behind is removed by the next try or the next start.
        let _ = remove_if_there(disk, &temporary);
        return Err(error);
    }
    if let Err(error) = disk.rename(&temporary, &path) {
        let _ = remove_if_there(disk, &temporary);
        return Err(full_or(MakeError::Failed)(error));
    }
    disk.sync_dir(dir).map_err(MakeError::Unsafe)?;
    Ok(path)
}

fn write_segment(
    disk: &dyn Disk,
    temporary: &Path,
    header: &SegmentHeader,
    fill: &mut dyn FnMut(&dyn DiskFile) -> io::Result<()>,
) -> Result<(), MakeError> {
    let file = disk.create(temporary).map_err(full_or(MakeError::Failed))?;
    file.allocate(header.allocated_bytes.into()).map_err(|error| match error {
        AllocateError::Full => MakeError::Full,
        AllocateError::Io(error) => MakeError::Failed(error),
    })?;
    // Some file systems need room for a write even where room was allocated.
    file.write_all_at(&header.encode(), 0).map_err(full_or(MakeError::Unsafe))?;
    fill(&*file).map_err(full_or(MakeError::Unsafe))?;
    file.sync_data().map_err(full_or(MakeError::Unsafe))
}

fn full_or(other: fn(io::Error) -> MakeError) -> impl Fn(io::Error) -> MakeError {
    move |error| if is_full(&error) { MakeError::Full } else { other(error) }
}
