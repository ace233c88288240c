//! How many tests passed, and how many did not.

use std::fmt;

/// A count of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Those that passed.
    pub(crate) passed: u64,
    /// Those that failed.
    pub(crate) failed: u64,
    /// Those that were not run; each has printed its reason.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Of a runner that broke down before it could count.
    pub(crate) const NO_REPORT: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// Whether there were tests and none failed.
    pub(crate) const fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    /// Reads pytest's last line, such as `2 failed, 12 passed, 1 skipped in 3.21s`.
    pub(crate) fn from_pytest(output: &str) -> Option<Self> {
        let last = output.lines().rev().find(|line| !line.trim().is_empty())?;
        let counts = last.trim_matches(['=', ' ']).split_once(" in ")?.0;
        let mut tally = Self::default();
        for count in counts.split(", ") {
            let (number, what) = count.split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            match what {
                "passed" | "xpassed" => tally.passed += number,
                "failed" | "error" | "errors" => tally.failed += number,
                "skipped" => tally.skipped += number,
                // Warnings, and subtests, which belong to tests that are counted.
                _ => {}
            }
        }
        Some(tally)
    }

    /// Reads the summary that node's test runner puts at the end of TAP, such as `# pass 12`.
    pub(crate) fn from_tap(output: &str) -> Option<Self> {
        let count = |name: &str| -> Option<u64> {
            let line = output.lines().rev().find_map(|line| line.strip_prefix("# ")?.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        let failed = count("fail ")? + count("cancelled ")?;
        Some(Self { passed: count("pass ")?, failed, skipped: count("skipped ")? + count("todo ")? })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_summaries_are_read() {
        let text =
            "FAILED a.py::b - no in here\n=== 2 failed, 12 passed, 1 skipped, 3 warnings, 1 error in 3.21s ===\n";
        assert_eq!(Tally::from_pytest(text), Some(Tally { passed: 12, failed: 3, skipped: 1 }));
        assert_eq!(Tally::from_pytest("4 passed in 0.10s"), Some(Tally { passed: 4, ..Tally::default() }));
        assert_eq!(Tally::from_pytest("ImportError in conftest"), None);
        let text = "not ok 1 - a\n# tests 14\n# suites 0\n# pass 12\n# fail 1\n# cancelled 1\n# skipped 0\n# todo 0\n";
        assert_eq!(Tally::from_tap(text), Some(Tally { passed: 12, failed: 2, skipped: 0 }));
        assert_eq!(Tally::from_tap("SyntaxError"), None);
    }

    #[test]
    fn nothing_that_ran_is_not_good() {
        assert!(!Tally::default().is_good());
        assert!(Tally { passed: 1, ..Tally::default() }.is_good());
        assert!(!Tally { passed: 1, failed: 1, skipped: 0 }.is_good());
        assert_eq!(Tally { passed: 1, failed: 2, skipped: 3 }.to_string(), "1 passed, 2 failed, 3 skipped");
    }
}
