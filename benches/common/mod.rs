//! What the benchmarks share: the server, those who send to it, the receiver,
//! each a process of its own, and what is said about the machine.

#![expect(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod api;
pub(crate) mod case;
pub(crate) mod clock;
pub(crate) mod event;
pub(crate) mod front;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod middle;
pub(crate) mod options;
pub(crate) mod post;
pub(crate) mod protocol;
pub(crate) mod receiver;
pub(crate) mod role;
pub(crate) mod sender;
pub(crate) mod server;
pub(crate) mod signature;
pub(crate) mod spread;
pub(crate) mod traffic;
pub(crate) mod usage;
pub(crate) mod volume;
pub(crate) mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// What went wrong, for a person.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Says something beside the result.
pub(crate) fn note(text: &str) {
    // Nothing can be told to somebody who has closed the standard error.
    let _ = writeln!(io::stderr(), "{text}");
}

/// How the process ends: well if the figures are within what was asked for.
pub(crate) fn end(run: Result<bool, Failure>) -> ExitCode {
    match run {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            note(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Does `work` on a runtime of one thread; gives up after `limit`.
pub(crate) fn block_on<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The timer belongs to the runtime, so it is made in there.
    runtime.block_on(async {
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("the run took longer than {} s", limit.as_secs()).into()),
        }
    })
}
