//! The mutants of a crate, as `cargo mutants` lists them, and the functions they lie in.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::tool;

const TOOL: &str = "cargo-mutants";

/// A change of the code at one place.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    /// The place and the change; no two have the same.
    pub(crate) name: String,
    /// Below the root of the workspace.
    pub(crate) file: String,
    /// `None` outside of functions, as in a constant.
    pub(crate) function: Option<Function>,
    /// What is replaced.
    pub(crate) span: Span,
    pub(crate) replacement: String,
}

/// A function, with its attributes and its body.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Function {
    #[serde(rename = "function_name")]
    pub(crate) name: String,
    pub(crate) span: Span,
}

/// A piece of a file; the end is the first place behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// A line and a column in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// An outermost function: what lies inside of another one is changed with that.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) span: Span,
    /// The numbers of the mutants in it.
    pub(crate) mutants: Vec<usize>,
}

/// All mutants, by their numbers, from 1: 0 is none in the program.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) mutants: BTreeMap<usize, Mutant>,
    /// By their numbers, from 1.
    pub(crate) sites: BTreeMap<usize, Site>,
    /// The numbers of the sites of each file.
    pub(crate) files: BTreeMap<String, Vec<usize>>,
}

impl List {
    /// Has `cargo mutants` list those of a package, and takes of them those that have `only`
    /// in their name. Its own `--re` lets some through that it does not find.
    ///
    /// # Errors
    /// It is not installed, or fails.
    pub(crate) fn ask(root: &Path, tools: &Path, package: &str, only: Option<&str>) -> Result<Self> {
        let installed = tools.join("bin").join(TOOL);
        let program = if installed.exists() { installed.as_os_str() } else { TOOL.as_ref() };
        let mut command = tool::as_from_a_shell(program);
        command.current_dir(root).args(["mutants", "--list", "--json", "--package", package]);
        let text = match tool::run(&mut command) {
            Ok(text) => text,
            Err(error) if is_missing(&error) => {
                bail!("{TOOL} is missing\nhint: cargo install --locked --root target/ci-tools {TOOL}")
            }
            Err(error) => return Err(error),
        };
        let all: Vec<Mutant> =
            serde_json::from_str(&text).with_context(|| format!("what {TOOL} lists is not understood"))?;
        let is_asked_for = |mutant: &Mutant| only.is_none_or(|only| mutant.name.contains(only));
        Ok(Self::of(all.into_iter().filter(is_asked_for).collect()))
    }

    /// Numbers them.
    pub(crate) fn of(mutants: Vec<Mutant>) -> Self {
        let mut list = Self { mutants: (1..).zip(mutants).collect(), ..Self::default() };
        let mut functions: BTreeMap<_, (&str, Vec<usize>)> = BTreeMap::new();
        for (number, mutant) in &list.mutants {
            let Some(function) = &mutant.function else { continue };
            // In the order of the file, and of two that begin together the outer one first.
            let key = (mutant.file.as_str(), function.span.start, Reverse(function.span.end));
            functions.entry(key).or_insert((function.name.as_str(), vec![])).1.push(*number);
        }
        let mut last: Option<(&str, Site)> = None;
        let mut all = vec![];
        for ((file, start, Reverse(end)), (name, mutants)) in functions {
            match &mut last {
                Some((of, site)) if *of == file && start < site.span.end => site.mutants.extend(mutants),
                _ => all.extend(last.replace((file, Site { name: name.into(), span: Span { start, end }, mutants }))),
            }
        }
        all.extend(last);
        let all: Vec<_> = all.into_iter().map(|(file, site)| (file.to_owned(), site)).collect();
        for (number, (file, site)) in (1..).zip(all) {
            list.files.entry(file).or_default().push(number);
            list.sites.insert(number, site);
        }
        list
    }

    /// The numbers of those that lie in no function.
    pub(crate) fn outside(&self) -> impl Iterator<Item = usize> + '_ {
        self.mutants.iter().filter(|(_, mutant)| mutant.function.is_none()).map(|(number, _)| *number)
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kind == Some(ErrorKind::NotFound)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn span(start: (usize, usize), end: (usize, usize)) -> Span {
        let place = |(line, column)| Place { line, column };
        Span { start: place(start), end: place(end) }
    }

    /// In `a.rs`.
    pub(in super::super) fn mutant(function: Option<(&str, Span)>, at: Span, replacement: &str) -> Mutant {
        Mutant {
            name: format!("a.rs:{}:{}: {replacement}", at.start.line, at.start.column),
            file: "a.rs".into(),
            function: function.map(|(name, span)| Function { name: name.into(), span }),
            span: at,
            replacement: replacement.into(),
        }
    }

    #[test]
    fn a_function_inside_of_another_is_changed_with_that() {
        let outer = ("outer", span((1, 1), (9, 2)));
        let inner = ("inner", span((2, 5), (4, 6)));
        let next = ("next", span((9, 3), (9, 20)));
        let at = span((3, 1), (3, 2));
        let mutants = [Some(inner), Some(next), None, Some(outer)].map(|function| mutant(function, at, "x"));
        let list = List::of(mutants.into());
        let sites: Vec<_> = list.sites.values().map(|site| (site.name.as_str(), site.mutants.as_slice())).collect();
        assert_eq!(sites, [("outer", &[4, 1][..]), ("next", &[2][..])]);
        assert_eq!(list.files.get("a.rs"), Some(&vec![1, 2]));
        assert_eq!(list.outside().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_the_tool_prints_is_read() {
        let text = r#"[{"name":"a.rs:2:5: replace f with ()","file":"a.rs","package":"p","genre":"FnValue","diff":"",
            "function":{"function_name":"f","return_type":"","span":{"start":{"line":1,"column":1},"end":{"line":3,"column":2}}},
            "replacement":"()","span":{"start":{"line":2,"column":5},"end":{"line":2,"column":9}}}]"#;
        let mutants: Vec<Mutant> = serde_json::from_str(text).expect("it is valid");
        assert_eq!(List::of(mutants).sites.get(&1).expect("one").span, span((1, 1), (3, 2)));
    }
}
