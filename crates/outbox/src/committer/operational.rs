//! What Postrider tells of itself: the events, their payloads, and how often one is told.
//! Payloads have the form of Svix's operational webhooks where there is one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use postrider_model::config::Config;
use postrider_model::endpoint::{Disabled, Endpoint};
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId};
use postrider_model::time::UnixMs;
use serde::Serialize;

use crate::meters::EVENTS_DROPPED;
use crate::record::{DeliveryRef, Outcome};

/// Of what comes often, an endpoint's first is told at once; what comes within this time
/// is counted, and told as one when the time is over.
const QUIET: Duration = Duration::from_secs(60);
/// An event's payload at most: names, ids and times.
pub(super) const BODY_BYTES: usize = 2 << 10;

/// Why an event is left out where there is no room for another record.
pub(super) const DISK_FULL: &str = "disk_full";

/// Counts what is left out, each as often as what it stands for.
pub(super) fn leave_out(reason: &'static str, count: u64) {
    metrics::counter!(EVENTS_DROPPED, "reason" => reason).increment(count);
}

/// A time as the API spells it: RFC 3339, UTC, with milliseconds.
fn text(at: UnixMs) -> String {
    let ms = i64::try_from(at.as_u64()).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{timestamp:.3}")
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// The message's body.
    pub(super) fn body(mut self) -> Bytes {
        self.data.count = Some(self.times).filter(|_| self.kind.is_often());
        let payload = Payload { kind: self.kind.as_str(), data: self.data };
        serde_json::to_vec(&payload).expect("its keys are strings").into()
    }
}

/// When events that come often were told last, and what has been counted since. It is in memory only:
/// after a start the next is told at once. One entry an endpoint and kind, as long as the endpoint is there.
#[derive(Default)]
pub(super) struct Quiet {
    told: HashMap<Which, Told>,
    /// Those of which some were counted, by when they are told.
    due: BTreeSet<(UnixMs, Which)>,
}

type Which = (EndpointId, Kind);

struct Told {
    at: UnixMs,
    /// The last one since, which stands for all of them.
    counted: Option<Event>,
    /// The endpoint is not there any more.
    is_gone: bool,
}

impl Quiet {
    /// Gives an event whose turn it is to be told, with how many it stands for; counts others.
    pub(super) fn turn(&mut self, mut event: Event, now: UnixMs) -> Option<Event> {
        if !event.kind.is_often() {
            return Some(event);
        }
        let which = (event.endpoint, event.kind);
        let Some(told) = self.told.get_mut(&which) else {
            self.told.insert(which, Told { at: now, counted: None, is_gone: false });
            return Some(event);
        };
        event.times += told.counted.take().map_or(0, |before| before.times);
        let due = (told.at + QUIET, which);
        if now < due.0 {
            told.counted = Some(event);
            self.due.insert(due);
            return None;
        }
        self.due.remove(&due);
        told.at = now;
        Some(event)
    }

    /// When the next of what was counted is to be told.
    pub(super) fn next(&self) -> Option<UnixMs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is to be told by now of what was counted, so many at most; `all` of it also before its time.
    pub(super) fn take(&mut self, now: UnixMs, all: bool, most: usize) -> Vec<Event> {
        let mut events = vec![];
        while events.len() < most
            && let Some((_, which)) = self.due.first().copied().filter(|(at, _)| all || *at <= now)
        {
            self.due.pop_first();
            let Some(told) = self.told.get_mut(&which) else { continue };
            told.at = now;
            events.extend(told.counted.take());
            if told.is_gone {
                self.told.remove(&which);
            }
        }
        events
    }

    /// An endpoint is gone. What was counted of it is told all the same.
    pub(super) fn forget(&mut self, endpoint: EndpointId) {
        for kind in [Kind::Recovered, Kind::Failing, Kind::Exhausted] {
            match self.told.get_mut(&(endpoint, kind)) {
                Some(told) if told.counted.is_some() => told.is_gone = true,
                _ => drop(self.told.remove(&(endpoint, kind))),
            }
        }
    }

