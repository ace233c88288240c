//! What can be asked on the command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::commands;
use crate::config::{self, Loaded, Sources};
use crate::exit::Failure;
use crate::output::Output;

/// Events in, signed webhooks out; nothing lost in between.
// Without `Debug`, as are the commands that take a secret: what cannot be printed does not leak.
#[derive(Parser)]
#[command(
    name = "postrider",
    version,
    max_term_width = 100,
    after_help = "\
Try it:   postrider demo
Keep it:  postrider serve

Exit codes: 0 clean, 1 runtime failure, 64 bad usage or configuration, 70 store damaged or poisoned, \
75 data directory in use."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command knows. `Debug` prints no values: some are secrets.
#[derive(Args, Default)]
pub(crate) struct Global {
    /// The configuration file [default: postrider.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "For every command")]
    config: Option<PathBuf>,
    /// The server's data directory [default: ./postrider-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "For every command")]
    data_dir: Option<String>,
    /// Sets any key of the configuration; may be given many times
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = pair, help_heading = "For every command")]
    set: Vec<(String, String)>,
    /// Print JSON for programs
    #[arg(long, global = true, help_heading = "For every command")]
    json: bool,
}

impl fmt::Debug for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.set.iter().map(|(key, _)| key).collect();
        f.debug_struct("Global")
            .field("config", &self.config)
            .field("data_dir", &self.data_dir)
            .field("set", &keys)
            .field("json", &self.json)
            .finish()
    }
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(commands::serve::Serve),
    Demo(commands::demo::Demo),
    #[command(flatten)]
    Ask(Ask),
    #[command(subcommand)]
    Token(commands::token::Token),
    #[command(subcommand)]
    Key(commands::key::Key),
    Doctor(commands::doctor::Doctor),
    Backup(commands::backup::Backup),
    Restore(commands::restore::Restore),
    CheckConfig(commands::check_config::CheckConfig),
    #[command(subcommand)]
    Docs(commands::docs::Docs),
}

/// The commands that talk to a server, or to one that calls.
#[derive(Subcommand)]
pub(crate) enum Ask {
    #[command(subcommand)]
    App(commands::app::App),
    #[command(subcommand)]
    Endpoint(commands::endpoint::EndpointCommand),
    #[command(subcommand)]
    EventType(commands::event_type::EventType),
    Send(commands::send::Send),
    #[command(subcommand)]
    Message(commands::message::Message),
    #[command(subcommand)]
    Delivery(commands::delivery::Delivery),
    #[command(subcommand)]
    DeadLetter(commands::dead_letter::DeadLetter),
    #[command(subcommand)]
    Task(commands::task::Task),
    Pause(commands::pause::Pause),
    Resume(commands::pause::Resume),
    Audit(commands::audit::Audit),
    Listen(commands::listen::Listen),
    Export(commands::export::Export),
    Import(commands::import::Import),
}

impl Cli {
    /// Reads the arguments, the program's name first.
    ///
    /// # Errors
    /// They are wrong, or ask for help. The error repeats nothing that may be a secret.
    pub(crate) fn read(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut cli = Self::try_parse_from(&arguments).map_err(|error| without_values(error, &arguments))?;
        cli.global.set = every_set(&arguments)?;
        Ok(cli)
    }

    /// Where this command prints to.
    pub(crate) fn output(&self) -> Output {
        Output { json: self.global.json }
    }
}

impl Global {
    /// Where the configuration comes from.
    pub(crate) fn sources(&self) -> Sources {
        let data_dir = self.data_dir.iter().map(|dir| ("--data-dir".into(), "data_dir".into(), dir.clone()));
        let set = self.set.iter().map(|(key, value)| ("--set".into(), key.clone(), value.clone()));
        Sources { file: self.config.clone(), env: std::env::vars_os().collect(), flags: set.chain(data_dir).collect() }
    }

    /// The configuration.
    ///
    /// # Errors
    /// All that is wrong with it, with the exit code for that.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        config::load(&self.sources()).map_err(|problems| {
            Failure::usage(problems).hint("docs/configuration.md, or `postrider docs configuration`, lists every key")
        })
    }
}

