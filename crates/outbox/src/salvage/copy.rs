//! The damaged directory's files, copied for as much as the disk gives back.

use std::io;
use std::path::Path;

use super::found::Unread;
use crate::checkpoint;
use crate::disk::{AllocateError, Disk, DiskFile};
use crate::journal;
use crate::open::{JOURNAL, OpenError};
use crate::options::Options;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Where a chunk cannot be read, it is tried in blocks of this size.
const BLOCK_BYTES: usize = 4 << 10;

/// Copies segments, and the checkpoint if it can be used. What cannot be read is zeros
/// in the copy, which is damage like any other. Torn tails and the index stay behind.
pub(super) fn copy(
    options: &Options,
    to: &Path,
    disk: &dyn Disk,
    with_checkpoint: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Unread>, OpenError> {
    let (from, journal_to) = (options.dir.join(JOURNAL), to.join(JOURNAL));
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { what, path, source }
    };
    disk.create_dir_all(&journal_to).map_err(failed("make", &journal_to))?;
    let mut unread = Vec::new();
    let segments = journal::segment_numbers(disk, &from).map_err(failed("list", &from))?;
    for (done, number) in segments.iter().enumerate() {
        progress(done, 2 * segments.len());
        let name = journal::segment_name(*number);
        let (from, to) = (from.join(&name), journal_to.join(&name));
        match disk.open_to_read(&from) {
            // It is missing in the copy, like a segment that is not there.
            Err(error) if is_unreadable(&error) => unread.push(Unread { path: from, from: 0, to: 0 }),
            source => source
                .and_then(|source| copy_file(disk, (&*source, &from), &to, &mut unread))
                .map_err(failed("copy", &from))?,
        }
    }
    disk.sync_dir(&journal_to).map_err(failed("sync", &journal_to))?;
    let whole = options.dir.join(checkpoint::NAME);
    if with_checkpoint {
        match disk.open_to_read(&whole) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            source => source
                .and_then(|source| copy_file(disk, (&*source, &whole), &to.join(checkpoint::NAME), &mut unread))
                .map_err(failed("copy", &whole))?,
        }
    }
    disk.sync_dir(to).map_err(failed("sync", to))?;
    Ok(unread)
}

fn copy_file(
    disk: &dyn Disk,
    (source, from): (&dyn DiskFile, &Path),
    to: &Path,
    unread: &mut Vec<Unread>,
) -> io::Result<()> {
    let (len, target) = (source.len()?, disk.create(to)?);
    // A segment that is written to again has its room beforehand. There is none for nothing.
    if len > 0 {
        target.allocate(len).map_err(|error| match error {
            AllocateError::Full => rustix::io::Errno::NOSPC.into(),
            AllocateError::Io(error) => error,
        })?;
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < len {
        let bytes = chunk.len().min(usize::try_from(len - at).unwrap_or(CHUNK_BYTES));
        let part = chunk.get_mut(..bytes).unwrap_or_default();
        read(source, part, at, &mut |from_byte, to_byte| match unread.last_mut() {
            Some(last) if last.path == from && last.to == from_byte => last.to = to_byte,
            _ => unread.push(Unread { path: from.to_owned(), from: from_byte, to: to_byte }),
        })?;
        if part.iter().any(|byte| *byte != 0) {
            target.write_all_at(part, at)?;
        }
        at += bytes as u64;
    }
    target.sync_data()
}

/// Fills `part`, with zeros where the disk fails to read.
fn read(source: &dyn DiskFile, part: &mut [u8], offset: u64, unreadable: &mut dyn FnMut(u64, u64)) -> io::Result<()> {
    match source.read_at(part, offset) {
        Ok(_) => return Ok(()),
        Err(error) if !is_unreadable(&error) => return Err(error),
        Err(_) => {}
    }
    let mut at = offset;
    for block in part.chunks_mut(BLOCK_BYTES) {
        let end = at + block.len() as u64;
        match source.read_at(block, at) {
            Ok(_) => {}
            Err(error) if is_unreadable(&error) => {
                block.fill(0);
                unreadable(at, end);
            }
            Err(error) => return Err(error),
        }
        at = end;
    }
    Ok(())
}

/// Whether the medium is at fault.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO)
}

#[cfg(test)]
mod tests;
