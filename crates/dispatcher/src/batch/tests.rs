use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::id::EndpointId;
use postrider_model::id::MessageId;
use postrider_model::time::UnixMs;
use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::*;

const ACCEPTED: UnixMs = UnixMs(1_800_000_000_007);

fn job(number: u8, content_type: Option<&str>, payload: &[u8]) -> Job {
    let url = Url::parse("https://example.com/").expect("a URL");
    let target = Target::new(&url, &BTreeMap::new(), Vec::new(), Duration::from_secs(1)).expect("it can be asked for");
    let endpoint = EndpointId(RawId::from_bytes([1; 20]));
    Job {
        key: DeliveryKey { endpoint, message: Position::from_u64(number.into()) },
        scheduled: Scheduled::first(ACCEPTED),
        message: MessageId(RawId::new(ACCEPTED, number.into(), [number; 6])),
        body: Bytes::copy_from_slice(payload),
        content_type: content_type.map(Into::into),
        event_type: "order.paid".into(),
        target: Arc::new(target),
        others: Some(Vec::new()),
    }
}

fn together(numbers: impl IntoIterator<Item = u8>) -> Job {
    let mut jobs = numbers.into_iter().map(|number| job(number, None, format!("{{ \"n\": {number} }}").as_bytes()));
    let lead = jobs.next().expect("there is one");
    Job { others: Some(jobs.collect()), ..lead }
}

fn body(job: &Job) -> String {
    String::from_utf8(Batch::of(job).expect("a batch").body().to_vec()).expect("UTF-8")
}

