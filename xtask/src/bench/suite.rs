//! Which benchmark has which case, and what a short form of it is.

/// A benchmark of `benches/`.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Cargo's name of it.
    pub(crate) name: &'static str,
    /// The keys of its cases, in the order of the table.
    pub(crate) cases: &'static [&'static str],
    /// What it is told besides.
    pub(crate) always: &'static [&'static str],
    /// What makes it short.
    pub(crate) short: &'static [&'static str],
}

/// All of them, in the order of the table.
pub(crate) const SUITES: [Suite; 2] = [
    Suite {
        name: "end_to_end",
        cases: &[
            "accept-socket",
            "accept-http",
            "accept-batch",
            "deliver-socket",
            "deliver-ten-endpoints",
            "deliver-http",
            "latency-p50",
            "latency-p99",
            "deliver-https",
            "deliver-http2",
        ],
        always: &["--cases"],
        short: &["--rounds", "3", "--events", "20000", "--steady-seconds", "2"],
    },
    Suite {
        name: "backlog",
        cases: &["backlog-refusing", "backlog-hanging"],
        always: &[],
        short: &["--backlog", "100000", "--rounds", "3", "--events", "20000", "--steady-seconds", "1"],
    },
];

/// Cases that no gate holds, and why.
pub(crate) const UNGATED: [(&str, &str); 2] = [
    ("latency-p50", "a program beside it lengthens the way of a few events much more than their limit"),
    ("latency-p99", "the same, and a hundredth of a short run is a few events"),
];

/// Whether a gate holds this case.
pub(crate) fn is_gated(case: &str) -> bool {
    UNGATED.iter().all(|(ungated, _)| *ungated != case)
}

/// The benchmark with this case.
pub(crate) fn of(case: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.cases.contains(&case))
}

impl Suite {
    /// The place of a case in the table.
    pub(crate) fn place(&self, case: &str) -> Option<usize> {
        self.cases.iter().position(|key| *key == case)
    }
}
