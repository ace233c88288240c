//! A server of which nothing is asked.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::case::{Case, Target};
use crate::common::server::{PROGRAM, Server};
use crate::common::usage::Usage;
use crate::common::{Failure, note};
use crate::options::Options;
use crate::watch::{MIB, standing, switched, switches};

/// Resident memory, in MiB.
const RESIDENT_MIB: f64 = 25.0;
/// Processor time, in percent of a core: what is shown as 0.0.
const CPU_PERCENT: f64 = 0.05;
/// Times a second that some thread wakes: the timers of all of them.
const WAKES_PER_S: f64 = 5.0;
/// The program without symbols, in MiB.
const PROGRAM_MIB: f64 = 20.0;

/// Memory, processor time and wake-ups of a new server, and the size of its program.
pub(crate) async fn idle(options: &Options) -> Result<Vec<Case>, Failure> {
    let seconds = options.shared.choose(None, 60, 5);
    let server = Server::start(&options.shared.dir())?;
    let resident = standing(&server).await?.resident / MIB;
    let (cpu, woken) = (Usage::of(server.pid())?.cpu, switches(server.pid())?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let cpu = Usage::of(server.pid())?.cpu.saturating_sub(cpu).as_secs_f64();
    let woken = switched(server.pid(), &woken)?;
    server.stop()?;
    note(&format!("{woken} wake-ups and {cpu:.2} s of processor time in {seconds} s"));
    let size = stripped(&options.shared.dir())? as f64 / MIB;
    Ok(vec![
        Case::alone("idle-memory", Target::AtMost(RESIDENT_MIB), "MiB", vec![resident]),
        Case::alone("idle-cpu", Target::AtMost(CPU_PERCENT), "%", vec![cpu / seconds as f64 * 100.0]),
        Case::alone("idle-wake-ups", Target::AtMost(WAKES_PER_S), "1/s", vec![woken as f64 / seconds as f64]),
        Case::alone("program-size", Target::AtMost(PROGRAM_MIB), "MiB", vec![size]),
    ])
}

/// Bytes of the program without its symbols.
fn stripped(dir: &Path) -> Result<u64, Failure> {
    let file = tempfile::NamedTempFile::new_in(dir)?;
    let done = Command::new("strip").arg("-o").arg(file.path()).arg(PROGRAM).output()?;
    if !done.status.success() {
        return Err(format!("strip: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(std::fs::metadata(file.path())?.len())
}
