//! Puts all mutants of a file into one text, each behind its number.
//!
//! ```text
//!   fn f() { body }   -->   fn f() { match crate::mutants_switch::at(4) {
//!                           17 => { body with mutant 17 }
//!                           18 => { body with mutant 18 }
//!                           _ => { body }
//!                           } }
//! ```
//!
//! No line has parts of two of them, so that an error tells whose it is by its line.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};

use super::head;
use super::list::{List, Place, Site, Span};

/// A file with its mutants.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    pub(crate) text: String,
    pub(crate) parts: Vec<Part>,
}

/// Lines of what was planted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) lines: RangeInclusive<usize>,
    pub(crate) site: usize,
    /// `None` of the whole function.
    pub(crate) mutant: Option<usize>,
}

/// Plants what is not left out into the text of this file.
///
/// # Errors
/// The list is not of this text.
pub(crate) fn plant(text: &str, file: &str, list: &List, left_out: &BTreeSet<usize>) -> Result<Planted> {
    let mut out = Writer::default();
    let mut last = 0;
    for number in list.files.get(file).into_iter().flatten() {
        let Some(site) = list.sites.get(number) else { continue };
        let live: Vec<_> = site.mutants.iter().copied().filter(|mutant| !left_out.contains(mutant)).collect();
        if live.is_empty() {
            continue;
        }
        let function = Function::find(text, site).with_context(|| format!("{file}: {}", site.name))?;
        out.push(text.get(last..function.start).context("functions overlap")?);
        function.write(&mut out, *number, &live, list).with_context(|| format!("{file}: {}", site.name))?;
        last = function.end;
    }
    out.push(text.get(last..).context("a function ends behind the file")?);
    Ok(Planted { text: out.text, parts: out.parts })
}

/// A function in its file.
struct Function<'a> {
    text: &'a str,
    start: usize,
    body: usize,
    end: usize,
}

impl<'a> Function<'a> {
    fn find(text: &'a str, site: &Site) -> Result<Self> {
        let (start, end) = range(text, site.span)?;
        let whole = text.get(start..end).context("its span is none")?;
        let body = start + head::body(whole).context("it has no body")?;
        ensure!(whole.ends_with('}'), "its end is not where it is listed");
        Ok(Self { text, start, body, end })
    }

    fn write(&self, out: &mut Writer, site: usize, mutants: &[usize], list: &List) -> Result<()> {
        let piece = |from, to| self.text.get(from..to).context("a mutant lies outside of its function's body");
        let begin = out.line();
        let head = piece(self.start, self.body)?;
        out.push(&head::without_const(head).unwrap_or_else(|| head.to_owned()));
        out.push(&format!("{{ match crate::mutants_switch::at({site}) {{\n"));
        for number in mutants {
            let mutant = list.mutants.get(number).context("it is not listed")?;
            let (from, to) = range(self.text, mutant.span)?;
            let (before, after) = (piece(self.body, from)?, piece(to, self.end)?);
            out.push(&format!("{number} =>\n"));
            let first = out.line();
            out.push(&[before, &mutant.replacement, after].concat());
            out.parts.push(Part { lines: first..=out.line(), site, mutant: Some(*number) });
            out.push("\n");
        }
        out.push("_ =>\n");
        out.push(piece(self.body, self.end)?);
        out.push("\n} }");
        out.parts.push(Part { lines: begin..=out.line(), site, mutant: None });
        Ok(())
    }
}

/// A text that knows its lines.
#[derive(Default)]
struct Writer {
    text: String,
    ends: usize,
    parts: Vec<Part>,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.ends += text.matches('\n').count();
        self.text.push_str(text);
    }

    /// The line that is being written.
    const fn line(&self) -> usize {
        self.ends + 1
    }
}

fn range(text: &str, span: Span) -> Result<(usize, usize)> {
    Ok((offset(text, span.start)?, offset(text, span.end)?))
}

fn offset(text: &str, at: Place) -> Result<usize> {
    let nth = |from: usize| from.checked_sub(1).context("lines and columns begin at 1");
    let line = text.split_inclusive('\n').nth(nth(at.line)?).context("the file has fewer lines")?;
    let begin: usize = text.split_inclusive('\n').take(nth(at.line)?).map(str::len).sum();
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    Ok(begin + { ends }.nth(nth(at.column)?).context("the line is shorter")?)
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::{mutant, span};
    use super::*;

    const TEXT: &str = "use a;\n\nimpl A {\n    const fn é(x: u8) -> bool {\n        x < 1\n    }\n}\n";

    fn list() -> List {
        let function = Some(("A::é", span((4, 5), (6, 6))));
        let value = mutant(function, span((5, 9), (5, 14)), "true");
        let operator = mutant(function, span((5, 11), (5, 12)), "<=");
        List::of(vec![value, operator])
    }

    #[test]
    fn each_mutant_lies_behind_its_number() {
        let planted = plant(TEXT, "a.rs", &list(), &BTreeSet::new()).expect("it can be planted");
        let body = |of: &str| format!("{{\n        {of}\n    }}\n");
        let (first, second, none) = (body("true"), body("x <= 1"), body("x < 1"));
        let expected = format!(
            "use a;\n\nimpl A {{\n    fn é(x: u8) -> bool {{ match crate::mutants_switch::at(1) {{\n\
             1 =>\n{first}2 =>\n{second}_ =>\n{none}}} }}\n}}\n"
        );
        assert_eq!(planted.text, expected);
        let part = |lines, mutant| Part { lines, site: 1, mutant };
        assert_eq!(planted.parts, [part(6..=8, Some(1)), part(10..=12, Some(2)), part(4..=17, None)]);
    }

    #[test]
    fn what_is_left_out_is_not_there() {
        let planted = plant(TEXT, "a.rs", &list(), &BTreeSet::from([1])).expect("it can be planted");
        assert!(planted.text.contains("2 =>") && !planted.text.contains("1 =>"));
        // A function without mutants is as it was, and so it stays `const`.
        let planted = plant(TEXT, "a.rs", &list(), &BTreeSet::from([1, 2])).expect("it can be planted");
        assert_eq!((planted.text.as_str(), planted.parts.len()), (TEXT, 0));
        assert_eq!(plant(TEXT, "b.rs", &list(), &BTreeSet::new()).expect("there are none").text, TEXT);
    }

    #[test]
    fn a_list_of_another_text_is_refused() {
        for text in ["", "use a;\n\nimpl A {\n    fn short() {}\n}\n", "a\nb\nc\nd\ne\nf\ng\n"] {
            assert!(plant(text, "a.rs", &list(), &BTreeSet::new()).is_err(), "{text}");
        }
    }
}
