//! Everything that a server tells of a store, compared with what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::store::{Fate, Kept, Store};
use crate::support::{Answer, Api, Server, until};

/// What is not as it was.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Messages that are answered as damaged, with what that says.
    damaged: BTreeMap<String, String>,
    /// Messages that are not there.
    missing: BTreeSet<String>,
    /// That wait no more, and that wait though they should not.
    pending_less: BTreeSet<String>,
    pending_more: BTreeSet<String>,
    dead_less: BTreeSet<String>,
    dead_more: BTreeSet<String>,
    /// Dead letters whose payload is damaged.
    buried: BTreeSet<String>,
    /// Delivered, and not known to be.
    forgotten: BTreeSet<String>,
    /// The endpoints are not what they were.
    endpoints_differ: bool,
    /// What is never right.
    wrong: Vec<String>,
}

impl Audit {
    pub(super) async fn of(store: &Store, server: &Server) -> Self {
        let api = server.api();
        let endpoints = whole(&api, "/app/shop/endpoint").await.json();
        let mut audit = Self { endpoints_differ: endpoints["data"] != store.endpoints, ..Self::default() };
        let listed = audit.read_list(store, &api).await;
        for message in store.messages.iter().filter(|message| !listed.contains(&message.id)) {
            audit.read_one(message, &api).await;
        }
        audit.compare_deliveries(store, &api).await;
        audit.look_for_outcomes(store, &api).await;
        let broken = server.metrics().await.sum("postrider_invariant_violations_total", "");
        if broken != 0.0 {
            audit.wrong.push(format!("{broken} rules were broken"));
        }
        audit
    }

    /// Messages that cannot be read any more.
    pub(super) fn lost(&self) -> usize {
        self.missing.len() + self.damaged.len()
    }

    /// Nothing has changed.
    pub(super) fn is_as_before(&self) -> bool {
        let Self { damaged, missing, pending_less, pending_more, dead_less, dead_more, .. } = self;
        let lists = [missing, pending_less, pending_more, dead_less, dead_more, &self.buried, &self.forgotten];
        damaged.is_empty() && lists.iter().all(|list| list.is_empty()) && !self.endpoints_differ && self.is_right()
    }

    fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Whether a server may go on like this that was not told to: nothing live is
    /// gone, and what is unreadable is named.
    pub(super) fn may_be(&self, log: &str) -> bool {
        let lists = [&self.missing, &self.pending_less, &self.pending_more, &self.dead_less, &self.dead_more];
        let all_live = lists.iter().all(|list| list.is_empty()) && !self.endpoints_differ;
        let named = self.damaged.values().all(|detail| detail.contains("segment-"));
        let is_logged = log.contains("segment-") && log.contains("damaged");
        all_live && named && self.is_right() && (self.forgotten.is_empty() || is_logged)
    }

    /// Whether nothing has gone but outcomes, so that something is sent once more.
    pub(super) fn lacks_outcomes_only(&self) -> bool {
        let kept = [&self.missing, &self.pending_less, &self.dead_more, &self.buried];
        let all_kept = kept.iter().all(|list| list.is_empty()) && self.damaged.is_empty() && !self.endpoints_differ;
        all_kept && self.is_right() && self.dead_less.is_subset(&self.pending_more)
    }

    /// What is not there any more is what salvage says.
    #[track_caller]
    pub(super) fn assert_agrees_with(&self, salvaged: &[Value], store: &Store, what: &str) {
        let context = format!("{what}: {salvaged:?}: {self:#?}");
        assert!(self.is_right(), "{context}");
        let summary = salvaged.last().expect("there is a summary");
        let lost = lost(salvaged);
        let in_lost = |id: &String| {
            let message = store.messages.iter().find(|message| message.id == *id).expect("it is known");
            lost.iter().any(|part| holds(part, &message.segment, message.offset))
        };
        assert!(self.missing.iter().all(in_lost), "what is missing lay elsewhere: {context}");
        // Of a message whose record is lost nothing is known, its delivery neither.
        let unread = |id: &String| self.missing.contains(id) || self.damaged.contains_key(id) && in_lost(id);
        let unknown = self.pending_less.iter().filter(|id| !unread(id) && !self.buried.contains(*id)).count();
        assert_eq!(summary["deliveriesLost"].as_u64(), Some(unknown as u64), "{context}");
        assert_eq!(summary["payloadsLost"].as_u64(), Some(self.buried.len() as u64), "{context}");
        // Outcomes and configuration that lay in the damaged part are not known any more.
        let has_lost = !lost.is_empty();
        let again = self.pending_more.is_empty() && self.forgotten.is_empty() && !self.endpoints_differ;
        assert!(again || has_lost, "{context}");
        let is_known = |id: &String| unread(id) || self.pending_more.contains(id);
        assert!(self.dead_less.iter().all(is_known), "{context}");
        assert!(self.dead_more.is_subset(&self.buried), "{context}");
    }

