//! The machine, and the state of the checkout.

use std::process::Command;
use std::time::Duration;
use std::{fmt, fs};

use serde::Serialize;

/// Where the figures come from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Its name, and the numbers of its family and model: many have the same name.
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Load averages of 1, 5 and 15 minutes before the run.
    pub(crate) load: String,
    /// With `+` if files were changed since.
    pub(crate) commit: String,
}

impl Machine {
    /// This one. What cannot be found out is `unknown`.
    pub(crate) fn here() -> Self {
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let of = |key: &str| {
            let mut fields = cpu_info.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(name, _)| name.trim_end() == key).map_or_else(unknown, |(_, value)| value.trim().to_owned())
        };
        let read = |path| fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned());
        let load = read("/proc/loadavg");
        Self {
            cpu: format!("{} (family {}, model {})", of("model name"), of("cpu family"), of("model")),
            cores: cores(),
            kernel: read("/proc/sys/kernel/osrelease"),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            commit: commit(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, load, commit } = self;
        let version = env!("CARGO_PKG_VERSION");
        write!(f, "postrider {version} at commit {commit}\n{cores} x {cpu}, Linux {kernel}, load {load}")
    }
}

/// The processor time that all cores have to give in a length of time.
pub(crate) fn cores_for(elapsed: Duration) -> Duration {
    elapsed * u32::try_from(cores()).unwrap_or(u32::MAX)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let done = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return unknown() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    if changed { commit + "+" } else { commit }
}

fn unknown() -> String {
    "unknown".to_owned()
}
