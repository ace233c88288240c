//! What was accepted and what arrived, known outside of the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::support::{Arrival, DEADLINE, Ingest, LOOK_EVERY, Receiver, Reply, Server, Setup};

/// The books of one test, over all its servers.
#[derive(Default)]
pub(crate) struct Books(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    sent: u64,
    /// The number of each event that was accepted, by its id.
    accepted: HashMap<String, u64>,
    /// How often each arrived.
    arrived: HashMap<String, u64>,
    faults: Vec<String>,
}

/// The payload of an event: it follows from its number and its length.
fn payload(n: u64, bytes: usize) -> String {
    json!({ "n": n, "filler": "x".repeat(bytes) }).to_string()
}

impl Books {
    /// A directory with one application and one endpoint, at a receiver that writes
    /// into these books; the server is stopped.
    pub(crate) async fn open(setup: Setup) -> (Arc<Self>, Receiver, Setup) {
        let books = Arc::new(Self::default());
        let receiver = Receiver::deciding({
            let books = Arc::clone(&books);
            move |arrival| books.arrive(arrival)
        })
        .await;
        let server = setup.start().await;
        server.api().register("shop", &receiver).await;
        let setup = server.stop().await;
        (books, receiver, setup)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, arrival: &Arrival) -> Reply {
        let body = String::from_utf8_lossy(&arrival.body);
        let mut pages = self.pages();
        let read: Option<Value> = serde_json::from_str(&body).ok();
        let sent = read.and_then(|read| Some(payload(read["n"].as_u64()?, read["filler"].as_str()?.len())));
        if sent.is_none_or(|sent| sent != body) {
            pages.faults.push(format!("{} arrived with a body that was never sent: {body:.100}", arrival.id()));
        }
        *pages.arrived.entry(arrival.id().to_owned()).or_default() += 1;
        Reply::Status(200)
    }

    /// A line with the next event, and its number.
    pub(crate) fn line(&self, bytes: usize) -> (u64, String) {
        let mut pages = self.pages();
        pages.sent += 1;
        let payload = payload(pages.sent, bytes);
        (pages.sent, format!(r#"{{"app":"shop","type":"a.b","payload":{payload}}}{}"#, '\n'))
    }

    /// The answer to an event; gives whether it was accepted.
    pub(crate) fn answer(&self, n: u64, answer: &Value) -> bool {
        let Some(id) = answer["id"].as_str() else { return false };
        let mut pages = self.pages();
        if let Some(other) = pages.accepted.insert(id.to_owned(), n) {
            pages.faults.push(format!("{id} is the id of the events {other} and {n}"));
        }
        true
    }

    /// Sends events at once and reads their answers, to the end or until the server is
    /// gone; gives how many were accepted.
    pub(crate) async fn send(&self, ingest: &mut Ingest, count: usize, bytes: usize) -> usize {
        let (numbers, lines): (Vec<_>, Vec<_>) = (0..count).map(|_| self.line(bytes)).unzip();
        ingest.try_write(lines.concat().as_bytes()).await;
        let mut accepted = 0;
        for n in numbers {
            let Some(answer) = ingest.try_answer().await else { break };
            accepted += usize::from(self.answer(n, &answer));
        }
        accepted
    }

    /// Events that were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.pages().accepted.len()
    }

    /// Arrivals beyond the first of each.
    pub(crate) fn duplicates(&self) -> u64 {
        self.pages().arrived.values().map(|times| times - 1).sum()
    }

    /// Accepted events that have not arrived.
    fn missing(&self) -> Vec<String> {
        let pages = self.pages();
        pages.accepted.keys().filter(|id| !pages.arrived.contains_key(*id)).cloned().collect()
    }

    /// Waits until all that was accepted has arrived from this server.
    pub(crate) async fn settle(&self, server: &Server, case: &str) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let all = async {
            while !self.missing().is_empty() {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(DEADLINE, all).await.is_err() {
            panic!("{case}: {}", self.what_is_missing(server).await);
        }
        let faults = self.pages().faults.clone();
        assert!(faults.is_empty(), "{case}: {faults:#?}");
    }

    /// What the server says of the events that have not arrived.
    async fn what_is_missing(&self, server: &Server) -> String {
        let (missing, accepted, api) = (self.missing(), self.accepted(), server.api());
        let waiting = api.call("GET", "/app/shop/delivery?limit=250", &Value::Null).await;
        let mut text = format!("{} of {accepted} have not arrived; waiting: {waiting:?}", missing.len());
        for id in missing.iter().take(3) {
            let message = api.call("GET", &format!("/app/shop/msg/{id}?with_content=false"), &Value::Null).await;
            text += &format!("\n{id}: {message:?}");
        }
        text
    }
}

/// The books must notice what they are kept for.
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_and_has_not_arrived_is_missing() {
        let books = Books::default();
        assert!(books.answer(1, &json!({ "id": "msg_1" })) && !books.answer(2, &json!({ "error": {} })));
        assert_eq!((books.accepted(), books.missing().len()), (1, 1));
        books.pages().arrived.insert("msg_1".into(), 3);
        assert_eq!((books.missing().len(), books.duplicates()), (0, 2));
        books.answer(3, &json!({ "id": "msg_1" }));
        assert_eq!(books.pages().faults.len(), 1);
    }
}
