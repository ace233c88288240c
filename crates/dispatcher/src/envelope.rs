//! What requests carry by an endpoint's format, beside the payload alone: the
//! envelopes of Standard Webhooks 1.0.0 and of CloudEvents 1.0.
//!
//! All of it is made of the message, never of the attempt, so that each attempt
//! carries the same bytes (W7). A payload that is JSON is written as it came,
//! byte for byte; any other as base64, so that no payload is refused.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use postrider_model::id::MessageId;
use serde::de::IgnoredAny;

use crate::failure::Failure;

/// The media type of [`Event::write_cloudevent`]. npm's `cloudevents` takes this
/// spelling of the charset and no other.
pub(crate) const CLOUDEVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// The media type of an array of them.
pub(crate) const CLOUDEVENTS: HeaderValue =
    HeaderValue::from_static("application/cloudevents-batch+json; charset=utf-8");

/// Bytes of an envelope without payload, event type and source.
const ENVELOPE_BYTES: usize = 256;

/// What the HTTP binding of CloudEvents wants encoded in a header: space, `"`,
/// `%`, and all that is no visible ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

static SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
static ID: HeaderName = HeaderName::from_static("ce-id");
static SOURCE: HeaderName = HeaderName::from_static("ce-source");
static TYPE: HeaderName = HeaderName::from_static("ce-type");
static TIME: HeaderName = HeaderName::from_static("ce-time");

/// A message as envelopes show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) id: MessageId,
    pub(crate) event_type: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) payload: &'a [u8],
}

impl Event<'_> {
    /// How many bytes to keep ready for an envelope, so that it seldom grows.
    pub(crate) fn room(&self, source: &str) -> usize {
        ENVELOPE_BYTES + self.event_type.len() + source.len() + self.payload.len()
    }

    /// Writes `type`, `timestamp` and `data`.
    pub(crate) fn write_standard(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(b"{\"type\":");
        write_text(into, self.event_type);
        into.extend_from_slice(b",\"timestamp\":");
        write_text(into, &self.time());
        self.write_data(into, false);
        into.push(b'}');
    }

    /// Writes the same with `id` before it: a member of a batch.
    pub(crate) fn write_element(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(b"{\"id\":");
        write_text(into, &self.id.to_string());
        let brace = into.len();
        self.write_standard(into);
        into.get_mut(brace).into_iter().for_each(|brace| *brace = b',');
    }

    /// Writes a CloudEvent in its JSON format; also a member of a batch of them.
    pub(crate) fn write_cloudevent(&self, source: &str, into: &mut Vec<u8>) {
        into.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":");
        write_text(into, &self.id.to_string());
        into.extend_from_slice(b",\"source\":");
        write_text(into, source);
        into.extend_from_slice(b",\"type\":");
        write_text(into, self.event_type);
        into.extend_from_slice(b",\"time\":");
        write_text(into, &self.time());
        self.write_data(into, true);
        into.push(b'}');
    }

    /// Adds the attributes of a CloudEvent whose body is the payload.
    pub(crate) fn add_attributes(&self, source: &str, headers: &mut HeaderMap) -> Result<(), Failure> {
        headers.insert(&SPEC_VERSION, HeaderValue::from_static("1.0"));
        headers.insert(&ID, attribute(self.id)?);
        headers.insert(&SOURCE, attribute(source)?);
        headers.insert(&TYPE, attribute(self.event_type)?);
        headers.insert(&TIME, attribute(self.time())?);
        Ok(())
    }

    /// When the message was accepted.
    fn time(&self) -> String {
        let ms = i64::try_from(self.id.0.time().as_u64()).unwrap_or(i64::MAX);
        format!("{:.3}", Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
    }

    /// The payload: `data`, or `data_base64` and what it is.
    fn write_data(&self, into: &mut Vec<u8>, always_typed: bool) {
        let is_json = is_json_type(self.content_type) && is_json(self.payload);
        if always_typed || !is_json {
            into.extend_from_slice(b",\"datacontenttype\":");
            write_text(into, self.content_type);
        }
        if is_json {
            into.extend_from_slice(b",\"data\":");
            into.extend_from_slice(self.payload);
        } else {
            into.extend_from_slice(b",\"data_base64\":\"");
            into.extend_from_slice(STANDARD.encode(self.payload).as_bytes());
            into.push(b'"');
        }
    }
}

