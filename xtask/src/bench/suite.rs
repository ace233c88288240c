//! Which benchmark has which case, and what a short form of it is.

/// A benchmark of `benches/`.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Cargo's name of it.
    pub(crate) name: &'static str,
    /// The keys of its cases, in the order of the table, each with what `--only` calls it.
    pub(crate) cases: &'static [(&'static str, &'static str)],
    /// What it is told besides.
    pub(crate) always: &'static [&'static str],
    /// What makes it short.
    pub(crate) short: &'static [&'static str],
    /// Rounds of its short form, if it has rounds.
    pub(crate) short_rounds: Option<u32>,
    /// The only ones that a short form of all has, as `--only` calls them.
    pub(crate) short_only: Option<&'static str>,
}

/// All of them, in the order of the table.
pub(crate) const SUITES: [Suite; 3] = [
    Suite {
        name: "end_to_end",
        cases: &[
            own("accept-socket"),
            own("accept-http"),
            own("accept-batch"),
            own("deliver-socket"),
            own("deliver-ten-endpoints"),
            own("deliver-http"),
            own("latency-p50"),
            own("latency-p99"),
            own("deliver-https"),
            own("deliver-http2"),
        ],
        always: &["--cases"],
        short: &["--events", "20000", "--steady-seconds", "2"],
        short_rounds: Some(3),
        short_only: None,
    },
    Suite {
        name: "backlog",
        cases: &[own("backlog-refusing"), own("backlog-hanging")],
        always: &[],
        short: &["--backlog", "100000", "--events", "20000", "--steady-seconds", "1"],
        short_rounds: Some(3),
        short_only: None,
    },
    Suite {
        name: "growth",
        cases: &[
            ("history-delivered", "history"),
            ("history-accept", "history"),
            ("history-first-page", "history"),
            ("history-last-page", "history"),
            ("memory-of-backlog", "memory"),
            ("memory-of-many-lanes", "spread"),
            ("restart-tenth", "restart"),
            ("restart-tenth-killed", "restart"),
            ("restart", "restart"),
            ("restart-killed", "restart"),
            ("sectors", "sectors"),
            ("idle-memory", "idle"),
            ("idle-cpu", "idle"),
            ("idle-wake-ups", "idle"),
            ("program-size", "idle"),
            ("many-endpoints", "endpoints"),
        ],
        always: &[],
        short: &["--quick"],
        short_rounds: None,
        // The others are about sizes that nothing short has.
        short_only: Some("idle"),
    },
];

/// Cases that no gate holds, and why.
pub(crate) const UNGATED: [(&str, &str); 4] = [
    ("latency-p50", "a program beside it lengthens the way of a few events much more than their limit"),
    ("latency-p99", "the same, and a hundredth of a short run is a few events"),
    ("idle-cpu", "it is nothing, or the hundredth of a second that is the unit"),
    ("idle-wake-ups", "a few, which is one timer more or less"),
];

/// Whether a gate holds this case.
pub(crate) fn is_gated(case: &str) -> bool {
    UNGATED.iter().all(|(ungated, _)| *ungated != case)
}

/// A case that is called by its key.
const fn own(key: &'static str) -> (&'static str, &'static str) {
    (key, key)
}

/// The benchmark with this case.
pub(crate) fn of(case: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.place(case).is_some())
}

impl Suite {
    /// The place of a case in the table.
    pub(crate) fn place(&self, case: &str) -> Option<usize> {
        self.cases.iter().position(|(key, _)| *key == case)
    }

    /// What it is told for all of its cases or for one, in its short form or its long one, with so
    /// many rounds or with its own number of them.
    pub(crate) fn arguments(&self, only: Option<&str>, short: bool, rounds: Option<u32>) -> Vec<String> {
        let named = match only {
            Some(case) => self.only(case),
            None => self.short_only.filter(|_| short),
        };
        let form = if short { self.short } else { &[] };
        let told = self.always.iter().chain(form).copied().chain(named.into_iter().flat_map(|only| ["--only", only]));
        let rounds = self.short_rounds.and_then(|of_short| rounds.or_else(|| short.then_some(of_short)));
        let rounds = rounds.into_iter().flat_map(|rounds| ["--rounds".to_owned(), rounds.to_string()]);
        told.map(str::to_owned).chain(rounds).collect()
    }

    /// What `--only` calls a case.
    fn only(&self, case: &str) -> Option<&'static str> {
        self.cases.iter().find(|(key, _)| *key == case).map(|(_, only)| *only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_one_benchmark() {
        let mut keys: Vec<_> = SUITES.iter().flat_map(|suite| suite.cases).map(|(key, _)| *key).collect();
        assert!(UNGATED.iter().all(|(key, _)| keys.contains(key)));
        assert_eq!(of("restart-killed").and_then(|suite| suite.only("restart-killed")), Some("restart"));
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn the_rounds_are_those_that_are_asked_for_or_those_of_the_form() {
        let arguments =
            |case, only, short, rounds| of(case).map(|suite| suite.arguments(only, short, rounds).join(" "));
        let said = |text: &str| Some(text.to_owned());
        let short = "--cases --events 20000 --steady-seconds 2";
        assert_eq!(arguments("accept-http", None, true, None), said(&format!("{short} --rounds 3")));
        let only = Some("accept-http");
        assert_eq!(
            arguments("accept-http", only, true, Some(15)),
            said(&format!("{short} --only accept-http --rounds 15"))
        );
        assert_eq!(arguments("accept-http", None, false, None), said("--cases"));
        assert_eq!(arguments("accept-http", None, false, Some(15)), said("--cases --rounds 15"));
        assert_eq!(arguments("idle-cpu", None, true, Some(15)), said("--quick --only idle"), "it has no rounds");
        assert_eq!(arguments("restart", Some("restart-killed"), false, None), said("--only restart"));
    }
}
