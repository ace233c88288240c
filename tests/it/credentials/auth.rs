//! User and password, bearer tokens, and keys in a header of their own.

use serde_json::{Value, json};

use crate::support::{Receiver, Server, run};

/// The place that a refusal names, and what it says.
fn refusal(answer: &crate::support::Answer) -> (Value, String) {
    assert_eq!(answer.status, 422, "{answer:?}");
    let detail = answer.json()["detail"][0].clone();
    (detail["loc"].clone(), detail["msg"].as_str().expect("a sentence").to_owned())
}

#[tokio::test]
async fn each_kind_becomes_its_header_and_shows_no_secret() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    for (number, (auth, shown, name, value)) in [
        (
            json!({ "type": "basic", "username": "Aladdin", "password": "open sesame" }),
            json!({ "type": "basic", "username": "Aladdin", "password": "***" }),
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (
            json!({ "type": "basic", "username": "k3y", "password": "" }),
            json!({ "type": "basic", "username": "***", "password": "" }),
            "authorization",
            "Basic azN5Og==",
        ),
        (
            json!({ "type": "bearer", "token": "t0ken" }),
            json!({ "type": "bearer", "token": "***" }),
            "authorization",
            "Bearer t0ken",
        ),
        (
            json!({ "type": "apiKey", "header": "X-Shop-Key", "value": "v4lue" }),
            json!({ "type": "apiKey", "header": "X-Shop-Key", "value": "***" }),
            "x-shop-key",
            "v4lue",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let event = format!("order.paid{number}");
        let endpoint = api.endpoint("shop", &receiver, json!({ "auth": auth, "eventTypes": [event] })).await;
        let path = format!("/app/shop/endpoint/{}", endpoint.id);
        assert_eq!(api.get(&path).await["auth"], shown);
        // Written back as it was shown, and left out, it stays.
        for (method, body) in [
            ("PUT", json!({ "url": receiver.url(), "auth": shown, "eventTypes": [event] })),
            ("PUT", json!({ "url": receiver.url(), "eventTypes": [event] })),
            ("PATCH", json!({ "auth": shown })),
            ("PATCH", json!({ "url": format!("{}?x=1", receiver.url()) })),
        ] {
            let answer = api.call(method, &path, &body).await;
            assert_eq!((answer.status, &answer.json()["auth"]), (200, &shown), "{method} {body}");
        }
        api.send("shop", &event, json!({})).await;
        let arrivals = receiver.expect(number + 1).await;
        let arrival = &arrivals[number];
        assert_eq!(arrival.header(name), value);
        assert!(arrival.is_signed_with(&endpoint.secret));
        api.set(&endpoint, "disabled").await;
    }
}

#[tokio::test]
async fn it_is_sent_after_a_restart_and_no_more_once_it_is_removed() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let auth = json!({ "type": "bearer", "token": "t0ken" });
    api.endpoint("shop", &receiver, json!({ "auth": auth, "uid": "main" })).await;
    let server = server.stop().await.start().await;
    let api = server.api();
    api.send("shop", "order.paid", json!({})).await;
    assert_eq!(receiver.expect(1).await[0].header("authorization"), "Bearer t0ken");
    api.patch("/app/shop/endpoint/main", json!({ "auth": null })).await;
    api.send("shop", "order.paid", json!({})).await;
    assert!(receiver.expect(2).await[1].headers.get("authorization").is_none());
}

