//! Messages whose deliveries had not ended: each goes out again, to its endpoint alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Importer;
use super::objects::failed;
use crate::client::Path;
use crate::exchange::Line;
use crate::exit::Failure;

/// A delivery of a message's line, as far as it matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    endpoint_id: String,
    state: String,
}

/// What is to be sent of a message.
enum Payload<'a> {
    Json(std::borrow::Cow<'a, str>),
    /// It cannot be, for this reason.
    None(&'static str),
}

impl Importer<'_> {
    pub(super) async fn message(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let deliveries: Vec<Delivery> = line.get("deliveries")?.unwrap_or_default();
        let payload = payload(line)?;
        let (id, _) = (line.id("id")?, line.id("appId")?);
        for delivery in deliveries {
            match delivery.state.as_str() {
                "scheduled" | "dead" => self.deliver(line, line, &id, &delivery.endpoint_id, &payload).await?,
                "delivered" | "cancelled" => self.tally.over += 1,
                other => return Err(line.bad("deliveries", format_args!("`{other}` is no state")).into()),
            }
        }
        Ok(())
    }

    pub(super) async fn dead_letter(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let (id, endpoint) = (line.id("msgId")?, line.id("endpointId")?);
        let Some(message) = line.object("message", "message.")? else {
            self.tally.left_out += 1;
            self.note(line.bad("message", "is not there: its payload was lost"));
            return Ok(());
        };
        let payload = payload(&message)?;
        self.deliver(line, &message, &id, &endpoint, &payload).await
    }

    /// Sends a message to one endpoint. What the server has sent with the same key is not
    /// sent again.
    async fn deliver(
        &mut self,
        line: &Line<'_>,
        message: &Line<'_>,
        id: &str,
        endpoint: &str,
        payload: &Payload<'_>,
    ) -> Result<(), Failure> {
        let event_type: String = message.required("eventType")?;
        let key = format!("import-{id}-{endpoint}");
        // A file may have the same one in a message and among the dead letters.
        if !self.met.insert(hash(&key)) {
            return Ok(());
        }
        let (payload, place) = match (payload, self.endpoints.get(endpoint)) {
            (_, None) => {
                self.tally.left_out += 1;
                self.note(line.bad("endpointId", format_args!("{endpoint} is no endpoint of a line before this one")));
                return Ok(());
            }
            (Payload::None(why), _) => {
                self.tally.left_out += 1;
                self.note(message.bad("payload", why));
                return Ok(());
            }
            (Payload::Json(_), Some(_)) if !self.wanted.send => {
                self.tally.left_out += 1;
                return Ok(());
            }
            (Payload::Json(payload), Some(place)) => (payload, place),
        };
        if !self.is_plan {
            let path = Path::new(["app", &place.app, "endpoint", &place.name, "send-example"])?;
            let body = format!("{{\"eventType\":{},\"payload\":{payload}}}", json!(event_type));
            let sent = self.client.post_once(path, body, &key).await;
            sent.map_err(|error| failed(line, error.into()))?;
        }
        self.tally.sent += 1;
        Ok(())
    }
}

fn hash(key: &str) -> u128 {
    use std::hash::{BuildHasher as _, RandomState};
    static HASHERS: std::sync::LazyLock<[RandomState; 2]> = std::sync::LazyLock::new(Default::default);
    let [high, low] = HASHERS.each_ref().map(|hasher| hasher.hash_one(key));
    u128::from(high) << 64 | u128::from(low)
}

/// Only the ingest socket takes such, for all endpoints that match.
const NO_OBJECT: &str = "is no object, which cannot be sent to one endpoint";
/// The same.
const NO_JSON: &str = "is no JSON, which cannot be sent to one endpoint";

/// The payload of a message, byte for byte.
fn payload<'a>(message: &Line<'a>) -> Result<Payload<'a>, Failure> {
    if let Some(encoded) = message.get::<String>("payloadBase64")? {
        let bytes = STANDARD.decode(encoded).map_err(|error| message.bad("payloadBase64", error))?;
        let text = String::from_utf8(bytes).map_err(|error| message.bad("payloadBase64", error))?;
        let parsed: Result<&RawValue, _> = serde_json::from_str(&text);
        let is_object = parsed.map_err(|error| message.bad("payloadBase64", error))?.get().starts_with('{');
        return Ok(if is_object { Payload::Json(text.into()) } else { Payload::None(NO_OBJECT) });
    }
    let Some(payload) = message.raw_or_null("payload") else {
        return Err(message.bad("payload", "is missing").into());
    };
    if !payload.get().starts_with('{') {
        return Ok(Payload::None(NO_OBJECT));
    }
    // One with names that no text can be is a payload all the same.
    Ok(match message.object("payload", "payload.") {
        Ok(Some(shown)) if is_expired(&shown) => Payload::None("was expunged or is past its retention"),
        Ok(Some(shown)) if is_encoded(&shown) => Payload::None(NO_JSON),
        _ => Payload::Json(payload.get().into()),
    })
}

/// What the server shows where there is none any more.
fn is_expired(shown: &Line<'_>) -> bool {
    shown.has_just(&["expired"]) && shown.get("expired").is_ok_and(|expired| expired == Some(true))
}

/// What the server shows of one that is no JSON.
fn is_encoded(shown: &Line<'_>) -> bool {
    let is_text = |name| shown.get::<String>(name).is_ok_and(|text| text.is_some());
    shown.has_just(&["base64", "contentType"]) && is_text("base64") && is_text("contentType")
}