    /// There is nobody to tell.
    pub(super) fn forget_all(&mut self) {
        self.told.clear();
        self.due.clear();
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.told.len()
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

    fn at(s: u64) -> UnixMs {
        UnixMs(s * 1_000)
    }

    #[test]
    fn within_a_minute_one_is_told_and_the_next_tells_how_many_there_were() {
        let mut quiet = Quiet::default();
        let mut told = |kind, times, s: u64| quiet.turn(event(kind, times), at(s)).map(|told| told.times);
        assert_eq!(told(Kind::Exhausted, 3, 100), Some(3));
        assert_eq!(told(Kind::Exhausted, 1, 100), None);
        assert_eq!(told(Kind::Failing, 1, 101), Some(1), "each kind by itself");
        assert_eq!(told(Kind::Exhausted, 2, 159), None);
        assert_eq!(told(Kind::Exhausted, 1, 160), Some(4));
        assert_eq!(told(Kind::Exhausted, 1, 219), None);
        assert_eq!(told(Kind::Exhausted, 1, 300), Some(2));
        for at in [1, 2] {
            assert_eq!(told(Kind::Updated, 1, at), Some(1), "no change is left out");
        }
        quiet.forget(event(Kind::Failing, 1).endpoint);
        assert_eq!(turn(&mut quiet, Kind::Exhausted, 301), Some(1));
    }

    fn turn(quiet: &mut Quiet, kind: Kind, s: u64) -> Option<u64> {
        quiet.turn(event(kind, 1), at(s)).map(|told| told.times)
    }

    fn take(quiet: &mut Quiet, s: u64, all: bool, most: usize) -> Vec<(Kind, u64)> {
        quiet.take(at(s), all, most).into_iter().map(|told| (told.kind, told.times)).collect()
    }

    #[test]
    fn what_was_counted_is_told_at_the_end_of_its_minute_and_begins_another() {
        let mut quiet = Quiet::default();
        for (kind, s) in [(Kind::Exhausted, 100), (Kind::Exhausted, 110), (Kind::Failing, 120), (Kind::Failing, 120)] {
            turn(&mut quiet, kind, s);
        }
        turn(&mut quiet, Kind::Exhausted, 130);
        assert_eq!((quiet.next(), take(&mut quiet, 159, false, 9)), (Some(at(160)), vec![]));
        assert_eq!(take(&mut quiet, 165, false, 9), [(Kind::Exhausted, 2)]);
        assert_eq!((turn(&mut quiet, Kind::Exhausted, 224), quiet.next()), (None, Some(at(180))));
        assert_eq!(take(&mut quiet, 300, false, 1), [(Kind::Failing, 1)], "no more than there is room for");
        assert_eq!(turn(&mut quiet, Kind::Exhausted, 300), Some(2), "or together with one that comes");
        assert_eq!((quiet.next(), take(&mut quiet, 999, true, 9)), (None, vec![]));
        turn(&mut quiet, Kind::Exhausted, 301);
        assert_eq!(take(&mut quiet, 302, true, 9), [(Kind::Exhausted, 1)], "all of it at an end");
    }

    #[test]
    fn what_was_counted_of_an_endpoint_that_is_gone_is_told_and_then_nothing_is_kept() {
        let mut quiet = Quiet::default();
        for kind in [Kind::Exhausted, Kind::Exhausted, Kind::Failing] {
            turn(&mut quiet, kind, 100);
        }
        quiet.forget(event(Kind::Failing, 1).endpoint);
        assert_eq!(quiet.len(), 1);
        assert_eq!(take(&mut quiet, 160, false, 9), [(Kind::Exhausted, 1)]);
        assert_eq!((quiet.len(), quiet.next()), (0, None));
        for _ in 0..2 {
            turn(&mut quiet, Kind::Exhausted, 200);
        }
        quiet.forget_all();
        assert_eq!((quiet.len(), quiet.next()), (0, None));
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
        let event = Event { kind: Kind::Exhausted, endpoint: EndpointId(raw), times: u64::MAX, data };
        assert!(event.body().len() < BODY_BYTES);
    }
}
