//! `postrider check-config`.

use clap::Args;
use postrider_model::time::Clock as _;

use super::Context;
use crate::clock::SystemClock;
use crate::config::{self, Problems};
use crate::exit::Failure;
use crate::wiring;

/// Checks the configuration and prints what would be in effect, secrets redacted
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postrider check-config --config /etc/postrider.toml")]
pub(crate) struct CheckConfig {}

impl CheckConfig {
    /// Does it.
    ///
    /// # Errors
    /// All that is wrong.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let loaded = context.load()?;
        let problems = wiring::problems(&loaded.config);
        if !problems.is_empty() {
            let hints = problems.iter().flat_map(|problem| problem.hints.clone()).collect();
            let errors = problems.into_iter().map(|problem| problem.error).collect();
            return Err(Failure { hints, ..Failure::usage(Problems(errors)) });
        }
        match context.output.json {
            true => context.output.line(config::effective_json(&loaded))?,
            false => context.output.text(config::effective(&loaded))?,
        }
        let certificate = wiring::certificate_warning(&loaded.config, SystemClock::new().now());
        for warning in wiring::warnings(&loaded.config).into_iter().chain(certificate) {
            context.output.note(format!("warning: {warning}"));
        }
        context.output.note("the configuration is fine");
        Ok(())
    }
}
