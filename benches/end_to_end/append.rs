//! What accepting is compared with: as many bytes are appended to a file in
//! frames as large as the server's were, with a sync after each.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use crate::common::traffic::Passage;
use crate::common::usage::{Usage, machine_cpu};
use crate::common::{Failure, clock, machine};
use crate::figures::{Cpu, Figures, Store};
use crate::scenario::Scenario;
use crate::setting::Setting;

/// Appends the bodies, `per_sync` in a frame on the average.
pub(crate) fn measure(scenario: &Scenario, setting: &Setting, per_sync: f64) -> Result<Figures, Failure> {
    let mut bodies = Vec::new();
    let (_, numbers) = scenario.numbers();
    let events = scenario.events(setting.body_bytes);
    for n in numbers {
        events.push_body(&mut bodies, n);
    }
    let file: File = tempfile::tempfile_in(&setting.dir)?;
    let length = u64::try_from(bodies.len())?;
    // As the server's segments are: the space is there, and nothing was written to it.
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length)?;
    file.sync_all()?;
    let (began, before, machine_before) = (Instant::now(), Usage::of(std::process::id())?, machine_cpu()?);
    let (passages, frames) = append(&file, &bodies, scenario.events, per_sync)?;
    let (elapsed, after, machine_after) = (began.elapsed(), Usage::of(std::process::id())?, machine_cpu()?);
    let own = after.cpu.saturating_sub(before.cpu);
    let cpu = Cpu {
        subject: own,
        load: None,
        receiver: Duration::ZERO,
        others: machine_after.saturating_sub(machine_before).saturating_sub(own),
        available: machine::cores_for(elapsed),
    };
    let written = after.written_bytes.saturating_sub(before.written_bytes);
    let store = Store {
        written_bytes_per_event: written as f64 / scenario.events.max(1) as f64,
        syncs: frames as f64,
        frames: frames as f64,
        peak_rss_mib: None,
    };
    Ok(Figures::new(&passages, 0, &cpu, Some(store), 0))
}

/// The times of all records, and the number of frames.
fn append(file: &File, bodies: &[u8], records: usize, per_sync: f64) -> Result<(Vec<Passage>, usize), Failure> {
    let frames = ((records as f64 / per_sync.max(1.0)).round() as usize).max(1);
    let record_bytes = bodies.len() / records.max(1);
    let mut passages = Vec::with_capacity(records);
    for frame in 0..frames {
        let (first, end) = (records * frame / frames, records * (frame + 1) / frames);
        let bytes = bodies.get(first * record_bytes..end * record_bytes).unwrap_or_default();
        let sent = clock::now();
        file.write_all_at(bytes, u64::try_from(first * record_bytes)?)?;
        file.sync_data()?;
        let passage = Passage { sent, answered: clock::now(), arrived: 0 };
        passages.resize(end, passage);
    }
    Ok((passages, frames))
}
