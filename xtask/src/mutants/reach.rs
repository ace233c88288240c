//! Which tests come by which functions.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use super::pool;
use super::program::{End, Limits, Program};

/// Without a mutant every test has an end.
const LIMITS: Limits = Limits { cpu_seconds: 600, wall: Duration::from_secs(600) };
/// Of what a test has printed that fails.
const SHOWN_BYTES: usize = 2_000;

/// A test.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) took: Duration,
}

/// The tests of each function, the shortest first.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub(crate) tests: usize,
    of: BTreeMap<usize, Vec<Test>>,
}

impl Reach {
    /// Runs each test alone.
    ///
    /// # Errors
    /// A test fails where no mutant is active.
    pub(crate) fn find(program: &Program, jobs: usize) -> Result<Self> {
        let names = program.tests()?;
        let mut reach = Self { tests: names.len(), ..Self::default() };
        let run = |name: &String| Ok((name.clone(), program.run(&[name], None, LIMITS)?));
        pool::each(jobs, &names, run, |(name, ran)| {
            if ran.end != End::Passed {
                let begin = ran.output.floor_char_boundary(ran.output.len().saturating_sub(SHOWN_BYTES));
                bail!("{name} fails without a mutant\n{}", ran.output.get(begin..).unwrap_or_default().trim_end());
            }
            for site in ran.reached {
                reach.of.entry(site).or_default().push(Test { name: name.clone(), took: ran.took });
            }
            Ok(())
        })?;
        for tests in reach.of.values_mut() {
            tests.sort_by_key(|test| test.took);
        }
        Ok(reach)
    }

    pub(crate) fn of(&self, site: usize) -> &[Test] {
        self.of.get(&site).map(Vec::as_slice).unwrap_or_default()
    }
}
