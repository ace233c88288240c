use bytes::Bytes;
use http::StatusCode;
use postrider_model::attempt::Attempt;
use postrider_model::delivery::Trigger;
use postrider_model::id::AttemptId;
use postrider_model::job::FailureKind;
use postrider_model::time::UnixMs;
use serde_json::{Value, json};

use super::client::{ATTEMPT, LIST, MESSAGE, World, has_shape};

pub(super) struct Setup {
    pub(super) world: World,
    pub(super) endpoint: String,
    pub(super) message: String,
    pub(super) attempts: Vec<String>,
}

/// One message to one endpoint, which answered 500, then not at all, then 204.
pub(super) async fn setup() -> Setup {
    let world = World::new();
    let app = world.app("shop").await;
    let endpoint = world.endpoint("shop", "main").await;
    let body = json!({"eventType": "a", "payload": {}, "channels": ["x"], "tags": ["t"], "eventId": "e"});
    let message = world.post("/api/v1/app/shop/msg", body).await.is(StatusCode::ACCEPTED);
    let message = message["id"].as_str().unwrap().to_owned();
    let ends =
        [(Some(500), None, "oops"), (None, Some(FailureKind::Connect), "10.0.0.1 refused"), (Some(204), None, "")];
    let mut attempts = Vec::new();
    for (n, (status, failure, response)) in ends.into_iter().enumerate() {
        let mut state = world.fake.state();
        let attempt = Attempt {
            id: AttemptId(state.new_id()),
            app: app.parse().unwrap(),
            endpoint: endpoint.parse().unwrap(),
            message: message.parse().unwrap(),
            message_sequence: state.messages[0].sequence,
            number: n as u16 + 1,
            url: "https://example.com/hook".to_owned(),
            started: UnixMs(1_800_000_100_000 + n as u64),
            duration_ms: 10,
            status,
            failure,
            response: Some(Bytes::from_static(response.as_bytes())),
            trigger: if n == 2 { Trigger::Manual } else { Trigger::Scheduled },
            stale: false,
        };
        attempts.push(attempt.id.to_string());
        state.attempts.push(attempt);
    }
    Setup { world, endpoint, message, attempts }
}

#[tokio::test]
async fn an_attempt_is_shown_without_what_only_the_operator_may_know() {
    let Setup { world, endpoint, message, attempts } = setup().await;
    let path = |attempt: &str| format!("/api/v1/app/shop/msg/{message}/attempt/{attempt}");
    let failed = world.get(&path(&attempts[0])).await.is(StatusCode::OK);
    has_shape(&failed, ATTEMPT);
    assert_eq!(
        failed,
        json!({
            "id": attempts[0], "msgId": message, "endpointId": endpoint, "url": "https://example.com/hook",
            "response": "oops", "responseStatusCode": 500, "responseDurationMs": 10, "status": 2,
            "statusText": "fail", "triggerType": 0, "timestamp": "2027-01-15T08:01:40.010Z",
        })
    );
    let unanswered = world.get(&path(&attempts[1])).await.is(StatusCode::OK);
    assert_eq!((&unanswered["response"], &unanswered["responseStatusCode"]), (&json!("connect"), &json!(0)));
    let good = world.get(&path(&attempts[2])).await.is(StatusCode::OK);
    assert_eq!((&good["status"], &good["statusText"], &good["triggerType"]), (&json!(0), &json!("success"), &json!(1)));
    assert_eq!(world.get(&format!("/api/v1/app/shop/msg/e/attempt/{}", attempts[2])).await.is(StatusCode::OK), good);

    let other = world.message("shop", "b").await;
    for path in [path("atmpt_x"), format!("/api/v1/app/shop/msg/{other}/attempt/{}", attempts[0])] {
        world.get(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered() {
    let Setup { world, message, attempts, .. } = setup().await;
    let numbers = |list: &Value| -> String {
        let ids = list["data"].as_array().unwrap().iter().map(|attempt| attempt["id"].as_str().unwrap());
        ids.map(|id| attempts.iter().position(|attempt| attempt == id).unwrap().to_string()).collect()
    };
    let bases = [
        format!("/api/v1/app/shop/attempt/msg/{message}"),
        "/api/v1/app/shop/attempt/msg/e".to_owned(),
        "/api/v1/app/shop/attempt/endpoint/main".to_owned(),
    ];
    for base in &bases {
        for (query, expected) in [
            ("", "210"),
            ("order=ascending", "012"),
            ("status=0", "2"),
            ("status=2", "10"),
            ("status=1", ""),
            ("status=3", ""),
            ("status=4", ""),
            ("status_code_class=500", "0"),
            ("status_code_class=0", "1"),
            ("event_types=a", "210"),
            ("event_types=b", ""),
            ("channel=x", "210"),
            ("channel=y", ""),
            ("tag=t", "210"),
            ("tag=u", ""),
            ("before=2027-01-15T08:01:40.011Z", "0"),
            ("after=2027-01-15T08:01:40.011Z", "2"),
            ("limit=2", "21"),
            ("with_content=false", "210"),
        ] {
            let list = world.get(&format!("{base}?{query}")).await.is(StatusCode::OK);
            has_shape(&list, LIST);
            assert_eq!(numbers(&list), expected, "{base}?{query}");
        }
        for (query, name) in
            [("status=5", "status"), ("status_code_class=250", "status_code_class"), ("limit=251", "limit")]
        {
            world.get(&format!("{base}?{query}")).await.is_invalid(&["query", name], query);
        }
        let list = world.get(&format!("{base}?with_content=false&status=2")).await.is(StatusCode::OK);
        assert_eq!(list["data"][1]["response"], "");
        assert_eq!(list["data"][1].get("msg"), None);
        // The message comes along, but never its payload.
        let list = world.get(&format!("{base}?with_msg=true")).await.is(StatusCode::OK);
        has_shape(&list["data"][2]["msg"], MESSAGE);
        assert_eq!((&list["data"][2]["msg"]["id"], &list["data"][2]["msg"]["payload"]), (&json!(message), &json!({})));
    }
    let list = world.get(&format!("{}?endpoint_id=main", bases[0])).await.is(StatusCode::OK);
    assert_eq!(numbers(&list), "210");
    world.get(&format!("{}?endpoint_id=x", bases[0])).await.is_error(StatusCode::NOT_FOUND, "not_found");
    // A page that the channel left empty still leads on.
    let list = world.get(&format!("{}?channel=y&limit=2", bases[2])).await.is(StatusCode::OK);
    assert_eq!((&list["done"], &list["iterator"]), (&json!(false), &json!(attempts[1])));
}
