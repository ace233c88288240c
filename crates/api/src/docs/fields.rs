//! Fields and parameters with their types and bounds.

use maud::{Markup, html};
use serde_json::Value;

use super::document::{Field, Kind, list};
use super::{line, shape_anchor};

/// The fields, one below the other.
pub(super) fn show(fields: &[Field<'_>]) -> Markup {
    html! {
        dl {
            @for field in fields {
                dt {
                    code { (field.name) }
                    @if field.is_required { " " strong { "required" } }
                    span.kind { (kind(&field.kind)) @for rule in rules(&field.kind) { ", " (line(&rule)) } }
                }
                @if !field.about.is_empty() { dd { (line(field.about)) } }
            }
        }
    }
}

/// What a value may be, in words.
pub(super) fn kind(kind: &Kind<'_>) -> Markup {
    html! {
        @if let Some(shape) = kind.shape { (shape_link(shape)) }
        @else if kind.schema["enum"].is_array() { (line(&choices(&kind.schema["enum"]))) }
        @else if let Some(member) = &kind.member {
            @if kind.name() == "array" { "list of " } @else { "map of " }
            (self::kind(member))
            @let bounds = rules(member);
            @if !bounds.is_empty() { " (" (line(&bounds.join(", "))) ")" }
        }
        @else { (word(kind)) }
        @if kind.is_nullable { " or " code { "null" } }
    }
}

fn shape_link(name: &str) -> Markup {
    match name.strip_prefix("ListResponse_") {
        Some(member) => html! { "page of " a href={ "#" (shape_anchor(member)) } { (member) } },
        None => html! { a href={ "#" (shape_anchor(name)) } { (name) } },
    }
}

fn word(kind: &Kind<'_>) -> &'static str {
    match (kind.name(), kind.schema["format"].as_str()) {
        ("string", Some("date-time")) => "time by RFC 3339",
        ("string", Some("uri")) => "URL",
        ("string", _) => "text",
        ("integer", _) => "whole number",
        ("number", _) => "number",
        ("boolean", _) => "boolean",
        ("array", _) => "list",
        _ => "object",
    }
}

fn choices(of: &Value) -> String {
    list(of).map(|choice| format!("`{}`", plain(choice))).collect::<Vec<_>>().join(" | ")
}

/// The bounds of a value, and its default.
fn rules(kind: &Kind<'_>) -> Vec<String> {
    let schema = kind.schema;
    let mut rules: Vec<String> = [
        range(schema, "minimum", "maximum", ""),
        range(schema, "minLength", "maxLength", " characters"),
        range(schema, "minItems", "maxItems", " members"),
    ]
    .into_iter()
    .flatten()
    .collect();
    rules.extend(schema["pattern"].as_str().map(|pattern| format!("`{pattern}`")));
    // An empty text is what leaving it out means anyhow.
    let default = schema.get("default").filter(|default| *default != "");
    rules.extend(default.map(|default| format!("default `{}`", plain(default))));
    rules
}

fn range(schema: &Value, min: &str, max: &str, of: &str) -> Option<String> {
    let number = |name: &str| schema[name].as_i64();
    match (number(min), number(max)) {
        (Some(min), Some(max)) => Some(format!("{} to {}{of}", grouped(min), grouped(max))),
        (Some(0) | None, None) => None,
        (Some(1), None) if !of.is_empty() => Some("not empty".to_owned()),
        (Some(min), None) => Some(format!("at least {}{of}", grouped(min))),
        (None, Some(max)) => Some(format!("at most {}{of}", grouped(max))),
    }
}

/// A number with commas between the thousands.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// Texts without their quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document::Document;
    use super::*;

    fn said(schema: &Value) -> String {
        let kind = Document(&Value::Null).kind(schema);
        std::iter::once(self::kind(&kind).into_string()).chain(rules(&kind)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn types_and_bounds_are_said_in_words() {
        for (schema, words) in [
            (json!({ "type": "string", "minLength": 1, "maxLength": 256 }), "text, 1 to 256 characters"),
            (
                json!({ "type": ["integer", "null"], "minimum": 1_000, "maximum": 30_000 }),
                "whole number or <code>null</code>, 1,000 to 30,000",
            ),
            (
                json!({ "type": "array", "items": { "type": "string", "maxLength": 9 }, "minItems": 1 }),
                "list of text (at most 9 characters), not empty",
            ),
            (
                json!({ "oneOf": [{ "type": "null" }, { "type": "boolean", "default": false }] }),
                "boolean or <code>null</code>, default `false`",
            ),
            (json!({ "type": "string", "enum": ["a", "b"] }), "<code>a</code> | <code>b</code>"),
            (json!({ "type": "object", "additionalProperties": { "type": "string" } }), "map of text"),
        ] {
            assert_eq!(said(&schema), words, "{schema}");
        }
        assert_eq!([0, 999, 1_000, 604_800, -1_234_567].map(grouped), ["0", "999", "1,000", "604,800", "-1,234,567"]);
    }
}
