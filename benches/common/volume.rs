//! Where the data directories lie, and what a sync costs there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::spread::Spread;
use super::{Failure, note};

/// Syncs that are measured.
const SYNCS: u64 = 300;
/// Bytes written before each of them.
const BLOCK_BYTES: u64 = 4_096;
/// No disk known to us keeps a write in so short a time, not even one with a
/// protected cache.
const SUSPICIOUS: Duration = Duration::from_micros(15);

/// File systems that are no disk's.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// A file system and what a sync costs on it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Volume {
    /// The file system's type.
    pub(crate) file_system: String,
    /// The device that it is on.
    pub(crate) device: String,
    /// The options that it is mounted with.
    pub(crate) mount_options: String,
    /// How long `fdatasync` takes after 4 KiB were written into allocated space.
    pub(crate) sync_us: Spread,
    /// Whether that is long enough to be more than a promise.
    pub(crate) sync_is_real: bool,
}

impl Volume {
    /// Measures the one that holds `dir`, which is made if need be. One that is kept in memory is
    /// refused; of one that keeps nothing in a sync there is a warning.
    pub(crate) fn measure(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let (file_system, device, mount_options) = mount(&dir.canonicalize()?)?;
        if IN_MEMORY.contains(&file_system.as_str()) {
            let dir = dir.display();
            return Err(format!("{dir} is on {file_system}, where a sync keeps nothing; give a --dir on a disk").into());
        }
        let (half, sync_us) = syncs(dir)?;
        let sync_is_real = half >= SUSPICIOUS;
        if !sync_is_real {
            note(&format!("warning: {file_system} keeps nothing in a sync; choose another --dir"));
        }
        Ok(Self { file_system, device, mount_options, sync_us, sync_is_real })
    }
}

/// Type, device and options of the mount with the longest path above `dir`.
fn mount(dir: &Path) -> Result<(String, String, String), Failure> {
    let text = fs::read_to_string("/proc/self/mounts")?;
    let mut best = (0, None);
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // Of two on the same point the later one is on top.
        if dir.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), Some((kind.to_owned(), device.to_owned(), options.to_owned())));
        }
    }
    best.1.ok_or_else(|| format!("{} is on no known mount", dir.display()).into())
}

/// The median, and the spread in microseconds.
fn syncs(dir: &Path) -> io::Result<(Duration, Spread)> {
    let file: File = tempfile::tempfile_in(dir)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SYNCS * BLOCK_BYTES)?;
    file.sync_all()?;
    let block = vec![b'x'; usize::try_from(BLOCK_BYTES).unwrap_or_default()];
    let mut took = Vec::new();
    for number in 0..SYNCS {
        file.write_all_at(&block, number * BLOCK_BYTES)?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let spread = Spread::of_nanos(took);
    Ok((Duration::from_nanos((spread.p50 * 1e3) as u64), spread))
}
