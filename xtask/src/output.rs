//! Data, on standard output.

use std::fmt::Display;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

/// A line.
///
/// # Errors
/// As [`text`].
pub(crate) fn line(line: impl Display) -> Result<()> {
    text(format_args!("{line}\n"))
}

/// Text that has its own line ends. Whoever reads it may have seen enough: what is left to do is done
/// all the same.
///
/// # Errors
/// It cannot be written for another reason.
pub(crate) fn text(text: impl Display) -> Result<()> {
    written(write!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()))
}

fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("failed to write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_is_gone_is_no_failure() {
        let failed = |kind: io::ErrorKind| written(Err(kind.into()));
        assert!(written(Ok(())).is_ok() && failed(io::ErrorKind::BrokenPipe).is_ok());
        assert!(failed(io::ErrorKind::StorageFull).is_err());
    }
}
