//! `postrider pause` and `postrider resume`.

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use crate::client::Path;
use crate::exit::Failure;

/// Stops delivering, to everyone or to one endpoint; events are still accepted, and wait
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider pause\n  postrider pause --app shop --endpoint main")]
pub(crate) struct Pause {
    #[command(flatten)]
    whom: Whom,
}

/// Goes on delivering after `pause`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider resume\n  postrider resume --app shop --endpoint main")]
pub(crate) struct Resume {
    #[command(flatten)]
    whom: Whom,
}

/// One endpoint, or everyone.
#[derive(Args, Debug)]
struct Whom {
    /// The application, by id or uid
    #[arg(long, requires = "endpoint")]
    app: Option<String>,
    /// The endpoint, by id or uid
    #[arg(long, requires = "app")]
    endpoint: Option<String>,
}

impl Pause {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let whom = self.whom.set(context, "pause").await?;
        context.output.done(&self.whom.told(true), format!("paused {whom}; events are accepted and wait"))
    }
}

impl Resume {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let whom = self.whom.set(context, "resume").await?;
        context.output.done(&self.whom.told(false), format!("resumed {whom}"))
    }
}

impl Whom {
    async fn set(&self, context: &Context, what: &'static str) -> Result<String, Failure> {
        let client = context.client()?;
        let (path, whom) = match (&self.app, &self.endpoint) {
            (Some(app), Some(endpoint)) => {
                (Path::new(["app", app, "endpoint", endpoint, what])?, format!("endpoint {endpoint}"))
            }
            _ => (Path::new(["dispatch", what])?, "all dispatch".to_owned()),
        };
        client.post(path, &json!({})).await?;
        Ok(whom)
    }

    /// For programs; no endpoint means all dispatch.
    fn told(&self, paused: bool) -> Value {
        json!({ "app": self.app, "endpoint": self.endpoint, "paused": paused })
    }
}
