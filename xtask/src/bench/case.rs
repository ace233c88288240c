//! A case as a benchmark prints it. The shape is that of `benches/common/case.rs`.

use serde::Deserialize;
use serde_json::Value;

/// What a benchmark prints; all else in there is its own.
#[derive(Debug, Deserialize)]
pub(crate) struct Printed {
    /// The machine that it ran on.
    #[serde(default)]
    pub(crate) machine: Value,
    /// The file system with its store.
    #[serde(default)]
    pub(crate) volume: Value,
    /// How much was sent.
    #[serde(default)]
    pub(crate) load: Value,
    /// All of its cases, as they are, so that nothing is lost when they are printed again.
    pub(crate) cases: Vec<Value>,
}

/// What the table and the gate need of a case.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) case: String,
    pub(crate) limit: String,
    pub(crate) target: Target,
    pub(crate) value: f64,
    pub(crate) limit_value: Option<f64>,
    pub(crate) unit: String,
    pub(crate) ratio: Middle,
    pub(crate) cpu_s_per_1000_events: Option<f64>,
    pub(crate) limit_cpu_s_per_1000_events: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
}

/// What the ratio should reach.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// The ratios of all rounds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) smallest: f64,
    pub(crate) largest: f64,
}

impl Case {
    /// Whether its target is met.
    pub(crate) fn is_met(&self) -> bool {
        match self.target {
            Target::AtLeast(least) => self.ratio.median >= least,
            Target::AtMost(most) => self.ratio.median <= most,
        }
    }

    /// Whether it is a fifth worse than it was, or more.
    pub(crate) fn is_worse_than(&self, recorded: f64) -> bool {
        match self.target {
            Target::AtLeast(_) => self.ratio.median < 0.8 * recorded,
            Target::AtMost(_) => self.ratio.median > 1.25 * recorded,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A case with such a ratio.
    pub(crate) fn case(key: &str, target: &str, ratio: f64) -> Case {
        let case = json!({
            "case": key, "limit": "bare loop", "target": { target: 0.65 }, "value": 25000.0, "limit_value": 62000.0,
            "unit": "events/s", "ratio": { "median": ratio, "smallest": 0.31, "largest": 0.5 },
            "cpu_s_per_1000_events": 0.042, "limit_cpu_s_per_1000_events": null, "peak_mib": 74.2,
        });
        serde_json::from_value(case).expect("it has the shape")
    }

    #[test]
    fn more_is_better_or_less_is() {
        let (more, less) = (case("a", "at_least", 0.65), case("b", "at_most", 0.65));
        assert!(more.is_met() && less.is_met());
        assert!(!case("a", "at_least", 0.64).is_met());
        assert!(!case("b", "at_most", 0.66).is_met());
        assert!(!more.is_worse_than(0.8) && more.is_worse_than(0.82));
        assert!(!less.is_worse_than(0.53) && less.is_worse_than(0.51));
    }
}
