//! Lines and the messages or refusals that they become.

use postrider_model::id::RawId;
use proptest::prelude::*;

use super::*;

fn rules(access: Access) -> Rules {
    Rules { org: OrgId(RawId::from_bytes([1; 20])), access, body_limit_bytes: 64 }
}

fn parse_text(text: &str) -> Result<NewMessage, Refusal> {
    parse(&Bytes::copy_from_slice(text.as_bytes()), &rules(Access::Guest))
}

/// A line with these members besides `app` and `type`.
fn with(members: &str) -> Result<NewMessage, Refusal> {
    parse_text(&format!(r#"{{"app":"shop","type":"order.paid",{members}}}"#))
}

fn blamed(result: Result<NewMessage, Refusal>) -> (&'static str, String) {
    let refusal = result.expect_err("the line is wrong");
    (refusal.code, refusal.field.unwrap_or_default().into_owned())
}

#[test]
fn all_fields_arrive() {
    let message = with(
        r#""payload":{},"content_type":"application/cloudevents+json; charset=utf-8","key":"k","event_id":"e",
           "channels":["b","a","b"],"order_key":"o","create_app":"The \u0053hop""#,
    )
    .expect("the line is right");
    assert_eq!((message.app.as_str(), message.event_type.as_str()), ("shop", "order.paid"));
    assert_eq!(message.content_type.as_deref(), Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!(message.idempotency_key.as_deref(), Some("k"));
    assert_eq!(message.event_id.as_deref(), Some("e"));
    assert_eq!(message.channels, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(message.order_key.as_deref(), Some("o"));
    assert_eq!(message.create_app.as_deref(), Some("The Shop"));
    assert_eq!(message.org, rules(Access::Guest).org);
}

#[test]
fn the_payload_is_a_slice_of_the_line_byte_for_byte() {
    for payload in [
        r#"{ "b" : 1.0e+2 ,  "a":[ 1,2 ], "b":-0.0 }"#,
        r#""\u00e9 é \ud83d\ude00 \/""#,
        "1E400",
        "123456789012345678901234567890",
        "null",
        "[]",
    ] {
        let line = Bytes::from(format!("{{\"payload\" : \t{payload}  ,\"app\":\"a\",\"type\":\"t\"}} \r"));
        let message = parse(&line, &rules(Access::Guest)).expect("the line is right");
        assert_eq!(message.body, payload);
        assert_eq!(message.content_type, None);
        assert!(line.as_ptr_range().contains(&message.body.as_ptr()), "not copied");
    }
}

#[test]
fn what_is_wrong_with_a_field_names_the_field() {
    for (members, expected) in [
        (r#""payload":1,"aap":"x""#, ("unknown_field", "aap")),
        (r#""payload":1,"App":"x""#, ("unknown_field", "App")),
        (r#""payload":1,"tags":["x"]"#, ("unknown_field", "tags")),
        (r#""payload":1,"app":"other""#, ("invalid_field", "app")),
        (r#""payload":1,"\u0061pp":"other""#, ("invalid_field", "app")),
        (r#""payload":1,"payload":1"#, ("invalid_field", "payload")),
        (r#""payload":1,"key":7"#, ("invalid_field", "key")),
        (r#""payload":1,"event_id":"\ud800""#, ("invalid_field", "event_id")),
        (r#""payload":1,"channels":"a""#, ("invalid_field", "channels")),
        (r#""payload":1,"channels":[1]"#, ("invalid_field", "channels")),
        (r#""payload":1,"order_key":{}"#, ("invalid_field", "order_key")),
        (r#""payload":1,"create_app":true"#, ("invalid_field", "create_app")),
        (r#""payload":1,"org":"app_x""#, ("invalid_field", "org")),
        (r#""payload":1,"content_type":"text/plain""#, ("invalid_field", "content_type")),
        (r#""payload":1,"payload_base64":"eA==""#, ("invalid_field", "payload_base64")),
        (r#""payload_base64":"eA""#, ("invalid_field", "payload_base64")),
        (r#""payload_base64":"e A==""#, ("invalid_field", "payload_base64")),
        (r#""payload_base64":["eA=="]"#, ("invalid_field", "payload_base64")),
        (r#""key":"k""#, ("missing_field", "payload")),
    ] {
        let (code, field) = blamed(with(members));
        assert_eq!((code, field.as_str()), expected, "{members}");
    }
    assert_eq!(blamed(parse_text(r#"{"type":"t","payload":1}"#)), ("missing_field", "app".into()));
    assert_eq!(blamed(parse_text(r#"{"app":null,"type":"t","payload":1}"#)), ("missing_field", "app".into()));
    assert_eq!(blamed(parse_text(r#"{"app":"a","payload":1}"#)), ("missing_field", "type".into()));
}

#[test]
fn optional_fields_may_be_null() {
    let message = with(
        r#""payload":null,"payload_base64":null,"content_type":null,"key":null,"event_id":null,"channels":null,
           "order_key":null,"create_app":null,"org":null"#,
    )
    .expect("the line is right");
    assert_eq!(message.body, "null");
    assert!(message.idempotency_key.is_none() && message.channels.is_empty());
}

#[test]
fn bodies_that_are_no_json_come_as_base64() {
    let message = with(r#""payload_base64":"AP8N\u0043g==","content_type":"text/plain""#).expect("the line is right");
    assert_eq!(message.body.as_ref(), [0, 255, 13, 10]);
    assert_eq!(message.content_type.as_deref(), Some("text/plain"));
    let message = with(r#""payload_base64":"""#).expect("an empty body is a body");
    assert_eq!((message.body.len(), message.content_type.as_deref()), (0, Some("application/octet-stream")));
}

#[test]
fn the_limit_of_the_body_is_exact() {
    let json = |bytes: usize| with(&format!(r#""payload":"{}""#, "x".repeat(bytes - 2)));
    assert!(json(64).is_ok());
    assert_eq!(blamed(json(65)), ("payload_too_large", "payload".into()));
    let base64 = |bytes: usize| with(&format!(r#""payload_base64":"{}""#, STANDARD.encode(vec![0; bytes])));
    assert!(base64(64).is_ok());
    assert_eq!(blamed(base64(65)), ("payload_too_large", "payload_base64".into()));
}

#[test]
fn a_payload_too_deep_for_its_readers_is_refused() {
    let nested = |depth: usize| {
        let line = format!(r#"{{"app":"a","type":"t","payload":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        parse(&line.into(), &Rules { body_limit_bytes: 1_000_000, ..rules(Access::Guest) })
    };
    assert!(nested(json::MAX_DEPTH).is_ok());
    assert_eq!(blamed(nested(json::MAX_DEPTH + 1)), ("invalid_field", "payload".into()));
    assert_eq!(blamed(nested(400_000)), ("invalid_field", "payload".into()));
}

#[test]
fn only_an_owner_names_another_tenant() {
    let own = rules(Access::Guest).org;
    let other = OrgId(RawId::from_bytes([2; 20]));
    let send = |org: OrgId, access| {
        let line = format!(r#"{{"app":"a","type":"t","payload":1,"org":"{org}"}}"#);
        parse(&line.into(), &rules(access))
    };
    assert_eq!(send(own, Access::Guest).map(|message| message.org), Ok(own));
    assert_eq!(send(other, Access::Owner).map(|message| message.org), Ok(other));
    assert_eq!(blamed(send(other, Access::Guest)), ("forbidden", "org".into()));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        prop_assert!(parse(&bytes.into(), &rules(Access::Owner)).is_err());
    }

    #[test]
    fn every_json_value_arrives_as_it_was_written(text in r#"\{"[a-z]{1,5}" {0,3}: {0,3}[1-9][0-9]{0,5}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})? {0,3}\}"#) {
        let message = with(&format!(r#""payload":{text}"#));
        prop_assert_eq!(message.map(|message| message.body), Ok(Bytes::from(text)));
    }
}
