//! Endpoints that have to show first that they want what is sent to them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Api, Arrival, Endpoint, POSTRIDER, Receiver, Reply, Server, Setup, run, until};

const CHALLENGE: &str = "challenge";

/// An application `shop` with an endpoint that has to pass this.
async fn asked(api: &Api, receiver: &Receiver, kind: &str) -> Endpoint {
    api.app("shop").await;
    api.endpoint("shop", receiver, json!({ "uid": "main", "verification": kind })).await
}

async fn shown(api: &Api) -> Value {
    api.get("/app/shop/endpoint/main").await
}

/// Waits until a try has been recorded as failed; gives why.
async fn failed(api: &Api) -> Value {
    let look = async || Some(shown(api).await["verificationFailure"].clone()).filter(|failure| !failure.is_null());
    until("a verification that failed", look).await
}

async fn verified(api: &Api) {
    until("the endpoint to be verified", async || (shown(api).await["verified"] == true).then_some(())).await;
}

fn is_challenge(arrival: &Arrival) -> bool {
    let body: Value = serde_json::from_slice(&arrival.body).expect("it is JSON");
    body["type"] == "postrider.verification"
}

#[tokio::test]
async fn an_endpoint_is_delivered_to_when_it_has_echoed_the_challenge() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.always(Reply::Echo);
    let api = server.api();
    let endpoint = asked(&api, &receiver, CHALLENGE).await;
    verified(&api).await;
    let message = api.send("shop", "order.paid", json!({ "n": 1 })).await;
    api.until_state(&endpoint, &message, "delivered").await;

    let arrivals = receiver.expect(2).await;
    assert!(is_challenge(&arrivals[0]) && arrivals[0].is_signed_with(&endpoint.secret), "{arrivals:?}");
    assert!(arrivals[0].id().starts_with("vrf_"));
    assert_eq!(arrivals[1].id(), message);
    // It was no message and left no delivery.
    assert_eq!(api.get("/app/shop/msg").await["data"].as_array().map(Vec::len), Some(1));
    let attempts = api.get(&format!("/app/shop/attempt/endpoint/{}", endpoint.id)).await;
    assert_eq!(attempts["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.metrics().await.sum("postrider_verifications_total", "passed"), 1.0);
}

// The command waits for what the receiver answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_waits_and_says_so_and_the_command_says_why_not() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.next([Reply::Status(404), Reply::Body(200, "nope"), Reply::Close]).always(Reply::Echo);
    let api = server.api();
    let endpoint = asked(&api, &receiver, CHALLENGE).await;
    let failure = failed(&api).await;
    assert_eq!(
        (&failure["reason"], &failure["detail"]),
        (&json!("status"), &json!("it answered with status 404, not 2xx"))
    );
    assert!(failure["nextTryAt"].is_string(), "{failure}");
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "endpoint_unverified").await;
    let flow = api.get("/app/shop/endpoint/main/flow").await;
    assert_eq!(flow["held"], "endpoint_unverified");
    assert_eq!(server.metrics().await.sum("postrider_deliveries", "state=\"held\""), 1.0);

    let verify = ["endpoint", "verify", "--app", "shop", "main"];
    for why in ["its answer is not the challenge", "the connection ended before an answer, or broke the protocol"] {
        let ran = server.run(&verify);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
        assert_eq!(ran.answered()["verificationFailure"]["nextTryAt"], failure["nextTryAt"], "the schedule goes on");
    }
    let listed = server.run(&["endpoint", "get", "--app", "shop", "main"]).json();
    assert_eq!((&listed["verification"], &listed["verified"]), (&json!(CHALLENGE), &json!(false)));
    assert_eq!(server.run(&verify).json()["verified"], true);
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.expect(5).await.len(), 5);
    assert_eq!(server.run(&verify).json()["verified"], true, "once more changes nothing");
    assert_eq!(receiver.arrivals().len(), 5);
    let entry = &api.get("/audit?operation=v1.endpoint.verify").await["data"];
    assert_eq!(entry.as_array().map(Vec::len), Some(4), "{entry}");
}

