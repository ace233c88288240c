//! Backups of a journal that no outbox works on: a backup knows nothing of its records but where
//! their frames stand, and when they were written.

mod chain;
mod copies;
mod progress;
mod refused;
mod restoring;
mod rotten;
mod upto;

use super::*;
use crate::checkpoint;
use crate::disk::{read_file, replace_file};
use crate::journal::{self, FrameClass, FrameKind, Journal, Start, record_bytes, segment_path};
use crate::open::JOURNAL;
use crate::record::to_bincode;

const STORE_ID: u64 = 0x0123_4567_89ab_cdef;
const SEGMENT_BYTES: u32 = 4096;
const RECORD_BYTES: usize = 40;

/// A journal, and what else lies around it.
struct Bare {
    world: World,
    journal: Journal,
}

/// A frame that was written.
#[derive(Clone, Copy, Debug)]
struct Frame {
    at: Position,
    end: Position,
    time: UnixMs,
    records: u64,
}

impl Bare {
    fn new() -> Self {
        let world = World::new();
        let options = journal::Options { store_id: STORE_ID, segment_bytes: SEGMENT_BYTES, max_bytes: u64::MAX };
        let start = Start { now: world.clock.now(), scan_from: Position::ZERO, clean: false };
        let opened = Journal::open(&world.arc(), &sim_dir().join(JOURNAL), options, start, &mut |_| {});
        Self { journal: opened.expect("the directory is empty").journal, world }
    }

    /// Writes a frame of so many records, a second after what was before.
    fn frame(&mut self, records: u64) -> Frame {
        self.world.clock.forward(Duration::from_secs(1));
        let time = self.world.clock.now();
        let (record, bound) = ([b'x'; RECORD_BYTES], record_bytes(RECORD_BYTES) * records as usize);
        let mut builder =
            self.journal.begin_frame(FrameKind::Synced, FrameClass::Reserved, bound, time).expect("there is room");
        for _ in 0..records {
            builder.push(&[&record]).expect("it fits");
        }
        let appended = self.journal.append(builder).expect("it can be written");
        self.journal.sync().expect("it can be synced");
        Frame { at: appended.first, end: appended.end, time, records }
    }

    /// Lets the journal go on in the next segment.
    fn roll(&mut self) {
        self.journal.seal_segment(self.journal.end().segment()).expect("there is another one");
        self.journal.provision().expect("there is room");
    }

    /// Writes frames of one record each, and goes on in the next segment.
    fn segment(&mut self, frames: usize) -> Vec<Frame> {
        let written = (0..frames).map(|_| self.frame(1)).collect();
        self.roll();
        written
    }

    /// The store gives up a segment.
    fn retire(&mut self, number: u32) {
        self.journal.remove_segment(number).expect("it is sealed");
    }

    fn backup(&self) -> BackedUp {
        self.world.backup().expect("nothing is wrong")
    }
}

/// Leaves a checkpoint of all that lies before a position.
fn leave_checkpoint(world: &World, position: Position) {
    let bytes = checkpoint::headed(checkpoint::PLAIN_MAGIC, &to_bincode(&position));
    replace_file(&world.disk, &sim_dir().join(checkpoint::NAME), &bytes).expect("it can be written");
}

/// The path of a segment in a data directory.
fn segment_in(dir: &Path, number: u32) -> PathBuf {
    segment_path(&dir.join(JOURNAL), number)
}

/// The copy of a segment in the backup.
fn copy_of(world: &World, number: u32) -> PathBuf {
    let (dir, stem) = (target().join("journal"), format!("segment-{number:010}-"));
    let names = world.disk.list(&dir).expect("it is there");
    let name = names.iter().find(|name| name.starts_with(&stem)).expect("there is a copy of it");
    dir.join(name)
}

/// How far the checkpoint reaches that was restored, if one was.
fn restored_checkpoint(world: &World) -> Option<Position> {
    let bytes = read_file(&world.disk, &new_dir().join(checkpoint::NAME)).expect("it can be read")?;
    checkpoint::reach(&bytes).ok()
}

/// The numbers of the segments in a data directory.
fn segments_in(world: &World, dir: &Path) -> Vec<u32> {
    journal::segment_numbers(&world.disk, &dir.join(JOURNAL)).expect("it is there")
}

/// Puts a directory where a file was, so that it cannot be opened though there is something.
fn make_unreadable(world: &World, path: &Path) {
    world.disk.remove_file(path).expect("it is there");
    world.disk.create_dir_all(path).expect("it works");
}

/// What the manifest says.
fn manifest_of(world: &World) -> serde_json::Value {
    let bytes = world.disk.content(&target().join("manifest.json")).expect("it is there");
    let whole: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
    whole["manifest"].clone()
}

/// Lets the manifest say something else, with the checksum that belongs to it.
fn put_manifest(world: &World, manifest: &serde_json::Value) {
    let text = manifest.to_string();
    let whole = format!("{{\"manifest\":{text},\"crc32c\":\"{:08x}\"}}", crc32c::crc32c(text.as_bytes()));
    replace_file(&world.disk, &target().join("manifest.json"), whole.as_bytes()).expect("it can be written");
}
