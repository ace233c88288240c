//! What the disk writes for each event, as the block device counts it.

use std::fs::{self, File};

use crate::common::case::{Case, Pair, Target};
use crate::common::volume::Volume;
use crate::common::{Failure, note};
use crate::options::Options;
use crate::stage::Stage;
use crate::watch::quiet;

/// The bytes on the disk by the bytes of an event.
const TIMES: f64 = 1.5;
/// Bytes of one event's body.
const BODY_BYTES: usize = 1_024;
/// The unit of `/proc/diskstats`, whatever the device's own is.
const SECTOR_BYTES: f64 = 512.0;

/// Events that are delivered as fast as they are taken, with empty answers. The
/// journal, outcomes, the index and the file system's own are in it; so is all that
/// others write on the device meanwhile.
pub(crate) async fn written(options: &Options, volume: &Volume) -> Result<Option<Case>, Failure> {
    let Some(device) = device(volume) else {
        note(&format!("{} is no block device whose sectors are counted", volume.device));
        return Ok(None);
    };
    let events = options.events(200_000);
    let mut stage = Stage::start(options, 1, BODY_BYTES, events * (options.rounds() + 1)).await?;
    stage.deliver(events, None).await?;
    let mut pairs = vec![];
    for _ in 0..options.rounds() {
        quiet(&stage.server).await?;
        let before = settled(options, &device)?;
        stage.deliver(events, None).await?;
        quiet(&stage.server).await?;
        let bytes = (settled(options, &device)? - before) * SECTOR_BYTES / events as f64;
        note(&format!("{bytes:.0} bytes on the disk for each event of {BODY_BYTES}"));
        pairs.push(Pair { value: bytes, limit: BODY_BYTES as f64 });
    }
    stage.server.stop()?;
    Ok(Some(Case::new("sectors", "the event's bytes", Target::AtMost(TIMES), "bytes", &pairs)))
}

/// The name of the device in `/proc/diskstats`, if it is there.
fn device(volume: &Volume) -> Option<String> {
    let path = fs::canonicalize(&volume.device).ok()?;
    let name = path.file_name()?.to_str()?;
    sectors(name).ok().map(|_| name.to_owned())
}

/// Sectors that were written when nothing waits to be.
fn settled(options: &Options, device: &str) -> Result<f64, Failure> {
    rustix::fs::syncfs(File::open(options.shared.dir())?)?;
    sectors(device)
}

fn sectors(device: &str) -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/diskstats")?;
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(2) == Some(&device));
    let written = line.and_then(|fields| fields.get(9)?.parse().ok());
    written.ok_or_else(|| format!("/proc/diskstats has no {device}").into())
}
