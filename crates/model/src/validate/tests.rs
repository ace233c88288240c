#![expect(clippy::unwrap_used, reason = "a failed call fails the test")]

use super::*;
use crate::endpoint::EndpointFields;
use crate::event_type::EventTypeFields;

#[test]
fn urls_that_are_no_plain_http_urls_are_refused() {
    for text in [
        "",
        "example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "http:example.com",
        "http:/example.com",
        "https://",
        "http://exa mple.com",
        "http://example.com/\r\nx",
        "http://\\example.com",
        "https://a/#b",
        "javascript:alert(1)",
        "http://[::1",
        "http://xn--a-0/",
        "https://.",
        "http://a:99999/",
        "http://a:0/",
        "https://[::1]:0",
        "http:///x",
        "HTTPS:////example.com/x",
        "http://:80/",
        "http://user@/",
        "http://a.b`/",
    ] {
        assert!(endpoint_url(text).is_err(), "{text:?}");
    }
    let masked = endpoint_url("https://***@example.com/");
    assert!(masked.is_err_and(|problem| problem.contains("user name and password")));
    for text in ["https://example.com/in?x=1", "http://user:pass@example.com:8080/", "HTTPS://EXAMPLE.com"] {
        assert!(endpoint_url(text).is_ok(), "{text:?}");
    }
    assert!(endpoint_url(&format!("https://a/{}", "x".repeat(MAX_URL_BYTES))).is_err());
}

#[test]
fn forbidden_and_malformed_headers_are_refused() {
    let one = |name: &str, value: &str| headers(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
    for name in
        ["Host", "Content-Length", "webhook-id", "Svix-Signature", "x-amz-date", "content-md5", "a b", "", "a:b", "é"]
    {
        assert!(one(name, "v").is_err(), "{name:?}");
    }
    for value in ["a\r\nb: c", "tab\there", "nul\0", "é", &"v".repeat(MAX_HEADER_VALUE_BYTES + 1)] {
        assert!(one("x-ok", value).is_err(), "{value:?}");
    }
    assert_eq!(one("Authorization", "Bearer x"), Ok(()));
    assert_eq!(one(&"n".repeat(MAX_HEADER_NAME_BYTES), "v"), Ok(()));
    assert!(one(&"n".repeat(MAX_HEADER_NAME_BYTES + 1), "v").is_err());
}

#[test]
fn header_names_that_differ_only_in_case_are_refused() {
    let two = |other: &str| headers(&BTreeMap::from(["X-One", other].map(|name| (name.to_owned(), "v".to_owned()))));
    assert_eq!(two("x-one"), Err("`x-one` is given twice".to_owned()));
    assert_eq!(two("x-two"), Ok(()));
}

#[test]
fn a_description_has_a_limit_in_characters() {
    assert_eq!(description(""), Ok(()));
    assert_eq!(description(&"ö\n".repeat(MAX_DESCRIPTION_CHARS / 2)), Ok(()));
    let long = "ö".repeat(MAX_DESCRIPTION_CHARS + 1);
    assert!(description(&long).is_err());
    let of_endpoint = EndpointFields { url: "https://a".into(), description: long.clone(), ..Default::default() };
    let of_type = EventTypeFields { description: long, ..Default::default() };
    for errors in [of_endpoint.validate(), of_type.validate(None)].map(|checked| checked.unwrap_err().0) {
        assert_eq!(errors.iter().map(|error| error.field).collect::<Vec<_>>(), ["description"]);
    }
}

#[test]
fn identifiers_are_checked() {
    assert_eq!(event_type("order.paid"), Ok(()));
    for text in ["", "a..b", ".a", "a.", "a b", "a/b", "ö", &"x".repeat(257)] {
        assert!(event_type(text).is_err(), "{text:?}");
    }
    assert!(uid(Some("app_x"), "app_").is_err());
    assert_eq!(uid(Some("shop-1"), "app_"), Ok(()));
    assert_eq!(uid(None, "app_"), Ok(()));
    let flags = |n: usize| feature_flags(&(0..n).map(|i| format!("flag-{i}")).collect());
    assert_eq!((flags(0), flags(MAX_FEATURE_FLAGS)), (Ok(()), Ok(())));
    assert!(flags(MAX_FEATURE_FLAGS + 1).is_err() && feature_flags(&["a b".to_owned()].into()).is_err());
    assert_eq!((rate(Some(1)), rate(Some(MAX_RATE))), (Ok(()), Ok(())));
    assert!(rate(Some(0)).is_err() && rate(Some(MAX_RATE + 1)).is_err());
    assert!(key("a\nb").is_err());
    assert!(name("").is_err());
}
