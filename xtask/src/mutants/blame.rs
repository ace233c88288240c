//! Which mutants it is that a program does not compile for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::list::List;
use super::plant::Part;
use super::verdict::Verdict;

/// What the compiler says.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) level: String,
    pub(crate) message: String,
    spans: Vec<Spot>,
    /// As a person reads it.
    pub(crate) rendered: Option<String>,
}

/// A place that it says it of.
#[derive(Debug, Deserialize)]
struct Spot {
    file_name: String,
    line_start: usize,
    is_primary: bool,
    /// Where the macro is called, of what a macro has made.
    expansion: Option<Box<Expansion>>,
}

#[derive(Debug, Deserialize)]
struct Expansion {
    span: Spot,
}

/// Where everything was planted, by file.
pub(crate) type Parts = BTreeMap<String, Vec<Part>>;

/// The mutants without which this error would not be.
///
/// It is those at the place of the error, or else those at other places that it names, or
/// else all of the function. A result that is `impl Trait` has one type, and each of our
/// arms its own: there the error says nothing against the mutant.
pub(crate) fn blame(error: &Message, parts: &Parts, list: &List) -> BTreeMap<usize, Verdict> {
    let not_placed = |mutants: Vec<usize>| mutants.into_iter().map(|mutant| (mutant, Verdict::NotPlaced)).collect();
    if let Some(name) = not_const(&error.message) {
        let mutants = of_function(&name, list);
        if !mutants.is_empty() {
            return not_placed(mutants);
        }
    }
    let at = |only_primary: bool| -> Vec<&Part> {
        let spots = error.spans.iter().filter(|spot| spot.is_primary || !only_primary);
        spots.flat_map(Spot::chain).flat_map(|spot| spot.parts(parts)).collect()
    };
    let is_placed_wrong = error.message.contains("`match` arms have incompatible types");
    for found in [at(true), at(false)] {
        let mutants: BTreeSet<_> = found.iter().filter_map(|part| part.mutant).collect();
        if !mutants.is_empty() && !is_placed_wrong {
            return mutants.into_iter().map(|mutant| (mutant, Verdict::DoesNotCompile)).collect();
        }
    }
    let sites: BTreeSet<_> = at(true).iter().map(|part| part.site).collect();
    let sites = sites.iter().filter_map(|site| list.sites.get(site));
    not_placed(sites.flat_map(|site| site.mutants.iter().copied()).collect())
}

impl Spot {
    /// The place, and then where the macros are called that it comes from.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |spot| spot.expansion.as_ref().map(|expansion| &expansion.span))
    }

    fn parts<'a>(&self, parts: &'a Parts) -> impl Iterator<Item = &'a Part> + use<'a> {
        let line = self.line_start;
        parts.get(&self.file_name).into_iter().flatten().filter(move |part| part.lines.contains(&line))
    }
}

/// The name of the function that has to be `const`, if that is the error.
fn not_const(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("non-const ")?;
    let (_, rest) = rest.split_once('`')?;
    rest.split_once('`').map(|(name, _)| without_generics(name))
}

/// The mutants of the functions of this name, with the type that they belong to or, where
/// none has it, without.
fn of_function(name: &str, list: &List) -> Vec<usize> {
    let named = |segments: usize| -> Vec<usize> {
        let wanted = last(name, segments);
        let is_it = |own: &str| last(&without_generics(own), segments) == wanted;
        let sites = list.sites.values().filter(|site| is_it(&site.name));
        sites.flat_map(|site| site.mutants.iter().copied()).collect()
    };
    let exact = named(2);
    if exact.is_empty() { named(1) } else { exact }
}

/// The last segments of a path.
fn last(path: &str, segments: usize) -> Vec<String> {
    let mut all: Vec<_> = path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
    all.split_off(all.len().saturating_sub(segments))
}

fn without_generics(name: &str) -> String {
    let mut depth = 0_usize;
    let mut rest = String::new();
    for next in name.chars() {
        match next {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => rest.push(next),
            _ => {}
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::{mutant, span};
    use super::*;

    fn list() -> List {
        let at = span((2, 1), (2, 2));
        let of = |name, line| mutant(Some((name, span((line, 1), (line + 1, 1)))), at, "x");
        List::of(vec![of("Of<T>::new", 1), of("Of<T>::new", 1), of("other", 5)])
    }

    fn parts() -> Parts {
        let part = |lines, site, mutant| Part { lines, site, mutant };
        let all = vec![
            part(11..=13, 1, Some(1)),
            part(15..=17, 1, Some(2)),
            part(10..=22, 1, None),
            part(31..=31, 2, Some(3)),
            part(30..=34, 2, None),
        ];
        BTreeMap::from([("a.rs".to_owned(), all)])
    }

    fn spot(line: usize, is_primary: bool) -> Spot {
        Spot { file_name: "a.rs".into(), line_start: line, is_primary, expansion: None }
    }

    fn blamed(message: &str, spans: Vec<Spot>) -> Vec<(usize, Verdict)> {
        let error = Message { level: "error".into(), message: message.into(), spans, rendered: None };
        blame(&error, &parts(), &list()).into_iter().collect()
    }

    #[test]
    fn an_error_is_that_of_the_mutant_in_its_line() {
        use Verdict::{DoesNotCompile, NotPlaced};
        let of = |spans| blamed("mismatched types", spans);
        assert_eq!(of(vec![spot(16, true), spot(12, false)]), [(2, DoesNotCompile)]);
        assert_eq!(of(vec![spot(20, true), spot(12, false)]), [(1, DoesNotCompile)], "what else it names");
        assert_eq!(of(vec![spot(20, true)]), [(1, NotPlaced), (2, NotPlaced)], "the whole function");
        assert_eq!(of(vec![spot(25, true)]), [], "no function");
        let elsewhere = Spot { file_name: "std.rs".into(), ..spot(16, true) };
        assert_eq!(of(vec![elsewhere]), [], "another file");
    }

    #[test]
    fn an_error_in_a_macro_is_that_of_the_mutant_that_calls_it() {
        let expansion = Some(Box::new(Expansion { span: spot(31, true) }));
        let made = Spot { file_name: "std.rs".into(), expansion, ..spot(1, true) };
        assert_eq!(blamed("mismatched types", vec![made]), [(3, Verdict::DoesNotCompile)]);
    }

    #[test]
    fn what_cannot_lie_beside_others_is_not_placed() {
        let both = [(1, Verdict::NotPlaced), (2, Verdict::NotPlaced)];
        assert_eq!(blamed("cannot call non-const associated function `Of::<u8>::new` in constants", vec![]), both);
        assert_eq!(blamed("`match` arms have incompatible types", vec![spot(16, true), spot(12, false)]), both);
        let by_last = blamed("cannot call non-const method `Trait::other` in constants", vec![]);
        assert_eq!(by_last, [(3, Verdict::NotPlaced)]);
    }
}