#[tokio::test]
async fn it_does_not_follow_a_url_to_another_host() {
    let (server, first, second) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let auth = json!({ "type": "apiKey", "header": "x-key", "value": "v4lue" });
    let endpoint = api.endpoint("shop", &first, json!({ "auth": auth })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let shown = json!({ "type": "apiKey", "header": "x-key", "value": "***" });
    for method in ["PATCH", "PUT"] {
        for body in [json!({ "url": second.url() }), json!({ "url": second.url(), "auth": shown })] {
            let (place, told) = refusal(&api.call(method, &path, &body).await);
            assert_eq!(place, json!(["body", "auth", "value"]), "{method} {body}");
            assert!(told.contains("give it anew") && !told.contains("v4lue"), "{told}");
        }
    }
    assert_eq!(api.get(&path).await["url"], first.url(), "nothing has changed");
    let moved = json!({ "url": second.url(), "auth": { "type": "bearer", "token": "another" } });
    api.patch(&path, moved).await;
    api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &second.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!(arrival.header("authorization"), "Bearer another");
    assert!(arrival.headers.get("x-key").is_none());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name_and_changes_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let before = api.endpoint("shop", &receiver, json!({ "uid": "main" })).await;
    let url = receiver.url();
    let with_user = url.replace("://", "://till:pa55@");
    let bearer = json!({ "type": "bearer", "token": "s3cret" });
    let part = |name: &str| json!(["body", "auth", name]);
    for (body, place) in [
        (json!({ "auth": {} }), part("type")),
        (json!({ "auth": { "type": "digest" } }), part("type")),
        (json!({ "auth": { "type": "basic", "username": "a" } }), part("password")),
        (json!({ "auth": { "type": "basic", "username": "a:b", "password": "s3cret" } }), part("username")),
        (json!({ "auth": { "type": "basic", "username": "***", "password": "s3cret" } }), part("username")),
        (json!({ "auth": { "type": "basic", "username": "a", "password": "***" } }), part("password")),
        (json!({ "auth": { "type": "bearer", "token": "***" } }), part("token")),
        (json!({ "auth": { "type": "bearer", "token": "s3cret\n" } }), part("token")),
        (json!({ "auth": { "type": "bearer", "token": "s3cret", "username": "a" } }), part("username")),
        (json!({ "auth": { "type": "bearer", "token": ["s3cret"] } }), part("token")),
        (json!({ "auth": { "type": "bearer", "tocken": "s3cret" } }), part("tocken")),
        (json!({ "auth": { "type": "apiKey", "header": "host", "value": "s3cret" } }), part("header")),
        (json!({ "auth": { "type": "apiKey", "header": "Webhook-Id", "value": "s3cret" } }), part("header")),
        (json!({ "auth": { "type": "apiKey", "header": "x-key", "value": "s3cret\u{7f}" } }), part("value")),
        (json!({ "auth": "s3cret" }), json!(["body", "auth"])),
        (json!({ "auth": ["s3cret"] }), json!(["body", "auth"])),
        (json!({ "auth": bearer, "headers": { "Authorization": "s3cret" } }), json!(["body", "headers"])),
        (json!({ "auth": bearer, "url": with_user }), json!(["body", "url"])),
    ] {
        let whole = body.as_object().expect("it is one").clone();
        let whole: Value =
            [("url".to_owned(), json!(url))].into_iter().chain(whole).collect::<serde_json::Map<_, _>>().into();
        for (method, path, body) in [
            ("POST", "/app/shop/endpoint", &whole),
            ("PUT", "/app/shop/endpoint/main", &whole),
            ("PATCH", "/app/shop/endpoint/main", &body),
        ] {
            let answer = api.call(method, path, body).await;
            let (named, told) = refusal(&answer);
            assert_eq!(named, place, "{method} {body}: {told}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("s3cret"), "{told}");
        }
    }
    // The headers' own operations look at it, too.
    api.patch("/app/shop/endpoint/main", json!({ "auth": bearer })).await;
    let headers = json!({ "headers": { "AUTHORIZATION": "x" } });
    for method in ["PUT", "PATCH"] {
        let (named, _) = refusal(&api.call(method, "/app/shop/endpoint/main/headers", &headers).await);
        assert_eq!(named, json!(["body", "headers"]));
    }
    let list = api.get("/app/shop/endpoint").await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["data"][0]["id"], before.id.as_str());
}

#[tokio::test]
async fn the_command_line_sets_shows_and_removes_it() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let file = server.setup.home().join("auth.json");
    std::fs::write(&file, r#"{"type": "bearer", "token": "from-a-file"}"#).expect("it can be written");
    let from_file = format!("@{}", file.display());
    let url = receiver.url();
    let made =
        server.run(&["endpoint", "create", "--app", "shop", "--uid", "main", "--url", &url, "--auth", &from_file]);
    assert_eq!(made.json()["auth"], json!({ "type": "bearer", "token": "***" }));
    let basic = r#"{"type": "basic", "username": "till", "password": "pa55"}"#;
    let updated = server.run(&["endpoint", "update", "--app", "shop", "main", "--auth", basic]);
    assert_eq!(updated.json()["auth"], json!({ "type": "basic", "username": "till", "password": "***" }));
    assert!(!updated.stdout.contains("pa55"), "{updated:?}");
    api.send("shop", "order.paid", json!({})).await;
    assert_eq!(receiver.expect(1).await[0].header("authorization"), "Basic dGlsbDpwYTU1");
    let removed = server.run(&["endpoint", "update", "--app", "shop", "main", "--no-auth"]);
    assert_eq!(removed.json()["auth"], Value::Null);
    let wrong = server.run(&["endpoint", "update", "--app", "shop", "main", "--auth", "{}"]);
    assert!(wrong.code != Some(0) && wrong.stderr.contains("auth.type"), "{wrong:?}");
}

#[tokio::test]
async fn an_export_has_no_secret_and_an_import_asks_for_it() {
    let (from, to, receiver) = (Server::start().await, Server::start().await, Receiver::start().await);
    let api = from.api();
    api.app("shop").await;
    let auth = json!({ "type": "bearer", "token": "t0ken" });
    api.endpoint("shop", &receiver, json!({ "uid": "main", "auth": auth })).await;
    let exported = from.run(&["export", "--with-secrets"]);
    let text = &exported.ok().stdout;
    assert!(text.contains(r#""token":"***""#) && !text.contains("t0ken"), "{text}");
    let file = from.setup.home().join("exported.ndjson");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, text).expect("it can be written");

    let refused = to.run(&["import", path]);
    assert!(refused.code != Some(0) && refused.stderr.contains("auth"), "{refused:?}");
    assert_eq!(to.api().get("/app").await["data"], json!([]), "nothing was done");
    // Into the server that it came from nothing changes, with `--update` neither.
    for flags in [&[][..], &["--update"]] {
        let again = from.run(&[&["import", path], flags].concat()).json();
        assert_eq!((&again["created"], &again["updated"]), (&json!(0), &json!(0)), "{again}");
    }
    std::fs::write(&file, text.replace("***", "t0ken")).expect("it can be written");
    let done = to.run(&["import", path]).json();
    assert_eq!(done["created"], 2, "{done}");
    to.api().send("shop", "order.paid", json!({})).await;
    assert_eq!(receiver.expect(1).await[0].header("authorization"), "Bearer t0ken");
    let elsewhere = run(to.setup.data_dir(), &["endpoint", "get", "--app", "shop", "main"]).json();
    assert_eq!(elsewhere["auth"], json!({ "type": "bearer", "token": "***" }));
    // An import that finds another one says so, and shows neither.
    std::fs::write(
        &file,
        text.replace(r#""type":"bearer","token":"***""#, r#""type":"apiKey","header":"x","value":"s3cret""#),
    )
    .expect("it can be written");
    let differs = to.run(&["import", path]);
    assert!(differs.stderr.contains("auth") && !format!("{differs:?}").contains("s3cret"), "{differs:?}");
}

#[tokio::test]
async fn an_import_names_all_lines_that_lack_credentials_at_once() {
    let (from, to, receiver) = (Server::start().await, Server::start().await, Receiver::start().await);
    let api = from.api();
    api.app("shop").await;
    let auth = json!({ "type": "bearer", "token": "t0ken" });
    api.endpoint("shop", &receiver, json!({ "uid": "a", "auth": auth })).await;
    api.endpoint("shop", &receiver, json!({ "uid": "fine" })).await;
    api.endpoint("shop", &receiver, json!({ "uid": "b", "auth": auth })).await;
    let url = receiver.url().replace("//", "//us:pw@");
    api.post("/app/shop/endpoint", json!({ "uid": "c", "url": url })).await;
    let file = from.setup.home().join("exported.ndjson");
    std::fs::write(&file, &from.run(&["export"]).ok().stdout).expect("it can be written");
    for flags in [&[][..], &["--dry-run"]] {
        let refused = to.run(&[&["import", file.to_str().expect("UTF-8")], flags].concat());
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for said in ["3 fields have no credentials:\n", "line 3: auth: has", "line 5: auth: has", "line 6: url: has"] {
            assert!(refused.stderr.contains(said), "{said}: {refused:?}");
        }
    }
    assert_eq!(to.api().get("/app").await["data"], json!([]), "nothing was done");
}
