//! Tries a mutant with the tests that come by its function.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::program::{End, Limits, Program};
use super::reach::Test;
use super::verdict::Verdict;

/// Tests that together take no longer share a process: most mutants are noticed in the
/// first, and the start of one costs more than a short test.
const CHUNK: Duration = Duration::from_millis(1_500);

/// What came of it.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) verdict: Verdict,
    /// The test that noticed it, or that did not end.
    pub(crate) by: Option<String>,
    pub(crate) took: Duration,
}

/// # Errors
/// The program cannot be run.
pub(crate) fn try_out(program: &Program, mutant: usize, tests: &[Test]) -> Result<Tried> {
    let began = Instant::now();
    let ended = |verdict, by| Ok(Tried { verdict, by, took: began.elapsed() });
    for chunk in chunks(tests) {
        let ran = program.run(&chunk.names, Some(mutant), chunk.limits())?;
        let verdict = match ran.end {
            End::Passed => continue,
            End::Failed => Verdict::Noticed,
            End::None => Verdict::RanForEver,
        };
        return ended(verdict, culprit(&ran.output));
    }
    ended(if tests.is_empty() { Verdict::NotReached } else { Verdict::Missed }, None)
}

/// Tests that run in one process.
#[derive(Debug, Default)]
struct Chunk<'a> {
    names: Vec<&'a str>,
    takes: Duration,
}

impl Chunk<'_> {
    /// Far more than they take, on a machine that does other things too.
    fn limits(&self) -> Limits {
        let cpu = Duration::from_secs(8) + self.takes * 6;
        Limits { cpu_seconds: cpu.as_secs(), wall: Duration::from_secs(45) + self.takes * 10 }
    }
}

fn chunks(tests: &[Test]) -> Vec<Chunk<'_>> {
    let mut chunks: Vec<Chunk<'_>> = vec![];
    for test in tests {
        match chunks.last_mut() {
            Some(last) if last.takes + test.took <= CHUNK => {
                last.names.push(&test.name);
                last.takes += test.took;
            }
            _ => chunks.push(Chunk { names: vec![&test.name], takes: test.took }),
        }
    }
    chunks
}

/// The test that failed, or else the one that was under way.
fn culprit(output: &str) -> Option<String> {
    let tests = || output.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    let failed = tests().find(|(_, result)| result.ends_with("FAILED"));
    failed.or_else(|| tests().next_back()).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_share_a_process_while_they_are_short() {
        let tests = [("a", 100), ("b", 900), ("c", 600), ("d", 2_000), ("e", 3_000)];
        let tests = tests.map(|(name, ms)| Test { name: name.into(), took: Duration::from_millis(ms) });
        let chunks = chunks(&tests);
        let names: Vec<_> = chunks.iter().map(|chunk| chunk.names.concat()).collect();
        assert_eq!(names, ["ab", "c", "d", "e"]);
        let limits = chunks.last().expect("there are some").limits();
        assert_eq!((limits.cpu_seconds, limits.wall), (26, Duration::from_secs(75)));
        assert!(super::chunks(&[]).is_empty());
    }

    #[test]
    fn the_test_that_noticed_it_is_named() {
        let output = "\nrunning 3 tests\ntest a::b ... ok\ntest c ... FAILED\n\nfailures:\n";
        assert_eq!(culprit(output).as_deref(), Some("c"));
        assert_eq!(culprit("\nrunning 2 tests\ntest a ... ok\ntest b::c ... ").as_deref(), Some("b::c"));
        assert_eq!(culprit("memory allocation failed"), None);
    }
}
