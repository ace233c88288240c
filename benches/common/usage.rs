//! What processes and the machine have used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use super::Failure;

/// The unit of times in /proc: every Linux of today shows hundredths of a second there.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes that it made the kernel write to disks.
    pub(crate) written_bytes: u64,
    /// The most memory it ever had resident.
    pub(crate) peak_rss_bytes: u64,
}

impl Usage {
    /// Of a process of the same user.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let peak_kib = value(&format!("/proc/{pid}/status"), "VmHWM:")?;
        Ok(Self {
            cpu: cpu(&format!("/proc/{pid}/stat"))?,
            written_bytes: value(&format!("/proc/{pid}/io"), "write_bytes:")?,
            peak_rss_bytes: peak_kib * 1_024,
        })
    }
}

/// Processor time that the whole machine has used, all cores together.
pub(crate) fn machine_cpu() -> Result<Duration, Failure> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields: Vec<u64> = text.lines().next().unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal; guests are in user already.
    let used = fields.iter().take(8).enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    Ok(ticks(used.map(|(_, ticks)| ticks).sum()))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

/// User and system time out of a `stat` file (proc(5), fields 14 and 15).
fn cpu(path: &str) -> Result<Duration, Failure> {
    let text = fs::read_to_string(path)?;
    // The name in the second field may hold anything; it ends at the last bracket.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times: Vec<u64> = after_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    if times.len() != 2 {
        return Err(format!("{path} has no processor times").into());
    }
    Ok(ticks(times.iter().sum()))
}

/// The number after a name at the start of a line.
pub(crate) fn value(path: &str, name: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("{path} has no {name}").into())
}
