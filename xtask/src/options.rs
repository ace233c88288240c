//! What the command line asks for.

use std::num::NonZero;

use anyhow::{Context as _, Result, bail};

/// How it is used.
pub(crate) const USAGE: &str = "\
What a contributor runs beside cargo's own commands.

usage: cargo xtask test-clients [--examples N] [--seed N] [--only python|node]
       cargo xtask bench [--short] [--only CASE] [--rounds N] [--json] [--record FILE] [--gate FILE]
       cargo xtask prove [--only CASE]... [--rounds N | --minutes N] [--seed N] [--list]
       cargo xtask scorecard [--check | --add FILE]
       cargo xtask mutants -p PACKAGE [--only TEXT] [--jobs N] [--out FILE]
       cargo xtask sbom

test-clients: runs real clients against a server of this checkout: Svix's packages of PyPI and
npm as callers, the standardwebhooks packages as receivers, and schemathesis on our OpenAPI
document.

  --examples N   requests that schemathesis makes up for each operation [default: 10]
  --seed N       what they are made from [default: 1]
  --only WHICH   the clients of one language only

It needs python3 (3.11 or newer, with venv) and node (18 or newer, with npm); as root on Debian
it installs them. Packages go below target/clients. Besides the registries all traffic stays
on this machine.

bench: measures each case of docs/performance.md beside its limit and prints the table.

  --short        a form of some minutes
  --only CASE    one case only
  --rounds N     so many rounds of each case that has rounds [default: 3 with --short]
  --json         prints JSON
  --record FILE  writes the ratios down, to be held against later
  --gate FILE    fails if a ratio is a fifth worse than it was written down, and so again in a
                 second look with 15 rounds

prove: runs the tests behind docs/reliability.md as often as is asked, adds what they find to
docs/reliability/results.jsonl, and writes the table anew. First comes the case of which the
least part of its target has been done; runs add up, also those of other machines.

  --only CASE    one case only; may be given more than once
  --rounds N     so many rounds of each case; without this and --minutes one run of each
  --minutes N    until so much time has passed; the run that is under way is let end
  --seed N       what chance begins with, to repeat a run
  --list         says which cases there are and how much of each has been done

scorecard: writes the table of docs/reliability.md anew from the results.

  --check        writes nothing, and fails if it is not what the results give
  --add FILE     adds what tests of this checkout have written to $POSTRIDER_PROOF_RESULTS first

mutants: changes the code of a library crate at one place after the other, and names those with
which none of its unit tests fails. All changes are built into one program below target/mutants, and each is
tried with the tests that come by its function.

  -p PACKAGE     the crate, such as postrider-scheduler
  --only TEXT    those that have it in their name, such as a file or a function
  --jobs N       so many at a time [default: one a processor]
  --out FILE     a line of JSON for each; what is in it of these sources is not tried again
                 [default: target/mutants.jsonl]

It needs cargo-mutants, which lists the changes.

sbom: writes target/sbom/postrider.cdx.json, what the binary is made of (CycloneDX).

examples: cargo xtask test-clients --examples 200 --only python
          cargo xtask bench --short --only accept-http
          cargo xtask prove --minutes 480
          cargo xtask prove --only kill --rounds 500
          cargo xtask mutants -p postrider-scheduler --only settle.rs";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// How to use it.
    Help,
    TestClients(TestClients),
    Bench(Bench),
    Prove(Prove),
    Scorecard(Scorecard),
    Mutants(Mutants),
    Sbom,
}

/// How the clients are to be run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestClients {
    /// Requests that schemathesis makes up for each operation.
    pub(crate) examples: u32,
    /// What they are made from.
    pub(crate) seed: u32,
    /// Whether the clients in Python run.
    pub(crate) python: bool,
    /// Whether the clients in JavaScript run.
    pub(crate) node: bool,
}

/// What is to be measured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bench {
    /// Whether it is to take some minutes only.
    pub(crate) short: bool,
    /// Whether JSON is to be printed.
    pub(crate) json: bool,
    /// The key of the only case.
    pub(crate) only: Option<String>,
    /// Rounds of each case.
    pub(crate) rounds: Option<u32>,
    /// Where the ratios are to be written down.
    pub(crate) record: Option<String>,
    /// What they are held against.
    pub(crate) gate: Option<String>,
}

