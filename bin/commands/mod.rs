//! The commands, one a file.

pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check_config;
pub(crate) mod dead_letter;
pub(crate) mod delivery;
pub(crate) mod demo;
pub(crate) mod docs;
pub(crate) mod doctor;
mod dry_run;
pub(crate) mod endpoint;
pub(crate) mod endpoint_auth;
mod endpoint_example;
mod endpoint_fields;
mod endpoint_flow;
pub(crate) mod endpoint_replay;
pub(crate) mod endpoint_stats;
mod endpoint_verify;
pub(crate) mod event_type;
pub(crate) mod export;
mod given;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod listen;
pub(crate) mod message;
pub(crate) mod pause;
pub(crate) mod restore;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod task;
pub(crate) mod token;

use clap::Args;

use crate::cli::{Ask, Cli, Command, Global};
use crate::client::{Client, Path};
use crate::config::Loaded;
use crate::exit::Failure;
use crate::output::Output;

/// What every command is given.
pub(crate) struct Context {
    global: Global,
    /// Where it prints to.
    pub(crate) output: Output,
}

impl Context {
    /// The configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        self.global.load()
    }

    /// Where the configuration comes from.
    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// A client of the server that the configuration leads to.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.load()?.config.api_socket()))
    }
}

/// Which page of a list.
#[derive(Args, Debug, Default)]
pub(crate) struct PageArgs {
    /// Members at most, 1 to 250
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=250))]
    limit: Option<u16>,
    /// Go on where an earlier page ended
    #[arg(long)]
    iterator: Option<String>,
}

impl PageArgs {
    fn onto(&self, path: Path) -> Path {
        path.query("limit", self.limit).query("iterator", self.iterator.as_ref())
    }
}

/// Does what was asked.
///
/// # Errors
/// It did not work; the error says why, what to do, and the exit code.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let context = Context { output: cli.output(), global: cli.global };
    match cli.command {
        Command::Serve(command) => command.run(&context),
        Command::Demo(command) => command.run(&context),
        Command::Ask(command) => {
            // One thread is enough for a conversation.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(command, &context))
        }
        Command::Token(command) => command.run(&context),
        Command::Key(command) => command.run(&context),
        Command::Doctor(command) => command.run(&context),
        Command::Backup(command) => command.run(&context),
        Command::Restore(command) => command.run(&context),
        Command::CheckConfig(command) => command.run(&context),
        Command::Docs(command) => command.run(&context),
    }
}

async fn ask(command: Ask, context: &Context) -> Result<(), Failure> {
    match command {
        Ask::App(command) => command.run(context).await,
        Ask::Endpoint(command) => command.run(context).await,
        Ask::EventType(command) => command.run(context).await,
        Ask::Send(command) => command.run(context).await,
        Ask::Message(command) => command.run(context).await,
        Ask::Delivery(command) => command.run(context).await,
        Ask::DeadLetter(command) => command.run(context).await,
        Ask::Task(command) => command.run(context).await,
        Ask::Pause(command) => command.run(context).await,
        Ask::Resume(command) => command.run(context).await,
        Ask::Audit(command) => command.run(context).await,
        Ask::Listen(command) => command.run(context).await,
        Ask::Export(command) => command.run(context).await,
        Ask::Import(command) => command.run(context).await,
    }
}
