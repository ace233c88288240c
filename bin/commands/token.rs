//! `postrider token`: access to the HTTP API over TCP.

use std::time::Duration;

use clap::Subcommand;
use postrider_model::id::{AppId, OrgId};
use postrider_model::time::Clock as _;
use serde_json::json;

use super::Context;
use crate::clock::SystemClock;
use crate::config::duration;
use crate::exit::Failure;
use crate::secrets;

/// Tokens for the HTTP API over TCP; the sockets need none
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Prints a token; works beside a running server and without one
    #[command(after_help = "Example:\n  postrider token create --ttl 90d\n  \
                            curl -H \"Authorization: Bearer $(postrider token create)\" http://127.0.0.1:8071/api/v1/app\n\n\
                            With `api.tls.cert` set the URL is https: and curl needs `--cacert` where the authority is your own.")]
    Create {
        /// The tenant that it speaks for [default: the one of the sockets]
        #[arg(long)]
        org: Option<OrgId>,
        /// The one application that it reaches, by id; the whole tenant if not given
        #[arg(long, value_name = "ID")]
        app: Option<AppId>,
        /// How long it is valid, such as 12h or 30d
        #[arg(long, default_value = "30d", value_parser = duration)]
        ttl: Duration,
    },
}

impl Token {
    /// Does it.
    ///
    /// # Errors
    /// There is no secret to sign with yet.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Create { org, app, ttl } = self;
        if ttl.as_secs() == 0 {
            return Err(Failure::usage("--ttl is less than a second: the token would be of no use")
                .hint("name how long it is valid, such as `--ttl 12h`"));
        }
        let config = context.load()?.config;
        let started_once = |what: &str| {
            Failure::runtime(format!("data directory {} has no {what} yet", config.data_dir.display()))
                .hint("start the server once with `postrider serve`; it makes one")
                .hint("if it runs elsewhere, name its data directory: `--data-dir DIR` or POSTRIDER_DATA_DIR")
        };
        let secret = secrets::find_token_secret(&config)?.ok_or_else(|| started_once("secret for tokens"))?;
        let org = match org {
            Some(org) => org,
            None => secrets::find_default_org(&config)?.ok_or_else(|| started_once("default organisation"))?,
        };
        let now = SystemClock::new().now();
        let token = match app {
            Some(app) => postrider_api::token::create_for_application(&secret, org, app, ttl, now),
            None => postrider_api::token::create(&secret, org, ttl, now),
        };
        let answer = json!({ "token": token, "org": org.to_string() });
        context.output.answer(&answer.into(), |_| format!("{token}\n"))
    }
}
