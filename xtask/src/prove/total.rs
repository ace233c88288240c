//! What the runs of one case come to.

use std::collections::{BTreeMap, BTreeSet};

use super::run::Run;

/// The sum of runs.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Total {
    /// Rounds of the runs that passed.
    pub(crate) rounds: u64,
    /// Runs that failed.
    pub(crate) failed: usize,
    /// Numbers, by name: sums; the largest of those that begin with `most_`, the
    /// smallest of those that begin with `least_`.
    pub(crate) found: BTreeMap<String, f64>,
    /// The first and the last commit, in the order of the runs.
    pub(crate) commits: Vec<String>,
    pub(crate) places: BTreeSet<String>,
}

impl Total {
    /// Of these runs of one case, in their order.
    pub(crate) fn of<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Self {
        let mut total = Self::default();
        for run in runs {
            total.places.insert(format!("{}, {}", run.machine, run.file_system));
            if !total.commits.contains(&run.commit) {
                total.commits.push(run.commit.clone());
            }
            if !run.passed {
                total.failed += 1;
                continue;
            }
            total.rounds += run.rounds;
            for (name, value) in &run.found {
                if let Some(number) = value.as_f64() {
                    total.add(name, number);
                }
            }
        }
        total
    }

    fn add(&mut self, name: &str, number: f64) {
        let with = match name {
            _ if name.starts_with("most_") => f64::max,
            _ if name.starts_with("least_") => f64::min,
            _ => |sum: f64, number: f64| sum + number,
        };
        self.found.entry(name.to_owned()).and_modify(|known| *known = with(*known, number)).or_insert(number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::run::tests::run;
    use super::*;

    #[test]
    fn numbers_are_added_up_and_the_most_is_the_most() {
        let mut runs = vec![
            run(
                "kill",
                100,
                json!({ "lost": 0, "duplicates": 5, "most_a_kill": 3, "least_accepted": 9, "why": "text" }),
            ),
            run("kill", 50, json!({ "lost": 0, "duplicates": 2, "most_a_kill": 2, "least_accepted": 7 })),
        ];
        runs.push(Run { passed: false, commit: "def".into(), ..run("kill", 70, json!({ "duplicates": 1 })) });
        let total = Total::of(&runs);
        assert_eq!((total.rounds, total.failed), (150, 1));
        let found: Vec<_> = total.found.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        assert_eq!(found, [("duplicates", 7.0), ("least_accepted", 7.0), ("lost", 0.0), ("most_a_kill", 3.0)]);
        assert_eq!(total.commits, ["abc", "def"]);
    }
}