/// Which tests are to be run, and how long.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prove {
    /// The keys of the cases; all if it is empty.
    pub(crate) only: Vec<String>,
    /// Rounds of each.
    pub(crate) rounds: Option<u64>,
    /// How long.
    pub(crate) minutes: Option<u64>,
    /// What chance begins with.
    pub(crate) seed: Option<u64>,
    /// Whether nothing is to be run.
    pub(crate) list: bool,
}

/// What is to be done with the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scorecard {
    /// Whether it is only looked at.
    pub(crate) check: bool,
    /// What tests have written, to be added.
    pub(crate) add: Option<String>,
}

/// Which mutants are to be tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mutants {
    /// The crate.
    pub(crate) package: String,
    /// What their names have in them; all without it.
    pub(crate) only: Option<String>,
    /// How many at a time; one a processor without it.
    pub(crate) jobs: Option<NonZero<usize>>,
    /// Where the verdicts go.
    pub(crate) out: Option<String>,
}

impl Asked {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// An unknown command or flag, or a value that is not allowed.
    pub(crate) fn from(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut arguments = arguments.into_iter();
        let command = arguments.next();
        let arguments: Vec<String> = arguments.collect();
        if arguments.iter().any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
            return Ok(Self::Help);
        }
        match command.as_deref() {
            Some("test-clients") => TestClients::from(arguments).map(Self::TestClients),
            Some("bench") => Bench::from(arguments).map(Self::Bench),
            Some("prove") => Prove::from(arguments).map(Self::Prove),
            Some("scorecard") => Scorecard::from(&arguments).map(Self::Scorecard),
            Some("mutants") => Mutants::from(arguments).map(Self::Mutants),
            Some("sbom") => match arguments.first() {
                None => Ok(Self::Sbom),
                Some(flag) => bail!("unknown argument `{flag}`"),
            },
            Some("help" | "--help" | "-h") => Ok(Self::Help),
            Some(other) => bail!("unknown command `{other}`"),
            None => bail!("no command"),
        }
    }
}

impl TestClients {
    fn from(arguments: Vec<String>) -> Result<Self> {
        let mut asked = Self { examples: 10, seed: 1, python: true, node: true };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} has no value"))?;
            let number = || value.parse().with_context(|| format!("{flag} {value}"));
            match (flag.as_str(), value.as_str()) {
                ("--examples", "0") => bail!("--examples 0 would try nothing"),
                ("--examples", _) => asked.examples = number()?,
                ("--seed", _) => asked.seed = number()?,
                ("--only", "python") => asked.node = false,
                ("--only", "node") => asked.python = false,
                _ => bail!("unknown argument `{flag} {value}`"),
            }
        }
        Ok(asked)
    }
}

impl Bench {
    fn from(arguments: Vec<String>) -> Result<Self> {
        let mut asked = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{flag} has no value"));
            match flag.as_str() {
                "--short" => asked.short = true,
                "--json" => asked.json = true,
                "--only" => asked.only = Some(value()?),
                "--rounds" => match value()?.parse().with_context(|| flag.clone())? {
                    0 => bail!("--rounds 0 would measure nothing"),
                    rounds => asked.rounds = Some(rounds),
                },
                "--record" => asked.record = Some(value()?),
                "--gate" => asked.gate = Some(value()?),
                _ => bail!("unknown argument `{flag}`"),
            }
        }
        if asked.only.is_some() && asked.record.is_some() {
            bail!("--record with --only would forget all other cases");
        }
        Ok(asked)
    }
}

impl Prove {
    fn from(arguments: Vec<String>) -> Result<Self> {
        let mut asked = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{flag} has no value"));
            let mut number = || {
                let value = value()?;
                value.parse::<u64>().with_context(|| format!("{flag} {value}"))
            };
            match flag.as_str() {
                "--rounds" => asked.rounds = Some(number()?),
                "--minutes" => asked.minutes = Some(number()?),
                "--seed" => asked.seed = Some(number()?),
                "--only" => asked.only.push(value()?),
                "--list" => asked.list = true,
                _ => bail!("unknown argument `{flag}`"),
            }
        }
        if asked.rounds.is_some() && asked.minutes.is_some() {
            bail!("--rounds and --minutes exclude each other");
        }
        if asked.rounds == Some(0) {
            bail!("--rounds 0 would do nothing");
        }
        Ok(asked)
    }
}

