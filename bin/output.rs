//! What commands print: data on standard output, everything else on standard
//! error. Tables can be read without colour; `--json` prints what the server
//! answered.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::Value;

use crate::client::Answer;
use crate::exit::Failure;

/// Where a command prints to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// `--json`: objects for programs in place of text for people.
    pub(crate) json: bool,
}

impl Output {
    /// A line of data.
    pub(crate) fn line(self, text: impl Display) -> Result<(), Failure> {
        written(writeln!(io::stdout().lock(), "{text}"))
    }

    /// Data that has its own line ends.
    pub(crate) fn text(self, text: impl Display) -> Result<(), Failure> {
        written(write!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()))
    }

    /// A line for the person, not for a program.
    pub(crate) fn note(self, text: impl Display) {
        // If standard error is gone there is nobody left to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Something was done of which there is nothing to show: a line for the person, and an object for a program.
    pub(crate) fn done(self, told: &Value, note: impl Display) -> Result<(), Failure> {
        self.note(note);
        if self.json { self.line(told) } else { Ok(()) }
    }

    /// An answer: as the server gave it, on a line of its own, or as `human` makes it.
    pub(crate) fn answer(self, answer: &Answer, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json { self.line(&answer.text) } else { self.text(human(answer)) }
    }
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::quiet()),
        other => other.map_err(|error| Failure::system("failed to write to standard output", &error)),
    }
}

/// Columns under headings.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: impl Into<Vec<&'static str>>) -> Self {
        Self { headings: headings.into(), rows: vec![] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.to_uppercase()).collect();
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let cells = self.rows.iter().chain([&headings]).filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in [&headings].into_iter().chain(&self.rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// One object as `name  value` lines; what is empty is left out.
pub(crate) fn card(fields: &[(&str, String)]) -> String {
    let shown: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    shown.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// A member of an answer as text: empty if it is not there or null, lists with
/// commas. Control characters are escaped, so that what a stranger's endpoint
/// answered cannot move the cursor.
pub(crate) fn field(answer: &Value, name: &str) -> String {
    answer.get(name).map(plain).unwrap_or_default()
}

/// A number of bytes of an answer, in the largest unit of which there is one.
pub(crate) fn size(answer: &Value, name: &str) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let Some(bytes) = answer.get(name).and_then(Value::as_u64) else { return String::new() };
    let (mut amount, mut unit) = (bytes as f64, "bytes");
    for larger in UNITS {
        if amount < 1_024.0 {
            break;
        }
        (amount, unit) = (amount / 1_024.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{amount:.1} {unit}") }
}

/// A number of an answer with its unit; empty if it is not there or null.
pub(crate) fn with_unit(answer: &Value, name: &str, unit: &str) -> String {
    match field(answer, name) {
        none if none.is_empty() => none,
        number => format!("{number} {unit}"),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        Value::Array(members) => members.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(members) if members.is_empty() => String::new(),
        other => other.to_string(),
    }
}

/// The text with control characters escaped.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// A time of the API to the second: `2026-11-23 16:29:32Z`.
pub(crate) fn time(answer: &Value, name: &str) -> String {
    let text = field(answer, name);
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => text,
    }
}

/// The members of a list that the server answered.
pub(crate) fn data(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("data").and_then(Value::as_array).into_iter().flatten()
}

/// The line below a page that is not the last.
pub(crate) fn more(answer: &Value) -> String {
    let done = answer.get("done").and_then(Value::as_bool).unwrap_or(true);
    match answer.get("iterator").and_then(Value::as_str) {
        Some(iterator) if !done => format!("(more: --iterator {iterator})\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_without_trailing_space() {
        let mut table = Table::new(["id", "name"]);
        table.row(["1".to_owned(), "Käse".to_owned()]);
        table.row(["100".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "ID   NAME\n1    Käse\n100\n");
    }

    #[test]
    fn a_card_leaves_out_what_is_empty() {
        let fields = [("id", "app_1".to_owned()), ("uid", String::new()), ("created", "now".to_owned())];
        assert_eq!(card(&fields), "id       app_1\ncreated  now\n");
    }

    #[test]
    fn fields_are_text_that_a_terminal_can_bear() {
        let answer = json!({ "a": null, "b": ["x", "y"], "c": 3, "d": "\u{1b}[2J", "e": {}, "f": { "k": "v" } });
        assert_eq!(field(&answer, "a"), "");
        assert_eq!(field(&answer, "b"), "x,y");
        assert_eq!(field(&answer, "c"), "3");
        assert_eq!(field(&answer, "d"), "\\u{1b}[2J");
        assert_eq!(field(&answer, "e"), "");
        assert_eq!(field(&answer, "f"), "{\"k\":\"v\"}");
        assert_eq!(field(&answer, "none"), "");
    }

    #[test]
    fn sizes_are_shown_in_a_unit_that_fits() {
        let answer = json!({ "a": 0, "b": 1023, "c": 1536, "d": 5u64 << 30, "e": null });
        let shown = ["a", "b", "c", "d", "e"].map(|name| size(&answer, name));
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 GiB", ""]);
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(&json!({ "t": "2026-11-23T16:29:32.123456Z" }), "t"), "2026-11-23 16:29:32Z");
        assert_eq!(time(&json!({ "t": "soon" }), "t"), "soon");
    }

    #[test]
    fn only_a_page_with_more_behind_it_says_so() {
        assert_eq!(more(&json!({ "data": [], "done": false, "iterator": "x" })), "(more: --iterator x)\n");
        assert_eq!(more(&json!({ "data": [], "done": true, "iterator": "x" })), "");
    }
}
