//! The page `/docs`: whole, and without anything from elsewhere.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::client::World;
use crate::{docs, openapi_json};

fn document() -> Value {
    serde_json::from_str(&openapi_json()).unwrap()
}

fn page(document: &Value) -> String {
    String::from_utf8(docs::page(document).to_vec()).unwrap()
}

/// The values of an attribute on the page.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!(" {name}=\"");
    page.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn it_is_served_to_everybody_and_browsers_are_told_to_load_nothing() {
    let answer = World::new().with_token(String::new()).get("/docs").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{policy}");
    assert_eq!(String::from_utf8(answer.body.to_vec()).unwrap(), page(&document()));
}

#[test]
fn it_names_nothing_that_a_browser_would_load() {
    let page = page(&document());
    for loading in ["<script", "<link", "<img", "<iframe", "<form", "@import", "url(", " src=", " style=", " onclick="]
    {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let page = page(&document());
    let ids = attributes(&page, "id");
    let different: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), different.len(), "an id is there twice");
    let links = attributes(&page, "href");
    assert!(links.len() > 100, "{links:?}");
    for link in links {
        let is_there = link.strip_prefix('#').is_some_and(|id| different.contains(id));
        assert!(is_there || link == "/api/v1/openapi.json", "{link} leads nowhere");
    }
}

#[test]
fn every_operation_is_there_with_an_example_that_has_no_gap() {
    let (document, page) = (document(), page(&document()));
    let ids: BTreeSet<&str> = attributes(&page, "id").into_iter().collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.contains(id), "{id} is not there");
        }
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    let examples: Vec<&str> = page.split("<pre>").skip(1).map(|rest| rest.split("</pre>").next().unwrap()).collect();
    assert_eq!(examples.len(), page.matches("class=\"route\"").count());
    let address = |example: &str| example.split_whitespace().find(|word| word.contains("$B")).unwrap().to_owned();
    for example in examples {
        assert!(!address(example).contains(['{', '}']), "{example}");
    }
}

#[test]
fn fields_have_their_types_and_bounds() {
    let page = page(&document());
    for said in [
        "<code>timeoutMs</code><span class=\"kind\">whole number or <code>null</code>, 1,000 to 30,000</span>",
        "<code>limit</code><span class=\"kind\">whole number, 1 to 250, default <code>50</code></span>",
        "<code>order</code><span class=\"kind\"><code>ascending</code> | <code>descending</code></span>",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn what_the_document_says_is_text_and_never_markup() {
    let nasty = "<script>alert(1)</script>";
    let operation = json!({ "tags": ["T"], "operationId": nasty, "summary": nasty, "description": nasty });
    let document = json!({
        "info": { "version": nasty, "description": nasty },
        "tags": [{ "name": "T", "description": nasty }],
        "paths": { nasty: { "get": operation } },
        "components": { "schemas": { nasty: { "type": "object", "description": nasty } } },
    });
    let page = page(&document);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
}
