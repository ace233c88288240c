//! `postrider key`: the keys with which the store is sealed.
//!
//! ```text
//!   rotate:  new key in front, in the key file --> a checkpoint with all sealed anew --> the secret of tokens
//!            --> what nothing needs, out of the key file
//!            (a crash after any step leaves a store that opens with the file as it is)
//!   retire:  nothing on disk needs it any more, and the store opens without it --> out of the key file
//! ```

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use postrider_model::time::Clock as _;
use postrider_outbox::{KeyUse, SealingKey};
use serde_json::{Value, json};

use super::Context;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exit::Failure;
use crate::output::{Table, field, time};
use crate::progress::Progress;
use crate::secrets::{self, Ring, RingKey, StoreKey};
use crate::wiring;

/// The keys with which the store is sealed
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Lists the keys, and which of them something on disk still needs; shows none of them
    #[command(after_help = "Example:\n  postrider key list --data-dir ./postrider-data\n\n\
                            `seals` seals what is written; `retired` opens what segments still hold; `removable` nothing needs.")]
    List,
    /// Puts a new key in front and seals all that is live with it; no server may run
    #[command(after_help = "Examples:\n  postrider key rotate --data-dir ./postrider-data\n  \
                            postrider key rotate --to ./new-keys\n\n\
                            The key before stays in the file for as long as a segment needs it. Where the key comes from the \
                            environment or from systemd, `--to` writes all keys into a new file, whose text goes there before the next start.")]
    Rotate {
        /// Write the keys into this new file, and leave where they came from as it is
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Takes the keys out of the key file that nothing on disk needs any more; no server may run
    #[command(after_help = "Example:\n  postrider key retire --data-dir ./postrider-data")]
    Retire {
        /// Write the keys into this new file, and leave where they came from as it is
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

impl Key {
    /// Does it.
    ///
    /// # Errors
    /// A server works on the directory, there is no store in it, or its keys do not open it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        match self {
            Self::List => {
                let store_key = wiring::existing_key(&config)?;
                let uses = Uses::of(context, &config, &store_key)?;
                context.output.answer(&answer(&store_key.ring(), &uses).into(), list)
            }
            Self::Rotate { to } => rotate(context, &config, to),
            Self::Retire { to } => retire(context, &config, to),
        }
    }
}

/// Which keys something on disk needs.
struct Uses {
    store: KeyUse,
    token_secret: Option<u32>,
}

impl Uses {
    fn of(context: &Context, config: &Config, store_key: &StoreKey) -> Result<Self, Failure> {
        let mut progress = Progress::start(context.output, "segments");
        let store = wiring::key_use(config, store_key, &mut |done, of| progress.set(done as u64, of as u64));
        progress.end();
        Ok(Self { store: store?, token_secret: secrets::number_of_token_secret(config)? })
    }

    fn is_free(&self, number: u32) -> bool {
        self.store.is_free(number) && self.token_secret != Some(number)
    }
}

/// What no backup holds, and what older ones need.
const BACKUPS: &str = "backups do not hold the keys: keep a copy of the key file as it is now, and the one from before for as long \
                       as a backup reaches back before this";

fn rotate(context: &Context, config: &Config, to: Option<PathBuf>) -> Result<(), Failure> {
    let present = wiring::existing_key(config)?;
    let _lock = wiring::lock(config)?;
    // What a start would refuse must not get another key.
    let before = Uses::of(context, config, &present)?;
    let mut ring = present.ring();
    let number = ring.keys.iter().map(|key| key.number).max().unwrap_or_default() + 1;
    let created_ms = SystemClock::new().now().as_u64();
    ring.keys.insert(0, RingKey { number, created_ms, key: secrets::random_key()? });
    let mut rotated = put(&present, ring, to.as_deref())?;
    wiring::seal_anew(config, &rotated)?;
    secrets::seal_token_secret_anew(config, &rotated)?;
    let uses = Uses::of(context, config, &rotated)?;
    // Only now: the store has been opened with these keys, so that they are its own.
    let kept =
        without(rotated.ring(), |key| key.number != number && before.is_free(key.number) && uses.is_free(key.number));
    if let Some(kept) = kept {
        rotated = put(&rotated, kept, None)?;
    }
    context.output.answer(&answer(&rotated.ring(), &uses).into(), list)?;
    context.output.note(BACKUPS);
    if let Some(path) = to {
        context.output.note(format!(
            "the store opens with the text of {} from now on: put it where {} was, before the next start",
            path.display(),
            present.origin
        ));
    }
    Ok(())
}

