//! Some figures, in short.

use std::fmt;

use serde::Serialize;

/// The middle one of some figures, with the smallest and the largest.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) smallest: f64,
    pub(crate) largest: f64,
}

impl Middle {
    /// All 0 if there are none.
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or_default();
        Self { median: at(figures.len() / 2), smallest: at(0), largest: at(figures.len().saturating_sub(1)) }
    }
}

impl fmt::Display for Middle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2} ({:.2}-{:.2})", self.median, self.smallest, self.largest);
        f.pad(&text)
    }
}