#[tokio::test]
async fn after_a_kill_in_the_middle_it_is_tried_again() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.next([Reply::Held]).always(Reply::Echo);
    let api = server.api();
    let endpoint = asked(&api, &receiver, CHALLENGE).await;
    receiver.expect(1).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "endpoint_unverified").await;

    let server = server.kill().await.start().await;
    let api = server.api();
    verified(&api).await;
    api.until_state(&endpoint, &message, "delivered").await;
    let arrivals = receiver.expect(3).await;
    assert_ne!(arrivals[0].body, arrivals[1].body, "each challenge is new");
    assert!(is_challenge(&arrivals[1]));
    // And a pass stays one.
    let server = server.kill().await.start().await;
    assert_eq!(shown(&server.api()).await["verified"], true);
    assert_eq!(receiver.arrivals().len(), 3);
}

// The command waits for what the receiver answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_kept_over_a_restart_and_so_is_the_schedule() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.next([Reply::Status(500)]).always(Reply::Echo);
    asked(&server.api(), &receiver, CHALLENGE).await;
    let before = failed(&server.api()).await;
    let server = server.stop().await.start().await;
    let api = server.api();
    assert_eq!(failed(&api).await, before);
    assert_eq!(receiver.arrivals().len(), 1, "the next try is due in a minute");
    server.run(&["endpoint", "verify", "--app", "shop", "main"]).ok();
    assert_eq!(shown(&api).await["verificationFailure"], Value::Null);
}

#[tokio::test]
async fn who_moves_has_to_show_it_again_and_whose_query_changes_has_not() {
    let (server, receiver, elsewhere) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    receiver.always(Reply::Echo);
    elsewhere.next([Reply::Status(403)]).always(Reply::Echo);
    let api = server.api();
    let endpoint = asked(&api, &receiver, CHALLENGE).await;
    verified(&api).await;
    let url = format!("{}?x=1", receiver.url());
    let same = api.patch("/app/shop/endpoint/main", json!({ "url": url, "description": "d" })).await;
    assert_eq!(same["verified"], true);

    let moved = api.patch("/app/shop/endpoint/main", json!({ "url": elsewhere.url() })).await;
    assert_eq!(moved["verified"], false);
    assert_eq!(failed(&api).await["reason"], "status");
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "endpoint_unverified").await;
    api.post("/app/shop/endpoint/main/verify", json!({})).await;
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!((receiver.arrivals().len(), elsewhere.expect(3).await.len()), (1, 3));

    // A put without the field keeps the kind; another path is another receiver.
    let put = json!({ "url": format!("{}/other", elsewhere.url()), "uid": "main" });
    let put = api.call("PUT", "/app/shop/endpoint/main", &put).await.json();
    assert_eq!((&put["verification"], &put["verified"]), (&json!(CHALLENGE), &json!(false)));
    verified(&api).await;
    let none = api.patch("/app/shop/endpoint/main", json!({ "verification": "none" })).await;
    assert_eq!((&none["verification"], &none["verified"]), (&json!("none"), &Value::Null));
}

#[tokio::test]
async fn leave_is_asked_for_as_cloudevents_has_it_and_its_rate_is_kept() {
    let setup =
        Setup::new().set("verification.default", "cloudevents").set("verification.origin", "events.example.com");
    let (server, receiver) =
        (setup.set("verification.request_rate_per_minute", "120").start().await, Receiver::start().await);
    let allowed = |rate: Option<&str>| {
        let mut headers = vec![("WebHook-Allowed-Origin", "events.example.com".to_owned())];
        headers.extend(rate.map(|rate| ("WebHook-Allowed-Rate", rate.to_owned())));
        Reply::With(200, headers)
    };
    receiver.next([Reply::Status(200), allowed(None), allowed(Some("1"))]);
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "uid": "main", "headers": { "x-shop": "17" } })).await;
    assert_eq!(failed(&api).await["reason"], "origin_not_allowed");
    let no_rate = api.post("/app/shop/endpoint/main/verify", json!({})).await;
    assert_eq!(no_rate["verificationFailure"]["reason"], "no_rate");
    let passed = api.post("/app/shop/endpoint/main/verify", json!({})).await;
    assert_eq!((&passed["verified"], &passed["allowedPerMinute"]), (&json!(true), &json!(1)));

    receiver.always(allowed(Some("*")));
    let free = api.endpoint("shop", &receiver, json!({ "uid": "free" })).await;
    let path = "/app/shop/endpoint/free";
    until("the other one to be verified", async || (api.get(path).await["verified"] == true).then_some(())).await;

    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&free, &message, "delivered").await;
    api.until_waits(&endpoint, &message, "rate_limited").await;
    let arrivals = receiver.expect(5).await;
    for asked in &arrivals[..4] {
        assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.body.len()), ("OPTIONS", "/hook", 0));
        assert_eq!(asked.header("webhook-request-rate"), "120");
    }
    assert_eq!((arrivals[4].method.as_str(), arrivals[4].id()), ("POST", &*message));
    for arrival in &arrivals {
        assert_eq!(arrival.header("webhook-request-origin"), "events.example.com");
    }
    assert_eq!(arrivals[0].header("x-shop"), "17", "its own headers go along");
}

