//! The table of `docs/reliability.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::case::{Case, From};
use super::cases::CASES;
use super::run::Run;
use super::total::Total;

const BEGIN: &str = "<!-- scorecard: made by cargo xtask scorecard -->\n";
const END: &str = "<!-- end of scorecard -->\n";

/// The document with the table of these runs in it.
///
/// # Errors
/// It has no place for the table.
pub(crate) fn into(document: &str, runs: &[Run]) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).context("the document has no beginning of a scorecard")?;
    let (_, after) = rest.split_once(END).context("the document has no end of a scorecard")?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table(runs)))
}

/// For a terminal: the cases, and how much has been done.
pub(crate) fn list(runs: &[Run]) -> String {
    let mut text = String::new();
    for case in &CASES {
        let total = Total::of(of(case, runs));
        let done = format!("{} of {}", total.rounds, case.target);
        // It is a string: nothing can fail.
        let _ = writeln!(text, "{:<20} {done:>22} {:<16} {}", case.key, case.unit, case.figure);
    }
    text
}

fn of<'a>(case: &Case, runs: &'a [Run]) -> impl Iterator<Item = &'a Run> {
    let key = case.key;
    runs.iter().filter(move |run| run.case == key)
}

fn table(runs: &[Run]) -> String {
    let totals: Vec<_> = CASES.iter().map(|case| (case, Total::of(of(case, runs)))).collect();
    let places: BTreeSet<&str> = totals.iter().flat_map(|(_, total)| &total.places).map(String::as_str).collect();
    let places: Vec<_> = places.into_iter().collect();
    let mut text = String::from(
        "| # | what is shown | target | done | found | commits | machine | `--only` |\n|--:|---|--:|--:|---|---|---|---|\n",
    );
    for (number, (case, total)) in totals.iter().enumerate() {
        let _ = writeln!(
            text,
            "| {} | {} | {} {} | {} ({:.0} %) | {} | {} | {} | `{}` |",
            number + 1,
            case.figure,
            grouped(case.target as f64),
            case.unit,
            grouped(total.rounds as f64),
            (case.share(total.rounds) * 100.0).floor(),
            found(case, total),
            commits(total),
            letters(total, &places),
            case.key,
        );
    }
    text.push_str("\nMachines:\n\n");
    for (at, place) in places.iter().enumerate() {
        let _ = writeln!(text, "- {}: {place}", letter(at));
    }
    text
}

fn found(case: &Case, total: &Total) -> String {
    if total.rounds == 0 && total.failed == 0 {
        return "not run yet".to_owned();
    }
    let mut parts: Vec<String> =
        total.found.iter().map(|(name, number)| format!("{} {}", name.replace('_', " "), grouped(*number))).collect();
    if parts.is_empty() {
        parts.push("passed".to_owned());
    }
    if total.failed > 0 {
        parts.insert(0, format!("**{} runs failed**", total.failed));
    }
    if case.from == From::Fuzz {
        parts.push(format!("{} hours", grouped((total.rounds as f64 / 360.0).round() / 10.0)));
    }
    parts.join("; ")
}

fn commits(total: &Total) -> String {
    match (total.commits.first(), total.commits.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.clone(),
        _ => String::new(),
    }
}

fn letters(total: &Total, places: &[&str]) -> String {
    let at = |place: &String| places.iter().position(|known| known == place).map(letter);
    total.places.iter().filter_map(at).collect::<Vec<_>>().join(", ")
}

fn letter(at: usize) -> String {
    let letter = u8::try_from(at).ok().and_then(|at| b'A'.checked_add(at)).filter(u8::is_ascii_uppercase);
    letter.map_or_else(|| format!("M{at}"), |letter| char::from(letter).to_string())
}

/// With a comma between thousands.
fn grouped(number: f64) -> String {
    if number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::run::tests::run;
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let case = CASES.first().expect("there are some");
        let document = format!("# Title\n\n{BEGIN}stale\n{END}\nafter\n");
        let runs = [run(case.key, 1_234, json!({ "lost": 0, "most_a_kill": 12_345 }))];
        let text = into(&document, &runs).expect("it has its place");
        assert!(text.starts_with("# Title\n") && text.ends_with("\nafter\n") && !text.contains("stale"), "{text}");
        assert!(text.contains("| 1,234 (") && text.contains("lost 0; most a kill 12,345 | abc | A |"), "{text}");
        assert!(text.contains("not run yet"), "the others: {text}");
        assert_eq!(into(&text, &runs).expect("it has its place"), text);
        assert!(into("# Title\n", &runs).is_err());
    }

    #[test]
    fn a_run_that_failed_is_not_hidden() {
        let case = CASES.first().expect("there are some");
        let failed = Run { passed: false, ..run(case.key, 5, json!({})) };
        assert!(table(&[failed]).contains("**1 runs failed**"));
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [0.0, 999.0, 1_000.0, 1_234_567.0, 2.5].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567", "2.5"]);
    }
}
