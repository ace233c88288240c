//! `postrider restore`: a store made of a backup.

use std::path::PathBuf;

use clap::Args;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use postrider_outbox::backup::{Point, RestoreRequest, RestoredStore};
use serde_json::{Value, json};

use super::Context;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::{card, field, printable, size, time};
use crate::progress::Progress;
use crate::wiring::copies::{self, Trial};
use crate::wiring::time_text;

/// Makes a new data directory of a backup: all of it, or the store as it was at some time
///
/// The restored store starts paused: it accepts events and delivers nothing until `postrider resume`,
/// since what was delivered after that point would be delivered again. A restore that is killed goes on
/// when it is repeated; until then no server starts on the directory.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider restore /mnt/backup/postrider ./restored\n  \
                        postrider restore /mnt/backup/postrider ./restored --to 2026-11-29T12:00:00Z\n\n\
                        The store's key is not in the backup: put it to NEW_DATA_DIR/store.key, before or after.")]
pub(crate) struct Restore {
    /// The backup's directory
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The new data directory: one that is not there, or is empty but for keys
    #[arg(value_name = "NEW_DATA_DIR")]
    dir: PathBuf,
    /// Only what was recorded up to this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "to_position")]
    to: Option<jiff::Timestamp>,
    /// Only what was recorded up to this place in the journal
    #[arg(long, value_name = "SEGMENT:OFFSET")]
    to_position: Option<Position>,
    /// Restore damaged files as they are; `postrider doctor --salvage NEW_DIR` then keeps what can be read
    #[arg(long)]
    accept_damage: bool,
}

impl Restore {
    /// Does it.
    ///
    /// # Errors
    /// The directory is not empty, or the backup does not reach the point or is damaged.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let point = match (self.to, self.to_position) {
            (Some(to), _) => Point::Time(UnixMs(u64::try_from(to.as_millisecond()).unwrap_or(0))),
            (None, Some(position)) => Point::Position(position),
            (None, None) => Point::End,
        };
        let request = RestoreRequest { backup: self.backup, dir: self.dir, point, accept_damage: self.accept_damage };
        let mut progress = Progress::bytes(context.output, "restoring");
        let restored = copies::restore(&request, &mut |done, of| progress.set(done, of));
        progress.end();
        let restored = restored?;
        let config = Config { data_dir: request.dir.clone(), ..config };
        let (start, problem) = tried(&config, &restored)?;
        context.output.answer(&told(&request, &restored, &start).into(), show)?;
        for damage in &restored.damage {
            context.output.note(format!("damaged: {}", printable(damage)));
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        let (dir, key) = (request.dir.display(), &restored.key);
        if start.is_null() {
            context.output.note(format!(
                "a start was not tried: the key {key} is not here; put it to {dir}/store.key, or name it with \
                 `store.key_file`"
            ));
        }
        context.output.note(format!(
            "the store is paused: `postrider serve --data-dir {dir}` accepts events and delivers nothing; look at what \
             waits, then `postrider resume --data-dir {dir}`. What was delivered after that point is delivered again, \
             with the same webhook-id"
        ));
        Ok(())
    }
}

/// What a start finds, or null if it was not tried; and what is wrong with it.
fn tried(config: &Config, restored: &RestoredStore) -> Result<(Value, Option<Failure>), Failure> {
    Ok(match copies::try_restored(config, &restored.key)? {
        Trial::Fine(tried) => {
            let start = json!({ "waiting": tried.waiting, "deadLetters": tried.dead_letters });
            let count = tried.without_payload;
            let problem = (count > 0).then(|| {
                let error = format!("the payloads of {count} deliveries are not in the backup");
                Failure::new(Exit::Damaged, error)
                    .hint("`postrider doctor --salvage NEW_DIR` makes dead letters of them")
            });
            (start, problem)
        }
        Trial::Refused(failure) | Trial::LacksKey(failure) => (json!({ "refused": failure.error }), Some(failure)),
        Trial::OtherKey(_) | Trial::NoKey => (Value::Null, None),
    })
}

fn told(request: &RestoreRequest, restored: &RestoredStore, start: &Value) -> Value {
    json!({
        "dataDir": request.dir.display().to_string(),
        "backup": request.backup.display().to_string(),
        "backupTakenAt": time_text(restored.restoration.backup_at),
        "restoredTo": time_text(restored.restoration.to),
        "end": restored.end.to_string(),
        "segments": restored.segments,
        "bytes": restored.bytes,
        "notRestored": {
            "frames": restored.behind.frames,
            "records": restored.behind.records,
            "bytes": restored.behind.bytes,
        },
        "nextSegment": restored.next_segment,
        "key": restored.key,
        "damage": restored.damage,
        "start": start,
    })
}

fn show(told: &Value) -> String {
    let left = told.get("notRestored").cloned().unwrap_or_default();
    let left = match left.get("frames").and_then(Value::as_u64) {
        Some(0) | None => String::new(),
        Some(frames) => format!("{} records in {frames} frames, {}", field(&left, "records"), size(&left, "bytes")),
    };
    let start = told.get("start").filter(|start| start.get("waiting").is_some()).map(|start| {
        format!("would work; {} deliveries wait, {} dead letters", field(start, "waiting"), field(start, "deadLetters"))
    });
    card(&[
        ("data directory", field(told, "dataDir")),
        ("backup", format!("{}, taken {}", field(told, "backup"), time(told, "backupTakenAt"))),
        ("restored", format!("{} segments, {}", field(told, "segments"), size(told, "bytes"))),
        ("up to", format!("{} at {}", time(told, "restoredTo"), field(told, "end"))),
        ("not restored", left),
        ("a start", start.unwrap_or_default()),
        ("key", field(told, "key")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_the_point_is_said() {
        let told = json!({
            "dataDir": "/d", "backup": "/b", "backupTakenAt": "2026-11-29T10:00:00.000Z",
            "restoredTo": "2026-11-29T09:00:00.000Z", "end": "3:64", "segments": 2, "bytes": 4096,
            "notRestored": { "frames": 2, "records": 5, "bytes": 1024 }, "key": "abc", "start": null,
        });
        let expected = "\
            data directory  /d\n\
            backup          /b, taken 2026-11-29 10:00:00Z\n\
            restored        2 segments, 4.0 KiB\n\
            up to           2026-11-29 09:00:00Z at 3:64\n\
            not restored    5 records in 2 frames, 1.0 KiB\n\
            key             abc\n";
        assert_eq!(show(&told), expected);
    }
}
