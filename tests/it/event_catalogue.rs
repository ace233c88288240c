//! The catalogue of event types: schemas, what follows from them, and OpenAPI documents.

use serde_json::{Value, json};

use crate::support::{Api, Receiver, Server, Setup};

fn order() -> Value {
    json!({ "type": "object", "required": ["amount"], "properties": { "amount": { "type": "number", "minimum": 1 } } })
}

fn write(server: &Server, name: &str, content: &Value) -> String {
    let path = server.setup.home().join(name);
    std::fs::write(&path, content.to_string()).expect("it can be written");
    path.display().to_string()
}

async fn messages(api: &Api) -> usize {
    api.get("/app/shop/msg").await["data"].as_array().expect("a list").len()
}

#[tokio::test]
async fn what_differs_from_its_schema_is_refused_at_both_doors() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &receiver).await;
    let file = write(&server, "order.json", &order());
    let made = server.run(&["event-type", "create", "order.paid", "--schema", &file, "--validation", "refuse"]).json();
    assert_eq!((&made["schemas"], &made["validation"]), (&json!({ "1": order() }), &json!("refuse")));

    let send = |payload: Value| json!({ "eventType": "order.paid", "payload": payload });
    let refused = api.call("POST", "/app/shop/msg", &send(json!({ "amount": "17" }))).await;
    let problem = &refused.json()["detail"][0];
    assert_eq!((refused.status, &problem["loc"]), (422, &json!(["body", "payload"])), "{refused:?}");
    let said = problem["msg"].as_str().expect("a text");
    assert!(said.contains("at \"/amount\"") && said.contains("/properties/amount/type"), "{said}");

    let batch = json!({ "messages": [send(json!({ "amount": 0 })), send(json!({ "amount": 1 })), send(json!({}))] });
    let batch = api.call("POST", "/app/shop/msg/batch", &batch).await;
    assert_eq!(batch.status, 207, "{batch:?}");

    let mut ingest = server.ingest().await;
    let line = |payload: Value| json!({ "app": "shop", "type": "order.paid", "payload": payload });
    let error = ingest.ask(&line(json!({ "amount": 0.5 })).to_string()).await["error"].clone();
    assert_eq!((&error["code"], &error["field"]), (&json!("schema_mismatch"), &json!("payload")));
    assert!(error["detail"].as_str().is_some_and(|detail| detail.contains("at \"/amount\"")), "{error}");
    let text = json!({ "app": "shop", "type": "order.paid", "payload_base64": "aGk=", "content_type": "text/plain" });
    assert_eq!(ingest.ask(&text.to_string()).await["error"]["code"], "schema_mismatch");
    ingest.accepted(line(json!({ "amount": 2 }))).await;
    // What is not in the catalogue passes, as does an example that is for one endpoint.
    api.send("shop", "order.sent", json!({ "amount": "x" })).await;
    receiver.expect(3).await;
    assert_eq!(messages(&api).await, 3);
    let counted = server.metrics().await;
    assert_eq!(counted.sum("postrider_schema_mismatches_total", "refuse"), 5.0);
}

#[tokio::test]
async fn a_warning_counts_and_logs_and_lets_pass() {
    let server = Setup::new().set("event_types.validation", "warn").start().await;
    let receiver = Receiver::start().await;
    let api = server.api();
    api.register("shop", &receiver).await;
    let of = |name: &str, more: Value| {
        let mut body =
            json!({ "name": name, "description": "", "schemas": { "1": { "type": "string" }, "2": order() } });
        body.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
        body
    };
    api.post("/event-type", of("order.paid", json!({}))).await;
    api.post("/event-type", of("order.sent", json!({ "validation": "off" }))).await;
    api.post("/event-type", of("order.old", json!({ "archived": true, "validation": "refuse" }))).await;
    for name in ["order.paid", "order.sent", "order.old"] {
        api.send("shop", name, json!({ "amount": "s3cret" })).await;
    }
    receiver.expect(3).await;
    let counted = server.metrics().await;
    assert_eq!(counted.sum("postrider_schema_mismatches_total", "warn"), 1.0);
    let log = server.log();
    assert!(log.contains("differs from the schema") && log.contains("/properties/amount/type"), "{log}");
    assert!(!log.contains("s3cret"), "payloads are not logged");
}

#[tokio::test]
async fn a_schema_counts_from_its_change_on_and_an_answer_stays() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &receiver).await;
    let body = json!({ "eventType": "order.paid", "payload": { "amount": 0 } }).to_string();
    let send = async |api: &Api| {
        api.ask(
            "POST",
            "/api/v1/app/shop/msg",
            &[("idempotency-key", "k"), ("content-type", "application/json")],
            body.clone(),
        )
        .await
    };
    let first = send(&api).await;
    assert_eq!(first.status, 202);
    api.post("/event-type", json!({ "name": "order.paid", "description": "", "validation": "refuse" })).await;
    let file = write(&server, "order.json", &order());
    server.run(&["event-type", "update", "order.paid", "--schema", &file]).ok();
    let server = server.stop().await.start().await;
    let api = server.api();
    let again = send(&api).await;
    assert_eq!((again.status, &again.body), (202, &first.body), "{again:?}");
    let new =
        api.call("POST", "/app/shop/msg", &json!({ "eventType": "order.paid", "payload": { "amount": 0 } })).await;
    assert_eq!(new.status, 422, "{new:?}");
    server.run(&["event-type", "update", "order.paid", "--validation", "default"]).ok();
    api.send("shop", "order.paid", json!({ "amount": 0 })).await;
}

