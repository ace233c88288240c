//! What all rounds share: a directory, applications with their endpoints, a
//! receiver, and the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::ledger::Ledger;
use crate::support::{Api, Endpoint, Receiver, Server, Setup, until};

/// The applications, each with one endpoint and one producer.
pub(crate) const APPS: [&str; 4] = ["app0", "app1", "app2", "app3"];

/// The directory, the receiver and the ledger.
pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) setup: Setup,
    pub(crate) endpoints: Vec<Endpoint>,
    _receiver: Receiver,
}

impl World {
    /// Makes applications and endpoints in the setup's directory, and stops cleanly.
    pub(crate) async fn make(setup: Setup) -> Self {
        let ledger = Arc::new(Ledger::default());
        let receiver = Receiver::deciding({
            let ledger = Arc::clone(&ledger);
            move |arrival| ledger.arrive(arrival)
        })
        .await;
        let setup = setup.with_small_segments().set("retry.schedule", "0");
        let server = setup.start().await;
        let mut endpoints = vec![];
        for app in APPS {
            endpoints.push(server.api().register(app, &receiver).await);
        }
        server.stop().await;
        Self { ledger, setup, endpoints, _receiver: receiver }
    }

    /// A server that sends nothing until it is told to. What was accepted is
    /// confirmed by now, or listed by it, or lost.
    pub(crate) async fn audit(&self) -> Server {
        self.ledger.set_receiver_refuses(false);
        let server = self.setup.clone().argument("--paused").start().await;
        let (pending, dead) = self.listed(&server.api()).await;
        self.ledger.assert_none_is_lost(&pending, &dead);
        server
    }

    /// The messages of all pending deliveries, and of all dead letters. These first: a
    /// replay of many goes on after a start, also while all is paused, so what is dead now may
    /// wait in a moment, and would be in neither list.
    pub(crate) async fn listed(&self, api: &Api) -> (BTreeSet<String>, BTreeSet<String>) {
        let dead = list(api, "dead-letter").await;
        (list(api, "delivery").await, dead)
    }

    /// Compares the ledger with what the server lists, lets it send the rest, and
    /// compares again.
    pub(crate) async fn settle_up(&self) {
        let server = self.audit().await;
        let api = server.api();
        api.post("/dispatch/resume", json!({})).await;
        for app in APPS {
            api.post(&format!("/app/{app}/dead-letter/replay"), json!({})).await;
        }
        until_deliveries(&server, &["waiting", "held", "in_flight", "dead"], 0.0).await;
        self.ledger.assert_sound();
        self.ledger.assert_all_confirmed();
        assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
        server.stop().await;
    }
}

/// Waits until so many deliveries are in one of these states.
pub(crate) async fn until_deliveries(server: &Server, states: &[&str], count: f64) {
    until(format!("{count} deliveries to be {states:?}"), async || {
        let counts = server.metrics().await;
        let in_state = |state| counts.sum("postrider_deliveries", &format!("state=\"{state}\""));
        (states.iter().map(in_state).sum::<f64>() == count).then_some(())
    })
    .await;
}

async fn list(api: &Api, what: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for app in APPS {
        let mut iterator = String::new();
        loop {
            let path = format!("/app/{app}/{what}?limit=250&iterator={iterator}");
            let page = until("a page", async || {
                let answer = api.call("GET", &path, &Value::Null).await;
                (answer.status != 503).then(|| answer.json())
            });
            let page = page.await;
            let members = page["data"].as_array().unwrap_or_else(|| panic!("no list: {page}"));
            ids.extend(members.iter().filter_map(|member| member["msgId"].as_str().map(str::to_owned)));
            if page["done"] == true {
                break;
            }
            page["iterator"].as_str().unwrap_or_else(|| panic!("no way on: {page}")).clone_into(&mut iterator);
        }
    }
    ids
}
