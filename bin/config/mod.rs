//! The configuration: defaults < TOML file < environment < flags.
//!
//! ```text
//!   keys.rs (one declaration) --> Config, KEYS
//!   file, environment, flags --load.rs--> Config, and where each value came from
//!   KEYS + Config --show.rs--> `check-config`, `docs/configuration.md`
//! ```
//!
//! Unknown keys are refused, and all problems are reported at once. A secret is
//! never printed.

mod check;
mod choice;
#[cfg(test)]
mod fuzzing;
mod keys;
mod load;
mod retries;
mod secret;
mod show;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::path::{Path, PathBuf};

pub(crate) use choice::LogFormat;
pub(crate) use keys::{Config, KEYS, SECTIONS};
pub(crate) use load::{Loaded, Problems, Sources, load};
pub(crate) use secret::MIN_JWT_SECRET_BYTES;
pub(crate) use show::{documentation, effective, effective_json};
pub(crate) use value::duration;

impl Config {
    /// Where the HTTP API's socket is.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.api.socket.clone().unwrap_or_else(|| self.data_dir.join("api.sock"))
    }

    /// The keys that let other users use a socket that lies in the data
    /// directory, which is the server's own user's alone.
    pub(crate) fn unreachable_sockets(&self) -> Vec<&'static str> {
        let (api, ingest) = (&self.api, &self.ingest);
        let sockets = [
            ("api.socket", self.api_socket(), api.socket_mode, api.socket_group.is_some(), &api.allow_uids),
            (
                "ingest.socket",
                self.ingest_socket(),
                ingest.socket_mode,
                ingest.socket_group.is_some(),
                &ingest.allow_uids,
            ),
        ];
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let data_dir = absolute(&self.data_dir);
        let unreachable = sockets.into_iter().filter(|(_, path, mode, group, uids)| {
            let for_others = mode.0 & 0o077 != 0 || *group || !uids.is_empty();
            for_others && absolute(path).starts_with(&data_dir)
        });
        unreachable.map(|(key, ..)| key).collect()
    }

    /// Where the ingest socket is.
    pub(crate) fn ingest_socket(&self) -> PathBuf {
        self.ingest.socket.clone().unwrap_or_else(|| self.data_dir.join("ingest.sock"))
    }
}
