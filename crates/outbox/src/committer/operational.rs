//! What Postrider tells of itself: the events, their payloads, and how often one is told.
//! Payloads have the form of Svix's operational webhooks where there is one.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::config::Config;
use postrider_model::endpoint::{Disabled, Endpoint};
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId};
use postrider_model::time::UnixMs;
use serde::Serialize;

use crate::record::{DeliveryRef, Outcome};

/// Of what comes often, an endpoint's first is told at once; what comes within this time
/// is counted, and the next that is told tells how many there were.
const QUIET: Duration = Duration::from_secs(60);
/// An event's payload at most: names, ids and times.
pub(super) const BODY_BYTES: usize = 2 << 10;

/// A time as the API spells it: RFC 3339, UTC, with milliseconds.
fn text(at: UnixMs) -> String {
    let ms = i64::try_from(at.as_u64()).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{timestamp:.3}")
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Created,
    Updated,
    Deleted,
    Disabled,
    Enabled,
    Recovered,
    Failing,
    Exhausted,
}

impl Kind {
    /// The event type.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "endpoint.created",
            Self::Updated => "endpoint.updated",
            Self::Deleted => "endpoint.deleted",
            Self::Disabled => "endpoint.disabled",
            Self::Enabled => "endpoint.enabled",
            Self::Recovered => "endpoint.recovered",
            Self::Failing => "message.attempt.failing",
            Self::Exhausted => "message.attempt.exhausted",
        }
    }

    /// It may come with every delivery.
    const fn is_often(self) -> bool {
        matches!(self, Self::Recovered | Self::Failing | Self::Exhausted)
    }
}

/// One thing to tell.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) endpoint: EndpointId,
    /// How often it happened.
    pub(super) times: u64,
    data: Data,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    app_id: Option<AppId>,
    app_uid: Option<String>,
    endpoint_id: Option<EndpointId>,
    endpoint_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<LastAttempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LastAttempt {
    id: AttemptId,
    response_status_code: u16,
    timestamp: String,
}

#[derive(Serialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: &'static str,
    data: Data,
}

impl Event {
    /// Of an endpoint as it is, or was.
    pub(super) fn of(kind: Kind, config: &Config, endpoint: &Endpoint) -> Self {
        let app_uid = config.app(endpoint.app).and_then(|entry| entry.app.fields.uid.clone());
        let data = Data {
            app_id: Some(endpoint.app),
            app_uid,
            endpoint_id: Some(endpoint.id),
            endpoint_uid: endpoint.fields.uid.clone(),
            ..Data::default()
        };
        Self { kind, endpoint: endpoint.id, times: 1, data }
    }

    /// It has had nothing but failures since then.
    pub(super) fn failing_since(mut self, since: UnixMs) -> Self {
        self.data.fail_since = Some(text(since));
        self
    }

    /// Why it is disabled.
    pub(super) const fn disabled(mut self, disabled: &Disabled) -> Self {
        self.data.reason = disabled.by.reason();
        self.data.trigger = Some(if self.data.reason.is_some() { "automatic" } else { "manual" });
        self
    }

    /// Why its deliveries are dead letters.
    pub(super) const fn dead(mut self, reason: &'static str, times: u64) -> Self {
        self.data.reason = Some(reason);
        self.times = times;
        self
    }

    /// About one message.
    pub(super) const fn about(mut self, delivery: &DeliveryRef) -> Self {
        self.data.msg_id = Some(delivery.message);
        self
    }

    /// Its last attempt.
    pub(super) fn after(mut self, outcome: &Outcome) -> Self {
        self.data.last_attempt = Some(LastAttempt {
            id: outcome.id,
            response_status_code: outcome.status.unwrap_or(0),
            timestamp: text(outcome.started),
        });
        self.about(&outcome.delivery)
    }

    /// The message's body. `count` is how many there were since the last one was told.
    pub(super) fn body(mut self, count: u64) -> Bytes {
        self.data.count = Some(count).filter(|_| self.kind.is_often());
        let payload = Payload { kind: self.kind.as_str(), data: self.data };
        serde_json::to_vec(&payload).expect("its keys are strings").into()
    }
}

/// When events that come often were told last. It is in memory only: after a start the
/// next is told at once. One entry an endpoint and kind, as long as the endpoint is there.
#[derive(Default)]
pub(super) struct Quiet(HashMap<(EndpointId, Kind), Told>);

struct Told {
    at: UnixMs,
    since: u64,
}

impl Quiet {
    /// How many an event stands for, if it is its turn to be told.
    pub(super) fn turn(&mut self, event: &Event, now: UnixMs) -> Option<u64> {
        if !event.kind.is_often() {
            return Some(1);
        }
        let Some(told) = self.0.get_mut(&(event.endpoint, event.kind)) else {
            self.0.insert((event.endpoint, event.kind), Told { at: now, since: 0 });
            return Some(event.times);
        };
        told.since += event.times;
        if now.since(told.at) < QUIET {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.since))
    }

    /// An endpoint is gone.
    pub(super) fn forget(&mut self, endpoint: EndpointId) {
        for kind in [Kind::Recovered, Kind::Failing, Kind::Exhausted] {
            self.0.remove(&(endpoint, kind));
        }
    }

    /// There is nobody to tell.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::id::RawId;

    use super::*;

    fn event(kind: Kind, times: u64) -> Event {
        let endpoint = EndpointId(RawId::from_bytes([1; 20]));
        Event { kind, endpoint, times, data: Data::default() }
    }

    #[test]
    fn within_a_minute_one_is_told_and_the_next_tells_how_many_there_were() {
        let mut quiet = Quiet::default();
        let mut turn = |kind, times, s: u64| quiet.turn(&event(kind, times), UnixMs(s * 1_000));
        assert_eq!(turn(Kind::Exhausted, 3, 100), Some(3));
        assert_eq!(turn(Kind::Exhausted, 1, 100), None);
        assert_eq!(turn(Kind::Failing, 1, 101), Some(1), "each kind by itself");
        assert_eq!(turn(Kind::Exhausted, 2, 159), None);
        assert_eq!(turn(Kind::Exhausted, 1, 160), Some(4));
        assert_eq!(turn(Kind::Exhausted, 1, 219), None);
        assert_eq!(turn(Kind::Exhausted, 1, 300), Some(2));
        for at in [1, 2] {
            assert_eq!(turn(Kind::Updated, 1, at), Some(1), "no change is left out");
        }
        quiet.forget(event(Kind::Failing, 1).endpoint);
        assert_eq!(quiet.turn(&event(Kind::Exhausted, 1), UnixMs(301_000)), Some(1));
    }

    #[test]
    fn a_payload_is_never_larger_than_its_bound() {
        let uid = || Some("u".repeat(postrider_model::validate::MAX_UID_CHARS));
        let raw = RawId::from_bytes([0xff; 20]);
        let data = Data {
            app_id: Some(AppId(raw)),
            app_uid: uid(),
            endpoint_id: Some(EndpointId(raw)),
            endpoint_uid: uid(),
            fail_since: Some(text(UnixMs(u64::MAX))),
            trigger: Some("automatic"),
            reason: Some("attempts_exhausted"),
            msg_id: Some(MessageId(raw)),
            last_attempt: Some(LastAttempt {
                id: AttemptId(raw),
                response_status_code: 599,
                timestamp: text(UnixMs(u64::MAX)),
            }),
            count: None,
        };
        let event = Event { kind: Kind::Exhausted, endpoint: EndpointId(raw), times: 1, data };
        assert!(event.body(u64::MAX).len() < BODY_BYTES);
    }
}