#[tokio::test]
async fn what_is_no_schema_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let api = server.api();
    let made = api.post("/event-type", json!({ "name": "a.b", "description": "", "schemas": { "1": order() } })).await;
    for (schema, says) in [
        (json!({ "type": "strin" }), "version \"2\": at \"/type\""),
        (json!({ "$ref": "https://example.com/x.json" }), "nothing is fetched"),
        (json!({ "$ref": "#/$defs/gone" }), "/$defs/gone"),
        (json!({ "properties": { "a": { "pattern": "(" } } }), "pattern"),
        (json!({ "$schema": "http://json-schema.org/draft-07/schema#" }), "draft 2020-12"),
    ] {
        let answer = api.call("PATCH", "/event-type/a.b", &json!({ "schemas": { "1": order(), "2": schema } })).await;
        let problem = &answer.json()["detail"][0];
        assert_eq!((answer.status, &problem["loc"]), (422, &json!(["body", "schemas"])), "{answer:?}");
        assert!(problem["msg"].as_str().is_some_and(|msg| msg.contains(says)), "{schema}: {problem}");
    }
    for validation in [json!("strict"), json!(""), json!(1)] {
        let answer = api.call("PATCH", "/event-type/a.b", &json!({ "validation": validation })).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"][0]["loc"]),
            (422, &json!(["body", "validation"])),
            "{answer:?}"
        );
    }
    assert_eq!(api.get("/event-type/a.b").await, made);
    let refused = server.run(&["check-config", "--set", "event_types.validation=strict"]);
    assert!(refused.code == Some(64) && refused.stderr.contains("`off`, `warn` or `refuse`"), "{refused:?}");
}

fn document() -> Value {
    json!({
        "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" },
        "webhooks": {
            "order.paid": { "post": {
                "description": "An order was paid", "tags": ["orders"],
                "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } },
            } },
            "order.sent": { "$ref": "#/components/pathItems/Sent" },
        },
        "components": {
            "schemas": {
                "Order": { "type": "object", "required": ["items"], "properties": {
                    "items": { "type": "array", "items": { "$ref": "#/components/schemas/Item" } },
                    "parent": { "$ref": "#/components/schemas/Order" },
                } },
                "Item": { "type": "object", "required": ["sku"], "properties": { "sku": { "type": "string" } } },
                "Unused": { "type": "null" },
            },
            "pathItems": { "Sent": { "post": { "summary": "It was sent", "deprecated": true } } },
        },
    })
}

#[tokio::test]
async fn a_document_is_imported_and_an_export_of_it_changes_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &receiver).await;
    api.post("/event-type", json!({ "name": "old", "description": "" })).await;
    let file = write(&server, "openapi.json", &document());
    let planned = server.run(&["event-type", "import", &file, "--dry-run"]).json();
    assert_eq!(planned["data"]["modified"], json!(["order.paid", "order.sent"]));
    assert_eq!(planned["data"]["to_modify"][1]["description"], "It was sent");
    assert_eq!(api.get("/event-type").await["data"].as_array().map(Vec::len), Some(1), "nothing was done");

    api.post("/event-type", json!({ "name": "order.sent", "description": "" })).await;
    let planned = server.run(&["event-type", "import", &file, "--dry-run", "--replace-all"]).json();
    let apart = |answer: &Value| ["created", "changed", "archived"].map(|what| answer["data"][what].clone());
    assert_eq!(apart(&planned), [json!(["order.paid"]), json!(["order.sent"]), json!(["old"])]);
    let done = server.run(&["event-type", "import", &file, "--replace-all"]).json();
    assert_eq!(apart(&done), apart(&planned));
    let paid = api.get("/event-type/order.paid").await;
    assert_eq!((&paid["description"], &paid["groupName"]), (&json!("An order was paid"), &json!("orders")));
    assert_eq!(
        paid["schemas"]["1"]["$defs"].as_object().map(|defs| defs.keys().cloned().collect::<Vec<_>>()).as_deref(),
        Some(&["Item".to_owned(), "Order".to_owned()][..])
    );
    assert_eq!(api.get("/event-type/order.sent").await["deprecated"], true);
    assert_eq!(api.get("/event-type/old").await["archived"], true);
    let tried = json!({ "eventType": "order.paid", "payload": { "items": [{}] } });
    let tried = api.post("/app/shop/msg/precheck/dry-run", tried).await;
    assert_eq!((&tried["mismatch"]["pointer"], &tried["endpoints"][0]["matches"]), (&json!("/items/0"), &json!(true)));
    // What was imported is in force.
    api.patch("/event-type/order.paid", json!({ "validation": "refuse", "featureFlags": ["beta"] })).await;
    let refused =
        json!({ "eventType": "order.paid", "payload": { "items": [], "parent": { "items": [{ "sku": 7 }] } } });
    let refused = api.call("POST", "/app/shop/msg", &refused).await.json();
    assert!(refused["detail"][0]["msg"].as_str().is_some_and(|msg| msg.contains("/parent/items/0/sku")), "{refused}");

    let again = server.run(&["event-type", "import", &file]).json();
    assert_eq!(again["data"]["modified"], json!([]), "the same document changes nothing");
    let mut versions = api.get("/event-type/order.paid").await["schemas"].clone();
    versions["2"] = json!({ "type": "object", "properties": { "self": { "$ref": "#" } } });
    api.patch("/event-type/order.paid", json!({ "schemas": versions })).await;
    let exported = server.run(&["event-type", "export"]).json();
    let names: Vec<_> = exported["webhooks"].as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, ["order.paid", "order.sent"]);
    let exported_file = write(&server, "exported.json", &exported);
    let same = server.run(&["event-type", "import", &exported_file, "--replace-all"]).json();
    assert_eq!(same["data"]["modified"], json!([]));

    let other = Server::start().await;
    other.run(&["event-type", "import", &exported_file]).ok();
    let shown = |mut event_type: Value| {
        event_type.as_object_mut().expect("it is one").retain(|name, _| !name.ends_with("At"));
        event_type
    };
    for name in names {
        let path = format!("/event-type/{name}");
        assert_eq!(shown(other.api().get(&path).await), shown(api.get(&path).await), "{name}");
    }
    // The lines of an export of everything bring it along, too.
    let lines = server.run(&["export", "--what", "config"]).ok().stdout.clone();
    let third = Server::start().await;
    let path = third.setup.home().join("all.ndjson");
    std::fs::write(&path, lines).expect("it can be written");
    third.run(&["import", &path.display().to_string()]).ok();
    assert_eq!(third.api().get("/event-type/order.paid").await["validation"], "refuse");
}

