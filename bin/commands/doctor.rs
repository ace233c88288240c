//! `postrider doctor`: looks at a data directory and says in words what is wrong.

mod permissions;
mod salvage;

use std::path::{Path, PathBuf};

use clap::Args;
use postrider_outbox::Examined;
use serde_json::{Value, json};

use super::Context;
use crate::config::Config;
use crate::exit::{DISK_FULL_HINT, Exit, Failure};
use crate::output::{Output, field, printable};
use crate::progress::Progress;
use crate::{secrets, wiring};

/// Looks at the data directory of a stopped or running server and says what is wrong and what to do
///
/// Nothing is changed: a start is tried in memory by the server's own code, and every segment of the
/// journal is read whole. Exit code 0: nothing is wrong; 1: something needs attention; 70: a start would
/// be refused.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postrider doctor --data-dir ./postrider-data\n  postrider doctor --repair-index\n  \
                  postrider doctor --data-dir ./postrider-data --salvage ./salvaged\n\n\
                  The index is not read: it is derived, and a start finds and mends what is wrong with it."
)]
pub(crate) struct Doctor {
    /// Remove the index of a stopped server, so that the next start makes it anew from the journal
    #[arg(long)]
    repair_index: bool,
    /// Make a new directory out of what can be read of a damaged one, with a list of what is missing; the old one stays as it is
    #[arg(long, value_name = "NEW_DIR", conflicts_with = "repair_index")]
    salvage: Option<PathBuf>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Fine,
    Note,
    Problem,
    /// A start would be refused.
    Refused,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Problem => "problem",
            Self::Refused => "refused",
        }
    }
}

/// Something that was looked at.
#[derive(Debug)]
struct Finding {
    level: Level,
    says: String,
    /// What to do about it.
    help: Vec<String>,
}

impl Finding {
    fn new(level: Level, says: impl Into<String>) -> Self {
        Self { level, says: says.into(), help: vec![] }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    fn of(failure: Failure) -> Self {
        Self { level: Level::Refused, says: failure.error, help: failure.hints }
    }
}

impl Doctor {
    /// Does it.
    ///
    /// # Errors
    /// Something is wrong with the directory, or it cannot be looked at.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        if !wiring::copies::is_half_restored(&config) {
            wiring::is_there(&config.data_dir)?;
        }
        if let Some(to) = &self.salvage {
            return salvage::salvage(&config, to, context.output);
        }
        // Held to the end, so that no server starts meanwhile.
        let lock = wiring::try_lock(&config)?;
        if self.repair_index {
            let Some(_lock) = &lock else {
                return Err(Failure::new(Exit::InUse, "a server works on the directory").hint("stop it first"));
            };
            return repair_index(&config, context.output);
        }
        let live = lock.is_none();
        let mut findings = vec![match lock {
            Some(_) => Finding::new(Level::Fine, "no server works on the directory"),
            None => Finding::new(
                Level::Note,
                "a server works on the directory: this is what a start would find if it were killed now",
            ),
        }];
        findings.extend(permissions::permissions(&config));
        findings.extend(room(&config));
        findings.extend(leftovers(&config.data_dir));
        findings.extend(store(&config, live, context.output));
        report(&config, &findings, context.output)
    }
}

fn repair_index(config: &Config, output: Output) -> Result<(), Failure> {
    let index = config.data_dir.join("index");
    match std::fs::remove_dir_all(&index) {
        Ok(()) => output.note("the index is gone; the next start makes it anew from the journal, newest first"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            output.note("there is no index; a start makes one")
        }
        Err(error) => return Err(Failure::system(format_args!("failed to remove {}", index.display()), &error)),
    }
    if output.json { output.line(json!({ "indexRemoved": index.display().to_string() })) } else { Ok(()) }
}

/// Whether the next segments of the journal find room.
fn room(config: &Config) -> Vec<Finding> {
    let Ok(stat) = rustix::fs::statvfs(&config.data_dir) else { return vec![] };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = 2 * config.journal.segment_bytes;
    let says = format!("{} MiB are free on the disk", free >> 20);
    let level = if free < needed { Level::Problem } else { Level::Fine };
    let finding = Finding::new(level, says);
    vec![if free < needed { finding.help(DISK_FULL_HINT) } else { finding }]
}

