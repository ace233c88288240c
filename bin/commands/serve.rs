//! `postrider serve`: the server.

use clap::Args;

use super::Context;
use crate::config::{self, Config, Sources};
use crate::exit::Failure;
use crate::logging::{self, LogLevelHandle};
use crate::open_files;
use crate::signals::{self, Asked};
use crate::wiring::{self, Server};

/// Starts the server
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postrider serve\n  postrider serve --data-dir /var/lib/postrider --set api.listen=127.0.0.1:9071\n\n\
                        SIGTERM and SIGINT let requests in flight end, then stop it; a second one ends it at once.\n\
                        SIGHUP reads the configuration anew: these keys take effect at once, others at the next start:\n\
                        `retry.schedule`, `retry.jitter_percent`, `retry.max_age`, `retry.final_statuses`, `breaker.failures`, \
                        `breaker.pause_min_ms`, `breaker.pause_max_ms`, `breaker.disable_after`, `rate.count`, `rate.per`, `rate.burst`, `log.level`.\n\
                        The certificate of `[api.tls]` is read anew as well; it is also when its files have changed."
)]
pub(crate) struct Serve {
    /// Accept events but deliver nothing until `postrider resume`
    #[arg(long)]
    paused: bool,
    /// Print the configuration in effect and end
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    /// Does it until a signal ends it.
    ///
    /// # Errors
    /// The configuration is wrong, the data directory is in use, or the store is damaged.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let loaded = context.load()?;
        if self.print_config {
            return match context.output.json {
                true => context.output.line(config::effective_json(&loaded)),
                false => context.output.text(config::effective(&loaded)),
            };
        }
        let log_level = logging::start(&loaded.config)?;
        let fitted = open_files::fit(&loaded.config);
        let sources = context.global().sources();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = runtime.block_on(serve(&fitted, loaded.config, &sources, &log_level, self.paused));
        // A read from disk that still goes on holds up nobody.
        runtime.shutdown_background();
        ended
    }
}

/// Serves with `fitted`, which is `config` as far as the system allows it.
async fn serve(
    fitted: &Config,
    config: Config,
    sources: &Sources,
    log_level: &LogLevelHandle,
    paused: bool,
) -> Result<(), Failure> {
    let mut asked = signals::listen()?;
    let recorder = wiring::meters::install()?;
    let mut server = Server::start(fitted, paused, recorder).await?;
    let mut present = config;
    loop {
        tokio::select! {
            failure = server.broken() => {
                tracing::error!(error = failure.error, "a part of the server has failed");
                server.abandon().await;
                return Err(failure);
            }
            Some(request) = asked.recv() => match request {
                Asked::Stop => return server.stop().await,
                Asked::Reload => {
                    present = wiring::reload(&present, sources, log_level);
                    server.set_rules(&present);
                    server.renew_certificate();
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_help_names_every_key_that_takes_effect_at_sighup() {
        let help = crate::cli::Cli::command();
        let help = help.find_subcommand("serve").and_then(clap::Command::get_after_help).expect("it has some");
        let help = help.to_string();
        for key in crate::config::KEYS {
            assert_eq!(help.contains(&format!("`{}`", key.name)), key.reload, "{}", key.name);
        }
    }
}
