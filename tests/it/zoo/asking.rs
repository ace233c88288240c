//! Those that say when they want to be asked again, in ways that nobody should.

use serde_json::{Value, json};

use crate::support::{Receiver, Reply, Server, until};

/// What counts where `Retry-After` does not, and the longest that it counts for, in seconds.
const SCHEDULE_S: i64 = 600;
const LONGEST_S: i64 = 86_400;
/// Much less than the times differ by, and more than a moment.
const ABOUT_S: i64 = 60;

/// Values of `Retry-After`, and how long the server waits then.
fn values() -> Vec<(Vec<String>, i64)> {
    let one = |value: &str, seconds| (vec![value.to_owned()], seconds);
    vec![
        one("1200", 1_200),
        one("1", SCHEDULE_S),
        one("0", SCHEDULE_S),
        one("-1", SCHEDULE_S),
        one("+1200", SCHEDULE_S),
        one("1200.5", SCHEDULE_S),
        one("1e9", SCHEDULE_S),
        one("0x1000", SCHEDULE_S),
        one("1200, 7200", SCHEDULE_S),
        one("1200 s", SCHEDULE_S),
        one("inf", SCHEDULE_S),
        one("NaN", SCHEDULE_S),
        one("never", SCHEDULE_S),
        one("", SCHEDULE_S),
        one("18446744073709551616", LONGEST_S),
        one("99999999999999999999999999999999", LONGEST_S),
        one(&"9".repeat(4_000), SCHEDULE_S),
        one("Thu, 01 Jan 1970 00:00:00 GMT", SCHEDULE_S),
        one("Sun, 06 Nov 1994 08:49:37 GMT", SCHEDULE_S),
        one("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
        one("Friday, 31-Dec-49 23:59:59 GMT", LONGEST_S),
        one("Fri, 32 Dec 9999 23:59:59 GMT", SCHEDULE_S),
        one("9999-12-31T23:59:59Z", SCHEDULE_S),
        (vec!["1200".to_owned(), "7200".to_owned()], 1_200),
        (vec!["never".to_owned(), "7200".to_owned()], SCHEDULE_S),
    ]
}

#[tokio::test]
async fn no_retry_after_makes_a_delivery_wait_for_less_than_its_schedule_or_more_than_a_day() {
    let (server, values) = (Server::start().await, values());
    let api = server.api();
    api.app("shop").await;
    let (mut receivers, mut endpoints) = (Vec::new(), Vec::new());
    for (asked, _) in &values {
        let receiver = Receiver::start().await;
        receiver.always(Reply::With(500, asked.iter().map(|value| ("retry-after", value.clone())).collect()));
        let policy = json!({ "retrySchedule": [0, SCHEDULE_S], "retryJitterPercent": 0 });
        endpoints.push(api.endpoint("shop", &receiver, json!({ "policy": policy })).await);
        receivers.push(receiver);
    }
    let message = api.send("shop", "order.paid", json!({})).await;
    for ((asked, expected), endpoint) in values.iter().zip(&endpoints) {
        let delivery = api.until_delivery(endpoint, &message, "waiting", |delivery| delivery["attempt"] == 2).await;
        let attempts = until("the attempt", async || {
            let attempts = api.attempts("shop", &message).await;
            attempts.into_iter().find(|attempt| attempt["endpointId"] == endpoint.id.as_str())
        });
        let waits = seconds(&delivery["dueAt"]) - seconds(&attempts.await["timestamp"]);
        assert!((waits - expected).abs() < ABOUT_S, "{waits} s instead of {expected} after {asked:.80?}");
    }
    super::assert_sound(&server).await;
}

fn seconds(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time} is no time"));
    text.parse::<jiff::Timestamp>().expect("times are in RFC 3339").as_second()
}
