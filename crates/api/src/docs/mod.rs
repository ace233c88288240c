//! The page `/docs`: the OpenAPI document for people.
//!
//! ```text
//!   openapi::document() --> page(): operations by tag --> fields (types, bounds), an example each
//! ```
//!
//! It is made once, at the start, and loads nothing: what it looks like stands in
//! it, and its headers forbid browsers everything else.

use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use self::document::{Document, Operation};
use crate::Context;
use crate::auth::Anybody;

mod document;
mod example;
mod fields;
mod operation;

/// What the page looks like, in light and in dark, in wide windows and in narrow ones.
const STYLE: &str = include_str!("style.css");
/// The style within the page, and nothing else from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Shows this document as a page
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs.get",
    tag = "Health",
    security(()),
    responses((status = 200, description = "A page that loads nothing from elsewhere", body = String, content_type = "text/html")),
)]
pub(crate) async fn get(State(context): State<Context>, _: Anybody) -> impl IntoResponse {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // For browsers that do not know `frame-ancestors`.
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    (headers, context.docs())
}

/// The page for a document.
pub(crate) fn page(document: &Value) -> Bytes {
    let document = Document(document);
    let groups: Vec<_> = document.groups().collect();
    let info = &document.0["info"];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Postrider's HTTP API" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav aria-label="Operations" {
                    @for group in &groups {
                        a.group href={ "#" (anchor(group.name)) } { (group.name) }
                        ul { @for operation in &group.operations { li { (link(operation)) } } }
                    }
                    a.group href="#shapes" { "Shapes" }
                }
                main {
                    h1 { "Postrider's HTTP API " small { (text(&info["version"])) } }
                    (prose(text(&info["description"])))
                    (how_to_call())
                    @for group in &groups {
                        section {
                            h2 id=(anchor(group.name)) { (group.name) }
                            (prose(group.about))
                            @for operation in &group.operations { (operation::show(&document, operation)) }
                        }
                    }
                    (shapes(&document))
                }
            }
        }
    };
    page.into_string().into()
}

fn link(operation: &Operation<'_>) -> Markup {
    html! { a href={ "#" (operation.id()) } { (line(operation.summary())) } }
}

fn how_to_call() -> Markup {
    html! {
        p {
            "The same as an OpenAPI 3.1 document, for programs: "
            a href="/api/v1/openapi.json" { "/api/v1/openapi.json" }
            ". In the examples "
            code { "$B" }
            " is where this server is, such as "
            code { "http://127.0.0.1:8071" }
            ", and "
            code { "$TOKEN" }
            " what "
            code { "postrider token create" }
            " prints."
        }
    }
}

/// The objects that are asked for and answered, each once.
fn shapes(document: &Document<'_>) -> Markup {
    html! {
        section {
            h2 id="shapes" { "Shapes" }
            p { "Objects in requests and answers. A " em { "page" } " of a list has the members " code { "data" } ", "
                code { "iterator" } ", " code { "prevIterator" } " and " code { "done" } "." }
            @for (name, schema) in document.shapes() {
                article id=(shape_anchor(name)) {
                    h3 { (name) }
                    (prose(text(&schema["description"])))
                    (fields::show(&document.fields(schema)))
                }
            }
        }
    }
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn shape_anchor(name: &str) -> String {
    format!("shape-{name}")
}

/// Paragraphs, with code between backticks.
fn prose(text: &str) -> Markup {
    html! {
        @for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            p { (line(paragraph)) }
        }
    }
}

/// Text with code between backticks.
fn line(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
