//! `postrider import`: what `export` wrote, into a running server.
//!
//! ```text
//!   file --all lines are looked at, nothing is changed--> plan --the same again, and done--> server
//! ```
//!
//! Both passes are the same code: the first only asks the server. What the file refers to is
//! kept in memory, applications and endpoints, and a hash of each delivery that is to be sent;
//! messages go through line by line.

mod deliveries;
mod masked;
mod objects;
mod spec;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use self::masked::Masked;
use super::Context;
use crate::client::Client;
use crate::exchange::{BadLine, FORMAT, Line, Lines};
use crate::exit::Failure;
use crate::output::{Output, card, field};
use crate::progress::Progress;

/// Brings what `export` wrote into a running server
///
/// All lines are looked at before anything is done. Event types, applications and endpoints
/// that are missing are made; one that is there and differs is refused unless --update is
/// given. With --send, deliveries that waited or were dead letters go out again, each to its
/// endpoint alone. An import that is repeated within 24 hours sends nothing twice.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider import all.ndjson --dry-run\n  postrider import all.ndjson --send\n\n\
                  docs/exchange.md says what comes of each line.")]
pub(crate) struct Import {
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change what is there and differs
    #[arg(long)]
    update: bool,
    /// Send what had not been delivered; without it only the configuration is imported
    #[arg(long)]
    send: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, Default)]
struct Tally {
    created: u64,
    updated: u64,
    same: u64,
    /// Endpoints that have signing secrets other than before.
    new_secrets: u64,
    sent: u64,
    /// Deliveries that had ended well, or that a person had ended.
    over: u64,
    /// Deliveries that wait in the file and are not sent.
    left_out: u64,
    /// Why some of them cannot be, and what else a person should know.
    notes: Vec<String>,
}

/// Notes that are shown; of more only their number is said.
const NOTES: usize = 100;

/// The import while it goes on.
struct Importer<'a> {
    client: &'a Client,
    wanted: &'a Import,
    /// Nothing is changed.
    is_plan: bool,
    /// By the ids of the file.
    apps: HashMap<String, Place>,
    endpoints: HashMap<String, Place>,
    /// Hashes of the deliveries that were met and had not ended.
    met: HashSet<u128>,
    masked: Masked,
    tally: Tally,
}

/// An application or endpoint of the file in the server.
#[derive(Clone, Debug)]
struct Place {
    /// Its application's id or uid; empty for one that is an application.
    app: String,
    /// Its id or uid.
    name: String,
    /// It is there; only in a plan it may not be.
    exists: bool,
}

impl Import {
    /// Does it.
    ///
    /// # Errors
    /// The file cannot be read or has a bad line, something differs, or the server is not there or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let mut lines = Lines::open(&self.file)?;
        let mut tally = self.pass(&client, &mut lines, true, context.output).await?;
        if !self.dry_run {
            lines.rewind()?;
            let done = self.pass(&client, &mut lines, false, context.output).await;
            tally = done.map_err(|failure| {
                failure.hint("what was done until then stays: mend it and import again, nothing is made or sent twice")
            })?;
        }
        tally.tell(&self, context.output)
    }

    async fn pass(&self, client: &Client, lines: &mut Lines, is_plan: bool, output: Output) -> Result<Tally, Failure> {
        let mut progress = Progress::bytes(output, if is_plan { "looking at" } else { "importing" });
        let (apps, endpoints) = (HashMap::new(), HashMap::new());
        let (met, masked, tally) = (HashSet::new(), Masked::default(), Tally::default());
        let mut importer = Importer { client, wanted: self, is_plan, apps, endpoints, met, masked, tally };
        let done = importer.read(lines, &mut progress).await;
        progress.end();
        done?;
        importer.masked.finish().map(|()| importer.tally)
    }
}

impl Importer<'_> {
    async fn read(&mut self, lines: &mut Lines, progress: &mut Progress) -> Result<(), Failure> {
        check_header(lines)?;
        // The header is one of them.
        for before in 1.. {
            let (done, of) = lines.progress();
            progress.set(done, of);
            let Some((number, text)) = lines.next()? else {
                return Err(Failure::runtime("the file has no line of the kind `end`: it is not whole"));
            };
            let line = Line::parse(number, text)?;
            match line.required::<String>("kind")?.as_str() {
                "eventType" => self.event_type(&line).await?,
                "application" => self.application(&line).await?,
                "endpoint" => self.endpoint(&line).await?,
                "message" => self.message(&line).await?,
                "deadLetter" => self.dead_letter(&line).await?,
                "end" => {
                    check_end(&line, before)?;
                    break;
                }
                other => return Err(line.bad("kind", format_args!("`{other}` is not known")).into()),
            }
        }
        match lines.next()? {
            Some((number, _)) => Err(BadLine::new(number, "stands behind the end").into()),
            None => Ok(()),
        }
    }

    fn note(&mut self, note: BadLine) {
        self.tally.notes.push(note.to_string());
    }
}

fn check_header(lines: &mut Lines) -> Result<(), Failure> {
    let Some((number, text)) = lines.next()? else {
        return Err(Failure::runtime("the file is empty"));
    };
    let line = Line::parse(number, text)?;
    if line.get::<String>("kind")?.as_deref() != Some("header") {
        return Err(line.bad("kind", "is not `header`: this is no file that `export` has written").into());
    }
    match line.required::<u64>("format")? {
        1..=FORMAT => Ok(()),
        format => {
            Err(Failure::from(line.bad("format", format_args!("is {format}, {FORMAT} is the highest that is known")))
                .hint("a newer postrider has written the file: import it with that version"))
        }
    }
}

/// A line that was lost or doubled would not be missed otherwise. `before` lines stand before the end.
fn check_end(line: &Line<'_>, before: u64) -> Result<(), Failure> {
    match line.get::<u64>("lines")? {
        Some(lines) if lines != before => {
            let what = format_args!("is {lines}, and {before} stand before it");
            Err(Failure::from(line.bad("lines", what)).hint("lines are missing, doubled or added: export again"))
        }
        // Written by hand.
        None | Some(_) => Ok(()),
    }
}

impl Tally {
    fn tell(&self, wanted: &Import, output: Output) -> Result<(), Failure> {
        for note in self.notes.iter().take(NOTES) {
            output.note(format_args!("note: {note}"));
        }
        if self.notes.len() > NOTES {
            output.note(format_args!("note: and {} more", self.notes.len() - NOTES));
        }
        let told = json!({
            "dryRun": wanted.dry_run, "created": self.created, "updated": self.updated, "same": self.same,
            "newSecrets": self.new_secrets, "sent": self.sent, "over": self.over, "leftOut": self.left_out,
            "notes": self.notes.len(),
        });
        output.answer(&told.into(), show)?;
        if self.new_secrets > 0 && !wanted.dry_run {
            output.note("endpoints have new signing secrets: `postrider endpoint secret` shows each");
        }
        if self.left_out > 0 && !wanted.send {
            output.note("deliveries that had not ended are not sent: --send does that");
        }
        Ok(())
    }
}

fn show(told: &Value) -> String {
    let figures = card(&[
        ("made", field(told, "created")),
        ("changed", field(told, "updated")),
        ("there already", field(told, "same")),
        ("deliveries sent, now or before", field(told, "sent")),
        ("deliveries that were over", field(told, "over")),
        ("deliveries left out", field(told, "leftOut")),
    ]);
    let is_dry = told.get("dryRun").and_then(Value::as_bool) == Some(true);
    if is_dry { format!("nothing was done; this would be:\n{figures}") } else { figures }
}