impl Scorecard {
    fn from(arguments: &[String]) -> Result<Self> {
        match arguments {
            [] => Ok(Self::default()),
            [flag] if flag == "--check" => Ok(Self { check: true, add: None }),
            [flag, file] if flag == "--add" => Ok(Self { check: false, add: Some(file.clone()) }),
            [flag, ..] => bail!("unknown argument `{flag}`"),
        }
    }
}

impl Mutants {
    fn from(arguments: Vec<String>) -> Result<Self> {
        let mut asked = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} has no value"))?;
            match flag.as_str() {
                "-p" | "--package" => asked.package = value,
                "--only" => asked.only = Some(value),
                "--jobs" => asked.jobs = Some(value.parse().with_context(|| format!("{flag} {value}"))?),
                "--out" => asked.out = Some(value),
                _ => bail!("unknown argument `{flag}`"),
            }
        }
        if asked.package.is_empty() {
            bail!("no package; -p names it");
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(arguments: &str) -> Result<Asked> {
        Asked::from(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read() {
        let asked = from("test-clients --examples 5 --only node --seed 9").expect("it is valid");
        assert_eq!(asked, Asked::TestClients(TestClients { examples: 5, seed: 9, python: false, node: true }));
        let asked = from("bench --short --gate a.json --only accept-http --rounds 5").expect("it is valid");
        let (only, gate) = (Some("accept-http".to_owned()), Some("a.json".to_owned()));
        assert_eq!(asked, Asked::Bench(Bench { short: true, only, rounds: Some(5), gate, ..Bench::default() }));
        let asked = from("prove --only kill --only order --rounds 5 --seed 9").expect("it is valid");
        let only = vec!["kill".to_owned(), "order".to_owned()];
        assert_eq!(asked, Asked::Prove(Prove { only, rounds: Some(5), seed: Some(9), ..Prove::default() }));
        assert_eq!(
            from("scorecard --check").expect("it is valid"),
            Asked::Scorecard(Scorecard { check: true, add: None })
        );
        let add = Some("a.jsonl".to_owned());
        assert_eq!(
            from("scorecard --add a.jsonl").expect("it is valid"),
            Asked::Scorecard(Scorecard { check: false, add })
        );
        let asked = from("mutants -p postrider-model --jobs 3 --only url.rs --out a.jsonl").expect("it is valid");
        let (only, out) = (Some("url.rs".to_owned()), Some("a.jsonl".to_owned()));
        let package = "postrider-model".to_owned();
        assert_eq!(asked, Asked::Mutants(Mutants { package, only, jobs: NonZero::new(3), out }));
        for help in ["help", "test-clients --help", "bench --short -h"] {
            assert_eq!(from(help).expect("it is valid"), Asked::Help);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, name) in [
            ("", "no command"),
            ("test", "`test`"),
            ("test-clients --fast yes", "--fast"),
            ("test-clients --examples", "--examples"),
            ("test-clients --examples many", "many"),
            ("test-clients --examples 0", "--examples 0"),
            ("prove --rounds 5 --minutes 5", "--minutes"),
            ("prove --rounds 0", "--rounds 0"),
            ("prove --minutes long", "long"),
            ("scorecard --fast", "--fast"),
            ("scorecard --add", "--add"),
            ("mutants", "-p"),
            ("mutants -p", "-p"),
            ("mutants -p a --jobs 0", "--jobs 0"),
            ("mutants -p a --fast yes", "--fast"),
            ("sbom --fast", "--fast"),
            ("bench --fast", "--fast"),
            ("bench --gate", "--gate"),
            ("bench --rounds many", "--rounds"),
            ("bench --rounds 0", "--rounds 0"),
            ("bench --only accept-http --record a.json", "--record"),
        ] {
            let error = format!("{:#}", from(arguments).expect_err(arguments));
            assert!(error.contains(name), "{arguments}: {error}");
        }
    }
}
