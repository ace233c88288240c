//! What the command line asks for.

use anyhow::{Context as _, Result, bail};

/// How it is used.
pub(crate) const USAGE: &str = "\
What a contributor runs beside cargo's own commands.

usage: cargo xtask test-clients [--examples N] [--seed N] [--only python|node]
       cargo xtask bench [--short] [--only CASE] [--json] [--record FILE] [--gate FILE]

test-clients: runs real clients against a server of this checkout: Svix's packages of PyPI and
npm as callers, the standardwebhooks packages as receivers, and schemathesis on our OpenAPI
document.

  --examples N   requests that schemathesis makes up for each operation [default: 10]
  --seed N       what they are made from [default: 1]
  --only WHICH   the clients of one language only

It needs python3 (3.10 or newer, with venv) and node (18 or newer, with npm); as root on Debian
it installs them. Packages go below target/clients. Besides the registries all traffic stays
on this machine.

bench: measures each case of docs/performance.md beside its limit and prints the table.

  --short        a form of some minutes
  --only CASE    one case only
  --json         prints JSON
  --record FILE  writes the ratios down, to be held against later
  --gate FILE    fails if a ratio is a fifth worse than it was written down, twice

examples: cargo xtask test-clients --examples 200 --only python
          cargo xtask bench --short --only accept-http";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// How to use it.
    Help,
    TestClients(TestClients),
    Bench(Bench),
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
    /// Where the ratios are to be written down.
    pub(crate) record: Option<String>,
    /// What they are held against.
    pub(crate) gate: Option<String>,
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
        let asked = from("bench --short --gate a.json --only accept-http").expect("it is valid");
        let (only, gate) = (Some("accept-http".to_owned()), Some("a.json".to_owned()));
        assert_eq!(asked, Asked::Bench(Bench { short: true, only, gate, ..Bench::default() }));
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
            ("bench --fast", "--fast"),
            ("bench --gate", "--gate"),
            ("bench --only accept-http --record a.json", "--record"),
        ] {
            let error = format!("{:#}", from(arguments).expect_err(arguments));
            assert!(error.contains(name), "{arguments}: {error}");
        }
    }
}
