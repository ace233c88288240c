//! How the process ends: documented exit codes, and the error that a person reads.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use rustix::io::Errno;

/// What helps against a full disk, at a start and while the server runs.
pub(crate) const DISK_FULL_HINT: &str =
    "free room on the disk of the data directory; `retention.max_bytes` bounds the store before the disk is full";

/// The exit codes. Scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Clean = 0,
    /// It could not do it this time.
    Failure = 1,
    /// Wrong usage or configuration (`EX_USAGE` of sysexits.h).
    Usage = 64,
    /// The store is damaged, or a write to it failed (`EX_SOFTWARE`).
    Damaged = 70,
    /// Another process uses the data directory (`EX_TEMPFAIL`).
    InUse = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What went wrong; nothing is shown if it is empty.
    pub(crate) error: String,
    /// What the person may do about it.
    pub(crate) hints: Vec<String>,
}

impl Failure {
    /// A failure with its own exit code.
    pub(crate) fn new(exit: Exit, error: impl Display) -> Self {
        Self { exit, error: error.to_string(), hints: vec![] }
    }

    /// The command or the configuration is wrong.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// It did not work this time.
    pub(crate) fn runtime(error: impl Display) -> Self {
        Self::new(Exit::Failure, error)
    }

    /// The system failed at `what`.
    pub(crate) fn system(what: impl Display, error: &io::Error) -> Self {
        let failure = Self::runtime(format!("{what}: {error}"));
        Self { hints: system_hint(error).into_iter().collect(), ..failure }
    }

    /// Whoever read the output has seen enough: end without a word.
    pub(crate) fn quiet() -> Self {
        Self::new(Exit::Clean, "")
    }

    /// Adds what the person may do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// As it is shown on standard error.
    pub(crate) fn report(&self) -> String {
        if self.error.is_empty() {
            return String::new();
        }
        let hints = self.hints.iter().map(|hint| format!("hint: {hint}\n"));
        format!("error: {}\n{}", self.error, hints.collect::<String>())
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut hint = None;
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            hint = hint.or_else(|| cause.downcast_ref().and_then(system_hint));
            next = cause.source();
        }
        Self { hints: hint.into_iter().collect(), ..Self::runtime(text) }
    }
}

/// What the person may do about an error of the system, where that is known.
fn system_hint(error: &io::Error) -> Option<String> {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Some(DISK_FULL_HINT.to_owned());
    }
    let too_many = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .filter(|number| too_many.contains(number))
        .map(|_| "raise the limit of open files: `ulimit -n`, or `LimitNOFILE` of a systemd unit".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_error_then_its_hints() {
        let failure = Failure::runtime("no").hint("try this").hint("or that");
        assert_eq!(failure.report(), "error: no\nhint: try this\nhint: or that\n");
        assert_eq!(Failure::quiet().report(), "");
    }

    #[test]
    fn causes_are_named_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to open /x")]
        struct Outer(#[source] std::io::Error);
        let failure = Failure::from(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(failure.error, "failed to open /x: disk on fire");
        assert!(failure.hints.is_empty(), "{failure:?}");
        let full = Failure::from(Outer(Errno::NOSPC.into()));
        assert_eq!(full.hints, [DISK_FULL_HINT]);
        assert!(Failure::system("x", &Errno::MFILE.into()).report().contains("ulimit -n"));
    }
}
