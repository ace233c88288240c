//! A case: what the server does beside what the machine allows, in one shape for
//! every benchmark. `cargo xtask bench` makes the table of them.

use serde::Serialize;

use super::middle::Middle;

/// What a case should reach: a ratio by its limit, or the value itself where
/// there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

/// One case with its limit, measured in the same run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Case {
    /// The key by which it is found again, in kebab case; it stays as it is.
    pub(crate) case: &'static str,
    /// What it is compared with.
    pub(crate) limit: String,
    pub(crate) target: Target,
    /// The median round's.
    pub(crate) value: f64,
    /// The limit's; none where the target is the value itself.
    pub(crate) limit_value: Option<f64>,
    /// Of both values.
    pub(crate) unit: &'static str,
    /// Value by limit, each round by itself; without a limit the values of the rounds.
    pub(crate) ratio: Middle,
    /// Processor seconds of the server.
    pub(crate) cpu_s_per_1000_events: Option<f64>,
    /// The same of the limit.
    pub(crate) limit_cpu_s_per_1000_events: Option<f64>,
    /// The most memory the server had resident, in MiB.
    pub(crate) peak_mib: Option<f64>,
}

/// One round of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) value: f64,
    pub(crate) limit: f64,
}

impl Case {
    /// Out of its rounds; costs and memory are not known yet.
    pub(crate) fn new(
        case: &'static str,
        limit: impl Into<String>,
        target: Target,
        unit: &'static str,
        rounds: &[Pair],
    ) -> Self {
        let median = |of: fn(&Pair) -> f64| Middle::of(rounds.iter().map(of).collect()).median;
        Self {
            case,
            limit: limit.into(),
            target,
            value: median(|pair| pair.value),
            limit_value: Some(median(|pair| pair.limit)),
            unit,
            ratio: Middle::of(rounds.iter().map(|pair| pair.value / pair.limit).collect()),
            cpu_s_per_1000_events: None,
            limit_cpu_s_per_1000_events: None,
            peak_mib: None,
        }
    }

    /// One whose target is a value of its own, without anything beside it.
    pub(crate) fn alone(case: &'static str, target: Target, unit: &'static str, values: Vec<f64>) -> Self {
        let values = Middle::of(values);
        let ratio = Case::new(case, "", target, unit, &[]);
        Self { value: values.median, limit_value: None, ratio: values, ..ratio }
    }
}
