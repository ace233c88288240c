//! The figures of the scorecard, and the test that each comes from.

/// A figure.
#[derive(Debug)]
pub(crate) struct Case {
    /// What `--only` names it.
    pub(crate) key: &'static str,
    /// What is shown.
    pub(crate) figure: &'static str,
    /// What a round is, in the plural.
    pub(crate) unit: &'static str,
    /// So many rounds are wanted.
    pub(crate) target: u64,
    /// Rounds of one run.
    pub(crate) batch: u64,
    /// Where it comes from.
    pub(crate) from: From,
    /// What must be 0, among what is found.
    pub(crate) zero: &'static [&'static str],
}

/// What a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Test(Test),
    /// The fuzzers; a round is a second of processor time.
    Fuzz,
}

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    /// The crate that it lies in; `None` if it is one of the real binary.
    pub(crate) package: Option<&'static str>,
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
}

/// What a round of a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// The test says itself how many there were and what it found.
    Itself,
    /// A case of a property: as many as it is told, if it passes.
    Cases,
    /// A run of it that passes.
    Runs,
}

impl From {
    /// A test of the real binary that says itself what it found.
    pub(crate) const fn binary(name: &'static str) -> Self {
        Self::Test(Test { package: None, name, counts: Counts::Itself })
    }

    /// A test of the real binary that passes or does not.
    pub(crate) const fn plain(name: &'static str) -> Self {
        Self::Test(Test { package: None, name, counts: Counts::Runs })
    }

    /// A test inside of a package.
    pub(crate) const fn inside(package: &'static str, name: &'static str, counts: Counts) -> Self {
        Self::Test(Test { package: Some(package), name, counts })
    }
}

impl Case {
    /// Rounds of the next run, if so many are done and no more than `most` are wanted.
    pub(crate) fn next_rounds(&self, most: Option<u64>) -> u64 {
        most.map_or(self.batch, |most| most.min(self.batch)).max(1)
    }

    /// How much of the target has been done.
    pub(crate) fn share(&self, rounds: u64) -> f64 {
        rounds as f64 / self.target.max(1) as f64
    }
}
