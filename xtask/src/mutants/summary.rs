//! What a run comes to.

use std::collections::BTreeMap;
use std::fmt;

use super::list::List;
use super::verdict::{Verdict, Verdicts};

/// How many came to which verdict, and the names of those that no test has noticed or tried.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    counts: BTreeMap<Verdict, usize>,
    unnoticed: Vec<(Verdict, String)>,
}

impl Summary {
    pub(crate) fn of(list: &List, verdicts: &Verdicts) -> Self {
        let mut summary = Self::default();
        for mutant in list.mutants.values() {
            if let Some(verdict) = verdicts.of(&mutant.name) {
                summary.count(&mutant.name, verdict);
            }
        }
        summary
    }

    fn count(&mut self, name: &str, verdict: Verdict) {
        *self.counts.entry(verdict).or_default() += 1;
        if matches!(verdict, Verdict::Missed | Verdict::NotReached | Verdict::NotPlaced) {
            self.unnoticed.push((verdict, name.to_owned()));
        }
    }

    fn sum(&self, of: &[Verdict]) -> usize {
        of.iter().filter_map(|verdict| self.counts.get(verdict)).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Verdict::{DoesNotCompile, Missed, NotPlaced, NotReached, Noticed, RanForEver};
        for (verdict, name) in &self.unnoticed {
            writeln!(f, "{verdict}: {name}")?;
        }
        write!(f, "{} mutants", self.counts.values().sum::<usize>())?;
        for verdict in [DoesNotCompile, NotPlaced, Noticed, RanForEver, Missed, NotReached] {
            write!(f, ", {} {verdict}", self.sum(&[verdict]))?;
        }
        // One that no test comes by is one that no test notices.
        let (noticed, all) = (self.sum(&[Noticed, RanForEver]), self.sum(&[Noticed, RanForEver, Missed, NotReached]));
        if all > 0 {
            write!(f, "; tests noticed {:.1} % of {all}", noticed as f64 * 100.0 / all as f64)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_those_that_were_tried() {
        let mut summary = Summary::default();
        summary.count("a", Verdict::DoesNotCompile);
        assert!(!summary.to_string().contains('%'));
        let tried = [Verdict::Noticed, Verdict::RanForEver, Verdict::Missed, Verdict::NotReached];
        for (name, verdict) in ["b", "c", "d", "e"].into_iter().zip(tried) {
            summary.count(name, verdict);
        }
        let expected = "missed: d\nnot reached: e\n5 mutants, 1 do not compile, 0 could not be placed, 1 noticed, 1 ran for ever, \
                        1 missed, 1 not reached; tests noticed 50.0 % of 4";
        assert_eq!(summary.to_string(), expected);
    }
}