    /// Reads all messages by the list; gives those that are as they were.
    async fn read_list(&mut self, store: &Store, api: &Api) -> BTreeSet<String> {
        let list = whole(api, "/app/shop/msg?limit=250").await;
        assert_eq!(list.status, 200, "{list:?}");
        let list = list.json();
        let listed = list["data"].as_array().cloned().unwrap_or_default();
        let mut known = BTreeSet::new();
        for shown in listed {
            let id = shown["id"].as_str().unwrap_or_default().to_owned();
            match store.messages.iter().find(|message| message.id == id) {
                Some(message) if shown["payload"] == message.payload => drop(known.insert(id)),
                Some(_) => self.wrong.push(format!("{id} is listed with another payload")),
                None => self.wrong.push(format!("{id} was never sent")),
            }
        }
        known
    }

    /// Reads one that the list does not show.
    async fn read_one(&mut self, message: &Kept, api: &Api) {
        let answer = whole(api, &format!("/app/shop/msg/{}", message.id)).await;
        let (id, shown) = (message.id.clone(), answer.json());
        match (answer.status, shown["code"].as_str()) {
            (200, _) if shown["payload"] == message.payload => {
                self.wrong.push(format!("{id} is whole, and is not listed"));
            }
            (500, Some("damaged")) => {
                self.damaged.insert(id, shown["detail"].as_str().unwrap_or_default().to_owned());
            }
            (404, _) => drop(self.missing.insert(id)),
            _ => self.wrong.push(format!("{id}: {answer:?}")),
        }
    }

    async fn compare_deliveries(&mut self, store: &Store, api: &Api) {
        let ids = |fate| store.with(fate).map(|message| message.id.clone()).collect::<BTreeSet<_>>();
        let pending = listed(api, "/app/shop/delivery?limit=250", |_| true).await;
        let dead = listed(api, "/app/shop/dead-letter?limit=250", |_| true).await;
        let is_buried = |letter: &Value| letter["reason"] == "payload_damaged";
        self.buried = listed(api, "/app/shop/dead-letter?limit=250", is_buried).await;
        self.pending_less = &ids(Fate::Waits) - &pending;
        self.pending_more = &pending - &ids(Fate::Waits);
        self.dead_less = &ids(Fate::Dead) - &dead;
        self.dead_more = &dead - &ids(Fate::Dead);
    }

    /// Delivered is what has an attempt that succeeded; where that is not listed, what the message says.
    async fn look_for_outcomes(&mut self, store: &Store, api: &Api) {
        let path = format!("/app/shop/attempt/endpoint/{}?limit=250", store.confirms.id);
        let succeeded = listed(api, &path, |attempt| attempt["responseStatusCode"] == 200).await;
        for message in store.with(Fate::Delivered).filter(|message| !succeeded.contains(&message.id)) {
            let answer = whole(api, &format!("/app/shop/msg/{}/delivery", message.id)).await;
            let is_delivered = answer.status == 200 && answer.json()["data"][0]["state"] == "delivered";
            // That it is damaged or not there is seen elsewhere.
            let is_known = self.damaged.contains_key(&message.id) || self.missing.contains(&message.id);
            if !is_delivered && !is_known {
                self.forgotten.insert(message.id.clone());
            }
        }
    }
}

/// The parts that salvage says are lost, and that no checkpoint makes up for.
pub(super) fn lost(salvaged: &[Value]) -> Vec<&Value> {
    let is_lost = |line: &&Value| line["kind"] == "missing" && line["coveredByCheckpoint"] == false;
    salvaged.iter().filter(is_lost).collect()
}

/// Whether a part that is lost holds a byte of a file.
pub(super) fn holds(lost: &Value, file: &str, offset: usize) -> bool {
    let bytes = |name: &str| lost[name].as_u64().and_then(|offset| usize::try_from(offset).ok()).unwrap_or_default();
    lost["file"] == file && (bytes("from")..bytes("to")).contains(&offset)
}

/// The bytes that a text such as `...segment-0000000001.journal: bytes 64 to 128: ...` names.
pub(super) fn named_bytes(text: &str) -> Option<Range<usize>> {
    let (_, rest) = text.split_once(": bytes ")?;
    let (from, rest) = rest.split_once(" to ")?;
    let (to, _) = rest.split_once(':')?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// An answer, once the index is whole.
async fn whole(api: &Api, path: &str) -> Answer {
    until(format!("an answer to {path}"), async || {
        let answer = api.call("GET", path, &Value::Null).await;
        (answer.status != 503).then_some(answer)
    })
    .await
}

/// The messages of a list's members that are wanted.
async fn listed(api: &Api, path: &str, wanted: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let answer = whole(api, path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let list = answer.json();
    let members = list["data"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    let wanted = members.iter().filter(|member| wanted(member));
    wanted.filter_map(|member| member["msgId"].as_str().map(str::to_owned)).collect()
}
