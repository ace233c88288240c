//! How the process ends: documented exit codes, and the error that a person reads.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use rustix::io::Errno;

/// What helps against a full disk, at a start and while the server runs.
pub(crate) const DISK_FULL_HINT: &str =
    "free room on the disk of the data directory; `retention.max_bytes` bounds the store before the disk is full";
/// The same of whatever else is written.
const OTHER_DISK_FULL_HINT: &str = "free room on the disk that this is written to, or write to another one";

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
    /// The hints are of the kind of error only: one that knows more takes their place.
    pub(crate) is_general: bool,
}

impl Failure {
    /// A failure with its own exit code.
    pub(crate) fn new(exit: Exit, error: impl Display) -> Self {
        Self { exit, error: error.to_string(), hints: vec![], is_general: false }
    }

    /// The command or the configuration is wrong.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// It did not work this time.
    pub(crate) fn runtime(error: impl Display) -> Self {
        Self::new(Exit::Failure, error)
    }

    /// The system failed at `what`, which is no part of the store's work.
    pub(crate) fn system(what: impl Display, error: &io::Error) -> Self {
        Self::runtime(format!("{what}: {error}")).of_system(error, OTHER_DISK_FULL_HINT)
    }

    /// It failed where something is written that is not in the data directory.
    pub(crate) fn elsewhere(error: &(dyn Error + 'static)) -> Self {
        Self::of_causes(error, OTHER_DISK_FULL_HINT)
    }

    fn of_causes(error: &(dyn Error + 'static), disk_full: &str) -> Self {
        let mut text = error.to_string();
        for cause in causes(error) {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
        }
        let failure = Self::runtime(text);
        match causes(error).find_map(|cause| cause.downcast_ref()) {
            Some(error) => failure.of_system(error, disk_full),
            None => failure,
        }
    }

    /// Adds what helps against an error of the system, where that is known.
    fn of_system(self, error: &io::Error, disk_full: &str) -> Self {
        match (system_hint(error, disk_full), general_hint(error)) {
            (Some(hint), _) => self.hint(hint),
            (None, Some(hint)) => Self { is_general: true, ..self.hint(hint) },
            (None, None) => self,
        }
    }

    /// Whoever read the output has seen enough: end without a word.
    pub(crate) fn quiet() -> Self {
        Self::new(Exit::Clean, "")
    }

    /// Adds what the person may do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        if std::mem::take(&mut self.is_general) {
            self.hints.clear();
        }
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

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of_causes(&error, DISK_FULL_HINT)
    }
}

/// Whether a write has found no room.
pub(crate) fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(is_full))
}

/// The error, what has caused it, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What the person may do about an error of the system, where that is known.
fn system_hint<'a>(error: &io::Error, disk_full: &'a str) -> Option<&'a str> {
    if is_full(error) {
        return Some(disk_full);
    }
    let too_many = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .filter(|number| too_many.contains(number))
        .map(|_| "raise the limit of open files: `ulimit -n`, or `LimitNOFILE` of a systemd unit")
}

/// What mostly helps against errors of this kind.
fn general_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(
            "run it as a user that may, such as the one that owns the data directory: `sudo -u postrider postrider ...`",
        ),
        io::ErrorKind::NotFound => Some("check the path; `--data-dir DIR` names the data directory"),
        _ => None,
    }
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

    #[test]
    fn a_full_disk_is_the_one_that_is_written_to() {
        let full = || std::io::Error::from(Errno::NOSPC);
        assert_eq!(Failure::from(full()).hints, [DISK_FULL_HINT]);
        assert_eq!(Failure::system("failed to write x", &full()).hints, [OTHER_DISK_FULL_HINT]);
        assert_eq!(Failure::elsewhere(&full()).hints, [OTHER_DISK_FULL_HINT]);
        assert!(is_disk_full(&full()) && !is_disk_full(&std::io::Error::from(Errno::ACCESS)));
    }

    #[test]
    fn what_helps_in_general_gives_way_to_what_is_known_better() {
        for (errno, helps) in [(Errno::ACCESS, "sudo -u postrider"), (Errno::NOENT, "--data-dir DIR")] {
            for failure in [Failure::system("x", &errno.into()), Failure::from(std::io::Error::from(errno))] {
                assert!(failure.hints.len() == 1 && failure.hints[0].contains(helps), "{failure:?}");
                assert_eq!(failure.hint("this").hint("that").hints, ["this", "that"]);
            }
        }
        assert_eq!(Failure::system("x", &Errno::NOSPC.into()).hint("this").hints, [OTHER_DISK_FULL_HINT, "this"]);
        assert!(Failure::system("x", &Errno::IO.into()).hints.is_empty());
    }
}