/// Whether a media type is that of JSON: `application/json`, or one that ends
/// with `+json` (RFC 6839).
fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Nobody has looked whether a payload is what it is said to be, and one that is
/// not could end the envelope before its end.
fn is_json(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn write_text(into: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(into, text).expect("a text becomes JSON, and memory takes what is written to it");
}

fn attribute(value: impl fmt::Display) -> Result<HeaderValue, Failure> {
    let encoded = utf8_percent_encode(&value.to_string(), ENCODED).to_string();
    HeaderValue::try_from(encoded).map_err(|_| Failure::internal("an attribute of the event cannot be sent"))
}

#[cfg(test)]
mod tests {
    use postrider_model::id::RawId;
    use postrider_model::time::UnixMs;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event<'a>(content_type: &'a str, payload: &'a [u8]) -> Event<'a> {
        let id = MessageId(RawId::new(UnixMs(1_800_000_000_007), 1, [0; 6]));
        Event { id, event_type: "order.paid", content_type, payload }
    }

    fn standard(event: Event<'_>) -> String {
        let mut written = Vec::new();
        event.write_standard(&mut written);
        String::from_utf8(written).expect("UTF-8")
    }

    fn cloudevent(event: Event<'_>) -> String {
        let mut written = Vec::new();
        event.write_cloudevent("/shop/1", &mut written);
        String::from_utf8(written).expect("UTF-8")
    }

    #[test]
    fn the_envelopes_are_what_is_documented() {
        let event = event("application/json", br#"{ "amount": 1.50,  "b":"\u00e9" }"#);
        assert_eq!(
            standard(event),
            r#"{"type":"order.paid","timestamp":"2027-01-15T08:00:00.007Z","data":{ "amount": 1.50,  "b":"\u00e9" }}"#
        );
        let id = event.id;
        assert_eq!(
            cloudevent(event),
            format!(
                "{}{id}{}{}",
                r#"{"specversion":"1.0","id":""#,
                r#"","source":"/shop/1","type":"order.paid","time":"2027-01-15T08:00:00.007Z","datacontenttype":"application/json","#,
                r#""data":{ "amount": 1.50,  "b":"\u00e9" }}"#,
            )
        );
        assert!(standard(event).len() < event.room("") && cloudevent(event).len() < event.room("/shop/1"));
    }

    #[test]
    fn what_is_no_json_goes_as_base64_with_its_type() {
        for (content_type, payload) in [
            ("text/plain", &b"{}"[..]),
            ("application/json", b"{"),
            ("application/json", b"{},\"type\":\"forged\""),
            ("application/json", b""),
            ("application/json", b"\"\xff\""),
            ("application/octet-stream", b"\x00\xff"),
        ] {
            let event = event(content_type, payload);
            for envelope in [standard(event), cloudevent(event)] {
                let read: Value = serde_json::from_str(&envelope).expect(&envelope);
                assert_eq!(read["type"], "order.paid", "{envelope}");
                assert_eq!(read["datacontenttype"], content_type);
                assert_eq!(read["data_base64"], STANDARD.encode(payload));
                assert!(read.get("data").is_none(), "{envelope}");
            }
        }
        for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.shop+json"] {
            let read: Value = serde_json::from_str(&standard(event(content_type, b" [1] "))).expect("JSON");
            assert_eq!(read["data"], json!([1]), "{content_type}");
            assert!(read.get("datacontenttype").is_none());
        }
    }

    #[test]
    fn attributes_are_encoded_as_the_binding_says() {
        // The example of the binding.
        assert_eq!(attribute("Euro € 😀").expect("a value"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(attribute("a\"b%20\u{7f}~!").expect("a value"), "a%22b%2520%7F~!");
        let (event, mut headers) = (event("application/json", b"{}"), HeaderMap::new());
        event.add_attributes("/a%20b", &mut headers).expect("they can be sent");
        let id = event.id.to_string();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", &id),
            ("ce-source", "/a%2520b"),
            ("ce-type", "order.paid"),
            ("ce-time", "2027-01-15T08:00:00.007Z"),
        ] {
            assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
        }
        assert_eq!(headers.len(), 5);
    }

    proptest! {
        /// Whatever the payload is, it comes back, and nothing else becomes another.
        #[test]
        fn every_payload_comes_back(payload in prop::collection::vec(any::<u8>(), 0..100), is_json: bool) {
            let content_type = if is_json { "application/json" } else { "text/plain" };
            let event = event(content_type, &payload);
            for envelope in [standard(event), cloudevent(event)] {
                let read: Value = serde_json::from_str(&envelope).expect("an envelope is JSON");
                match read.get("data") {
                    Some(data) => prop_assert_eq!(data, &serde_json::from_slice::<Value>(&payload).expect("JSON")),
                    None => prop_assert_eq!(&read["data_base64"], &json!(STANDARD.encode(&payload))),
                }
                prop_assert_eq!(&read["type"], "order.paid");
            }
        }
    }
}