#[tokio::test]
async fn nothing_is_asked_of_an_endpoint_that_is_held() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.always(Reply::Echo);
    let api = server.api();
    api.app("shop").await;
    let fields = json!({ "uid": "main", "verification": CHALLENGE, "disabled": true });
    let endpoint = api.endpoint("shop", &receiver, fields).await;
    api.set(&endpoint, "paused").await;
    api.set(&endpoint, "enabled").await;
    let path = "/app/shop/endpoint/main/verify";
    let refused = api.call("POST", path, &Value::Null).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("endpoint_paused")));
    server.run(&["pause"]).ok();
    api.set(&endpoint, "resumed").await;
    let refused = api.call("POST", path, &Value::Null).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("dispatch_paused")));
    // What is asked for by itself would be asked now: this one comes after it.
    let server = server.stop().await.start().await;
    assert!(receiver.arrivals().is_empty());
    server.run(&["resume"]).ok();
    verified(&server.api()).await;
    assert_eq!(receiver.arrivals().len(), 1);
}

#[tokio::test]
async fn an_address_that_must_not_be_reached_is_not_asked_and_not_told() {
    let inward = Receiver::start().await;
    let server = Setup::new().start().await;
    let api = server.api();
    api.app("shop").await;
    let fields = json!({ "uid": "main", "verification": CHALLENGE, "disabled": true });
    let endpoint = api.endpoint("shop", &inward, fields).await;
    // Its URL was allowed; where the socket is opened it is looked at again.
    let server = server.stop().await.set("dispatch.allow_networks", "").start().await;
    let api = server.api();
    api.set(&endpoint, "enabled").await;
    let failure = failed(&api).await;
    assert_eq!(failure["reason"], "address_refused");
    assert!(!failure.to_string().contains("127.0.0.1"), "{failure}");
    assert!(inward.arrivals().is_empty());
}

#[tokio::test]
async fn the_command_line_asks_for_it_and_shows_how_it_stands() {
    let setup = Setup::new().set("verification.origin", "events.example.com");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    receiver.always(Reply::Echo);
    let api = server.api();
    api.app("shop").await;
    let url = receiver.url();
    let create = ["endpoint", "create", "--app", "shop", "--uid", "main", "--url", &url, "--verification", CHALLENGE];
    let made = server.run(&create).json();
    assert_eq!((&made["verification"], made["verified"].is_boolean()), (&json!(CHALLENGE), true), "{made}");
    verified(&api).await;
    assert!(is_challenge(&receiver.expect(1).await[0]));

    let update = |kind| server.run(&["endpoint", "update", "--app", "shop", "main", "--verification", kind]);
    receiver.always(Reply::With(200, vec![("webhook-allowed-origin", "*".to_owned())]));
    assert_eq!(update("cloudevents").json()["verification"], "cloudevents");
    verified(&api).await;
    assert_eq!(receiver.expect(2).await[1].method.as_str(), "OPTIONS");
    let none = update("none").json();
    assert_eq!((&none["verification"], &none["verified"]), (&json!("none"), &Value::Null));
    let wrong = update("Challenge");
    assert!(wrong.code == Some(1) && wrong.stderr.contains("verification: must be `none`"), "{wrong:?}");
}

