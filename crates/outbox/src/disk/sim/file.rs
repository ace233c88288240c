//! The bytes of one simulated file: what is surely on disk, and what may be.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::{Random, State};
use crate::disk::{AllocateError, DiskFile, is_full};

/// What a device writes as a whole.
const SECTOR_BYTES: usize = 512;

/// The bytes of a file.
#[derive(Clone, Default)]
pub(super) struct Inode {
    /// As a reader sees them.
    pub(super) content: Vec<u8>,
    /// Surely on disk, before `log`.
    pub(super) base: Vec<u8>,
    /// Changes since, oldest first.
    log: Vec<Change>,
    /// Room that it takes.
    pub(super) room_bytes: u64,
}

#[derive(Clone)]
struct Change {
    what: What,
    fate: Fate,
}

#[derive(Clone)]
enum What {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Dirty,
    Synced,
    Limbo,
}

impl Inode {
    fn change(&mut self, what: What, fate: Fate) {
        apply(&mut self.content, &what);
        self.log.push(Change { what, fate });
    }

    /// Ends the doubt about dirty changes: `Synced` or `Limbo`.
    fn settle(&mut self, fate: Fate) {
        for change in self.log.iter_mut().filter(|change| change.fate == Fate::Dirty) {
            change.fate = fate;
        }
        let sure = self.log.iter().take_while(|change| change.fate == Fate::Synced).count();
        for change in self.log.drain(..sure) {
            apply(&mut self.base, &change.what);
        }
    }

    /// The file after a crash; `random` decides, or `keep` for all alike.
    pub(super) fn survivor(&self, keep: Option<bool>, random: &mut Random) -> Self {
        let content = self.surviving_bytes(keep, random);
        // Where its removal did not survive, nor a cut, it has room for what is in it.
        let room_bytes = self.room_bytes.max(content.len() as u64);
        Self { base: content.clone(), content, log: Vec::new(), room_bytes }
    }

    fn surviving_bytes(&self, keep: Option<bool>, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.base.clone();
        for change in &self.log {
            let choice = if change.fate == Fate::Synced { Some(true) } else { keep };
            match choice {
                Some(true) => apply(&mut bytes, &change.what),
                Some(false) => {}
                None => match (random.below(3), &change.what) {
                    (0, _) => {}
                    (1, What::Write { offset, bytes: written }) => tear(&mut bytes, *offset, written, random),
                    (_, what) => apply(&mut bytes, what),
                },
            }
        }
        bytes
    }
}

fn apply(content: &mut Vec<u8>, what: &What) {
    match what {
        What::SetLen(len) => content.resize(*len, 0),
        What::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(place) = content.get_mut(*offset..end) {
                place.copy_from_slice(bytes);
            }
        }
    }
}

/// Applies a write in part: each sector is there or not.
fn tear(content: &mut Vec<u8>, offset: usize, written: &[u8], random: &mut Random) {
    let mut at = offset;
    let mut rest = written;
    while !rest.is_empty() {
        let in_sector = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let (sector, after) = rest.split_at(in_sector);
        if random.below(2) == 0 {
            apply(content, &What::Write { offset: at, bytes: sector.to_vec() });
        }
        at += in_sector;
        rest = after;
    }
}

/// An open simulated file.
pub(super) struct SimFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) inode: usize,
}

impl SimFile {
    fn write(&self, bytes: Vec<u8>, offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut state = self.state.lock();
        state.operation()?;
        let fails = State::countdown(&mut state.fail_write);
        state.failed |= fails;
        state.reserve(self.inode, (offset + bytes.len()) as u64)?;
        let fate = if fails { Fate::Limbo } else { Fate::Dirty };
        state.inode_mut(self.inode)?.change(What::Write { offset, bytes }, fate);
        if fails { Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())) } else { Ok(()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.check_alive()?;
        let content = &state.inode_mut(self.inode)?.content;
        let from = usize::try_from(offset).map_err(io::Error::other)?.min(content.len());
        let there = content.get(from..).unwrap_or_default();
        let read = there.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(there) {
            *place = *byte;
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes.to_vec(), offset)
    }

    fn write_all_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.write(parts.concat(), offset)
    }

    fn allocate(&self, len: u64) -> Result<(), AllocateError> {
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let mut state = self.state.lock();
        state.operation()?;
        match state.reserve(self.inode, len) {
            Err(error) if is_full(&error) => return Err(AllocateError::Full),
            other => other?,
        }
        let inode = state.inode_mut(self.inode)?;
        if inode.content.len() < size {
            inode.change(What::SetLen(size), Fate::Dirty);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let inode = self.inode;
        let settle = move |state: &mut State, fate| {
            if let Ok(inode) = state.inode_mut(inode) {
                inode.settle(fate);
            }
        };
        let mut state = self.state.lock();
        state.sync_operation(|state| settle(state, Fate::Synced), |state| settle(state, Fate::Limbo))
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.check_alive()?;
        Ok(state.inode_mut(self.inode)?.content.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let mut state = self.state.lock();
        state.operation()?;
        state.give_back(self.inode, len)?;
        state.reserve(self.inode, len)?;
        state.inode_mut(self.inode)?.change(What::SetLen(size), Fate::Dirty);
        Ok(())
    }
}
