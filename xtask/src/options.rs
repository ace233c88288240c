//! What the command line asks for.

use anyhow::{Context as _, Result, bail};

/// How it is used.
pub(crate) const USAGE: &str = "\
Runs real clients against a server of this checkout: Svix's packages of PyPI and npm as
callers, the standardwebhooks packages as receivers, and schemathesis on our OpenAPI document.

usage: cargo xtask test-clients [--examples N] [--seed N] [--only python|node]

  --examples N   requests that schemathesis makes up for each operation [default: 10]
  --seed N       what they are made from [default: 1]
  --only WHICH   the clients of one language only

It needs python3 (3.10 or newer, with venv) and node (18 or newer, with npm); as root on Debian
it installs them. Packages go below target/clients. Besides the registries all traffic stays
on this machine.

example: cargo xtask test-clients --examples 200 --only python";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Requests that schemathesis makes up for each operation.
    pub(crate) examples: u32,
    /// What they are made from.
    pub(crate) seed: u32,
    /// Whether the clients in Python run.
    pub(crate) python: bool,
    /// Whether the clients in JavaScript run.
    pub(crate) node: bool,
}

impl Asked {
    /// Reads the arguments after the program's name; `None` if help is asked for.
    ///
    /// # Errors
    /// An unknown command or flag, or a value that is not allowed.
    pub(crate) fn from(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>> {
        let mut arguments = arguments.into_iter();
        match arguments.next().as_deref() {
            Some("test-clients") => {}
            Some("help" | "--help" | "-h") => return Ok(None),
            Some(other) => bail!("unknown command `{other}`"),
            None => bail!("no command"),
        }
        let mut asked = Self { examples: 10, seed: 1, python: true, node: true };
        while let Some(flag) = arguments.next() {
            if matches!(flag.as_str(), "--help" | "-h") {
                return Ok(None);
            }
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
        Ok(Some(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(arguments: &str) -> Result<Option<Asked>> {
        Asked::from(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read() {
        let asked = from("test-clients --examples 5 --only node --seed 9").expect("it is valid").expect("no help");
        assert_eq!(asked, Asked { examples: 5, seed: 9, python: false, node: true });
        assert_eq!(from("test-clients --help").expect("it is valid"), None);
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
        ] {
            let error = format!("{:#}", from(arguments).expect_err(arguments));
            assert!(error.contains(name), "{arguments}: {error}");
        }
    }
}