/// What earlier starts and salvages have put aside.
fn leftovers(data_dir: &Path) -> Vec<Finding> {
    let entries = std::fs::read_dir(data_dir.join("journal")).into_iter().flatten().flatten();
    let torn = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("torn-")).count();
    let mut findings = vec![];
    if torn > 0 {
        let says = format!("{torn} torn tails were kept aside: they were never promised to anybody");
        findings.push(Finding::new(Level::Note, says).help("journal/torn-* may be deleted"));
    }
    if data_dir.join(wiring::SALVAGE_LIST).exists() {
        let says = "the directory was salvaged out of a damaged one";
        let help = format!("{} says what is missing; it may be deleted", wiring::SALVAGE_LIST);
        findings.push(Finding::new(Level::Note, says).help(help));
    }
    findings
}

/// What a start would find.
fn store(config: &Config, live: bool, output: Output) -> Vec<Finding> {
    let mut progress = Progress::start(output, "segments");
    let examined = wiring::examine(config, live, &mut |done, of| progress.set(done as u64, of as u64));
    progress.end();
    // With the wrong key the store is what tells it best, and the first to be mended.
    let mut findings = match examined {
        Ok(examined) => started(config, examined),
        Err(failure) => vec![Finding::of(failure)],
    };
    if findings.iter().all(|finding| finding.level < Level::Refused) {
        findings.extend(secrets::find_token_secret(config).err().map(Finding::of));
    }
    findings
}

fn started(config: &Config, examined: Examined) -> Vec<Finding> {
    let mut findings = vec![];
    if examined.segments > 0 {
        let says = format!("{} records can be read in {} segments", examined.records, examined.segments);
        findings.push(Finding::new(Level::Fine, says));
    }
    match examined.start {
        Ok(report) => {
            let how = if report.clean { "a clean stop" } else { "a stop that was none: it would be recovered" };
            findings.push(Finding::new(
                Level::Fine,
                format!(
                    "a start would succeed, after {how}; {} deliveries wait, {} dead letters",
                    examined.waiting, examined.dead_letters
                ),
            ));
            if report.torn_bytes > 0 {
                let says = format!(
                    "{} bytes at the journal's end were never synced; a start keeps them aside",
                    report.torn_bytes
                );
                findings.push(Finding::new(Level::Note, says));
            }
            findings.extend(report.quarantined.into_iter().map(damaged));
            findings.extend(examined.restoration.map(|restoration| {
                Finding::new(Level::Note, wiring::restored_text(restoration))
                    .help("look at what waits, then `postrider resume`; docs/backup.md says what is delivered again")
            }));
        }
        Err(error) => findings.push(Finding::of(wiring::not_opened(config, error))),
    }
    findings.extend(examined.damage.into_iter().map(damaged));
    findings
}

fn damaged(what: String) -> Finding {
    Finding::new(Level::Problem, what).help(
        "its messages are answered as damaged, and all others as before; a backup may have them. \
         Look at the disk: `smartctl`, `dmesg`",
    )
}

fn report(config: &Config, findings: &[Finding], output: Output) -> Result<(), Failure> {
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine);
    let told = json!({
        "dataDir": config.data_dir.display().to_string(),
        "healthy": worst <= Level::Note,
        "findings": findings.iter().map(|finding| json!({
            "level": finding.level.as_str(), "says": finding.says, "help": finding.help,
        })).collect::<Vec<_>>(),
    });
    output.answer(&told.into(), show)?;
    match worst {
        Level::Fine | Level::Note => Ok(()),
        Level::Problem => Err(Failure::runtime("something needs attention, see above")),
        Level::Refused => Err(Failure::new(Exit::Damaged, "a start would be refused, see above")),
    }
}

fn show(told: &Value) -> String {
    let findings = told.get("findings").and_then(Value::as_array).into_iter().flatten();
    let mut text = String::new();
    for finding in findings {
        text += &format!("{:<8} {}\n", field(finding, "level"), field(finding, "says"));
        for help in finding.get("help").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            text += &format!("{:<8} -> {}\n", "", printable(help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let told = json!({ "findings": [
            { "level": "fine", "says": "all is well", "help": [] },
            { "level": "problem", "says": "it is open", "help": ["close it", "lock it"] },
        ]});
        let expected = "fine     all is well\nproblem  it is open\n         -> close it\n         -> lock it\n";
        assert_eq!(show(&told), expected);
    }
}