/// The error without the value that is wrong, and without what is left of one that was not quoted. What is compared with
/// a list of words or has the form of a flag stays: it helps who mistypes.
fn without_values(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let place = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::TooManyValues => ContextKind::InvalidValue,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let is_harmless = match (place, error.get(place)) {
        (ContextKind::InvalidArg, Some(ContextValue::String(word))) => is_flag(word),
        // The first words, before which there is no value, are commands.
        (ContextKind::InvalidSubcommand, Some(ContextValue::String(word))) => {
            let mut before = arguments.iter().take_while(|argument| *argument != word.as_str());
            before.all(|argument| !argument.as_encoded_bytes().starts_with(b"-"))
        }
        _ => false,
    };
    if !is_harmless {
        error.insert(place, ContextValue::String("***".to_owned()));
        // A hint that the same word could be a value.
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Whether a word has the form of a flag. A key in PEM form begins with hyphens, too.
fn is_flag(word: &str) -> bool {
    match word.strip_prefix("--") {
        Some(name) => !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
        None => word.starts_with('-') && word.chars().count() == 2,
    }
}

/// Every `--set`, before and after the command's name: of those that stand at
/// different levels the parser would keep the last level's and forget the others.
/// No value of a flag begins with two hyphens, so each of these words is one.
fn every_set(arguments: &[OsString]) -> Result<Vec<(String, String)>, clap::Error> {
    let mut words = arguments.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    let mut pairs = vec![];
    while let Some(word) = words.next() {
        let given = if word == "--set" { words.next() } else { word.strip_prefix("--set=") };
        let Some(given) = given else { continue };
        pairs.push(pair(given).map_err(|what| Cli::command().error(ErrorKind::ValueValidation, what))?);
    }
    Ok(pairs)
}

/// Reads `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must have the form KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Reads an object in JSON. The error repeats nothing of it.
pub(crate) fn object(text: &str) -> Result<serde_json::Value, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("is no object in JSON: {error}"))?;
    if value.is_object() { Ok(value) } else { Err("is no object in JSON: it is another value".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Cli, clap::Error> {
        Cli::read(arguments.split(' ').map(OsString::from).collect())
    }

    fn each(command: &clap::Command, path: &str, look: &mut dyn FnMut(&clap::Command, &str)) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            look(sub, &path);
            each(sub, &path, look);
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example_that_parses() {
        each(&Cli::command(), "postrider", &mut |command, path| {
            assert!(command.get_about().is_some(), "{path} has no sentence");
            if command.has_subcommands() {
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = help.lines().map(str::trim).find(|line| line.contains(path));
            let example = example.unwrap_or_else(|| panic!("{path} has no example: {help}"));
            let words = words(&example[example.find(path).unwrap_or(0)..]);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("the example of {path} does not parse: {error}");
            }
        });
    }

    /// Splits as a shell does, as far as the examples need it: single quotes, and pipes at the end.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![];
        for (i, part) in line.split('\'').enumerate() {
            if i % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().take_while(|w| !matches!(*w, "|" | ">" | "<")).map(str::to_owned));
            }
        }
        words
    }

    #[test]
    fn flags_come_in_the_order_in_which_they_count() {
        let cli = read("postrider --set data_dir=a --set=x=1 docs --set y=2 configuration --data-dir b --set z==")
            .expect("good arguments");
        let flags = cli.global.sources().flags;
        let keys: Vec<_> = flags.iter().map(|(flag, key, value)| format!("{flag} {key} {value}")).collect();
        assert_eq!(keys, ["--set data_dir a", "--set x 1", "--set y 2", "--set z =", "--data-dir data_dir b"]);
        assert!(read("postrider --set x docs --set y=2 configuration").is_err());
        let cli = read("postrider --set auth.jwt_secret=hidden docs configuration").expect("good arguments");
        for shown in [format!("{:?}", cli.global), format!("{:?}", cli.global.sources())] {
            assert!(shown.contains("auth.jwt_secret") && !shown.contains("hidden"), "{shown}");
        }
    }
}
