//! What an endpoint's requests get in with, as the command line takes it.

use clap::Args;
use serde_json::{Value, json};

use super::endpoint::merged;
use crate::cli::object;

/// What an endpoint's requests get in with, beside their signature.
#[derive(Args, Default)]
pub(crate) struct Credentials {
    /// What its requests get in with, such as '{"type": "bearer", "token": "..."}'. `@FILE` reads it from a file, which
    /// other users do not see as they see the arguments of a command
    #[arg(long, value_name = "JSON", value_parser = object_or_file)]
    auth: Option<Value>,
    /// Removes that
    #[arg(long, conflicts_with = "auth")]
    no_auth: bool,
}

impl Credentials {
    /// A body with what was given.
    pub(super) fn onto(self, body: Value) -> Value {
        match self.auth {
            Some(auth) => merged(body, json!({ "auth": auth })),
            None if self.no_auth => merged(body, json!({ "auth": null })),
            None => body,
        }
    }
}

/// Reads an object in JSON, or `@` and the path of a file that holds one.
fn object_or_file(text: &str) -> Result<Value, String> {
    match text.strip_prefix('@') {
        None => object(text),
        Some(path) => {
            let read = std::fs::read_to_string(path).map_err(|error| format!("failed to read {path}: {error}"))?;
            object(&read).map_err(|problem| format!("{path} {problem}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_a_file_or_removed() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "{\"type\": \"bearer\"}\n").expect("it can be written");
        let read = object_or_file(&format!("@{}", file.path().display()));
        assert_eq!(read, Ok(json!({ "type": "bearer" })));
        assert!(object_or_file("@/nonexistent").expect_err("there is none").contains("/nonexistent"));
        let body = |credentials: Credentials| credentials.onto(json!({ "uid": "a" }));
        assert_eq!(body(Credentials::default()), json!({ "uid": "a" }));
        assert_eq!(body(Credentials { auth: None, no_auth: true }), json!({ "uid": "a", "auth": null }));
    }
}