#[test]
fn the_body_is_what_is_documented_in_the_order_of_acceptance() {
    let job = together([2, 1]);
    let (first, second) = (&job.others.as_ref().expect("a batch")[0], &job);
    let head = |job: &Job| {
        format!(r#"{{"id":"{}","type":"order.paid","timestamp":"2027-01-15T08:00:00.007Z","data":"#, job.message)
    };
    assert_eq!(body(&job), format!("[{}{{ \"n\": 1 }}}},{}{{ \"n\": 2 }}}}]", head(first), head(second)));
}

#[test]
fn one_alone_is_a_list_and_one_that_is_no_member_of_a_batch_is_none() {
    let alone = together([1]);
    assert!(body(&alone).starts_with(r#"[{"id":"msg_"#));
    assert!(Batch::of(&Job { others: None, ..alone }).is_none());
}

#[test]
fn by_the_formats_of_cloudevents_it_is_a_batch_of_those() {
    for format in [Format::CloudEventsBinary, Format::CloudEventsStructured] {
        let job = together([1, 2]);
        let target = Arc::new((*job.target).clone().in_format(format, || "/shop".to_owned()));
        let read: Value = serde_json::from_str(&body(&Job { target, ..job })).expect("JSON");
        for n in 0..2 {
            let shown = ["specversion", "source", "time", "data"].map(|name| read[n][name].clone());
            let expected = json!(["1.0", "/shop", "2027-01-15T08:00:00.007Z", { "n": n + 1 }]);
            assert_eq!(Value::from(shown.to_vec()), expected);
        }
    }
}

#[test]
fn the_same_members_have_the_same_id() {
    let id = |numbers: &[u8]| Batch::of(&together(numbers.iter().copied())).expect("a batch").id();
    assert_eq!(id(&[1, 2, 3]), id(&[3, 1, 2]));
    assert_ne!(id(&[1, 2, 3]), id(&[1, 2]));
    assert!(id(&[1]).starts_with("batch_") && id(&[1]).len() == 33, "{}", id(&[1]));
}

#[test]
fn what_is_no_json_goes_as_base64_with_its_type() {
    for (content_type, payload) in [
        (Some("text/plain"), &b"{}"[..]),
        (None, b"{"),
        (None, b"{}},{\"id\":\"forged\""),
        (None, b""),
        (Some("application/json"), b"\"\xff\""),
        (Some("a/b; c=\"\\\""), b"\x00\xff"),
    ] {
        let body = body(&job(1, content_type, payload));
        let read: Value = serde_json::from_str(&body).expect(&body);
        assert_eq!(read.as_array().map(Vec::len), Some(1), "{body}");
        assert_eq!(read[0]["datacontenttype"], content_type.unwrap_or("application/json"));
        assert_eq!(read[0]["data_base64"], STANDARD.encode(payload));
        assert!(read[0].get("data").is_none(), "{body}");
    }
    for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.shop+json"] {
        let read: Value = serde_json::from_str(&body(&job(1, Some(content_type), b" [1] "))).expect("JSON");
        assert_eq!(read[0]["data"], json!([1]), "{content_type}");
    }
}

#[test]
fn an_answer_names_the_ones_that_failed() {
    let job = together(1..=3);
    let batch = Batch::of(&job).expect("a batch");
    let ids: Vec<_> = batch.members.iter().map(|member| member.message.to_string()).collect();
    let failed = |answer: &str| {
        let failed = batch.failed(answer.as_bytes(), false, true);
        failed.into_iter().map(Position::as_u64).collect::<Vec<_>>()
    };
    let named = |id: &str| format!(r#"{{"itemIdentifier":"{id}"}}"#);
    let list = |items: &[String]| format!(r#"{{"batchItemFailures":[{}]}}"#, items.join(","));
    for none in [
        "",
        "ok",
        "{}",
        "[]",
        "null",
        "\u{feff}",
        r#"{"ok":true}"#,
        r#"{"batchItemFailures":null}"#,
        list(&[]).as_str(),
    ] {
        assert!(failed(none).is_empty(), "{none}");
    }
    assert_eq!(failed(&list(&[named(&ids[1])])), [2]);
    assert_eq!(failed(&list(&[named(&ids[2]), named(&ids[0])])), [1, 3]);
    assert_eq!(failed(&list(&[named(&ids[1]), named(&ids[1])])), [2], "one that is named twice has failed once");
    for all in [
        list(&[named(&ids[1]), named("msg_0ERdjjOCvwLrdBodjus57LGrMBo")]),
        list(&[named("")]),
        list(&[format!(r#""{}""#, ids[1])]),
        list(&[r#"{"itemIdentifier":7}"#.to_owned()]),
        r#"{"batchItemFailures":{}}"#.to_owned(),
        r#"{"batchItemFailures":[{"itemId"#.to_owned(),
    ] {
        assert_eq!(failed(&all), [1, 2, 3], "{all}");
    }
    for broken in [&b""[..], b"{\"ok\":", b"ok"] {
        assert_eq!(batch.failed(broken, true, true).len(), 3, "it broke off, and what it would have said is not known");
    }
    assert!(batch.failed(b"{\"ok\":true}", true, true).is_empty(), "that is all of it, whatever ended it");
    assert_eq!(batch.failed(b" {\"pad\":\"xxx", false, false).len(), 3, "what was not read may have named some");
    assert!(batch.failed(b"<html>", false, false).is_empty(), "it is about something else");
}

proptest! {
    /// Whatever the payloads are they come back, and take no more room than was reckoned.
    #[test]
    fn every_payload_comes_back(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 1..5),
    ) {
        let jobs = payloads.iter().zip(1..).map(|((payload, text), number)| {
            job(number, text.then_some("text/plain; a=\"b\""), payload)
        });
        let mut jobs: Vec<_> = jobs.collect();
        let lead = Job { others: Some(jobs.split_off(1)), ..jobs.remove(0) };
        let batch = Batch::of(&lead).expect("a batch");
        let body = batch.body();
        let read: Vec<Value> = serde_json::from_slice(&body).expect("a list");
        prop_assert_eq!(read.len(), payloads.len());
        for ((payload, _), element) in payloads.iter().zip(&read) {
            match element.get("data") {
                Some(data) => prop_assert_eq!(data, &serde_json::from_slice::<Value>(payload).expect("JSON")),
                None => prop_assert_eq!(&element["data_base64"], &Value::String(STANDARD.encode(payload))),
            }
        }
        // One that is called JSON and is none is not reckoned with.
        if batch.members.iter().all(|job| job.content_type.is_some() || serde_json::from_slice::<Value>(&job.body).is_ok()) {
            let room = batch.members.iter().map(|job| element_bytes(&job.event_type, job.content_type.as_deref(), job.body.len()));
            prop_assert!(body.len() <= room.sum());
        }
    }

    /// Whatever is answered, those that failed are members.
    #[test]
    fn no_answer_panics_or_names_others(answer in prop::collection::vec(any::<u8>(), 0..60), json in ".{0,40}") {
        let job = together(1..=3);
        let batch = Batch::of(&job).expect("a batch");
        let tail = format!("{{\"batchItemFailures\":{json}");
        for answer in [&answer[..], tail.as_bytes()] {
            let failed = batch.failed(answer, false, true);
            prop_assert!(failed.iter().all(|failed| (1..=3).contains(&failed.as_u64())));
        }
    }
}
