//! Bad input, and what it gets: a precise refusal, and nothing is stored.

mod http;
mod socket;

use serde_json::json;

use crate::support::{Api, Receiver, Server};

/// A server with small limits, an application, and an endpoint.
async fn shop() -> (Server, Receiver) {
    let setup = crate::support::Setup::new().set("limits.body_bytes", "2048").set("limits.line_bytes", "8192");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    server.api().register("shop", &receiver).await;
    (server, receiver)
}

/// Nothing of what was refused is there, and what is good goes through.
async fn nothing_is_stored(api: &Api, receiver: &Receiver) {
    assert_eq!(api.get("/app/shop/msg").await["data"], json!([]));
    let apps = api.get("/app").await;
    assert_eq!(apps["data"].as_array().map(Vec::len), Some(1), "{apps}");
    let endpoints = api.get("/app/shop/endpoint").await;
    assert_eq!(endpoints["data"].as_array().map(Vec::len), Some(1), "{endpoints}");
    let good = api.send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;
    assert_eq!(receiver.ids(), [good]);
}
