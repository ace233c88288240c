//! `postrider backup`: a copy of the store, taken while it runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use postrider_outbox::backup::{BackedUp, BackupRequest, Verified};
use serde_json::{Value, json};

use super::Context;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::{card, field, printable, size, time};
use crate::progress::Progress;
use crate::wiring::copies::{self, Trial};
use crate::wiring::time_text;

/// Copies the store, while a server runs or not, into a directory that later runs bring up to date
///
/// What has not changed since the last run is not copied again; what the store has given up meanwhile is
/// kept, so that the store can be restored as it was at any time since the first run. A run that is
/// killed leaves the backup as it was, and the next one goes on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider backup /mnt/backup/postrider --data-dir ./postrider-data\n  \
                  postrider backup /mnt/backup/postrider --keep-days 30\n  \
                  postrider backup --verify /mnt/backup/postrider\n\n\
                  The store's key is not in the backup: keep it apart. Exit code 70: the backup is damaged.")]
pub(crate) struct Backup {
    /// The backup's directory; made if it is not there
    #[arg(value_name = "DIR")]
    target: PathBuf,
    /// Give up what only points that lie further back need
    #[arg(long, value_name = "DAYS", conflicts_with = "verify")]
    keep_days: Option<u16>,
    /// Read all of the backup, say whether it is whole, and try a start from it in memory
    #[arg(long)]
    verify: bool,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Backup {
    /// Does it.
    ///
    /// # Errors
    /// There is no store, the directory holds something else, or the backup is damaged.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        if self.verify { self.verify(&config, context) } else { self.take(&config, context) }
    }

    fn take(self, config: &Config, context: &Context) -> Result<(), Failure> {
        let keep = self.keep_days.map(|days| DAY * u32::from(days));
        let request = BackupRequest { dir: config.data_dir.clone(), target: self.target, keep };
        let mut progress = Progress::bytes(context.output, "copying");
        let taken = copies::take(&request, &mut |done, of| progress.set(done, of));
        progress.end();
        let taken = taken?;
        let target = request.target.display().to_string();
        let Needed { key: needed, sealing, outdated } = Needed::of(config, &taken);
        context.output.answer(&told(&target, &taken, sealing).into(), show)?;
        for lost in &taken.copied_again {
            context.output.note(format!("the backup had lost a file, which was copied again: {}", printable(lost)));
        }
        for damage in &taken.damage {
            context.output.note(format!("damaged in the store: {}", printable(damage)));
        }
        let sealing = sealing.map(|number| format!(", which seals with key {number}")).unwrap_or_default();
        let key = taken.key;
        context.output.note(format!(
            "the key is NOT in the backup: keep {needed} (key {key}{sealing}) apart from it, and again after each \
             `key rotate`; without it the backup is of no use"
        ));
        if let Some(outdated) = outdated {
            context.output.note(format!("{outdated} is from before that, and does not open the backup"));
        }
        Ok(())
    }

    fn verify(self, config: &Config, context: &Context) -> Result<(), Failure> {
        let mut progress = Progress::bytes(context.output, "reading");
        let verified = copies::verify(&self.target, &mut |done, of| progress.set(done, of));
        progress.end();
        let mut verified = verified?;
        let mut start = Value::Null;
        let mut not_tried = None;
        if verified.problems.is_empty() {
            match copies::try_backup(config, &self.target, &verified.key)? {
                Trial::Fine(tried) => {
                    start = json!({ "waiting": tried.waiting, "deadLetters": tried.dead_letters });
                    verified.problems.extend(tried.report.quarantined);
                    if tried.without_payload > 0 {
                        let count = tried.without_payload;
                        verified.problems.push(format!("the payloads of {count} deliveries are not in the backup"));
                    }
                }
                Trial::Refused(failure) => {
                    verified.problems.push(format!("a start would be refused: {}", failure.error));
                }
                Trial::OtherKey(origin) => not_tried = Some(format!("{origin} is not the key {}", verified.key)),
                Trial::LacksKey(failure) => {
                    not_tried = Some(format!("{}; try it with the key file of that time", failure.error));
                }
                Trial::NoKey => not_tried = Some(format!("the key {} is not here", verified.key)),
            }
        }
        let told = found(&self.target.display().to_string(), &verified, &start);
        context.output.answer(&told.into(), show_found)?;
        if let Some(why) = not_tried {
            context.output.note(format!("a start from it was not tried: {why}"));
        }
        if verified.problems.is_empty() { Ok(()) } else { Err(damaged()) }
    }
}

