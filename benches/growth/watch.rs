//! What a server holds and does, as the kernel and its own metrics have it.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::common::Failure;
use crate::common::server::Server;
use crate::common::usage::{self, Usage};

/// How long a server is watched at a time to see what it does of itself.
const WATCH: Duration = Duration::from_secs(1);
/// The part of a core with which a server is quiet.
const QUIET: f64 = 0.02;
/// Bytes in a MiB.
pub(crate) const MIB: f64 = 1_048_576.0;
/// How often it is watched at most until it is quiet.
const WATCHES: usize = 120;

/// What a server holds at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Resident memory in bytes.
    pub(crate) resident: f64,
    /// Deliveries that wait, are held or are being attempted.
    pub(crate) pending: f64,
    /// Of these the ones that are in the journal only.
    pub(crate) behind_window: f64,
}

/// How long a quiet server may take to give back what it has freed.
const SETTLE: Duration = Duration::from_secs(5);

/// What a quiet server holds: waits until it has done what it does in the background.
pub(crate) async fn standing(server: &Server) -> Result<Standing, Failure> {
    quiet(server).await?;
    let [waiting, held, in_flight, behind_window] = server
        .metrics([
            "postrider_deliveries{state=\"waiting\"}",
            "postrider_deliveries{state=\"held\"}",
            "postrider_deliveries{state=\"in_flight\"}",
            "postrider_deliveries_behind_window",
        ])
        .await?;
    tokio::time::sleep(SETTLE).await;
    let resident = usage::value(&format!("/proc/{}/status", server.pid()), "VmRSS:")? as f64 * 1_024.0;
    Ok(Standing { resident, pending: waiting + held + in_flight, behind_window })
}

/// Waits until it does nothing any more.
pub(crate) async fn quiet(server: &Server) -> Result<(), Failure> {
    for _ in 0..WATCHES {
        let (began, before) = (Instant::now(), Usage::of(server.pid())?.cpu);
        tokio::time::sleep(WATCH).await;
        let used = Usage::of(server.pid())?.cpu.saturating_sub(before);
        if used.as_secs_f64() / began.elapsed().as_secs_f64() < QUIET {
            return Ok(());
        }
    }
    Err(format!("the server does not become quiet{}", server.complaints()).into())
}

/// How often each thread of a process has been given a processor, because it was woken
/// or because another had its turn.
pub(crate) fn switches(pid: u32) -> Result<HashMap<String, u64>, Failure> {
    let mut switches = HashMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = thread?.path().join("status");
        let status = status.to_str().ok_or("a thread without a name")?.to_owned();
        let counts = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
        // A thread may end meanwhile.
        let count = counts.iter().map(|name| usage::value(&status, name).unwrap_or_default()).sum();
        switches.insert(status, count);
    }
    Ok(switches)
}

/// How often the threads that there are at the end were since `before`.
pub(crate) fn switched(pid: u32, before: &HashMap<String, u64>) -> Result<u64, Failure> {
    let since = |(thread, count): (String, u64)| count.saturating_sub(before.get(&thread).copied().unwrap_or_default());
    Ok(switches(pid)?.into_iter().map(since).sum())
}
