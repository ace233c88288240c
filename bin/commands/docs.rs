//! `postrider docs`: documentation that is made from the code.

use clap::Subcommand;

use super::Context;
use crate::config;
use crate::exit::Failure;

/// Prints documentation that is made from the code
#[derive(Debug, Subcommand)]
pub(crate) enum Docs {
    /// Prints docs/configuration.md
    #[command(after_help = "Example:\n  postrider docs configuration > docs/configuration.md")]
    Configuration,
    /// Prints docs/openapi.json, the OpenAPI document of the HTTP API
    #[command(after_help = "Example:\n  postrider docs openapi > docs/openapi.json")]
    Openapi,
}

impl Docs {
    /// Does it.
    ///
    /// # Errors
    /// Nobody reads.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Configuration => context.output.text(config::documentation()),
            Self::Openapi => context.output.text(postrider_api::openapi_json()),
        }
    }
}