/// What opens a backup.
struct Needed {
    /// The file that the key is in, or where else it is; for people.
    key: String,
    /// The number of the key that seals.
    sealing: Option<u32>,
    /// Where the configuration leads to, if that does not open it.
    outdated: Option<String>,
}

impl Needed {
    /// After `key rotate --to` the configuration may still lead to the file from before.
    fn of(config: &Config, taken: &BackedUp) -> Self {
        let Some(found) = copies::key_of(config, &taken.key) else {
            return Self { key: "the store's key".to_owned(), sealing: taken.sealed_by, outdated: None };
        };
        let keys = found.ring().keys;
        if taken.sealed_by.is_none_or(|number| keys.iter().any(|key| key.number == number)) {
            return Self { key: found.origin, sealing: keys.first().map(|key| key.number), outdated: None };
        }
        let key = "the key file that `key rotate` wrote last".to_owned();
        Self { key, sealing: taken.sealed_by, outdated: Some(found.origin) }
    }
}

fn damaged() -> Failure {
    Failure::new(Exit::Damaged, "the backup is damaged, see above")
        .hint("take another one into a new directory; look at the disk: `smartctl`, `dmesg`")
}

fn told(target: &str, taken: &BackedUp, sealing: Option<u32>) -> Value {
    json!({
        "backup": target,
        "takenAt": time_text(taken.at),
        "end": taken.end.to_string(),
        "lastRecordAt": time_text(taken.last),
        "reachesBackTo": taken.earliest.map(time_text),
        "copiedFiles": taken.copied_files,
        "copiedBytes": taken.copied_bytes,
        "segments": taken.segments,
        "bytes": taken.bytes,
        "key": taken.key,
        "sealingKey": sealing,
        "copiedAgain": taken.copied_again,
        "damage": taken.damage,
    })
}

fn show(told: &Value) -> String {
    card(&[
        ("backup", field(told, "backup")),
        ("taken", time(told, "takenAt")),
        ("last record", time(told, "lastRecordAt")),
        ("ends at", field(told, "end")),
        ("reaches back to", time(told, "reachesBackTo")),
        ("copied now", format!("{} files, {}", field(told, "copiedFiles"), size(told, "copiedBytes"))),
        ("holds", format!("{} segments, {}", field(told, "segments"), size(told, "bytes"))),
        ("key", field(told, "key")),
    ])
}

fn found(target: &str, verified: &Verified, start: &Value) -> Value {
    json!({
        "backup": target,
        "healthy": verified.problems.is_empty(),
        "takenAt": time_text(verified.at),
        "end": verified.end.to_string(),
        "reachesBackTo": verified.earliest.map(time_text),
        "files": verified.files,
        "bytes": verified.bytes,
        "frames": verified.frames,
        "records": verified.records,
        "key": verified.key,
        "problems": verified.problems,
        "lostBefore": verified.lost_before,
        "start": start,
    })
}

fn show_found(told: &Value) -> String {
    let lines = |name: &str, what: &str| -> String {
        let all = told.get(name).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(|line| format!("{what}: {}\n", printable(line))).collect()
    };
    let start = told.get("start").filter(|start| !start.is_null()).map(|start| {
        format!("would work; {} deliveries wait, {} dead letters", field(start, "waiting"), field(start, "deadLetters"))
    });
    let figures = card(&[
        ("backup", field(told, "backup")),
        ("taken", time(told, "takenAt")),
        ("reaches back to", time(told, "reachesBackTo")),
        ("read", format!("{} files, {}", field(told, "files"), size(told, "bytes"))),
        ("sound", format!("{} frames with {} records", field(told, "frames"), field(told, "records"))),
        ("a start from it", start.unwrap_or_default()),
        ("key", field(told, "key")),
    ]);
    format!("{}{}{figures}", lines("problems", "problem"), lines("lostBefore", "damaged in the store already"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_backup_is_said_first() {
        let told = json!({
            "backup": "/b", "takenAt": "2026-11-29T10:00:00.000Z", "reachesBackTo": null, "files": 2, "bytes": 2048,
            "frames": 7, "records": 9, "key": "abc", "problems": ["/b/x is missing"], "lostBefore": [], "start": null,
        });
        let expected = "\
            problem: /b/x is missing\n\
            backup  /b\n\
            taken   2026-11-29 10:00:00Z\n\
            read    2 files, 2.0 KiB\n\
            sound   7 frames with 9 records\n\
            key     abc\n";
        assert_eq!(show_found(&told), expected);
    }
}
