//! `cargo xtask prove` and `cargo xtask scorecard`.
//!
//! ```text
//!   the case of which least has been done --> cargo test, one run of it --> what it found
//!        ^                                                                      |
//!        |                              docs/reliability/results.jsonl <-- a line a run
//!        +---- until the rounds or the minutes are over ----+
//!                                                           v
//!                                              docs/reliability.md, the table in it
//! ```

mod case;
mod cases;
mod execute;
mod run;
mod scorecard;
mod total;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::case::Case;
use self::cases::CASES;
use self::execute::{Ended, Line};
use self::run::{Here, Run};
use self::total::Total;
use crate::options::{Prove, Scorecard};
use crate::output;

/// Runs cases until what was asked for is done; gives whether all passed.
///
/// # Errors
/// A case is not known, the results cannot be read or written, or cargo cannot be run.
pub(crate) fn run(asked: &Prove) -> Result<bool> {
    let root = root()?;
    let cases = chosen(&asked.only)?;
    if asked.list {
        output::text(scorecard::list(&run::read(&results(root))?))?;
        return Ok(true);
    }
    let here = Here::look(root);
    let end = asked.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let mut done = vec![0; cases.len()];
    loop {
        let Some(next) = next(&cases, &done, asked, &run::read(&results(root))?) else { break };
        let (Some(case), Some(done)) = (cases.get(next), done.get_mut(next)) else { break };
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let rounds = case.next_rounds(asked.rounds.map(|rounds| rounds - *done));
        eprintln!("==> {}: {rounds} rounds", case.key);
        let began = Instant::now();
        let ended = execute::execute(case, rounds, asked.seed, root)?;
        let finished = record(case, &ended, Some(began.elapsed()), &here, root)?;
        *done += rounds;
        if !finished {
            eprintln!("error: {} failed; {}", case.key, execute::again(case, &ended));
            return Ok(false);
        }
    }
    write(root)?;
    Ok(true)
}

/// Writes the table into the document, or says whether it is there as it should be.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn scorecard(asked: &Scorecard) -> Result<bool> {
    let root = root()?;
    if let Some(file) = &asked.add {
        add(Path::new(file), root)?;
    }
    if !asked.check {
        write(root)?;
        return Ok(true);
    }
    let known = fs::read_to_string(document(root)).context("failed to read docs/reliability.md")?;
    let current = known == scorecard::into(&known, &run::read(&results(root))?)?;
    if !current {
        eprintln!("error: docs/reliability.md is not what the results give; run cargo xtask scorecard");
    }
    Ok(current)
}

/// Adds what tests of this checkout have written.
fn add(file: &Path, root: &Path) -> Result<()> {
    let here = Here::look(root);
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = Line::read(line)?;
        let case = CASES.iter().find(|case| case.key == line.case).with_context(|| unknown(&line.case))?;
        record(case, &line.ended(case), None, &here, root)?;
    }
    Ok(())
}

/// The case of which the least part of the target has been done, among those of
/// which more is asked for.
fn next(cases: &[&Case], done: &[u64], asked: &Prove, runs: &[Run]) -> Option<usize> {
    let share = |case: &Case| case.share(Total::of(runs.iter().filter(|run| run.case == case.key)).rounds);
    let wanted = |done: u64| match asked.rounds {
        Some(rounds) => done < rounds,
        // Without a number each is run once, or as often as there is time.
        None => done == 0 || asked.minutes.is_some(),
    };
    let open = cases.iter().zip(done).enumerate().filter(|(_, (_, done))| wanted(**done));
    open.min_by(|(_, (a, _)), (_, (b, _))| share(a).total_cmp(&share(b))).map(|(at, _)| at)
}

/// Writes a run down, and gives whether it passed. What was skipped is not written down.
fn record(case: &Case, ended: &Ended, took: Option<Duration>, here: &Here, root: &Path) -> Result<bool> {
    let Ended::Ran { passed, rounds, seed, found } = ended else {
        eprintln!("{}: skipped, see above", case.key);
        return Ok(true);
    };
    let run = Run {
        case: case.key.to_owned(),
        date: here.date.clone(),
        commit: here.commit.clone(),
        machine: here.machine.clone(),
        file_system: here.file_system.clone(),
        rounds: *rounds,
        seed: *seed,
        seconds: took.map(|took| took.as_secs()),
        passed: *passed,
        found: found.clone(),
    };
    run::append(&results(root), &run)?;
    Ok(*passed)
}

fn write(root: &Path) -> Result<()> {
    let path = document(root);
    let known = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let text = scorecard::into(&known, &run::read(&results(root))?)?;
    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
}

fn chosen(only: &[String]) -> Result<Vec<&'static Case>> {
    if only.is_empty() {
        return Ok(CASES.iter().collect());
    }
    let find = |key: &String| CASES.iter().find(|case| case.key == *key).with_context(|| unknown(key));
    only.iter().map(find).collect()
}

fn unknown(key: &str) -> String {
    let all: Vec<_> = CASES.iter().map(|case| case.key).collect();
    format!("there is no case `{key}`; there are {}", all.join(", "))
}

fn root() -> Result<&'static Path> {
    match Path::new(env!("CARGO_MANIFEST_DIR")).parent() {
        Some(root) => Ok(root),
        None => bail!("the checkout has no root"),
    }
}

fn results(root: &Path) -> PathBuf {
    root.join("docs/reliability/results.jsonl")
}

fn document(root: &Path) -> PathBuf {
    root.join("docs/reliability.md")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::case::From;
    use super::*;

    fn asked(rounds: Option<u64>, minutes: Option<u64>) -> Prove {
        Prove { rounds, minutes, ..Prove::default() }
    }

    #[test]
    fn that_of_which_least_is_done_comes_first_and_then_what_is_left() {
        let (first, second) = (CASES.first().expect("there are some"), CASES.get(1).expect("there are some"));
        let cases = [first, second];
        let runs = [run::tests::run(first.key, first.target, json!({}))];
        assert_eq!(next(&cases, &[0, 0], &asked(None, None), &runs), Some(1));
        assert_eq!(next(&cases, &[0, 5], &asked(None, None), &runs), Some(0), "each once");
        assert_eq!(next(&cases, &[5, 5], &asked(None, None), &runs), None);
        assert_eq!(next(&cases, &[5, 5], &asked(None, Some(1)), &runs), Some(1), "as long as there is time");
        assert_eq!(next(&cases, &[9, 5], &asked(Some(10), None), &runs), Some(1));
        assert_eq!(next(&cases, &[9, 10], &asked(Some(10), None), &runs), Some(0));
        assert_eq!(next(&cases, &[10, 10], &asked(Some(10), None), &runs), None);
    }

    #[test]
    fn every_case_has_its_test_and_a_name_of_its_own() {
        let root = root().expect("there is one");
        let mut keys = std::collections::BTreeSet::new();
        for case in &CASES {
            assert!(keys.insert(case.key), "{} is there twice", case.key);
            let From::Test(test) = case.from else { continue };
            let directory = execute::directory(test);
            let name = test.name.rsplit("::").next().expect("it has a last part");
            let found = sources(&root.join(&directory)).iter().any(|text| text.contains(&format!("fn {name}(")));
            assert!(found, "{}: there is no test {name} in {directory}", case.key);
        }
        assert!(chosen(&["nothing".into()]).is_err_and(|error| error.to_string().contains("`nothing`")));
    }

    fn sources(directory: &Path) -> Vec<String> {
        let mut texts = vec![];
        for entry in fs::read_dir(directory).expect("it is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                texts.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(&path).expect("sources are UTF-8"));
            }
        }
        texts
    }
}