#[tokio::test]
async fn a_document_that_is_wrong_is_refused_with_the_place() {
    let server = Server::start().await;
    let api = server.api();
    let changed = |pointer: &str, value: Value| {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = value;
        json!({ "spec": document })
    };
    let post = "/webhooks/order.paid/post";
    for (body, loc) in [
        (json!({}), json!(["body", "spec"])),
        (json!({ "spec": document(), "specRaw": "{}" }), json!(["body", "specRaw"])),
        (json!({ "specRaw": "openapi: 3.1.0" }), json!(["body", "specRaw"])),
        (json!({ "spec": [] }), json!(["body", "spec"])),
        (json!({ "spec": document(), "dryRun": null }), json!(["body", "dryRun"])),
        (changed("/openapi", json!("3.0.3")), json!(["body", "spec", "openapi"])),
        (changed("/webhooks", json!([])), json!(["body", "spec", "webhooks"])),
        (
            changed("/webhooks/order.paid", json!({ "get": {} })),
            json!(["body", "spec", "webhooks", "order.paid", "post"]),
        ),
        (
            changed("/webhooks/order.sent", json!({ "$ref": "#/components/pathItems/Gone" })),
            json!(["body", "spec", "webhooks", "order.sent"]),
        ),
        (
            changed("/components/schemas/Order/properties/parent", json!({ "$ref": "#/components/schemas/Gone" })),
            json!([
                "body",
                "spec",
                "webhooks",
                "order.paid",
                "post",
                "requestBody",
                "content",
                "application/json",
                "schema"
            ]),
        ),
        (changed("/components/schemas/Item/type", json!("strin")), json!(["body", "spec", "webhooks", "order.paid"])),
        (changed(&format!("{post}/tags"), json!(["a b"])), json!(["body", "spec", "webhooks", "order.paid"])),
    ] {
        let answer = api.call("POST", "/event-type/import/openapi", &body).await;
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &loc), "{body}: {answer:?}");
    }
    assert_eq!(api.get("/event-type").await["data"], json!([]), "nothing was imported");
}

#[tokio::test]
async fn a_type_with_a_charset_is_json_and_what_has_no_schema_is_named() {
    let server = Server::start().await;
    let body = |kind: &str| {
        let content = json!({ kind: { "schema": { "type": "object", "description": kind } } });
        json!({ "post": { "requestBody": { "content": content } } })
    };
    let webhooks = json!({
        "charset": body("Application/JSON; charset=utf-8"), "xml": body("application/xml"), "none": { "post": {} },
    });
    let file = write(&server, "types.json", &json!({ "openapi": "3.1.0", "webhooks": webhooks }));
    let done = server.run(&["event-type", "import", &file]).json();
    assert_eq!(done["data"]["created"], json!(["charset", "none", "xml"]));
    assert_eq!(done["data"]["without_schema"], json!(["xml"]));
    let schemas = async |name: &str| server.api().get(&format!("/event-type/{name}")).await["schemas"].clone();
    assert_eq!(schemas("charset").await["1"]["type"], "object");
    assert_eq!(schemas("xml").await, Value::Null);
}