fn retire(context: &Context, config: &Config, to: Option<PathBuf>) -> Result<(), Failure> {
    let present = wiring::existing_key(config)?;
    let _lock = wiring::lock(config)?;
    let mut uses = Uses::of(context, config, &present)?;
    let seals = present.ring().keys.first().map(|key| key.number);
    let fewer = without(present.ring(), |key| Some(key.number) != seals && uses.is_free(key.number));
    let is_retired = fewer.is_some();
    let kept = match fewer {
        Some(ring) => {
            // Nothing is lost unless the store opens without it.
            let fewer =
                StoreKey { keys: secrets::Keys::Ring(ring.clone()), origin: present.origin.clone(), file: None };
            wiring::seal_anew(config, &fewer)?;
            let kept = put(&present, ring, to.as_deref())?;
            uses = Uses::of(context, config, &kept)?;
            kept
        }
        None => {
            if let Some(path) = to {
                context.output.note(format!("no key can go: {} was not written", path.display()));
            }
            present
        }
    };
    context.output.answer(&answer(&kept.ring(), &uses).into(), list)?;
    if is_retired {
        context.output.note(BACKUPS);
    }
    Ok(())
}

/// The keys without those that may go; `None` if there are none.
fn without(mut ring: Ring, mut may_go: impl FnMut(&RingKey) -> bool) -> Option<Ring> {
    let before = ring.keys.len();
    ring.keys.retain(|key| !may_go(key));
    (ring.keys.len() < before).then_some(ring)
}

/// Writes the keys down, where they came from or into a file of their own.
fn put(present: &StoreKey, ring: Ring, to: Option<&std::path::Path>) -> Result<StoreKey, Failure> {
    match to {
        Some(path) => secrets::write_ring(path, &ring)?,
        None => present.replace(&ring).map_err(|failure| {
            failure.hint("`--to FILE` writes the keys into a file, whose text then goes where the key is kept")
        })?,
    }
    let keys = secrets::Keys::Ring(ring);
    Ok(match to {
        Some(path) => StoreKey { keys, origin: path.display().to_string(), file: Some(path.to_owned()) },
        None => StoreKey { keys, origin: present.origin.clone(), file: present.file.clone() },
    })
}

fn answer(ring: &Ring, uses: &Uses) -> Value {
    let shown = ring.keys.iter().enumerate().map(|(place, key)| {
        let state = match place {
            0 => "seals",
            _ if uses.is_free(key.number) => "removable",
            _ => "retired",
        };
        json!({
            "number": key.number,
            "id": id(key),
            "createdAt": text(key.created_ms),
            "state": state,
            "segments": uses.store.segments.get(&key.number).copied().unwrap_or_default(),
            "checkpoint": uses.store.checkpoint.contains(&key.number),
            "tokenSecret": uses.token_secret == Some(key.number),
        })
    });
    json!({ "data": shown.collect::<Vec<_>>() })
}

fn id(key: &RingKey) -> String {
    SealingKey { number: key.number, key: key.key.clone() }.id()
}

fn text(created_ms: u64) -> Option<String> {
    let created_ms = i64::try_from(created_ms).ok().filter(|ms| *ms > 0)?;
    Timestamp::from_millisecond(created_ms).ok().map(|at| format!("{at:.3}"))
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["number", "id", "created", "state", "needed by"]);
    for key in crate::output::data(answer) {
        let segments = key.get("segments").and_then(Value::as_u64).unwrap_or_default();
        let is = |name: &str| key.get(name).and_then(Value::as_bool).unwrap_or_default();
        let needed = [
            (segments > 0).then(|| format!("{segments} {}", if segments == 1 { "segment" } else { "segments" })),
            is("checkpoint").then(|| "checkpoint".to_owned()),
            is("tokenSecret").then(|| "secret of tokens".to_owned()),
        ];
        table.row([
            field(key, "number"),
            field(key, "id"),
            time(key, "createdAt"),
            field(key, "state"),
            needed.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_still_needs_a_key() {
        let answer = json!({ "data": [
            { "number": 1, "id": "0f", "createdAt": "2026-01-02T03:04:05Z", "state": "seals", "segments": 0, "checkpoint": true, "tokenSecret": true },
            { "number": 0, "id": "0e", "createdAt": null, "state": "retired", "segments": 2, "checkpoint": false, "tokenSecret": false },
            { "number": 2, "id": "0d", "createdAt": null, "state": "retired", "segments": 1, "checkpoint": false, "tokenSecret": false },
        ]});
        let expected = "\
            NUMBER  ID  CREATED               STATE    NEEDED BY\n\
            1       0f  2026-01-02 03:04:05Z  seals    checkpoint, secret of tokens\n\
            0       0e                        retired  2 segments\n\
            2       0d                        retired  1 segment\n";
        assert_eq!(list(&answer), expected);
    }
}
