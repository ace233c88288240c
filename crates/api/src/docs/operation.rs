//! One operation: what it takes, what it answers, and an example.

use maud::{Markup, html};
use serde_json::Value;

use super::document::{Document, Operation, members};
use super::{example, fields, line, prose, text};

pub(super) fn show(document: &Document<'_>, operation: &Operation<'_>) -> Markup {
    html! {
        article id=(operation.id()) {
            h3 { (line(operation.summary())) }
            p.route { b.method.(operation.method.to_lowercase()) { (operation.method) } " " code { (operation.path) } }
            (prose(text(&operation.about["description"])))
            (takes(document, operation))
            (answers(document, operation))
            pre { code { (example::curl(document, operation)) } }
        }
    }
}

fn takes(document: &Document<'_>, operation: &Operation<'_>) -> Markup {
    let places = [("In the path", "path"), ("In the query", "query"), ("Headers", "header")];
    let body = operation.body();
    html! {
        @for (title, place) in places {
            @let parameters = document.parameters(operation, place);
            @if !parameters.is_empty() { h4 { (title) } (fields::show(&parameters)) }
        }
        @if let Some(body) = body {
            h4 { "Body" }
            (fields::show(&document.fields(body)))
        }
    }
}

fn answers(document: &Document<'_>, operation: &Operation<'_>) -> Markup {
    let all: Vec<_> = members(&operation.about["responses"]).collect();
    let (errors, own): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, answer)| answer["$ref"].is_string());
    html! {
        h4 { "Answers" }
        dl {
            @for (status, answer) in own {
                dt { code { (status) } span.kind { (shape(document, answer)) } }
                dd { (line(text(&answer["description"]))) }
            }
        }
        @if !errors.is_empty() {
            p.errors {
                "Errors: "
                @for (index, (status, answer)) in errors.iter().enumerate() {
                    @let (error, _) = document.resolve(answer);
                    @if index > 0 { ", " }
                    (status) " " (text(&error["description"]).to_lowercase())
                }
            }
        }
        @if !operation.needs_token() { p.errors { "Needs no token." } }
    }
}

/// What an answer's body is.
fn shape<'a>(document: &Document<'a>, answer: &'a Value) -> Markup {
    let content = members(&answer["content"]).next();
    html! {
        @match content {
            Some((_, content)) => (fields::kind(&document.kind(&content["schema"]))),
            None => "no body",
        }
    }
}
