//! Clients that mean harm, at every door: each wrong thing gets its answer,
//! changes nothing, and the server goes on.

mod forgeries;
mod http2;
mod injection;
mod paths;
mod slow;
mod smuggling;
mod wire;

use serde_json::json;

use crate::support::{Api, Receiver, Server, Setup};

/// What tokens of these tests are signed with.
const SECRET: &str = "a secret of our own with 32 bytes or more";

/// A server with one application and one endpoint, and a client who may do anything.
struct Shop {
    server: Server,
    receiver: Receiver,
    api: Api,
    token: String,
}

impl Shop {
    async fn open(setup: Setup) -> Self {
        let (server, receiver) = (setup.set("auth.jwt_secret", SECRET).start().await, Receiver::start().await);
        let set = format!("auth.jwt_secret={SECRET}");
        let token =
            server.run(&["token", "create", "--set", &set]).json()["token"].as_str().expect("a token").to_owned();
        let api = server.api();
        api.register("shop", &receiver).await;
        Self { server, receiver, api, token }
    }

    /// Nothing of what was tried is there, what is good goes through, and the
    /// server found nothing wrong with itself.
    async fn unharmed(&self) {
        let before = self.receiver.arrivals().len();
        assert_eq!(self.api.get("/app/shop/msg").await["data"].as_array().map(Vec::len), Some(before));
        for list in ["/app", "/app/shop/endpoint"] {
            let there = self.api.get(list).await;
            assert_eq!(there["data"].as_array().map(Vec::len), Some(1), "{list}: {there}");
        }
        let mut ids = vec![self.api.send("shop", "order.paid", json!({})).await];
        let event = json!({ "app": "shop", "type": "order.paid", "payload": {} });
        ids.push(self.server.ingest().await.accepted(event).await);
        ids.push(self.server.api_over_tcp(Some(&self.token)).send("shop", "order.paid", json!({})).await);
        self.receiver.expect(before + ids.len()).await;
        let arrived = self.receiver.ids();
        assert!(ids.iter().all(|id| arrived.contains(id)), "{ids:?} {arrived:?}");
        let violations = self.server.metrics().await.sum("postrider_invariant_violations_total", "");
        assert_eq!(violations, 0.0);
        let log = self.server.log();
        assert!(!log.contains(r#""level":"ERROR""#) && !log.contains("panicked"), "{log}");
    }
}
