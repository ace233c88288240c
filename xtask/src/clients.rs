//! `cargo xtask test-clients`.
//!
//! ```text
//!   xtask -- builds, starts --> two servers: one for the clients, one for what schemathesis makes up
//!     |                            ^ HTTP API          | signed webhooks
//!     +-- runs --> node, pytest --+                   v
//!                    each with a small receiver on a free port
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::options::TestClients;
use crate::server::{self, Server};
use crate::tally::Tally;
use crate::{node, output, python};

/// Every attempt at once, and three of them: what fails is a dead letter soon. With a name by which
/// it asks receivers for leave to send.
const SETTINGS: [&str; 2] = ["retry.schedule=0,0,0", "verification.origin=events.example.com"];
/// Requests that are made up may pause and delete everything, so they have a
/// server of their own.
const MADE_UP: [&str; 1] = ["retry.schedule=0"];

/// Runs the clients that are asked for.
///
/// # Errors
/// The server does not build, start or stop as it should, or a tool is missing.
pub(crate) fn test(asked: &TestClients) -> Result<Tally> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout has no root")?;
    let home = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let home = home.join("clients");
    fs::create_dir_all(&home).with_context(|| format!("failed to make {}", home.display()))?;
    let scripts = root.join("tests/clients");

    let binary = server::build(root)?;
    let server = Server::start(&binary, &SETTINGS)?;
    let made_up = Server::start(&binary, &MADE_UP)?;
    let environment = [
        ("POSTRIDER_URL", server.url.clone()),
        ("POSTRIDER_TOKEN", server.token.clone()),
        ("POSTRIDER_MADE_UP_URL", made_up.url.clone()),
        ("POSTRIDER_MADE_UP_TOKEN", made_up.token.clone()),
        ("POSTRIDER_EXAMPLES", asked.examples.to_string()),
        ("POSTRIDER_SEED", asked.seed.to_string()),
    ];
    let mut tally = Tally::default();
    if asked.node {
        output::line("==> clients of npm")?;
        tally = tally.and(node::test(&scripts.join("node"), &home, &environment)?);
    }
    if asked.python {
        output::line("==> clients of PyPI")?;
        tally = tally.and(python::test(&scripts.join("python"), &home, &environment)?);
    }
    server.stop()?;
    made_up.stop()?;
    Ok(tally)
}
