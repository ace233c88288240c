//! What a filter may have, so that it looks at each value of a payload a fixed number
//! of times and is read in a moment.
//!
//! The library that reads and evaluates expressions has no limits of its own. Its
//! parser calls itself for what is nested, and tries some of it several times; its
//! evaluator goes on from each value that a segment has selected. So what multiplies
//! is counted here, on the text: it need not be understood for that, since strings
//! are all that these characters can hide in.

use super::pattern;
use super::work::Looks;
use crate::validate::Problem;

/// Characters of a filter.
pub const MAX_CHARS: usize = 4_096;
/// Brackets and parentheses within each other.
pub const MAX_NESTING: usize = 12;
/// Selectors of more than one value: `*`, `?`, `..` and slices.
pub const MAX_WIDE: usize = 4;
/// Comparisons, calls, `&&` and `||`.
pub const MAX_TERMS: usize = 64;
/// Of these, how many there may be within `[?...]`, where they are asked of each value; all
/// of a filter's together.
pub const MAX_WIDE_TERMS: usize = 8;
/// Calls of `match` and `search`.
pub const MAX_PATTERNS: usize = 2;
/// Characters of the pattern of one of them.
pub const MAX_PATTERN_CHARS: usize = 128;

/// A part of the text that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A literal, with its quotes.
    Text(&'a str),
    /// Letters, digits and underscores.
    Word(&'a str),
    /// `..`
    Descend,
    Sign(char),
}

/// Checks a filter's text; how often it looks at values.
pub(super) fn check(text: &str) -> Result<Looks, Problem> {
    match text.chars().count() {
        n if n > MAX_CHARS => return Err(format!("has {n} characters, at most {MAX_CHARS} are allowed")),
        _ if text.trim().is_empty() => return Err("must not be empty; `null` is no filter".into()),
        _ => {}
    }
    let tokens = tokens(text)?;
    check_brackets(&tokens)?;
    let wide = check_width(&tokens)?;
    let asked_of_each = asked_of_each(&tokens);
    let (terms, within) = check_terms(&tokens, &asked_of_each)?;
    check_patterns(&tokens)?;
    let (segments, text_bytes) = paths(&tokens, &asked_of_each);
    Ok(Looks { terms, within, wide, segments, text_bytes, descends: tokens.contains(&Token::Descend) })
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Problem> {
    let mut tokens = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, bytes) = match first {
            '"' | '\'' => {
                let end = end_of_text(rest, first).ok_or("is no expression: a text in it has no end")?;
                (Token::Text(rest.get(..end).unwrap_or(rest)), end)
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (Token::Word(rest.get(..end).unwrap_or(rest)), end)
            }
            _ if rest.starts_with("..") => (Token::Descend, 2),
            _ => (Token::Sign(first), first.len_utf8()),
        };
        rest = rest.get(bytes..).unwrap_or_default();
        if !matches!(token, Token::Sign(sign) if sign.is_whitespace()) {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

/// Behind the closing quote of the text that `rest` begins with.
fn end_of_text(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = true;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

fn check_brackets(tokens: &[Token<'_>]) -> Result<(), Problem> {
    let mut open = vec![];
    for token in tokens {
        match token {
            Token::Sign(sign @ ('(' | '[')) => open.push(*sign),
            Token::Sign(sign @ (')' | ']')) => {
                let matching = if *sign == ')' { '(' } else { '[' };
                if open.pop() != Some(matching) {
                    return Err(format!("is no expression: a `{sign}` closes nothing"));
                }
            }
            Token::Sign(',') if open.last() == Some(&'[') => {
                return Err("has several selectors in one pair of brackets, which is not supported".into());
            }
            _ => {}
        }
        if open.len() > MAX_NESTING {
            return Err(format!("has brackets within each other more than {MAX_NESTING} deep"));
        }
    }
    // The library finds nothing there where a value is compared, and says nothing of it.
    let counts_back =
        |tokens: &[Token<'_>]| matches!(tokens, [Token::Sign('['), Token::Sign('-'), Token::Word(_), Token::Sign(']')]);
    if tokens.windows(4).any(counts_back) {
        return Err("counts an index from the end, which is not supported".into());
    }
    match open.last() {
        Some(sign) => Err(format!("is no expression: a `{sign}` is not closed")),
        None => Ok(()),
    }
}

/// How many selectors of many values there are.
fn check_width(tokens: &[Token<'_>]) -> Result<usize, Problem> {
    let count = |wanted: Token<'_>| tokens.iter().filter(|token| **token == wanted).count();
    if count(Token::Sign('$')) > 0 {
        return Err("has a `$`, which is not supported; `@` is the payload".into());
    }
    if count(Token::Descend) > 1 {
        return Err("has more than one `..`: it could take far longer than the payload is long".into());
    }
    let wide = ['*', '?', ':'].into_iter().map(|sign| count(Token::Sign(sign))).sum::<usize>() + count(Token::Descend);
    if wide > MAX_WIDE {
        return Err(format!(
            "selects many values (`*`, `?`, `..`, slices) {wide} times, at most {MAX_WIDE} are allowed"
        ));
    }
    Ok(wide)
}

/// Of each token, whether it lies within `[?...]`, where it is asked of each of many values.
fn asked_of_each(tokens: &[Token<'_>]) -> Vec<bool> {
    // Of each open bracket, whether it is such a one.
    let mut open = vec![];
    let lies_within = |(at, token): (usize, &Token<'_>)| {
        match token {
            Token::Sign('[') => open.push(tokens.get(at + 1) == Some(&Token::Sign('?'))),
            Token::Sign(']') => drop(open.pop()),
            _ => {}
        }
        open.contains(&true)
    };
    tokens.iter().enumerate().map(lies_within).collect()
}

/// Of what is asked of each of many values, the segments of all paths and the bytes of all texts. The library goes
/// through all of a path where nothing was found at its first segment, and copies a text to compare it.
fn paths(tokens: &[Token<'_>], asked_of_each: &[bool]) -> (usize, usize) {
    let within = tokens.iter().zip(asked_of_each).filter_map(|(token, within)| within.then_some(token));
    within.fold((0, 0), |(segments, text_bytes), token| match token {
        Token::Sign('.' | '[') | Token::Descend => (segments + 1, text_bytes),
        Token::Text(text) => (segments, text_bytes + text.len()),
        _ => (segments, text_bytes),
    })
}

/// How much is asked in all, and how much of it of each of many values.
fn check_terms(tokens: &[Token<'_>], asked_of_each: &[bool]) -> Result<(usize, usize), Problem> {
    let (mut all, mut within) = (0, 0);
    let mut before = None;
    for (at, (token, of_each)) in tokens.iter().zip(asked_of_each).enumerate() {
        let next = tokens.get(at + 1);
        let begins = match token {
            Token::Word(_) => next == Some(&Token::Sign('(')),
            // The second of two; of a comparison either may stand alone.
            Token::Sign(sign @ ('&' | '|')) => before == Some(&Token::Sign(*sign)),
            Token::Sign('<' | '>') => true,
            Token::Sign('=') => matches!(before, Some(Token::Sign('=' | '!'))),
            _ => false,
        };
        all += usize::from(begins);
        within += usize::from(begins && *of_each);
        before = Some(token);
    }
    if all > MAX_TERMS {
        return Err(format!("has {all} comparisons, calls, `&&` and `||`, at most {MAX_TERMS} are allowed"));
    }
    if within > MAX_WIDE_TERMS {
        return Err(format!(
            "has {within} comparisons, calls, `&&` and `||` within `[?...]`, at most {MAX_WIDE_TERMS} are allowed"
        ));
    }
    Ok((all, within))
}

/// Patterns are part of the filter, so that each is read once, and when it is set.
fn check_patterns(tokens: &[Token<'_>]) -> Result<(), Problem> {
    let calls = tokens.windows(2).enumerate().filter_map(|(at, pair)| match pair {
        [Token::Word(name @ ("match" | "search")), Token::Sign('(')] => Some((at + 2, *name)),
        _ => None,
    });
    let mut patterns = 0;
    for (at, name) in calls {
        patterns += 1;
        let text = pattern_of(tokens.get(at..).unwrap_or_default())
            .ok_or_else(|| format!("`{name}` takes a value and a pattern, and the pattern must be a text"))?;
        let pattern = unescaped(text).ok_or_else(|| format!("{text} is no text by RFC 9535"))?;
        match pattern.chars().count() {
            n if n > MAX_PATTERN_CHARS => {
                return Err(format!("a pattern has {n} characters, at most {MAX_PATTERN_CHARS} are allowed"));
            }
            _ => pattern::check(&pattern).map_err(|problem| format!("the pattern {text} {problem}"))?,
        }
    }
    match patterns {
        n if n > MAX_PATTERNS => Err(format!("has {n} patterns, at most {MAX_PATTERNS} are allowed")),
        _ => Ok(()),
    }
}

/// The text that is the last argument of a call, which goes on with `tokens`.
fn pattern_of<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    let mut depth = 0;
    let end = tokens.iter().position(|token| {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        depth < 0
    })?;
    match tokens.get(..end)? {
        [.., Token::Sign(','), Token::Text(text)] => Some(text),
        _ => None,
    }
}

/// What a literal stands for. In double quotes it is one of JSON's.
fn unescaped(literal: &str) -> Option<String> {
    let Some(inner) = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) else {
        return serde_json::from_str(literal).ok();
    };
    let mut json = String::with_capacity(literal.len());
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            '\'' if escaped => drop(json.pop()),
            '"' => json.push('\\'),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        json.push(c);
    }
    serde_json::from_str(&format!("\"{json}\"")).ok()
}
