//! A scrape of the metrics, read by the rules of the Prometheus text format.

use std::collections::BTreeMap;

use super::Api;

/// Names with labels as they stand in the text, and their values.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Scrapes.
    pub(crate) async fn scrape(door: &Api) -> Self {
        let answer = door.ask("GET", "/metrics", &[], "").await;
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body.to_vec()).expect("metrics are UTF-8");
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        Self(read.collect())
    }

    /// The sum over all samples of a name whose labels contain `label`.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let has = |sample: &str| {
            let rest = sample.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{')) && sample.contains(label)
        };
        self.0.iter().filter(|(sample, _)| has(sample)).map(|(_, value)| value).sum()
    }

    /// The names without labels.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(|sample| sample.split('{').next().unwrap_or_default()).collect();
        names.dedup();
        names
    }
}
