use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use super::client::World;

const IMPORT: &str = "/api/v1/event-type/import/openapi";

fn webhook(schema: Value) -> Value {
    json!({ "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } })
}

fn import(webhooks: Value, more: Value) -> Value {
    json!({ "spec": { "openapi": "3.1.0", "webhooks": webhooks, "components": more } })
}

#[tokio::test]
async fn a_schema_that_is_true_or_false_is_imported_as_an_object() {
    let world = World::new();
    let mut named = webhook(json!(true));
    named["post"]["x-postrider"] = json!({ "version": "2", "schemas": { "1": false } });
    let webhooks = json!({
        "all": webhook(json!(true)), "none": webhook(json!(false)), "named": named,
        "referred": webhook(json!({ "$ref": "#/components/schemas/Never" })),
    });
    let body = import(webhooks, json!({ "schemas": { "Never": false } }));
    world.post(IMPORT, body.clone()).await.is(StatusCode::OK);
    for (name, schemas) in [
        ("all", json!({ "1": {} })),
        ("none", json!({ "1": { "not": {} } })),
        ("named", json!({ "1": { "not": {} }, "2": {} })),
        ("referred", json!({ "1": { "not": {} } })),
    ] {
        let path = format!("/api/v1/event-type/{name}");
        let shown = world.get(&path).await.is(StatusCode::OK);
        assert_eq!(shown["schemas"], schemas, "{name}");
        // What is shown can be written back.
        let back = json!({ "description": shown["description"], "schemas": shown["schemas"] });
        assert_eq!(world.put(&path, back).await.is(StatusCode::OK)["schemas"], schemas, "{name}");
    }
    let again = world.post(IMPORT, body).await.is(StatusCode::OK);
    assert_eq!(again["data"]["modified"], json!([]), "the same document changes nothing");
}

/// One thread answers all, and two may block: the first import has one of them for as long as it is kept waiting.
#[test]
fn imports_are_worked_out_one_at_a_time_and_not_where_others_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(2).build().unwrap();
    runtime.block_on(async {
        let world = Arc::new(World::new());
        let (entered, mut entries) = unbounded_channel();
        let (go, gate) = mpsc::channel();
        let (answering, gate) = (thread::current().id(), Mutex::new(gate));
        world.fake.state().before_look = Some(Arc::new(move || {
            if thread::current().id() != answering {
                entered.send(()).unwrap();
                let _: Result<(), _> = gate.lock().unwrap().recv();
            }
        }));
        let start = || {
            let world = Arc::clone(&world);
            let body = import(json!({ "a.b": webhook(json!({})) }), json!({}));
            tokio::spawn(async move { world.post(IMPORT, body).await.is(StatusCode::OK) })
        };
        let mut first = start();
        tokio::select! {
            _ = &mut first => panic!("it was worked out on the thread that answers"),
            _ = entries.recv() => {}
        }
        let second = start();
        // It comes as far as it can.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // Blocking work begins in the order in which it was asked for, so this would be behind that of a second import.
        let behind = tokio::task::spawn_blocking(|| ());
        tokio::select! {
            biased;
            _ = entries.recv() => panic!("two imports are worked out at once"),
            done = behind => done.unwrap(),
        }
        let others = [start(), start()];
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let body = import(json!({}), json!({}));
        world.post(IMPORT, body).await.is(StatusCode::SERVICE_UNAVAILABLE);
        drop(go);
        assert_eq!(first.await.unwrap()["data"]["created"], json!(["a.b"]));
        assert_eq!(second.await.unwrap()["data"]["modified"], json!([]), "the first was done before the second began");
        for other in others {
            other.await.unwrap();
        }
    });
}
