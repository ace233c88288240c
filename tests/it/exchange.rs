//! What `export` writes, `import` brings into another server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{POSTRIDER, Ran, Receiver, Reply, Server, Setup, run, until};

/// A server that gives up after one attempt.
async fn start() -> Server {
    Setup::new().set("retry.schedule", "0").start().await
}

/// Exports into a file; gives its path.
fn export(server: &Server, arguments: &[&str]) -> PathBuf {
    let ran = server.run(&[&["export"], arguments].concat());
    let path = server.setup.home().join("exported.ndjson");
    std::fs::write(&path, &ran.ok().stdout).expect("it can be written");
    path
}

fn import(server: &Server, file: &Path, flags: &[&str]) -> Ran {
    server.run(&[&["import", file.to_str().expect("UTF-8")], flags].concat())
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("it can be read");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

/// The configuration of a file without ids and times, which are the server's.
fn configuration(lines: &[Value]) -> Vec<Value> {
    let kinds = ["eventType", "application", "endpoint"];
    let mut kept: Vec<Value> =
        lines.iter().filter(|line| kinds.iter().any(|kind| line["kind"] == *kind)).cloned().collect();
    for line in &mut kept {
        let members = line.as_object_mut().expect("it is one");
        members.retain(|name, _| !["id", "appId", "createdAt", "updatedAt"].contains(&name.as_str()));
        // What had none is found again by one made of its id.
        if members.get("uid").and_then(Value::as_str).is_some_and(|uid| uid.starts_with("import.")) {
            members.insert("uid".into(), Value::Null);
        }
    }
    kept.sort_by_key(ToString::to_string);
    kept
}

/// Two applications, an endpoint that confirms, one that refuses, one that is paused, and
/// messages to them all.
async fn shop(server: &Server, confirms: &Receiver, refuses: &Receiver) -> (String, String) {
    let api = server.api();
    api.post("/event-type", json!({ "name": "order.paid", "description": "An order was paid" })).await;
    let archived =
        json!({ "name": "old", "description": "", "archived": true, "schemas": { "1": { "type": "object" } } });
    api.post("/event-type", archived).await;
    api.post("/app", json!({ "name": "nameless", "metadata": { "k": "v" } })).await;
    api.app("shop").await;
    let more = json!({ "uid": "confirms", "description": "d", "eventTypes": ["order.paid"], "throttleRate": 100,
        "headers": { "x-shop": "17" }, "policy": { "retryJitterPercent": 0 }, "timeoutMs": 5_000, "format": "payload",
        "signature": "github", "secret": "a text of mine" });
    let good = api.endpoint("shop", confirms, more).await;
    let bad = api.endpoint("shop", refuses, json!({ "uid": "refuses", "channels": ["red"] })).await;
    let held = api.endpoint("shop", confirms, json!({ "eventTypes": ["held"] })).await;
    api.set(&held, "paused").await;
    let paid = api.send("shop", "order.paid", json!({ "order": 1 })).await;
    api.until_state(&good, &paid, "delivered").await;
    // Its bytes have a line break, and numbers that are written in their own way.
    let body = "{\"eventType\":\"held\",\"channels\":[\"red\"],\"payload\":{\"n\":  1.00,\n \"a\":[]}}";
    let json = [("content-type", "application/json")];
    let answer = api.ask("POST", "/api/v1/app/shop/msg", &json, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let both = answer.json()["id"].as_str().expect("it has an id").to_owned();
    api.until_state(&bad, &both, "dead").await;
    api.until_waits(&held, &both, "endpoint_paused").await;
    (paid, both)
}

#[tokio::test]
async fn what_is_exported_can_be_imported_elsewhere_and_exported_again() {
    let (from, to) = (start().await, start().await);
    let (confirms, refuses) = (Receiver::start().await, Receiver::start().await);
    refuses.always(Reply::Status(400));
    let (paid, both) = shop(&from, &confirms, &refuses).await;
    let file = export(&from, &["--with-secrets"]);
    let exported = lines(&file);
    let kinds: Vec<_> = exported.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"header"), Some(&"end")));
    let [first, second] = of_kind(&exported, "message")[..] else { panic!("two messages: {exported:?}") };
    assert_eq!((first["id"].as_str(), second["id"].as_str()), (Some(&*paid), Some(&*both)));
    assert_eq!(first["deliveries"][0]["state"], "delivered", "{first}");
    assert!(second["payloadBase64"].is_string() && second["payload"].is_null(), "{second}");
    let [dead] = of_kind(&exported, "deadLetter")[..] else { panic!("one dead letter: {exported:?}") };
    assert_eq!((dead["msgId"].as_str(), dead["message"]["id"].as_str()), (Some(&*both), Some(&*both)), "{dead}");

    let planned = import(&to, &file, &["--dry-run", "--send"]).json();
    assert_eq!((&planned["created"], &planned["sent"], &planned["dryRun"]), (&json!(7), &json!(2), &json!(true)));
    assert_eq!(to.api().get("/app").await["data"], json!([]), "nothing was done");

    let arrived = (confirms.ids().len(), refuses.ids().len());
    assert_eq!(arrived, (1, 1));
    refuses.always(Reply::Status(200));
    let done = import(&to, &file, &["--send"]).json();
    let figures = ["created", "sent", "over", "leftOut", "newSecrets"].map(|name| done[name].as_u64());
    assert_eq!(figures, [Some(7), Some(2), Some(1), Some(0), Some(0)], "{done}");
    // The dead letter goes to its endpoint alone, byte for byte; the other waits for its own, which is paused.
    let arrivals = refuses.expect(2).await;
    assert_eq!(&arrivals[1].body[..], b"{\"n\":  1.00,\n \"a\":[]}");
    let secret = to.api().get("/app/shop/endpoint/refuses/secret").await;
    assert!(arrivals[1].is_signed_with(secret["key"].as_str().expect("it has one")));
    // What has arrived may not be on record yet.
    let one_waits = async || {
        let waiting = to.api().get("/app/shop/delivery").await;
        let is_one = waiting["data"].as_array().map(Vec::len) == Some(1);
        is_one.then(|| waiting["data"][0]["waits"]["reason"].clone())
    };
    assert_eq!(until("one delivery to wait", one_waits).await, "endpoint_paused");
    assert_eq!(confirms.ids().len(), 1, "what was delivered is not sent again");

    let again = export(&to, &["--with-secrets"]);
    assert_eq!(configuration(&lines(&again)), configuration(&exported));
    let whole = lines(&again);
    let sent = of_kind(&whole, "message");
    assert!(
        sent.iter().all(|message| message["payloadBase64"] == second["payloadBase64"]) && sent.len() == 2,
        "{sent:?}"
    );

    let repeated = import(&to, &file, &["--send"]).json();
    assert_eq!((&repeated["created"], &repeated["same"]), (&json!(0), &json!(7)), "{repeated}");
    assert_eq!(of_kind(&lines(&export(&to, &[])), "message").len(), 2, "nothing was sent twice");
    // And into the server that it came from.
    assert_eq!(import(&from, &file, &["--dry-run"]).json()["same"], 7);
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_and_sends_nothing_twice() {
    const MESSAGES: usize = 500;
    let (from, to) = (start().await, start().await);
    let receiver = Receiver::start().await;
    let api = from.api();
    let held = api.register("shop", &receiver).await;
    api.set(&held, "paused").await;
    let messages: Vec<_> = (0..MESSAGES).map(|n| json!({ "eventType": "a.b", "payload": { "n": n } })).collect();
    api.post("/app/shop/msg/batch", json!({ "messages": messages })).await;
    let file = export(&from, &[]);
    assert_eq!(of_kind(&lines(&file), "message").len(), MESSAGES);

    let mut command = Command::new(POSTRIDER);
    command.args(["import", "--send", "--data-dir"]).arg(to.setup.data_dir()).arg(&file).current_dir("/");
    let mut importing = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be started");
    let made = async || {
        let list = to.api().call("GET", "/app/shop/msg?limit=1", &Value::Null).await;
        (list.status == 200 && list.json()["data"][0]["id"].is_string()).then_some(())
    };
    until("the first message to be imported", made).await;
    importing.kill().expect("it is our child");
    let ended = importing.wait().expect("it is our child");
    assert_eq!(ended.code(), None, "it was not through yet");

    import(&to, &file, &["--send"]).ok();
    let whole = lines(&export(&to, &[]));
    let mut numbers: Vec<_> =
        of_kind(&whole, "message").iter().filter_map(|line| line["payload"]["n"].as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..MESSAGES as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_differs_is_refused_by_line_and_field_until_it_is_to_be_changed() {
    let (from, to) = (start().await, start().await);
    let receiver = Receiver::start().await;
    from.api().app("shop").await;
    from.api()
        .endpoint("shop", &receiver, json!({ "uid": "main", "description": "new", "headers": { "x-a": "1" } }))
        .await;
    let secretless = export(&from, &["--what", "config"]);
    to.api().app("shop").await;
    let present = json!({ "uid": "main", "description": "old", "timeoutMs": 2_000, "headers": { "x-b": "2", "authorization": "Bearer t" } });
    let endpoint = to.api().endpoint("shop", &receiver, present).await;
    let refused = import(&to, &secretless, &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let expected = "line 3: description: is \"new\", and \"old\" in the server";
    assert!(refused.stderr.contains(expected) && refused.stderr.contains("--update"), "{refused:?}");
    let changed = import(&to, &secretless, &["--update"]).json();
    assert_eq!((&changed["updated"], &changed["same"]), (&json!(1), &json!(1)), "{changed}");
    assert!(to.api().get("/app/shop/endpoint/main").await["timeoutMs"].is_null(), "what the file leaves out goes");
    let headers = to.api().get("/app/shop/endpoint/main/headers").await;
    assert_eq!(
        headers,
        json!({ "headers": { "x-a": "1" }, "sensitive": ["authorization"] }),
        "what is not shown stays"
    );
    let secret = to.api().get("/app/shop/endpoint/main/secret").await;
    assert_eq!(secret["key"], endpoint.secret.as_str(), "its secret stays");
    let text = std::fs::read_to_string(&secretless).expect("it can be read");
    assert!(!text.contains("whsec_"), "secrets are there only where they were asked for");
}

/// What only the ingest socket takes: any JSON, and what is no JSON.
#[tokio::test]
async fn payloads_that_cannot_be_sent_to_one_endpoint_are_named_and_all_else_is_imported() {
    let (from, to) = (start().await, start().await);
    let receiver = Receiver::start().await;
    let held = from.api().register("shop", &receiver).await;
    from.api().set(&held, "paused").await;
    let mut door = from.ingest().await;
    // The breaks between the parts of the fourth make an export encode it.
    let unsendable = ["7", "[1]", "null", "[1,\r2]", "\"text\""];
    let sendable = [r#"{"expired":false}"#, r#"{"expired":"true"}"#, r#"{"base64":1,"contentType":"x"}"#, r#"{"n":1}"#];
    for payload in unsendable.iter().chain(&sendable) {
        let answer = door.ask(&format!(r#"{{"app":"shop","type":"a.b","payload":{payload}}}"#)).await;
        assert!(answer["id"].is_string(), "{payload}: {answer}");
    }
    door.accepted(json!({ "app": "shop", "type": "a.b", "payload_base64": "/w==" })).await;
    let file = export(&from, &[]);
    let encoded = lines(&file).iter().filter(|line| line["payloadBase64"].is_string()).count();
    assert_eq!(encoded, 1);
    let without = import(&to, &file, &["--dry-run"]).json();
    assert_eq!((&without["created"], &without["leftOut"]), (&json!(2), &json!(10)), "{without}");
    let sent = import(&to, &file, &["--send"]);
    assert_eq!(sent.stderr.matches("is no object, which cannot be sent to one endpoint").count(), 5, "{sent:?}");
    assert_eq!(sent.stderr.matches("is no JSON").count(), 1, "{sent:?}");
    assert_eq!((&sent.json()["sent"], &sent.json()["leftOut"]), (&json!(4), &json!(6)), "{sent:?}");
    let whole = lines(&export(&to, &[]));
    let arrived: Vec<_> = of_kind(&whole, "message").iter().map(|line| line["payload"].to_string()).collect();
    assert_eq!(arrived, sendable);
}

#[tokio::test]
async fn what_is_deleted_while_an_export_goes_on_is_left_out_and_does_not_end_it() {
    const MESSAGES: usize = 60;
    let (server, receiver) = (start().await, Receiver::start().await);
    let api = server.api();
    let held = api.register("gone", &receiver).await;
    api.set(&held, "paused").await;
    api.app("stays").await;
    let payload = json!({ "text": "x".repeat(20_000) });
    let messages: Vec<_> = (0..MESSAGES).map(|_| json!({ "eventType": "a.b", "payload": payload })).collect();
    api.post("/app/gone/msg/batch", json!({ "messages": messages })).await;

    let mut command = Command::new(POSTRIDER);
    command.args(["export", "--data-dir"]).arg(server.setup.data_dir()).current_dir("/");
    let mut exporting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    // It cannot run far ahead: a pipe holds much less than all.
    let mut out = BufReader::new(exporting.stdout.take().expect("it is a pipe"));
    let mut text = String::new();
    out.read_line(&mut text).expect("it writes");
    assert_eq!(api.call("DELETE", "/app/gone", &Value::Null).await.status, 204);
    out.read_to_string(&mut text).expect("it writes");
    let output = exporting.wait_with_output().expect("it is our child");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("deleted meanwhile"), "{told}");
    let written: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!(written.last().map(|line| &line["kind"]), Some(&json!("end")));
    assert!((1..MESSAGES).contains(&of_kind(&written, "message").len()), "some were written already");
    assert!(of_kind(&written, "application").iter().any(|app| app["uid"] == "stays"));
}

/// A paused endpoint is made disabled, paused, then enabled, and an import can break off after each.
#[tokio::test]
async fn a_repeated_import_pauses_what_a_broken_one_has_only_made() {
    let (from, to) = (start().await, start().await);
    let receiver = Receiver::start().await;
    let (one, other) = (from.api(), to.api());
    one.app("shop").await;
    for (uid, disabled) in [("a", false), ("b", false), ("c", true)] {
        let held = one.endpoint("shop", &receiver, json!({ "uid": uid, "disabled": disabled })).await;
        one.set(&held, "paused").await;
    }
    let file = export(&from, &["--what", "config"]);
    other.app("shop").await;
    // Made; made and paused; made.
    let made = async |uid| other.endpoint("shop", &receiver, json!({ "uid": uid, "disabled": true })).await;
    let [first, second, _] = [made("a").await, made("b").await, made("c").await];
    other.set(&second, "paused").await;
    let planned = import(&to, &file, &["--dry-run"]).json();
    assert_eq!((&planned["created"], &planned["same"]), (&json!(3), &json!(1)), "{planned}");
    import(&to, &file, &[]).ok();
    for (uid, disabled) in [("a", false), ("b", false), ("c", true)] {
        let shown = other.get(&format!("/app/shop/endpoint/{uid}")).await;
        assert_eq!((&shown["paused"], &shown["disabled"]), (&json!(true), &json!(disabled)), "{shown}");
    }
    let repeated = import(&to, &file, &[]).json();
    assert_eq!(repeated["same"], 4, "{repeated}");
    // One that somebody has resumed, or disabled, differs as by any other field.
    other.set(&first, "resumed").await;
    let refused = import(&to, &file, &[]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("paused: is true, and false in the server"),
        "{refused:?}"
    );
    other.set(&first, "disabled").await;
    let refused = import(&to, &file, &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("disabled: is false"), "{refused:?}");
    // What has gathered stays where it is when both change.
    let message = other.send("shop", "order.paid", json!({})).await;
    assert_eq!(import(&to, &file, &["--update"]).json()["updated"], 1);
    let shown = other.get("/app/shop/endpoint/a").await;
    assert_eq!((&shown["paused"], &shown["disabled"]), (&json!(true), &json!(false)), "{shown}");
    other.until_waits(&first, &message, "endpoint_paused").await;
    assert_eq!(receiver.ids(), [""; 0], "nothing went out in between");
}

#[tokio::test]
async fn a_bad_file_is_named_by_its_line_and_nothing_is_done() {
    let server = start().await;
    let header = r#"{"kind":"header","format":1}"#;
    let app = r#"{"kind":"application","id":"app_1","name":"a","uid":"a"}"#;
    let end = r#"{"kind":"end"}"#;
    let file = |rest: &str| format!("{header}\n{app}\n{rest}\n{end}\n").into_bytes();
    let message =
        |rest: &str| file(&format!("{{\"kind\":\"message\",\"id\":\"m\",\"appId\":\"a\",\"eventType\":\"x\",{rest}}}"));
    let endpoint = r#"{"kind":"endpoint","id":"ep_1","appId":"app_1","url":"https://***@example.com/"}"#;
    let mut huge = file("");
    huge.truncate(huge.len() - end.len() - 1);
    huge.resize(huge.len() + (97 << 20), b'x');
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "the file is empty"),
        (format!("{app}\n").into(), "line 1: kind: is not `header`"),
        (b"{\"kind\":\"header\",\"format\":2}\n".to_vec(), "line 1: format: is 2, 1 is the highest"),
        (format!("{header}\n{app}\n").into(), "it is not whole"),
        (file("{\"kind\":\"unicorn\"}"), "line 3: kind: `unicorn` is not known"),
        (file("{\"name\":1}"), "line 3: kind: is missing"),
        (file("[1]"), "line 3: is no object in JSON"),
        (file("{\"kind\":\"application\",\"id\":\"../..\",\"name\":\"a\"}"), "line 3: id: is no id"),
        (file("{\"kind\":\"endpoint\",\"id\":\"ep_1\",\"appId\":\"app_2\"}"), "line 3: appId: is no application"),
        (file(endpoint), "line 3: url: has `***`"),
        (message("\"deliveries\":[]"), "line 3: payload: is missing"),
        (message("\"payloadBase64\":\"?\""), "line 3: payloadBase64: "),
        (
            message("\"payload\":{},\"deliveries\":[{\"endpointId\":\"e\",\"state\":\"lost\"}]"),
            "line 3: deliveries: `lost`",
        ),
        (message("\"payload\":{},\"deliveries\":[{}]"), "line 3: deliveries: missing field `endpointId`"),
        ([header.as_bytes(), b"\n\xff\xfe\n"].concat(), "line 2: is not UTF-8 from byte 1 on"),
        (huge, "line 4: has more than 100663296 bytes"),
        (format!("{header}\n{end}\n{app}\n").into(), "line 3: stands behind the end"),
        (format!("{header}\n{{\"kind\":\"end\",\"lines\":\"1\"}}\n").into(), "line 2: lines: invalid type"),
    ];
    let path = server.setup.home().join("bad.ndjson");
    for (content, expected) in cases {
        std::fs::write(&path, &content).expect("it can be written");
        let refused = import(&server, &path, &["--send"]);
        assert!(refused.code == Some(1) && refused.stderr.contains(expected), "{expected}: {refused:?}");
    }
    assert_eq!(server.api().get("/app").await["data"], json!([]), "nothing was done");

    // Standard input is looked at as a whole, too.
    let mut command = Command::new(POSTRIDER);
    command.args(["import", "-", "--json", "--data-dir"]).arg(server.setup.data_dir()).current_dir("/");
    let mut importing = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
    let mut stdin = importing.stdin.take().expect("it is a pipe");
    stdin.write_all(&file("")).expect("it reads");
    drop(stdin);
    let output = importing.wait_with_output().expect("it is our child");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(server.api().get("/app/a").await["name"], "a");
}

#[tokio::test]
async fn a_file_with_a_line_less_or_more_than_was_exported_is_refused_and_nothing_is_done() {
    let (from, to) = (start().await, start().await);
    for uid in ["a", "b"] {
        from.api().app(uid).await;
    }
    let file = export(&from, &["--what", "config"]);
    let text = std::fs::read_to_string(&file).expect("it can be read");
    let whole: Vec<_> = text.lines().collect();
    let [header, one, other, end] = whole[..] else { panic!("two applications: {text}") };
    for (left, says) in [
        (vec![header, other, end], "line 3: lines: is 3, and 2 stand before it"),
        (vec![header, one, one, other, end], "line 5: lines: is 3, and 4 stand before it"),
    ] {
        std::fs::write(&file, left.join("\n")).expect("it can be written");
        let refused = import(&to, &file, &[]);
        assert!(refused.code == Some(1) && refused.stderr.contains(says), "{refused:?}");
        assert!(refused.stderr.contains("export again"), "{refused:?}");
        assert_eq!(to.api().get("/app").await["data"], json!([]), "nothing was done");
    }
    std::fs::write(&file, [header, "", one, other, end, ""].join("\n")).expect("it can be written");
    assert_eq!(import(&to, &file, &[]).json()["created"], 2, "empty lines do not count");
}

#[tokio::test]
async fn without_a_server_both_say_what_to_do() {
    let setup = Setup::new();
    for arguments in [&["export"][..], &["import", "/dev/null"]] {
        let ran = run(setup.data_dir(), arguments);
        assert_eq!(ran.code, Some(if arguments == ["export"] { 1 } else { 64 }), "{ran:?}");
    }
}