#[tokio::test]
async fn bad_values_are_refused_by_name_and_change_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &receiver).await;
    let make = |verification: Value| json!({ "url": receiver.url(), "uid": "main", "verification": verification });
    for (value, problem) in [
        (json!("maybe"), "must be `none`, `challenge` or `cloudevents`"),
        (json!("None"), "must be `none`, `challenge` or `cloudevents`"),
        (json!(1), "must be `none`, `challenge` or `cloudevents`"),
        (Value::Null, "must not be null"),
        (json!("cloudevents"), "`cloudevents` needs `verification.origin` in the server's configuration"),
    ] {
        let answer = api.call("POST", "/app/shop/endpoint", &make(value)).await;
        let detail = &answer.json()["detail"][0];
        assert_eq!((answer.status, &detail["loc"]), (422, &json!(["body", "verification"])), "{answer:?}");
        assert!(detail["msg"].as_str().is_some_and(|msg| msg.contains(problem)), "{detail}");
    }
    assert_eq!(api.get("/app/shop/endpoint").await["data"].as_array().map(Vec::len), Some(1));
    let ran = server.run(&["endpoint", "create", "--app", "shop", "--url", &receiver.url(), "--verification", "x"]);
    assert!(ran.code != Some(0) && ran.stderr.contains("verification"), "{ran:?}");
    let nobody = api.call("POST", "/app/shop/endpoint/nobody/verify", &Value::Null).await;
    assert_eq!(nobody.status, 404);
    for (key, value) in [
        ("verification.origin", "not a name"),
        ("verification.default", "cloudevents"),
        ("verification.default", "x"),
        ("verification.request_rate_per_minute", "0"),
    ] {
        let ended = Setup::new().set(key, value).refused().await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(&format!("{key}: ")), "{ended:?}");
    }
}

#[tokio::test]
async fn the_kind_comes_along_with_an_export_and_the_pass_does_not() {
    let (from, to, receiver) = (Server::start().await, Server::start().await, Receiver::start().await);
    receiver.always(Reply::Echo);
    asked(&from.api(), &receiver, CHALLENGE).await;
    verified(&from.api()).await;
    let exported = from.run(&["export", "--what", "config"]);
    let file = from.setup.home().join("exported.ndjson");
    std::fs::write(&file, &exported.ok().stdout).expect("it can be written");
    run(to.setup.data_dir(), &["import", file.to_str().expect("UTF-8")]).ok();
    verified(&to.api()).await;
    assert_eq!(shown(&to.api()).await["verification"], CHALLENGE);
    assert_eq!(receiver.expect(2).await.len(), 2, "the other server asked, too");
}

/// `postrider listen`, until it is dropped.
struct Listening {
    process: Child,
    url: String,
}

impl Listening {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(POSTRIDER);
        command.args(["listen", "--port", "0"]).args(arguments).current_dir("/");
        let mut process =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
        let mut said = String::new();
        let stderr = process.stderr.take().expect("it is a pipe");
        BufReader::new(stderr).read_line(&mut said).expect("it writes");
        let url = said.strip_prefix("listening on ").and_then(|said| said.split(';').next()).expect("it says where");
        Self { process, url: format!("{url}/hook") }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_receiver_of_the_command_line_gives_consent_if_it_is_asked_rightly() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let server = Setup::new().set("verification.origin", "events.example.com").start().await;
    let api = server.api();
    api.app("shop").await;
    let listening = Listening::start(&["--secret", SECRET, "--fail-first", "5"]);
    let endpoint = |uid: &str, kind: &str, secret: &str| json!({ "uid": uid, "url": listening.url, "secret": secret, "verification": kind });
    for kind in [CHALLENGE, "cloudevents"] {
        api.post("/app/shop/endpoint", endpoint(kind, kind, SECRET)).await;
        let path = format!("/app/shop/endpoint/{kind}");
        until(kind, async || (api.get(&path).await["verified"] == true).then_some(())).await;
    }
    assert_eq!(api.get("/status").await["endpointsUnverified"], 0);
    api.post("/app/shop/endpoint", endpoint("main", CHALLENGE, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")).await;
    assert_eq!(failed(&api).await["detail"], "it answered with status 401, not 2xx");
    assert_eq!(api.get("/status").await["endpointsUnverified"], 1);
}
