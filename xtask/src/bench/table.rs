//! The table of all cases, for people.

use super::case::{Case, Target};

const HEADS: [&str; 10] = [
    "case",
    "limit",
    "value",
    "limit's",
    "unit",
    "ratio (min-max)",
    "target",
    "met",
    "cpu s/1000 events (limit's)",
    "peak MiB",
];

/// All cases, in Markdown with columns that also a terminal can show.
pub(crate) fn table(cases: &[Case]) -> String {
    let rows: Vec<_> = cases.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let head = HEADS.get(column).map_or(0, |head| head.len());
        cells.chain([head]).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..HEADS.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} "));
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|");
    let rows: String = rows.iter().map(|row| line(row)).collect();
    line(&HEADS.map(str::to_owned)) + &format!("|{rule}|\n") + &rows
}

fn row(case: &Case) -> [String; 10] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cost = |cost: f64| format!("{cost:.4}");
    let limit_cost = case.limit_cpu_s_per_1000_events.map(|limit| format!(" ({})", cost(limit))).unwrap_or_default();
    [
        case.case.clone(),
        if case.limit.is_empty() { "-".to_owned() } else { case.limit.clone() },
        number(case.value),
        or_none(case.limit_value.map(number)),
        case.unit.clone(),
        format!("{:.2} ({:.2}-{:.2})", case.ratio.median, case.ratio.smallest, case.ratio.largest),
        match case.target {
            Target::AtLeast(least) => format!(">= {least}"),
            Target::AtMost(most) => format!("<= {most}"),
        },
        if case.is_met() { "yes" } else { "no" }.to_owned(),
        or_none(case.cpu_s_per_1000_events.map(|own| cost(own) + &limit_cost)),
        or_none(case.peak_mib.map(|mib| format!("{mib:.0}"))),
    ]
}

/// Three digits at least are told apart.
fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::super::case::tests::case;
    use super::*;

    #[test]
    fn every_line_has_all_columns_at_the_same_place() {
        let text = table(&[case("deliver-socket", "at_least", 0.4), case("latency-p50", "at_most", 0.6)]);
        let places = |line: &str| line.match_indices('|').map(|(place, _)| place).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines.iter().all(|line| places(line) == places(lines[0])), "{text}");
        assert!(lines[2].contains("0.40 (0.31-0.50)") && lines[2].contains(" no "), "{text}");
        assert!(lines[3].contains("<= 0.65") && lines[3].contains(" yes "), "{text}");
    }
}
